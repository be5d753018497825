package daemon_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// twoVoters starts a daemon and one prober with it: two of three vantages.
func twoVoters(t *testing.T, change ...string) *lab {
	l := newLab(t)
	l.edit(change...)
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.watch()
	for _, v := range vantageNames[:2] {
		for _, id := range []regions.EndpointID{webOne, webTwo, webTri} {
			l.votes(regions.Name(v), id, "up")
		}
	}
	l.answers("127.0.0.11")
	for _, region := range vantageNames[:2] {
		l.status(region, func(st api.Status) bool {
			return st.Voters[0].Votes == 3 && st.Voters[1].Votes == 3 && len(st.Serves[0].Serving) == 1 && st.Leader.Name != ""
		})
	}
	return l
}

func drain(region string) api.OrderRequest {
	return api.OrderRequest{Act: steering.Drain, Why: "maintenance", Target: steering.Target{Service: "app.example.test", Region: regions.Name(region)}}
}

func wantProblem(t *testing.T, err error, code int, text string) {
	t.Helper()
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != code || !strings.Contains(p.Error(), text) || p.Refused != (code == http.StatusConflict) {
		t.Fatalf("got %#v (%v), want status %d and %q", err, err, code, text)
	}
}

func TestOrdersThroughAPI(t *testing.T) {
	l := twoVoters(t)
	// Any region's daemon takes orders; this one does not lead.
	c := l.client("us-east")
	plan, err := c.Order(t.Context(), drain("eu-west"), true)
	if err != nil || len(plan.Moves) != 1 || plan.Moves[0].After[0].Data[0] != "127.0.0.12" {
		t.Fatalf("dry run: %+v, %v", plan, err)
	}
	if orders, err := c.Orders(t.Context()); err != nil || len(orders) != 0 {
		t.Fatalf("a dry run left %v, %v", orders, err)
	}
	done, err := c.Order(t.Context(), drain("eu-west"), false)
	if err != nil {
		t.Fatal(err)
	}
	l.answers("127.0.0.12")
	me, err := user.Current()
	if err != nil || done.Orders[0].By != me.Username {
		t.Errorf("the order is by %q, the socket's user is %v (%v)", done.Orders[0].By, me, err)
	}
	e, err := l.client("eu-west").Explain(t.Context(), "APP.example.test", "")
	if err != nil || e.Cause != "override drain by "+me.Username || e.Rules[0].Region != "us-east" || e.Service.Answer[0].Data[0] != "127.0.0.12" {
		t.Errorf("explain: %+v, %v", e, err)
	}
	if _, err := c.Order(t.Context(), drain("us-east"), false); err != nil {
		t.Fatal(err)
	}
	l.answers("127.0.0.13")
	l.orders("us-east", 2)
	_, err = c.Order(t.Context(), drain("ap-south"), false)
	wantProblem(t, err, http.StatusConflict, "would be left without an endpoint")
	_, err = c.Order(t.Context(), drain("ap-south"), true)
	wantProblem(t, err, http.StatusConflict, "would be left without an endpoint")

	_, err = c.EndOrder(t.Context(), drain("ap-south"), false)
	wantProblem(t, err, http.StatusNotFound, "in force: drain of app.example.test/")
	plan, err = c.EndOrder(t.Context(), drain("eu-west"), true)
	if err != nil || len(plan.Moves) != 1 || plan.Moves[0].After[0].Data[0] != "127.0.0.11" {
		t.Fatalf("dry run of the end: %+v, %v", plan, err)
	}
	if _, err := c.EndOrder(t.Context(), drain("eu-west"), false); err != nil {
		t.Fatal(err)
	}
	l.answers("127.0.0.11")
	entries, err := c.Journal(t.Context(), "app.example.test", 3, false)
	if err != nil || len(entries) == 0 || len(entries) > 3 {
		t.Errorf("journal: %d entries, %v", len(entries), err)
	}
	moves, err := c.Journal(t.Context(), "app.example.test", 0, true)
	if err != nil || len(moves) != 4 { // the first answer, two drains, one end
		t.Errorf("journal of what moved: %d entries, %v", len(moves), err)
	}
	for _, e := range moves {
		if !slices.Contains(e.Moved(), appName) {
			t.Errorf("decision %d.%d moved %v", e.Term, e.Seq, e.Moved())
		}
	}
}

// TestOrderIsInForceWhenItIsDone asks nothing twice: DNS and status, of the
// daemon that was asked, are as ordered when the reply is there.
func TestOrderIsInForceWhenItIsDone(t *testing.T) {
	l := twoVoters(t, patient()...)
	for _, region := range vantageNames[:2] {
		c := l.client(region)
		for i := range 5 {
			for _, step := range []struct {
				do   func(context.Context, api.OrderRequest, bool) (api.OrderResult, error)
				want string
			}{{c.Order, "127.0.0.12"}, {c.EndOrder, "127.0.0.11"}} {
				done, err := step.do(t.Context(), drain("eu-west"), false)
				if err != nil || !done.InForce || done.Took <= 0 || done.Note != "" {
					t.Fatalf("%s, round %d: %+v, %v", region, i, done, err)
				}
				st, err := c.Status(t.Context())
				if err != nil || st.Serves[0].Answer[0].Data[0] != step.want {
					t.Fatalf("%s, round %d: status says %+v, %v; want %s", region, i, st.Serves, err, step.want)
				}
				if got := l.query(); region == "eu-west" && got[0] != step.want {
					t.Fatalf("round %d: DNS says %v, want %s", i, got, step.want)
				}
			}
		}
	}
	// One that moves no answer is in force as soon as it is known.
	done, err := l.client("us-east").Order(t.Context(), drain("ap-south"), false)
	if err != nil || !done.InForce || len(done.Moves) != 0 {
		t.Errorf("an order that moves nothing: %+v, %v", done, err)
	}
	l.orders("us-east", 1)
}

func TestOrderWithoutLeader(t *testing.T) {
	l := newLab(t)
	l.start("eu-west", daemon.RoleProber, daemon.RoleAuthority)
	for _, region := range []string{"eu-west", "ap-south"} { // one moves the answer, one does not
		done, err := l.client("eu-west").Order(t.Context(), drain(region), false)
		if err != nil || done.InForce || !strings.Contains(done.Note, "no leader has acted on it yet") {
			t.Errorf("drain of %s: %+v, %v", region, done, err)
		}
	}
	l.orders("eu-west", 2)
	l.start("us-east", daemon.RoleController) // carries them out
	l.answers("127.0.0.12")
}

func TestForceToDownPoolSaysSo(t *testing.T) {
	l := twoVoters(t)
	l.down("127.0.0.13")
	for _, v := range vantageNames[:2] {
		l.votes(regions.Name(v), webTri, "down")
	}
	l.status("eu-west", func(st api.Status) bool { return st.Voters[0].Down == 1 && st.Voters[1].Down == 1 })
	r := drain("ap-south")
	r.Act = steering.Force
	done, err := l.client("eu-west").Order(t.Context(), r, false)
	if err != nil || len(done.Moves) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	said := false
	for _, why := range done.Moves[0].Why {
		said = said || strings.Contains(why.Text, "down")
	}
	if !said {
		t.Errorf("nothing says that the pool is down: %+v", done.Moves[0].Why)
	}
	l.answers("127.0.0.13")
}

func TestFailbackRefusedWhileHeld(t *testing.T) {
	l := twoVoters(t, "hold: 1s", "hold: 1h")
	r := drain("eu-west")
	r.Act = steering.FailbackAct
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	for _, v := range vantageNames[:2] {
		l.votes(regions.Name(v), webOne, "down")
	}
	l.flush()
	_, err := l.client("eu-west").Order(t.Context(), r, false)
	wantProblem(t, err, http.StatusConflict, "is down")
	l.up("127.0.0.11")
	for _, v := range vantageNames[:2] {
		l.votes(regions.Name(v), webOne, "up")
	}
	l.flush()
	_, err = l.client("eu-west").Order(t.Context(), r, false)
	wantProblem(t, err, http.StatusConflict, "/eu-west still runs for ")
	e, err := l.client("eu-west").Explain(t.Context(), "app.example.test", "")
	if err != nil || len(e.Next) == 0 || !strings.Contains(e.Next[0].What, "hold-down of eu-west") || e.Next[0].In < 50*time.Minute {
		t.Errorf("next: %+v, %v", e.Next, err)
	}
}

func TestStatusAtAGlance(t *testing.T) {
	l := twoVoters(t)
	for _, region := range vantageNames[:2] {
		st := l.status(region, func(st api.Status) bool { return len(st.Warnings) == 1 })
		if st.Leader.Name != "eu-west" || st.Leader.Itself != (region == "eu-west") || st.Leader.Term != 1 {
			t.Errorf("%s: leader %+v", region, st.Leader)
		}
		if len(st.Voters) != 3 || !st.Voters[0].Fresh || !st.Voters[1].Fresh || st.Voters[2].Fresh || st.Voters[0].Votes != 3 {
			t.Errorf("%s: vantages %+v", region, st.Voters)
		}
		if len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "ap-south is silent") {
			t.Errorf("%s: warnings %q", region, st.Warnings)
		}
		s := st.Serves[0]
		if s.Name != appName || len(s.Serving) != 1 || s.Serving[0] != "eu-west" || s.TTL == 0 || s.TTL > s.Steady || len(s.Pools) != 3 {
			t.Errorf("%s: service %+v", region, s)
		}
		ep := s.Pools[0].Endpoints[0]
		if ep.Verdict.Health.String() != "up" || len(ep.Votes) != 2 || ep.Votes[0].Age <= 0 || ep.Votes[0].Why == "" {
			t.Errorf("%s: endpoint %+v", region, ep)
		}
	}
}

func TestAPIIsStrict(t *testing.T) {
	l := newLab(t)
	l.start("eu-west")
	socket := filepath.Join(l.dir, "eu-west", api.SocketName)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	for _, c := range []struct {
		method, path, body string
		code               int
		text               string
	}{
		{"GET", "/v1/nothing", "", 404, "not part of the API"},
		{"PUT", "/v1/orders", "{}", 404, "not part of the API"},
		{"GET", "/v1/explain/other.example.test", "", 404, "app.example.test"},
		{"GET", "/v1/explain/app.example.test?at=noon", "", 400, "expected a time"},
		{"GET", "/v1/explain/app.example.test?at=2001-01-01T00:00:00Z", "", 404, "no decision"},
		{"GET", "/v1/journal?limit=0", "", 400, "expected a number"},
		{"GET", "/v1/journal?moved=perhaps", "", 400, "expected true or false"},
		{"GET", "/v1/journal?limit=many", "", 400, "expected a number"},
		{"POST", "/v1/orders", "", 400, "not as expected"},
		{"POST", "/v1/orders", `{"act":"drain","why":"x","target":{"region":"eu-west"},"extra":1}`, 400, "extra"},
		{"POST", "/v1/orders", `{"act":"drain","why":"x","target":{"region":"eu-west"}}{}`, 400, "goes on"},
		{"POST", "/v1/orders", `{"act":"explode","why":"x","target":{"region":"eu-west"}}`, 400, "expected freeze"},
		{"POST", "/v1/orders", `{"act":"drain","why":" ","target":{"region":"eu-west"}}`, 400, "no reason"},
		{"POST", "/v1/orders", `{"act":"drain","why":"x","target":{}}`, 400, "no target"},
		{"POST", "/v1/orders", `{"act":"drain","why":"x","for":-1,"target":{"region":"eu-west"}}`, 400, "expected from 0s"},
		{"POST", "/v1/orders", `{"act":"drain","why":"x","target":{"region":"mars"}}`, 404, "eu-west"},
		{"POST", "/v1/orders", `{"act":"drain","why":"x","target":{"service":"app.example.test","address":"192.0.2.9"}}`, 404, "127.0.0.11"},
		{"POST", "/v1/orders?dry_run=perhaps", `{}`, 400, "expected true or false"},
		{"POST", "/v1/orders", `{"why":"` + strings.Repeat("x", api.MaxRequest) + `"}`, 413, "larger than"},
		{"POST", "/v1/orders", `{"act":"drain","why":"` + strings.Repeat("x", 501) + `","target":{"region":"eu-west"}}`, 400, "expected at most 500"},
	} {
		code, body := raw(t, socket, c.method, c.path, c.body)
		if code != c.code || !strings.Contains(body, c.text) || !strings.Contains(body, `"error":`) {
			t.Errorf("%s %s %.60s: %d %s, want %d and %q", c.method, c.path, c.body, code, body, c.code, c.text)
		}
	}
}

// raw sends one request as it is.
func raw(t *testing.T, socket, method, path, body string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://veer"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestSecondDaemonOnTheFolderIsRefused(t *testing.T) {
	l := newLab(t)
	l.start("eu-west")
	err := daemon.Run(t.Context(), daemon.Options{Config: l.config("eu-west"), Version: "test", Log: zerolog.Nop()})
	if err == nil || !strings.Contains(err.Error(), "another veer runs on this data_dir") {
		t.Errorf("a second daemon: %v", err)
	}
	if got := l.query(); got[0] != "127.0.0.11" {
		t.Errorf("the first daemon answers %v", got)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	l := newLab(t)
	dir := filepath.Join(l.dir, "eu-west")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	stale, err := net.Listen("unix", filepath.Join(dir, api.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	l.start("eu-west")
	if _, err := l.client("eu-west").Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTakenPortIsSaid(t *testing.T) {
	l := newLab(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // the test is over
	l.edit("127.0.0.1:0", taken.Addr().String())
	err = daemon.Run(t.Context(), daemon.Options{Config: l.config("eu-west"), Version: "test", Log: zerolog.Nop()})
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("a taken port: %v", err)
	}
}

// TestWithoutEtcd is static stability: an authority whose etcd is not there
// answers from its snapshot, and says so.
func TestWithoutEtcd(t *testing.T) {
	l := twoVoters(t)
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.halt("us-east")
	l.halt("eu-west")

	c := l.config("eu-west", "unix://"+filepath.Join(l.dir, "nobody.sock"))
	ctx, stop := context.WithCancel(t.Context())
	serving, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- daemon.Run(ctx, daemon.Options{Config: c, Version: "test", Log: zerolog.Nop(), Hooks: daemon.Hooks{
			Serving: func(addresses []string) { serving <- addresses[0] },
		}})
	}()
	select {
	case l.server = <-serving:
	case err := <-done:
		t.Fatalf("the daemon ended: %v", err)
	}
	if got := l.query(); got[0] != "127.0.0.12" {
		t.Errorf("without etcd the answer is %v, want the last good one", got)
	}
	for again := time.Tick(10 * time.Millisecond); ; <-again {
		st, err := l.client("eu-west").Status(t.Context())
		if errors.Is(err, api.ErrNoDaemon) {
			continue // the API starts after the authority
		}
		if err != nil || st.Leader.Name != "" || len(st.Warnings) == 0 || !strings.Contains(strings.Join(st.Warnings, "\n"), "answers stay as they are") {
			t.Errorf("status: %+v, %v", st, err)
		}
		if st.Serves[0].Answer[0].Data[0] != "127.0.0.12" {
			t.Errorf("status says %v", st.Serves[0].Answer)
		}
		break
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
