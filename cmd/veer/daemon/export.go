package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/journalout"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
)

// Times of an output of the journal.
const (
	exportRetry = time.Second // first pause after a failure
	exportMost  = time.Minute
	settleEvery = time.Second
	// headEvery is how often the ledger is told the head of a chain: an end that
	// is cut off within that time is not noticed.
	headEvery = 5 * time.Second
	headFinal = 2 * time.Second // bounds the last word
)

// exportSlips begin the names of the heads in the ledger.
const exportSlips = "export/"

// syslogName is the file with how far syslog is.
const syslogName = "journal-syslog.json"

// exports knows since when an output fails.
type exports struct {
	mu    sync.Mutex
	since map[string]time.Time // zero: it works
}

func (e *exports) set(output string, works bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.since == nil {
		e.since = map[string]time.Time{}
	}
	switch {
	case works:
		e.since[output] = time.Time{}
	case e.since[output].IsZero():
		e.since[output] = time.Now()
	}
}

func (e *exports) failing(now time.Time) map[string]time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make(map[string]time.Duration, len(e.since))
	for output, since := range e.since {
		if out[output] = 0; !since.IsZero() {
			out[output] = now.Sub(since)
		}
	}
	return out
}

// startExports writes the journal out, where the config says so.
func (d *daemon) startExports() {
	if c := d.config().Journal.File; c != nil {
		d.parts.start("journal file", func(ctx context.Context) error {
			return d.export(ctx, journalout.OutputFile, func(_ context.Context, o journalout.Origin) (journalout.Output, error) {
				return journalout.OpenFile(*c, o)
			})
		})
	}
	if c := d.config().Journal.Syslog; c != nil {
		d.parts.start("journal syslog", func(ctx context.Context) error {
			return d.export(ctx, journalout.OutputSyslog, func(ctx context.Context, o journalout.Origin) (journalout.Output, error) {
				return d.openSyslog(ctx, *c, o)
			})
		})
	}
}

type opener func(ctx context.Context, o journalout.Origin) (journalout.Output, error)

// export writes to an output until ctx ends. What fails is tried again: the
// ledger keeps what is not written.
func (d *daemon) export(ctx context.Context, output string, open opener) error {
	log := d.o.Log.With().Str("part", "journal").Str("output", output).Logger()
	for pause := exportRetry; ; pause = min(2*pause, exportMost) {
		err := d.exportOnce(ctx, output, open, func() { pause = exportRetry })
		if ctx.Err() != nil {
			return nil
		}
		d.exports.set(output, false)
		log.Error().Err(err).Dur("again_ms", pause).Msg("the journal is not written out; the ledger keeps it meanwhile")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// exportOnce opens the output and writes until something fails.
func (d *daemon) exportOnce(ctx context.Context, output string, open opener, works func()) (err error) {
	cl := d.joined
	head := headKeeper{cl: cl, name: exportSlips + string(d.c.Host.Region) + "/" + output}
	if err := head.load(ctx); err != nil {
		return err
	}
	out, err := open(ctx, journalout.Origin{Owner: d.c.Owner, Region: string(d.c.Host.Region), Kept: head.kept})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	var from cluster.Place
	if p := out.Place(); p != nil {
		if err := json.Unmarshal(p, &from); err != nil {
			return fmt.Errorf("the last line of the journal says where to go on in an unknown way: %w", err)
		}
	}
	d.exports.set(output, true)
	works()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return cl.Tail(gctx, from, func(r cluster.Record) error {
			if err := d.exportRecord(gctx, output, out, r); err != nil {
				return err
			}
			d.metrics.Exported(output)
			return nil
		})
	})
	g.Go(func() error { return d.settleExport(gctx, output, out, &head) })
	err = g.Wait()
	if ctx.Err() == nil {
		return err
	}
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), headFinal)
	defer cancel()
	if st, err := out.Settle(); err == nil {
		d.keepExport(final, output, st, &head, true)
	}
	return nil
}

func (d *daemon) exportRecord(ctx context.Context, output string, out journalout.Output, r cluster.Record) error {
	switch {
	case r.Entry != nil:
		return out.Append(ctx, journalout.KindDecision, r.Place, *r.Entry)
	case r.Note != nil:
		return out.Append(ctx, journalout.KindNote, r.Place, *r.Note)
	}
	d.metrics.Gap(output)
	d.o.Log.Error().Str("part", "journal").Str("output", output).Str("why", r.Gap).Msg("records of the journal may be missing in what is written out")
	return out.Append(ctx, journalout.KindGap, r.Place, map[string]string{"why": r.Gap})
}

// settleExport makes durable what was written, and tells the ledger.
func (d *daemon) settleExport(ctx context.Context, output string, out journalout.Output, head *headKeeper) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		st, err := out.Settle()
		if err != nil {
			return err
		}
		d.keepExport(ctx, output, st, head, false)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// keepExport notes how far an output is. A failure is tried again with the next
// settling.
func (d *daemon) keepExport(ctx context.Context, output string, st journalout.State, head *headKeeper, last bool) {
	if st.Head.Chain == "" || st.Head == head.told {
		return
	}
	if output == journalout.OutputSyslog && st.Head != head.filed {
		if err := keepFile(filepath.Join(d.c.Host.DataDir, syslogName), syslogState{st}); err != nil {
			d.o.Log.Warn().Err(err).Msg("cannot keep how far syslog is; a restart may send lines again")
		} else {
			head.filed = st.Head
		}
	}
	if !last && time.Since(head.at) < headEvery {
		return
	}
	if err := head.put(ctx, st.Head); err != nil {
		d.o.Log.Debug().Err(err).Str("output", output).Msg("the ledger has not got the head of the journal's chain, trying again")
	}
}

// syslogState is how far syslog is, in a file.
type syslogState struct{ journalout.State }

func (s syslogState) check() error {
	if s.Head.Chain == "" || len(s.Head.Hash) != 64 {
		return errors.New("expected a chain and a hash")
	}
	return nil
}

func (d *daemon) openSyslog(ctx context.Context, c journalout.SyslogConfig, o journalout.Origin) (journalout.Output, error) {
	was, _, err := readKept[syslogState](filepath.Join(d.c.Host.DataDir, syslogName))
	if err != nil {
		d.o.Log.Error().Err(err).Msg("how far syslog was is not known; a chain begins, and what the ledger has is sent")
		was = syslogState{}
	}
	return journalout.OpenSyslog(ctx, c, o, was.State)
}

// headKeeper keeps the head of a chain in the ledger.
type headKeeper struct {
	cl    *cluster.Cluster
	name  string
	kept  *journalout.Head // as it was found
	rev   controller.Revision
	told  journalout.Head
	filed journalout.Head
	at    time.Time
}

// keptHead is its value.
type keptHead struct {
	journalout.Head
	Time time.Time `json:"time"`
}

func (h *headKeeper) load(ctx context.Context) error {
	raw, rev, err := h.cl.Slip(ctx, h.name)
	var bad *cluster.ValueError
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	h.rev, h.kept = rev, nil
	var k keptHead
	if raw != nil && json.Unmarshal(raw, &k) == nil && k.Chain != "" {
		h.kept, h.told = &k.Head, k.Head
	}
	return nil
}

func (h *headKeeper) put(ctx context.Context, head journalout.Head) error {
	raw, err := json.Marshal(keptHead{head, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	rev, err := h.cl.PutSlip(ctx, h.name, raw, h.rev)
	if errors.Is(err, controller.ErrMoved) { // by a write of this host whose reply was lost
		if _, h.rev, err = h.cl.Slip(ctx, h.name); err == nil {
			rev, err = h.cl.PutSlip(ctx, h.name, raw, h.rev)
		}
	}
	if err != nil {
		return err
	}
	h.rev, h.told, h.at = rev, head, time.Now()
	return nil
}

// handleExports lists the heads that the ledger has.
func (d *daemon) handleExports(r *http.Request) (any, *api.Problem) {
	cl, problem := d.keeper()
	if problem != nil {
		return nil, problem
	}
	slips, err := cl.Slips(r.Context(), exportSlips)
	if err != nil {
		return nil, failed(err)
	}
	out := []api.Export{}
	for _, name := range slices.Sorted(maps.Keys(slips)) {
		var k keptHead
		region, output, ok := strings.Cut(strings.TrimPrefix(name, exportSlips), "/")
		if !ok || json.Unmarshal(slips[name], &k) != nil {
			continue
		}
		out = append(out, api.Export{Region: regions.Name(region), Output: output, Chain: k.Chain, N: k.N, Hash: k.Hash, Time: k.Time})
	}
	return out, nil
}

// VerifiedJournal is what VerifyJournal found, and JournalFinding the first thing
// that is wrong.
type (
	VerifiedJournal = journalout.Verified
	JournalFinding  = journalout.Finding
)

// VerifyJournal checks files that the journal was written to, against heads that
// are kept elsewhere; with repeats a line may come again, as syslog has it.
func VerifyJournal(files []string, kept []api.Export, repeats bool) (VerifiedJournal, error) {
	heads := make(map[string]journalout.Head, len(kept))
	for _, e := range kept {
		heads[e.Chain] = journalout.Head{Chain: e.Chain, N: e.N, Hash: e.Hash}
	}
	return journalout.Verify(files, heads, repeats)
}

// maxHeads bounds a file of heads.
const maxHeads = 1 << 20

// ReadHeads reads what `veer journal heads -o json` printed.
func ReadHeads(path string) ([]api.Export, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the heads: %w", err)
	}
	if info.Size() > maxHeads {
		return nil, fmt.Errorf("read the heads: %s has more than %d bytes", path, maxHeads)
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the caller names it
	if err != nil {
		return nil, fmt.Errorf("read the heads: %w", err)
	}
	var out []api.Export
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("%s: %w; expected what veer journal heads -o json prints", path, err)
	}
	return out, nil
}
