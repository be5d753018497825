package daemon_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// cutOffLab is a lab in which us-east can lose its cluster, with a pool of two
// endpoints and, as the quorum is all vantages of which one is silent, a ledger
// that nothing moves.
func cutOffLab(t *testing.T, isolation string) *lab {
	l := newLab(t)
	l.edit("interval: 300ms, timeout: 150ms", "interval: 1s, timeout: 900ms", "owner: lab\n", "owner: lab\ncluster: {vote_lease: 3s}\nisolation: "+isolation+"\n",
		"{region: eu-west, endpoints: [127.0.0.11]}\n      - {region: us-east, endpoints: [127.0.0.12]}\n      - {region: ap-south",
		"{region: eu-west, endpoints: [127.0.0.11, 127.0.0.12]}\n      - {region: ap-south",
		"    rto: 60s\n", "", "    ttl: {min: 1s, max: 5s}\n", "    quorum: {need: all}\n    ttl: {min: 1s, max: 5s}\n")
	l.start("eu-west", daemon.RoleAll)
	return l
}

// serial asks for the zone's serial.
func (l *lab) serial() uint32 {
	l.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("example.test.", dns.TypeSOA)
	r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, l.server)
	if err != nil || len(r.Answer) != 1 {
		l.t.Fatalf("SOA: %v, %v", r, err)
	}
	return r.Answer[0].(*dns.SOA).Serial
}

func (l *lab) wants(when string, want ...string) {
	l.t.Helper()
	if got := l.query(); !slices.Equal(got, want) {
		l.t.Fatalf("%s the answer is %v, want %v", when, got, want)
	}
}

func localDrain(target steering.Target) api.OrderRequest {
	return api.OrderRequest{Act: steering.Drain, Why: "it burns", Target: target, Local: true}
}

// TestIsolationLocal cuts a server off from the cluster: after the time its
// answers are narrowed by its own vantage, with the serial and the snapshot as
// they were. A drain --local works without a quorum, over a restart too. When
// the cluster is back, the ledger's answers hold, whatever the vantage sees.
func TestIsolationLocal(t *testing.T) {
	t.Parallel() // it waits more than it works
	l := cutOffLab(t, "{mode: local, after: 3s}")
	us := l.start("us-east", daemon.RoleProber, daemon.RoleAuthority)
	l.until("both", func() bool { return slices.Equal(l.query(), []string{"127.0.0.11", "127.0.0.12"}) })
	st := l.status("us-east", func(st api.Status) bool { return st.Leader.Name != "" && st.Voters[1].Votes > 0 })
	if st.Apart != nil || l.stale() != "" {
		t.Errorf("joined, it is apart: %+v, and says %q", st.Apart, l.stale())
	}
	serial := l.serial()

	l.halt("eu-west")
	l.down("127.0.0.12")
	st = l.status("us-east", func(st api.Status) bool { return st.Apart != nil && len(st.Apart.Services) > 0 })
	l.wants("cut off,", "127.0.0.11")
	if !st.Apart.Narrows || st.Apart.CutOff < 3*time.Second || !slices.Equal(st.Apart.Services, []string{"app.example.test"}) {
		t.Errorf("apart: %+v", st.Apart)
	}
	if text := strings.Join(st.Warnings, "\n"); !strings.Contains(text, "isolation: local leaves out") || !strings.Contains(text, "answered here otherwise than the ledger says: app.example.test") {
		t.Errorf("the warnings are\n%s", text)
	}
	e, err := l.client("us-east").Explain(t.Context(), appName, "")
	if err != nil || e.Rules[0].Rule != steering.RuleLocal || e.Rules[0].Text != "this server answers 127.0.0.11, the ledger 127.0.0.11, 127.0.0.12" ||
		len(e.Service.Here) != 1 || len(e.Service.Answer[0].Data) != 2 {
		t.Errorf("explain: %+v, %v", e, err)
	}
	// None up: unchanged.
	l.down("127.0.0.11")
	l.status("us-east", func(st api.Status) bool { return st.Apart != nil && len(st.Apart.Services) == 0 })
	l.wants("with none up,", "127.0.0.11", "127.0.0.12")
	l.up("127.0.0.11")
	l.status("us-east", func(st api.Status) bool { return st.Apart != nil && len(st.Apart.Services) > 0 })
	l.wants("with one up,", "127.0.0.11")

	c := l.client("us-east")
	_, err = c.Order(t.Context(), localDrain(steering.Target{Service: appName}), false)
	wantProblem(t, err, http.StatusConflict, "would be left without an endpoint")
	plan, err := c.Order(t.Context(), localDrain(steering.Target{Service: appName, Region: "eu-west"}), true)
	if err != nil || len(plan.Moves) != 1 || plan.Moves[0].After[0].Data[0] != "127.0.0.13" {
		t.Fatalf("dry run: %+v, %v", plan, err)
	}
	l.wants("after a dry run", "127.0.0.11")
	done, err := c.Order(t.Context(), localDrain(steering.Target{Service: appName, Region: "eu-west"}), false)
	if err != nil || !done.InForce {
		t.Fatalf("drain --local: %+v, %v", done, err)
	}
	l.wants("drained here,", "127.0.0.13")
	if got := l.serial(); got != serial {
		t.Errorf("the serial went from %d to %d", serial, got)
	}

	l.halt("us-east")
	l.start("us-east", daemon.RoleProber, daemon.RoleAuthority)
	l.wants("after a restart without a quorum", "127.0.0.13")
	if got := l.serial(); got != serial {
		t.Errorf("after the restart the serial is %d, was %d", got, serial)
	}
	st = l.status("us-east", func(st api.Status) bool { return st.Apart != nil })
	if len(st.Apart.Orders) != 1 || !strings.Contains(strings.Join(st.Warnings, "\n"), "this server alone drains app.example.test/eu-west by") {
		t.Errorf("apart %+v, warnings %q", st.Apart, st.Warnings)
	}
	other := localDrain(steering.Target{Service: appName, Region: "ap-south"})
	_, err = c.EndOrder(t.Context(), other, false)
	wantProblem(t, err, http.StatusNotFound, "in force here: drain of app.example.test/eu-west")
	if _, err := c.EndOrder(t.Context(), localDrain(steering.Target{Service: appName, Region: "eu-west"}), false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(us.dataDir, "local-orders.json")); !os.IsNotExist(err) {
		t.Errorf("the file of local orders is still there: %v", err)
	}
	l.status("us-east", func(st api.Status) bool { return st.Apart != nil && st.Apart.Narrows && len(st.Apart.Services) > 0 })
	l.wants("with its own vantage alone,", "127.0.0.11")

	server := l.server
	l.start("eu-west", daemon.RoleAll) // 127.0.0.12 is still down
	l.server = server
	l.status("us-east", func(st api.Status) bool { return st.Apart == nil && st.Leader.Name != "" })
	l.wants("with the ledger back,", "127.0.0.11", "127.0.0.12")
	if got := l.stale(); got != "" {
		t.Errorf("with the ledger back, the answer says %q", got)
	}
}

// stale is the reason that the service's answer gives for being one of before.
func (l *lab) stale() string {
	l.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(appName, dns.TypeA)
	m.SetEdns0(1232, false)
	r, err := dns.Exchange(m, l.server)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, o := range r.IsEdns0().Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok && e.InfoCode == dns.ExtendedErrorCodeStaleAnswer {
			return e.ExtraText
		}
	}
	return ""
}

// TestIsolationHolds: with hold, and without a vantage, a server that is cut
// off answers on as it did.
func TestIsolationHolds(t *testing.T) {
	t.Parallel() // it waits more than it works
	for _, c := range []struct {
		name, isolation, says string
		roles                 []string
	}{
		{"hold", "{mode: hold, after: 3s}", "answers stay as they are (isolation: hold)", []string{daemon.RoleProber, daemon.RoleAuthority}},
		{"local without a vantage", "{mode: local, after: 3s}", "this process has no vantage", []string{daemon.RoleAuthority}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := cutOffLab(t, c.isolation)
			l.start("us-east", c.roles...)
			l.until("both", func() bool { return slices.Equal(l.query(), []string{"127.0.0.11", "127.0.0.12"}) })
			l.halt("eu-west")
			l.down("127.0.0.12")
			st := l.status("us-east", func(st api.Status) bool {
				return st.Apart != nil && st.Apart.CutOff > 5*time.Second // its vantage has seen it by then
			})
			l.wants("cut off,", "127.0.0.11", "127.0.0.12")
			if got := l.stale(); got != "cut off from the cluster: its last answer" {
				t.Errorf("cut off, the answer says %q", got)
			}
			if text := strings.Join(st.Warnings, "\n"); !strings.Contains(text, c.says) {
				t.Errorf("the warnings are\n%s\nwant %q", text, c.says)
			}
		})
	}
}

// TestLocalDrainEndsByItself: with a time, in one daemon that leads itself.
func TestLocalDrainEndsByItself(t *testing.T) {
	l := newLab(t)
	l.write("veer.yaml", string(oneVantage(t, l)))
	l.start("eu-west", daemon.RoleAll)
	l.answers("127.0.0.11")
	r := localDrain(steering.Target{Region: "eu-west"})
	r.For = 2 * time.Second
	c := l.client("eu-west")
	if _, err := c.Order(t.Context(), r, false); err != nil {
		t.Fatal(err)
	}
	l.wants("drained here,", "127.0.0.12")
	st := l.status("eu-west", func(st api.Status) bool { return st.Apart != nil })
	if st.Serves[0].Answer[0].Data[0] != "127.0.0.11" || st.Serves[0].Here[0].Data[0] != "127.0.0.12" || len(st.Orders) != 0 {
		t.Errorf("the ledger is said to answer %v, this server %v, with orders %v", st.Serves[0].Answer, st.Serves[0].Here, st.Orders)
	}
	l.status("eu-west", func(st api.Status) bool { return st.Apart == nil })
	l.wants("when the order is over,", "127.0.0.11")
	for _, bad := range []struct {
		act  steering.Act
		code int
		text string
	}{{steering.Force, http.StatusBadRequest, "only a drain"}, {steering.Drain, http.StatusNotFound, "matches no service"}} {
		_, err := c.Order(t.Context(), api.OrderRequest{Act: bad.act, Why: "x", Local: true, Target: steering.Target{Region: regions.Name("nowhere")}}, false)
		wantProblem(t, err, bad.code, bad.text)
	}
}
