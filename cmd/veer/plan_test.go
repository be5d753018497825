package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers/route53/route53test"
)

var everywhere = []string{"eu-west", "us-east", "ap-south"}

// hand puts a record into the zone, as somebody does at the console.
func (s *scheduled) hand(name, address string) {
	s.t.Helper()
	set := route53test.Set{Name: name, Type: "A", TTL: new(int64(5)), ResourceRecords: route53test.Values(address)}
	if err := s.zone.Put(route53test.ZoneID, set); err != nil {
		s.t.Fatal(err)
	}
}

// expect runs a command as a process of eu-west.
func (s *scheduled) expect(code int, want string, args ...string) string {
	s.t.Helper()
	is, out, errs := s.veer("eu-west", args...)
	if is != code || !strings.Contains(out+errs, want) {
		s.t.Fatalf("veer %s: exit code %d, expected %d; expected %q in:\n%s%s", strings.Join(args, " "), is, code, want, out, errs)
	}
	return out
}

func (s *scheduled) config() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "veer.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// The commands that write, without any daemon.
func TestPlanAndApplyWithoutADaemon(t *testing.T) {
	t.Parallel()
	s := startScheduled(t, time.Second)
	reason := []string{"--yes", "--reason", "test"}
	apply := func(args ...string) []string { return append(append([]string{"apply"}, args...), reason...) }
	file := filepath.Join(s.dir, "plan.json")

	s.expect(exitDegraded, "There is no ledger yet", "plan", "--detailed-exitcode")
	s.expect(exitRefused, "there is no ledger yet", apply()...)
	s.begin()
	s.want("127.0.0.11")
	writes := s.writes()
	s.expect(exitDone, "nothing to write", "plan", "--detailed-exitcode")
	s.expect(exitDone, "Nothing to write.", apply()...)

	// What somebody changed by hand is planned, with its reason, and put back
	// exactly as it was planned.
	s.hand("app.example.test.", "203.0.113.9")
	text := s.expect(exitDegraded, "~ app.example.test A 203.0.113.9, TTL 5 -> 127.0.0.11, TTL 5", "plan", "--detailed-exitcode", "--out", file)
	for _, part := range []string{"1 change in 1 request", "eu-west is up and keeps its traffic", "Worst-case recovery"} {
		if !strings.Contains(text, part) {
			t.Errorf("the plan does not say %q:\n%s", part, text)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the plan's file: %v %v", info, err)
	}
	if n := s.writes(); n != writes {
		t.Errorf("planning made %d writes", n-writes)
	}
	s.expect(exitUsage, "--reason is needed", "apply", file, "--yes")
	s.expect(exitDone, "1 change written", apply(file)...)
	s.want("127.0.0.11")

	// A plan that is carried out already, or whose zone or config moved since,
	// writes nothing.
	writes = s.writes()
	s.expect(exitRefused, "the zone was written since", apply(file)...)
	s.hand("app.example.test.", "203.0.113.9")
	s.expect(exitDone, "app.example.test", "plan", "--out", file)
	s.hand("app.example.test.", "203.0.113.10")
	s.expect(exitRefused, "the zone's records were changed since", apply(file)...)
	s.expect(exitDone, "app.example.test", "plan", "--out", file)
	old := s.config()
	s.write(strings.Replace(old, "ttl: {min: 1s, max: 5s}", "ttl: {min: 1s, max: 6s}", 1))
	s.expect(exitRefused, "the config moved", apply(file)...)
	s.write(old)
	if n := s.writes(); n != writes {
		t.Errorf("stale plans made %d writes", n-writes)
	}
	s.expect(exitDone, "1 change written", apply()...)
	s.want("127.0.0.11")
}

// Names that exist already are refused until they are imported; released, their
// records stay.
func TestImportAndRelease(t *testing.T) {
	t.Parallel()
	s := startScheduled(t, time.Second)
	s.hand("app.example.test.", "203.0.113.9")
	for _, r := range everywhere {
		s.once(r)
	}
	if code, p, _ := s.once("eu-west"); code != exitRefused || !p.Refused() {
		t.Fatalf("exit code %d, %+v", code, p)
	}
	s.want("203.0.113.9")
	s.expect(exitDone, "! app.example.test is left alone", "plan")
	s.expect(exitRefused, "app.example.test is left alone", "apply", "--yes", "--reason", "test")
	s.expect(exitUsage, "is in no zone that is written to", "import", "app.example.com", "--yes", "--reason", "test")
	s.expect(exitRefused, "the config has no service www.example.test", "import", "www.example.test", "--yes", "--reason", "test")
	s.expect(exitDone, "app.example.test", "import", "app.example.test", "--yes", "--reason", "test")
	s.expect(exitDone, "Nothing to write.", "import", "app.example.test", "--yes", "--reason", "test")
	s.want("127.0.0.11")
	s.expect(exitDone, "nothing to write", "plan")

	s.expect(exitRefused, "the config has a service app.example.test", "release", "app.example.test", "--yes", "--reason", "test")
	s.expect(exitDone, "released: app.example.test", "release", "app.example.test", "--force", "--yes", "--reason", "test")
	s.want("127.0.0.11")
	s.expect(exitRefused, "is not owned", "release", "app.example.test", "--yes", "--reason", "test")
	s.expect(exitDone, "taken: app.example.test", "import", "app.example.test", "--yes", "--reason", "test")

	// What no service has any more is held, and deleted when told.
	s.write(strings.Replace(s.config(), "name: app.example.test", "name: www.example.test", 1))
	s.round(everywhere...)
	s.expect(exitDone, "held as they are, since no service has them: app.example.test", "plan")
	if text := s.expect(exitDone, "- app.example.test A 127.0.0.11", "plan", "--prune"); !strings.Contains(text, "no service of the config has it here") {
		t.Errorf("the plan does not say why it prunes:\n%s", text)
	}
	if !strings.Contains(s.answer(), "127.0.0.11 127.0.0.11") {
		t.Fatalf("both names are answered until then: %q", s.answer())
	}
	s.expect(exitDone, "1 change written", "apply", "--prune", "--yes", "--reason", "test")
	s.want("127.0.0.11")
	s.round(everywhere...)
	s.expect(exitDone, "nothing to write", "plan", "--prune")
}

func TestIAMPolicy(t *testing.T) {
	t.Parallel()
	s := startScheduled(t, time.Second)
	policy := s.expect(exitDone, `"app.example.test"`, "iam-policy")
	if !json.Valid([]byte(policy)) || !strings.Contains(policy, "hostedzone/"+route53test.ZoneID) {
		t.Errorf("the policy is %s", policy)
	}
	if read := s.expect(exitDone, "ListResourceRecordSets", "iam-policy", "--read-only"); strings.Contains(read, "ChangeResourceRecordSets") {
		t.Errorf("the policy to read is %s", read)
	}
	s.expect(exitUsage, "no provider of kind route53 is named cf: there is aws", "iam-policy", "--provider", "cf")
	if err := s.zone.SetPolicy([]byte(policy)); err != nil {
		t.Fatal(err)
	}
	s.begin()
	s.want("127.0.0.11")
}

// A plan that somebody wrote is refused with what is wrong.
func TestBadPlanFiles(t *testing.T) {
	good := `{"veer_plan":1,"owner":"o","made":"","region":"eu","prune":false,"term":1,"ledger":[],"plan":{"config":"c","zones":[` +
		`{"provider":"p","zone":"example.test.","fence":{"owner":"o","term":1,"holder":"h","write":2},"records":"d","changes":[` +
		`{"after":{"name":"app.example.test.","type":"A","ttl":5,"data":["192.0.2.1"]}}]}]}}`
	if _, err := parsePlan([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ old, new, want string }{
		"another format":   {`"veer_plan":1`, `"veer_plan":2`, "its format is 2"},
		"an unknown field": {`"made"`, `"mode"`, "unknown field"},
		"more after it":    {`}]}]}}`, `}]}]}} {}`, "invalid"},
		"no owner":         {`"owner":"o","made"`, `"owner":"","made"`, "no owner"},
		"a foreign name":   {`app.example.test.`, `app.example.com.`, "not in the zone"},
		"another type":     {`"type":"A"`, `"type":"MX"`, "does not write"},
		"no data":          {`["192.0.2.1"]`, `[]`, "no data"},
		"no change":        {`{"after"`, `{},{"after"`, "nothing to nothing"},
		"a zone twice": {`"plan":{"config":"c","zones":[`, `"plan":{"config":"c","zones":[{"provider":"p","zone":"EXAMPLE.test","fence":{"owner":"","term":0,"holder":"","write":0},"records":"",` +
			`"changes":[{"after":{"name":"a.example.test.","type":"A","ttl":5,"data":["192.0.2.1"]}}]},`, "once"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: nothing was replaced", what)
		}
		if _, err := parsePlan([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if _, err := openPlan(t.TempDir()); err == nil {
		t.Error("a folder was read as a plan")
	}
}

func FuzzPlanFile(f *testing.F) {
	text, err := json.Marshal(planFileOf(api.Plan{Owner: "o", Config: "c"}, noon()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, bad := range []string{"", "{", "[]", `{"veer_plan":1}`, `{"veer_plan":1,"plan":{"zones":[{}]}}`, `{"veer_plan":"1"}`} {
		f.Add([]byte(bad))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePlan(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsePlan(again); err != nil {
			t.Fatalf("%s was read, and is refused once written: %v", text, err)
		}
	})
}

// daemons runs a daemon a region in this process, until the test ends.
func (s *scheduled) daemons(regions ...string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, r := range regions {
		env := map[string]string{config.EnvRegion: r, config.EnvDataDir: filepath.Join(s.dir, r)}
		c, err := config.Load(filepath.Join(s.dir, "veer.yaml"), func(key string) (string, bool) { v, ok := env[key]; return v, ok })
		if err != nil {
			s.t.Fatal(err)
		}
		all.Go(func() {
			if err := daemon.Run(ctx, daemon.Options{Config: c, ConfigPath: "veer.yaml", Version: version, Log: zerolog.Nop()}); err != nil {
				s.t.Error(err)
			}
		})
	}
	s.t.Cleanup(func() { cancel(); all.Wait() })
}

// until asks again and again.
func (s *scheduled) until(what string, ok func() bool) {
	s.t.Helper()
	tick, late := time.NewTicker(20*time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer late.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			s.t.Fatalf("it did not come to be: %s", what)
		}
	}
}

// Through daemons, the command works from any region: another one carries it to
// the leader.
func TestPlanAndApplyThroughDaemons(t *testing.T) {
	t.Parallel()
	s := startScheduled(t, time.Second)
	s.write(strings.Replace(s.config(), "interval: 5s", "interval: 1s, timeout: 900ms", 1))
	s.write(strings.Replace(s.config(), ", timeout: 2s", "", 1))
	s.daemons("eu-west", "us-east")
	s.until("the daemons lead and write", func() bool { return s.answer() == "127.0.0.11" })
	s.until("an answer rests on a verdict", func() bool { // before, a leader replaces nothing
		_, out, _ := s.veer("eu-west", "explain", "app.example.test")
		return strings.Contains(out, "eu-west is up")
	})
	for _, region := range []string{"eu-west", "us-east"} {
		s.hand("app.example.test.", "203.0.113.9")
		code, out, errs := s.veer(region, "plan", "--detailed-exitcode")
		if code != exitDegraded || !strings.Contains(out, "~ app.example.test A 203.0.113.9") {
			t.Errorf("%s plans %d %s%s", region, code, out, errs)
		}
		code, out, errs = s.veer(region, "apply", "--yes", "--reason", "in "+region)
		if code != exitDone || !strings.Contains(out, "1 change written") {
			t.Errorf("%s applies %d %s%s", region, code, out, errs)
		}
		s.want("127.0.0.11")
	}
	// A file that the daemon does not run is not what is planned.
	old := s.config()
	if _, out, _ := s.veer("eu-west", "plan"); strings.Contains(out, "is another one") {
		t.Errorf("the plan warns of its own config:\n%s", out)
	}
	for text, want := range map[string]string{
		strings.Replace(old, "max: 5s", "max: 6s", 1): "veer.yaml is another one",
		"owner: ?": "the file here is invalid",
	} {
		s.write(text)
		_, out, errs := s.veer("eu-west", "plan")
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("the plan does not say %q:\n%s%s", want, out, errs)
		}
	}
	s.write(old)
	_, out, _ := s.veer("us-east", "journal", "--orders")
	if !strings.Contains(out, "applied\n") || !strings.Contains(out, ": in eu-west") || !strings.Contains(out, ": in us-east") {
		t.Errorf("the journal says\n%s", out)
	}
	code, out, errs := s.veer("ap-south", "apply", "--yes", "--reason", "no daemon there")
	if code != exitDone || !strings.Contains(out, "Nothing to write.") {
		t.Errorf("without a daemon beside it: %d %s%s", code, out, errs)
	}
	s.hand("app.example.test.", "203.0.113.9")
	if code, out, errs = s.veer("ap-south", "apply", "--yes", "--reason", "no daemon there"); code != exitDone || !strings.Contains(out, "1 change written") {
		t.Errorf("without a daemon beside it: %d %s%s", code, out, errs)
	}
}
