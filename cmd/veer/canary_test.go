package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/internal/canary"
)

// canaryPatience bounds every wait for an event.
const canaryPatience = 60 * time.Second

// sinks are the places that are searched, by what they are.
type sinks map[string][]byte

func (s sinks) add(name, text string) { s[name] = append(append(s[name], text...), '\n') }

// TestNoSecretComesOut: a daemon with every kind of secret, whose servers repeat
// in their errors what they are sent, tells none of them anywhere: see sinks.
// Beside each secret is a word that is none and goes the same way: it is found
// in every sink, so that a secret would be.
func TestNoSecretComesOut(t *testing.T) {
	a := newAviary(t)
	t.Chdir(a.dir)
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("GODEBUG", "tracebacklabels=1")
	all := sinks{}
	d := a.start("veer.yaml", "json", all)
	d.until("it leads and serves", func(said string) bool { return strings.Contains(said, `"message":"veer runs"`) })
	a.leads(d)
	a.veer(all, "backup", "early")
	a.veer(all, "restore", "early", "--yes", "--reason", a.word("order")) // later it would wait for the providers
	write(t, "veer.yaml", readable(t, "whole.yaml"))
	a.veer(all, "reload")
	d.until("the daemon says what its servers said", func(said string) bool {
		return len(a.unsaid(said, "etcd-", "sql-", "prom-", "webhook", "slack", "pagerduty", "email", "label", "order", "line", "goroutine")) == 0
	})
	a.commands(all)
	d.surfaces(a, all)
	a.notifications(d, all)
	d.stop()
	a.files(all)
	for _, form := range forms {
		e := a.start("etcd-"+form+".yaml", "console", all)
		e.until("etcd refuses the password", func(said string) bool { return strings.Contains(said, a.words["etcd-"+form]) })
		e.stop()
		a.veer(all, "plan", "-c", "etcd-"+form+".yaml")
	}
	a.badFiles(all)
	a.search(all)
}

// search looks for secrets, and for a word in each sink.
func (a *aviary) search(all sinks) {
	secrets, words := canary.NewSearch(a.secrets), canary.NewSearch(a.words)
	heard := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, f := range secrets.In(all[name]) {
			a.t.Errorf("%s tells %s", name, f)
		}
		found := words.In(all[name])
		for _, f := range found {
			heard[f.Kind] = true
		}
		if len(found) == 0 && name != listener {
			a.t.Errorf("%s proves nothing: what was planted is not found in its %d bytes: %.2000s", name, len(all[name]), all[name])
		}
	}
	for _, word := range slices.Sorted(maps.Keys(a.words)) {
		// A receiver's answer, and what is beside TSIG's refusal, are told nowhere.
		receiver := slices.ContainsFunc([]string{"webhook", "slack", "pagerduty", "email"}, func(k string) bool { return strings.HasPrefix(word, k) })
		if heard[word] == receiver {
			a.t.Errorf("what %s says is told: %v", word, heard[word])
		}
	}
}

// unsaid are the words that a text does not have, but for those of the others.
func (a *aviary) unsaid(text string, others ...string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for name, word := range a.words {
		if !strings.Contains(text, word) && !slices.ContainsFunc(others, func(o string) bool { return strings.HasPrefix(name, o) }) {
			out = append(out, name)
		}
	}
	return out
}

// running is a daemon in this process.
type running struct {
	t    *testing.T
	a    *aviary
	log  *noisy
	end  context.CancelFunc
	code chan int
	name string
	all  sinks
}

// leads waits until the ledger has a decision.
func (a *aviary) leads(d *running) {
	d.until("there is an answer", func(string) bool {
		var out bytes.Buffer
		a.app(&out, io.Discard).run(a.t.Context(), []string{"journal", "--all", "-o", "json"})
		return strings.Contains(out.String(), "127.0.0.21")
	})
}

// app is the command in the world, with what it prints.
func (a *aviary) app(out, errs io.Writer) *app {
	return &app{in: strings.NewReader(""), out: out, err: errs, plain: true, env: os.LookupEnv, now: time.Now, user: "lea", dial: dialDaemon}
}

// start starts a daemon, all of whose goroutines have a word for a label.
func (a *aviary) start(config, format string, all sinks) *running {
	ctx, end := context.WithCancel(a.t.Context())
	r := &running{t: a.t, a: a, log: newNoisy(), end: end, code: make(chan int, 1), name: "log, " + format, all: all}
	pprof.Do(ctx, pprof.Labels("planted", a.word("goroutine")), func(ctx context.Context) {
		go func() {
			r.code <- a.app(r.log, r.log).run(ctx, []string{"run", "-c", config, "--log-format", format, "--log-level", "debug"})
		}()
	})
	a.t.Cleanup(r.stop)
	return r
}

// until waits for what the log says.
func (r *running) until(what string, ok func(said string) bool) {
	r.t.Helper()
	late := time.After(canaryPatience)
	for !ok(r.log.String()) {
		select {
		case <-r.log.news:
		case code := <-r.code:
			r.code <- code
			r.t.Fatalf("%s: the daemon ended with %d:\n%s", what, code, r.log)
		case <-late:
			r.t.Fatalf("%s: it did not come to be; words not said: %v\n%s", what, r.a.unsaid(r.log.String()), r.log)
		}
	}
}

func (r *running) stop() {
	if r.end == nil {
		return
	}
	r.end()
	r.end = nil
	<-r.code
	r.all.add(r.name, r.log.String())
}

// veer runs a command as it is and with -o json.
func (a *aviary) veer(all sinks, args ...string) {
	for _, form := range [][]string{nil, {"-o", "json"}} {
		var out, errs bytes.Buffer
		code := a.app(&out, &errs).run(a.t.Context(), append(slices.Clone(args), form...))
		name := "commands"
		if form != nil {
			name = "-o json"
		}
		all.add(name, fmt.Sprintf("$ veer %s: %d\n%s", strings.Join(args, " "), code, out.String()))
		all.add(name+", errors", errs.String())
	}
}

// commands runs every command that there is.
func (a *aviary) commands(all sinks) {
	const app = "app.example.test"
	why := []string{"--yes", "--reason", a.word("order")}
	with := func(more []string, args ...string) []string { return append(args, more...) }
	hour := with(why, app, "--for", "1h")
	var checked [][]string
	for _, name := range a.services {
		checked = append(checked, []string{name})
	}
	table := map[string][][]string{
		"veer run": nil, "veer tutorial": nil, // the one runs, the other has a world of its own
		"veer check": checked, "veer explain": {{app}, {a.services[0]}}, "veer query": {{app}}, "veer status": {{}}, "veer once": {{}},
		"veer freeze": {hour}, "veer unfreeze": {with(why, app)}, "veer force": {with(why, app+"/us-east", "--for", "1h")}, "veer failback": {with(why, app)},
		"veer drain": {with(why, "eu-west", "--for", "1h")}, "veer undrain": {with(why, "eu-west")}, "veer takeover": {why},
		"veer validate": {{}, {"--live"}}, "veer reload": {{"--dry-run"}, {}}, "veer init": {{}}, "veer config show": {{}, {"--defaults"}}, "veer config schema": {{}},
		"veer plan": {{}, {"--prune"}}, "veer apply": {why, with(why, "veer.yaml")}, "veer import": {with(why, app)}, "veer release": {with(why, app)},
		"veer journal": {{"--all"}, {"--orders"}}, "veer journal heads": {{}}, "veer journal verify": {{"journal.jsonl"}}, "veer backup": {{"saved"}}, "veer restore": {with(why, "veer.yaml")},
		"veer member list": {{}}, "veer member add": {{"us-east"}}, "veer member remove": {{"us-east", "--yes"}}, "veer notify test": {{}}, "veer iam-policy": {{}, {"aws-file"}},
		"veer certs init": {{"--dir", "."}}, "veer certs issue": {{"us-east", "--dir", "."}}, "veer certs show": {{}}, "veer version": {{}}, "veer zone check": {{"example.test.zone"}},
	}
	var leaves []*cobra.Command
	for _, c := range tree(a.app(io.Discard, io.Discard).root()) {
		if !c.HasSubCommands() || c.CommandPath() == "veer journal" {
			leaves = append(leaves, c)
		}
	}
	for _, c := range leaves {
		runs, known := table[c.CommandPath()]
		if !known {
			a.t.Errorf("%s is not run: say how in the table", c.CommandPath())
		}
		for _, args := range runs {
			a.veer(all, append(strings.Fields(c.CommandPath())[1:], args...)...)
		}
	}
}

// surfaces are what the listener serves, and the stacks of all goroutines, as
// SIGQUIT prints them.
func (r *running) surfaces(a *aviary, all sinks) {
	base := "https://" + r.listens()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 30 * time.Second} // #nosec G402 -- it is this process
	ask := func(method, path, token, body string) string {
		req, err := http.NewRequestWithContext(r.t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			r.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("webhook-id", a.secrets["signed-file"])
		req.Header.Set("webhook-timestamp", fmt.Sprint(time.Now().Unix()))
		req.Header.Set("webhook-signature", "v1,"+a.secrets["signed-file"])
		resp, err := client.Do(req)
		if err != nil {
			r.t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		return fmt.Sprintf("%s %s: %d\n%s\n", method, path, resp.StatusCode, text)
	}
	token := a.secrets["metrics-file"]
	all.add("metrics", ask(http.MethodGet, "/metrics", token, ""))
	all.add("goroutines, counted", ask(http.MethodGet, "/debug/pprof/goroutine?debug=1", token, ""))
	all.add("goroutines", ask(http.MethodGet, "/debug/pprof/goroutine?debug=2", token, ""))
	stacks := make([]byte, 64<<20)
	all.add("goroutines, as SIGQUIT prints them", string(stacks[:runtime.Stack(stacks, true)]))
	for _, path := range []string{"/healthz", "/readyz", "/debug/pprof/cmdline", "/debug/pprof/heap?debug=1", "/nothing"} {
		all.add(listener, ask(http.MethodGet, path, token, ""))
		all.add(listener, ask(http.MethodGet, path, token+"x", ""))
	}
	for _, form := range forms {
		for _, name := range []string{"heartbeat", "alerts", "signed"} {
			secret, path := a.secrets[name+"-"+form], "/v1/hooks/"+name+"-"+form
			if name == "heartbeat" {
				path = "/v1/heartbeat/heartbeat-" + form + "/127.0.0.21"
			}
			for _, token := range []string{secret, secret + "x", ""} {
				for _, body := range []string{secret, `{"` + form + `": "` + secret, `{"health": "up", "why": "` + secret + `"}`} {
					all.add(listener, ask(http.MethodPost, path, token, body))
				}
			}
		}
	}
}

// listener is the sink of what the listener replies, which repeats nothing of a
// request.
const listener = "replies of the listener"

// listens is where the daemon's listener is, as its log says.
func (r *running) listens() (address string) {
	r.until("it listens", func(said string) bool {
		for line := range strings.Lines(said) {
			var l struct{ Message, Address string }
			if json.Unmarshal([]byte(line), &l) == nil && l.Message == "serving metrics and health" {
				address = l.Address
			}
		}
		return address != ""
	})
	return address
}

// notifications are what the receivers were told of the orders; and then they
// refuse, and repeat what they were sent.
func (a *aviary) notifications(d *running, all sinks) {
	told := map[string]string{}
	d.until("all receivers were told", func(string) bool {
		told = a.told()
		n := 0
		for _, text := range told {
			if strings.Contains(text, a.words["order"]) {
				n++
			}
		}
		return n == 9 // four kinds, twice, and syslog
	})
	a.refuses.Store(true)
	a.veer(all, "notify", "test")
	a.veer(all, "freeze", "app.example.test", "--for", "2h", "--yes", "--reason", a.words["order"])
	d.until("all receivers refused", func(said string) bool {
		refused := map[string]bool{}
		for line := range strings.Lines(said) {
			var l struct{ Message, Receiver string }
			if json.Unmarshal([]byte(line), &l) == nil && strings.HasPrefix(l.Message, "a notification was ") {
				refused[l.Receiver] = true
			}
		}
		return len(refused) == 8
	})
	for by, text := range told {
		all.add("told to "+by, text)
	}
}

// files are those that Veer wrote: the journal, the data folder, and what the
// commands did.
func (a *aviary) files(all sinks) {
	kinds := map[string]string{"journal.jsonl": "journal in a file", "saved": "backup", "data": "data folder"}
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		top, _, _ := strings.Cut(path, string(filepath.Separator))
		if kind := kinds[top]; kind != "" {
			all.add(kind, path+"\n"+readable(a.t, path))
		}
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, kind := range kinds {
		if all[kind] == nil {
			a.t.Errorf("there is no %s", kind)
		}
	}
}

// badFiles are secrets that cannot be used, and secrets that stand in the config
// itself: the errors tell them of neither.
func (a *aviary) badFiles(all sinks) {
	text := readable(a.t, "veer.yaml") + a.word("line") + ": 1\n" // a key that there is not
	inline, n := a.inline(text)
	if n < 35 {
		a.t.Errorf("%d secrets stand in the config itself", n)
	}
	write(a.t, "inline.yaml", inline)
	a.veer(all, "validate", "-c", "inline.yaml")
	for name, secret := range a.secrets {
		if path := filepath.Join("secrets", name); a.places[name] == filepath.Join(a.dir, path) {
			write(a.t, path, secret+"\n\x01"+secret+"\n")
		}
	}
	for _, name := range []string{"dot", "check", "syslog", "cluster", "http"} {
		write(a.t, filepath.Join("secrets", "key-"+name), "-----BEGIN PRIVATE KEY-----\n"+a.secrets["tsig-file"]+"\n")
	}
	a.veer(all, "validate")
	a.veer(all, "validate", "--live")
	a.veer(all, "notify", "test")
	for _, name := range a.services {
		a.veer(all, "check", name)
	}
	var log bytes.Buffer
	code := a.app(&log, &log).run(a.t.Context(), []string{"run"})
	all.add("log, json", log.String())
	if code == exitDone {
		a.t.Error("a daemon ran with secrets that cannot be used")
	}
}
