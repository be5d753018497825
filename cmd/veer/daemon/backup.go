package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
)

// backupTimeout bounds the making of a backup, and a restore with the reading
// of the fences before it.
const backupTimeout = 5 * time.Minute

// ReadBackup reads a backup's file and tells what it has.
func ReadBackup(file []byte) (api.Backup, error) {
	b, err := cluster.ReadBackup(bytes.NewReader(file))
	return told(b), err
}

func told(b cluster.Backup) api.Backup {
	out := api.Backup{Owner: b.Owner, Term: b.Term, Made: b.Made, Version: b.Version, Agreed: b.Agreed, LeftOut: b.LeftOut, Unread: b.Unread}
	if out.Unread == nil {
		out.Unread = []string{}
	}
	out.Shards, out.Orders, out.Decisions, out.Notes = b.Counts()
	return out
}

// routeBackups serves the two requests whose bodies are large and which take
// their time.
func (d *daemon) routeBackups(mux *http.ServeMux) {
	route := func(pattern string, f func(r *http.Request) ([]byte, any, *api.Problem)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			end := time.Now().Add(backupTimeout)
			c := http.NewResponseController(w)
			if err := errors.Join(c.SetReadDeadline(end), c.SetWriteDeadline(end)); err != nil {
				d.o.Log.Debug().Err(err).Msg("an API client has the ordinary time for a backup")
			}
			ctx, cancel := context.WithDeadline(r.Context(), end)
			defer cancel()
			r.Body = http.MaxBytesReader(w, r.Body, api.MaxBackup)
			file, out, problem := f(r.WithContext(ctx))
			switch {
			case problem != nil:
				d.reply(w, problem.Code, problem)
			case file == nil:
				d.reply(w, http.StatusOK, out)
			default:
				if _, err := w.Write(file); err != nil {
					d.o.Log.Debug().Err(err).Msg("an API client left before its reply")
				}
			}
		})
	}
	route("GET /v1/backup", d.handleBackup)
	route("POST /v1/restore", d.handleRestore)
}

func (d *daemon) handleBackup(r *http.Request) ([]byte, any, *api.Problem) {
	cl := d.cluster.Load()
	if cl == nil {
		return nil, nil, &api.Problem{Code: http.StatusServiceUnavailable, What: "the ledger cannot be read: the cluster is not joined",
			Hint: "veer status says why; once the daemon is stopped, veer backup reads the data folder itself"}
	}
	b, err := cl.Backup(r.Context())
	if err != nil {
		return nil, nil, failed(err)
	}
	file, err := d.file(b)
	if err != nil {
		return nil, nil, failed(err)
	}
	return file, nil, nil
}

func (d *daemon) file(b cluster.Backup) ([]byte, error) {
	b.Version = d.o.Version
	var out bytes.Buffer
	err := b.Write(&out)
	return out.Bytes(), err
}

func (d *daemon) handleRestore(r *http.Request) ([]byte, any, *api.Problem) {
	over, problem := flagOf(r, "over")
	if problem != nil {
		return nil, nil, problem
	}
	q := r.URL.Query()
	req := api.RestoreRequest{By: q.Get("by"), Why: q.Get("reason"), Over: over}
	if req.By == "" {
		req.By = peer(r.Context())
	}
	if problem := checkApply(&controller.Request{By: req.By, Why: req.Why}); problem != nil {
		return nil, nil, problem
	}
	b, err := cluster.ReadBackup(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, nil, badBody(err)
	case err != nil:
		return nil, nil, bad("the file: %v", err)
	}
	cl := d.cluster.Load()
	if cl == nil {
		return nil, nil, &api.Problem{Code: http.StatusServiceUnavailable, What: "nothing can be restored: the cluster is not joined", Hint: "veer status says why"}
	}
	out, problem := d.restore(r.Context(), cl, b, req)
	if problem != nil {
		return nil, nil, problem
	}
	return nil, out, nil
}

// restore restores a backup, above every fence and everything that is served.
func (d *daemon) restore(ctx context.Context, cl *cluster.Cluster, b cluster.Backup, req api.RestoreRequest) (api.Restored, *api.Problem) {
	if b.Owner != d.c.Owner {
		return api.Restored{}, refused("", "the backup is of owner %q, and the config's is %q", b.Owner, d.c.Owner)
	}
	_, written, err := d.clients()
	if err != nil {
		return api.Restored{}, failed(fmt.Errorf("the fences cannot be read: %w", err))
	}
	out := api.Restored{Backup: told(b), Unread: d.seeFences(ctx, written)}
	o := cluster.Restoring{By: req.By, Why: req.Why, Over: req.Over, Floor: d.termFloor()}
	for _, w := range written {
		o.Zones = append(o.Zones, controller.ZoneIDOf(w))
	}
	out.Term, err = cl.Restore(ctx, b, o)
	switch {
	case errors.Is(err, cluster.ErrLedgerExists):
		return out, refused("look at veer status; --over replaces it", "%v", err)
	case err != nil:
		return out, failed(err)
	}
	d.o.Log.Warn().Str("by", req.By).Str("why", req.Why).Time("made", b.Made).Uint64("term", uint64(out.Term)).Strs("unread_fences", out.Unread).
		Msg("the ledger was restored from a backup")
	return out, nil
}

// seeFences reads every zone, so that its fence counts for the term, and returns
// those that did not answer in time.
func (d *daemon) seeFences(ctx context.Context, written []controller.Written) []string {
	ctx, cancel := context.WithTimeout(ctx, fenceWait)
	defer cancel()
	unread := []string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, w := range written {
		all.Go(func() {
			if !d.readFence(ctx, w) {
				mu.Lock()
				defer mu.Unlock()
				unread = append(unread, strings.TrimSuffix(w.Zone, ".")+" at "+w.Name)
			}
		})
	}
	all.Wait()
	slices.Sort(unread)
	return unread
}

// Backup makes a backup's file without a daemon: of the ledger at
// cluster.endpoints, or else of the data folder.
func Backup(ctx context.Context, o OnceOptions) (file []byte, err error) {
	d := o.daemon()
	if len(o.Config.Cluster.Endpoints) > 0 {
		cl, err := cluster.Start(ctx, o.Config.Cluster, d.clusterOptions())
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, cl.Close()) }()
		b, err := cl.Backup(ctx)
		if err != nil {
			return nil, err
		}
		return d.file(b)
	}
	if !HasLedger(o.Config) {
		return nil, fmt.Errorf("%w: %s holds none", ErrNoLedger, o.Config.Host.DataDir)
	}
	b, err := cluster.BackupFolder(ctx, o.Config.Cluster, o.Config.Owner, o.Config.Host.DataDir)
	if err != nil {
		return nil, err
	}
	return d.file(b)
}

// Restore restores a backup's file without a daemon on this host: into the data
// folder, or at cluster.endpoints.
func Restore(ctx context.Context, o OnceOptions, file []byte, req api.RestoreRequest) (out api.Restored, err error) {
	b, err := cluster.ReadBackup(bytes.NewReader(file))
	if err != nil {
		return out, err
	}
	if len(o.Config.Cluster.Members) > 1 {
		return out, refused("start the daemons, and restore through one of them", "no daemon runs on %s, and a member of cluster.members cannot reach the others alone", o.Config.Host.DataDir)
	}
	ctx, cancel := context.WithTimeout(ctx, backupTimeout)
	defer cancel()
	d, closing, err := joinOnce(ctx, o)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, closing()) }()
	out, problem := d.restore(ctx, d.joined, b, req)
	if problem != nil {
		return out, problem
	}
	return out, nil
}
