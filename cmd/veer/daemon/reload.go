package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/steering"
)

// Hangups returns a channel that tells of each SIGHUP until stop is called:
// the one for Options.Reload.
func Hangups() (hangups <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// bySignal is who asks for a reload by SIGHUP.
const bySignal = "SIGHUP"

// settleWithin bounds how long a reload waits until the leader, if that is this
// process, has decided by the new config.
const settleWithin = 3 * time.Second

// fixed is what a reload never changes of a config. All else is read by config,
// each time that it is needed.
type fixed struct {
	Owner   string
	Cluster cluster.Config
	Host    config.Host
}

// configure sets the config that the process begins with.
func (d *daemon) configure(c *config.Config) {
	d.c = fixed{c.Owner, c.Cluster, c.Host}
	d.current.Store(c)
	d.last.taken = d.began
	d.files, _ = readFiles(c.Files()) // what cannot be read is tried again, and told, by a reload
}

// config is the config in force.
func (d *daemon) config() *config.Config { return d.current.Load() }

// reloaded is what became of the reloads.
type reloaded struct {
	mu      sync.Mutex
	taken   time.Time // when the config in force was read
	refused string    // why the last one was not taken over; empty: it was
	at      time.Time // when that was
}

// reloads reloads each time that it is asked to.
func (d *daemon) reloads(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.o.Reload:
			d.reload(ctx, bySignal, false)
		}
	}
}

// handleReload reads a request strictly.
func (d *daemon) handleReload(r *http.Request) (any, *api.Problem) {
	dry, problem := flagOf(r, "dry_run")
	if problem != nil {
		return nil, problem
	}
	var req api.ReloadRequest
	if err := decodeStrict(r.Body, &req); err != nil {
		return nil, badBody(err)
	}
	if req.By = strings.TrimSpace(req.By); req.By == "" {
		req.By = peer(r.Context())
	}
	if len(req.By) > maxBy {
		return nil, bad("by has %d bytes: expected at most %d", len(req.By), maxBy)
	}
	return d.reload(r.Context(), req.By, dry), nil
}

// reload reads the config and all that it names, and takes it over whole or not
// at all. With dry it only says what it would do.
func (d *daemon) reload(ctx context.Context, by string, dry bool) api.Reload {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	began := time.Now()
	was := d.config()
	out := api.Reload{DryRun: dry, File: d.o.ConfigPath, Was: was.Hash(), Config: was.Hash(), Changes: []api.ConfigChange{}}
	n := d.prepare(was, &out)
	switch {
	case dry || n == nil:
	case out.Result == api.ReloadUnchanged:
		d.reopen()
	default:
		n.take(fmt.Sprintf("reloaded in %s by %s", d.c.Host.Region, by))
		d.reopen()
		out.Config = n.c.Hash()
		out.Notes = append(out.Notes, d.settled(ctx, out.Config)...)
	}
	out.Took = time.Since(began)
	if !dry {
		d.noteReload(ctx, by, &out)
	}
	return out
}

// prepare reads and makes all that a reload takes over, and says in out what it
// is. It is nil where there is nothing to take.
func (d *daemon) prepare(was *config.Config, out *api.Reload) *next {
	is, err := was, error(nil)
	if d.o.Load != nil {
		is, err = d.o.Load()
	}
	var errs config.Errors
	switch {
	case errors.As(err, &errs):
		out.Result = api.ReloadInvalid
		for _, e := range errs {
			out.Errors = append(out.Errors, api.ConfigError(e))
		}
		return nil
	case err != nil:
		out.Result, out.Why = api.ReloadRefused, err.Error()
		return nil
	}
	for _, c := range config.Compare(was, is) {
		out.Changes = append(out.Changes, api.ConfigChange(c))
	}
	for _, c := range config.Fixed(was, is) {
		out.Restart = append(out.Restart, api.ConfigChange(c))
	}
	if len(out.Restart) > 0 {
		out.Result, out.Why = api.ReloadRefused, "a part of it cannot change while veer runs"
		return nil
	}
	n, err := d.next(is)
	if err != nil {
		out.Result, out.Why = api.ReloadRefused, err.Error()
		return nil
	}
	out.Changes = append(out.Changes, n.contents(out.Changes)...)
	if out.Result = api.ReloadUnchanged; len(out.Changes) > 0 || was.Hash() != is.Hash() {
		out.Result = api.ReloadChanged
	}
	return n
}

// reopen opens the files anew that are written all the time, as after a
// rotation.
func (d *daemon) reopen() {
	for _, s := range d.servers {
		s.Reopen()
	}
}

// settled waits for the decisions that follow where this process makes them, and
// says what is still to come.
func (d *daemon) settled(ctx context.Context, hash string) []string {
	var notes []string
	if c := d.controller.Load(); c != nil {
		waiting, cancel := context.WithTimeout(ctx, settleWithin)
		defer cancel()
		if err := c.Settle(waiting); err != nil && waiting.Err() != nil {
			notes = append(notes, fmt.Sprintf("this daemon leads, and has not decided by the new config within %s: veer status says why", settleWithin))
		}
	}
	var others []string
	for _, v := range d.picture().voters() {
		if v.Config != "" && v.Config != hash && v.Name != d.c.Host.Region {
			others = append(others, string(v.Name))
		}
	}
	if len(others) > 0 {
		notes = append(notes, fmt.Sprintf("another config runs in %s: the leader decides by its own; give every region the same file and reload it there", strings.Join(others, ", ")))
	}
	return notes
}

// noteReload tells the log, the metrics, the status and the journal of a reload.
func (d *daemon) noteReload(ctx context.Context, by string, out *api.Reload) {
	d.metrics.Reloaded(string(out.Result))
	good := out.Result == api.ReloadChanged || out.Result == api.ReloadUnchanged
	r := &d.last
	r.mu.Lock()
	r.at, r.refused = time.Now(), reloadWhy(out)
	if good {
		r.taken = r.at
	}
	r.mu.Unlock()
	log := d.o.Log.Info()
	if !good {
		log = d.o.Log.Error()
	}
	log = log.Str("by", by).Str("result", string(out.Result)).Str("file", out.File).Str("config", out.Config).Dur("took_ms", out.Took)
	if !good {
		log.Str("why", reloadWhy(out)).Msg("the reload was refused; nothing was changed")
		d.logReload(out)
		return
	}
	log.Int("changes", len(out.Changes)).Msg("the config was reloaded")
	d.logReload(out)
	if out.Result == api.ReloadChanged {
		d.noteHere(ctx, "reloaded the config in "+string(d.c.Host.Region)+": "+out.Was+" -> "+out.Config, nil, api.OrderRequest{By: by})
	}
}

// maxLogged bounds the lines that one reload logs of each kind.
const maxLogged = 50

// logReload logs what changed, or what is wrong, one line each.
func (d *daemon) logReload(out *api.Reload) {
	for i, e := range out.Errors {
		if i < maxLogged {
			d.o.Log.Error().Str("file", e.File).Int("line", e.Line).Int("column", e.Column).Str("key", e.Path).
				Str("expected", e.Expected).Str("hint", e.Hint).Msg(e.Problem)
		}
	}
	changes, msg := out.Changes, "changed in the config"
	if out.Result == api.ReloadRefused || out.Result == api.ReloadInvalid {
		changes, msg = out.Restart, "restart veer to change it"
	}
	for i, c := range changes {
		if i < maxLogged {
			d.o.Log.Info().Str("what", c.What).Str("change", c.Change).Str("key", c.Key).Str("was", c.Was).Str("is", c.Is).Msg(msg)
		}
	}
	if more := max(len(out.Errors), len(changes)) - maxLogged; more > 0 {
		d.o.Log.Info().Int("more", more).Msg("and more; veer reload --dry-run shows all")
	}
	for _, note := range out.Notes {
		d.o.Log.Warn().Msg(note)
	}
}

// reloadWhy says in a line why a reload was refused; empty: it was not.
func reloadWhy(out *api.Reload) string {
	switch {
	case out.Result == api.ReloadInvalid && len(out.Errors) > 0:
		e := out.Errors[0]
		text := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Problem)
		if more := len(out.Errors) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
		return text
	case len(out.Restart) > 0:
		var keys []string
		for _, c := range out.Restart {
			keys = append(keys, strings.TrimSuffix(c.What+" "+c.Key, " "))
		}
		return "restart veer to change " + strings.Join(keys, ", ")
	case out.Result == api.ReloadRefused:
		return out.Why
	}
	return ""
}

// reloadWarning is what status says of a reload that was refused.
func (d *daemon) reloadWarning() []string {
	r := &d.last
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == "" {
		return nil
	}
	return []string{fmt.Sprintf("the last reload, %s ago, was refused and changed nothing: %s; veer reload --dry-run says all of it",
		time.Since(r.at).Round(time.Second), r.refused)}
}

// loaded is when the config in force was read, and whether a reload since was
// refused.
func (d *daemon) loaded() (at time.Time, refused bool) {
	r := &d.last
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken, r.refused != ""
}

// replaceScene has what looks at answers look by another config.
func (d *daemon) replaceScene(c *config.Config, p steering.Policy) {
	d.scene.replace(c, p)
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	d.apart.lonely.after = c.Isolation.After
	if len(d.apart.here()) > 0 || d.apart.seen != nil {
		d.lay()
	}
}
