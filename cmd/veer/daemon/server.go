package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/user"
	"strconv"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// Bounds of the API.
const (
	apiTimeout     = 30 * time.Second
	journalDefault = 100
	journalMost    = 10_000
)

// startAPI serves the API on the unix socket.
func (d *daemon) startAPI(context.Context) error {
	l, err := d.listen()
	if err != nil {
		return err
	}
	if l != nil {
		d.parts.start("api", func(ctx context.Context) error { return serveUntil(ctx, d.apiServer(), l) })
	}
	d.parts.start("answers of its own", d.keepApart)
	d.parts.start("notices of its own", d.notifiesApart)
	d.parts.start("reloads", d.reloads)
	if len(d.servers) > 0 {
		d.parts.start("traffic", d.measure)
	}
	return nil
}

func (d *daemon) apiServer() *http.Server {
	return &http.Server{
		Handler: d.handler(), ConnContext: withPeer,
		ReadTimeout: apiTimeout, WriteTimeout: 2 * apiTimeout, IdleTimeout: apiTimeout, MaxHeaderBytes: 16 << 10,
	}
}

// handler routes the requests of package api.
func (d *daemon) handler() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, f func(r *http.Request) (any, *api.Problem)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), apiTimeout)
			defer cancel()
			most := int64(api.MaxRequest)
			if r.URL.Path == "/v1/apply" { // it may carry a plan
				most = api.MaxPlan
			}
			r.Body = http.MaxBytesReader(w, r.Body, most)
			out, problem := f(r.WithContext(ctx))
			if problem != nil {
				d.reply(w, problem.Code, problem)
				return
			}
			d.reply(w, http.StatusOK, out)
		})
	}
	route("GET /v1/status", func(r *http.Request) (any, *api.Problem) { return d.status(r.Context()), nil })
	route("GET /v1/explain/{name}", d.handleExplain)
	route("GET /v1/journal", d.handleJournal)
	route("GET /v1/notes", d.handleNotes)
	route("GET /v1/exports", d.handleExports)
	route("GET /v1/orders", d.handleOrders)
	route("POST /v1/orders", func(r *http.Request) (any, *api.Problem) { return d.handleOrder(r, d.give) })
	route("DELETE /v1/orders", func(r *http.Request) (any, *api.Problem) { return d.handleOrder(r, d.end) })
	route("GET /v1/plan", d.handlePlan)
	route("GET /v1/standing", d.handleStanding)
	route("POST /v1/apply", d.handleApply)
	route("POST /v1/reload", d.handleReload)
	route("GET /v1/members", d.handleMembers)
	route("POST /v1/members", d.handleChangeMember)
	route("POST /v1/once", func(r *http.Request) (any, *api.Problem) { return d.handleOnce(r.Context()) })
	route("POST /v1/takeover", func(r *http.Request) (any, *api.Problem) { return d.handleTakeover(r, d.takeOver) })
	route("DELETE /v1/takeover", func(r *http.Request) (any, *api.Problem) { return d.handleTakeover(r, d.endTakeover) })
	d.routeBackups(mux)
	route("/", func(r *http.Request) (any, *api.Problem) {
		return nil, &api.Problem{Code: http.StatusNotFound, What: fmt.Sprintf("%s %s is not part of the API", r.Method, r.URL.Path),
			Hint: "are the command and the daemon the same version?"}
	})
	return mux
}

// reply writes JSON. That the other side is gone is no error of the daemon.
func (d *daemon) reply(w http.ResponseWriter, code int, out any) {
	b, err := json.Marshal(out)
	if err != nil {
		d.o.Log.Error().Err(err).Msg("cannot write an API reply")
		code, b = http.StatusInternalServerError, []byte(`{"error":"the daemon cannot write its reply; its log says why"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if _, err := w.Write(append(b, '\n')); err != nil {
		d.o.Log.Debug().Err(err).Msg("an API client left before its reply")
	}
}

func (d *daemon) handleExplain(r *http.Request) (any, *api.Problem) {
	var at time.Time
	if text := r.URL.Query().Get("at"); text != "" {
		var err error
		if at, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return nil, bad("at=%q: expected a time like 2026-01-31T03:00:00Z", text)
		}
	}
	client, err := netip.ParseAddr(r.URL.Query().Get("client"))
	if err != nil && r.URL.Query().Has("client") {
		return nil, bad("client=%q: expected an IP address like 203.0.113.7", r.URL.Query().Get("client"))
	}
	e, problem := d.explain(r.Context(), r.PathValue("name"), at)
	if problem == nil && client.IsValid() {
		problem = d.explainTo(&e, client)
	}
	return e, problem
}

func (d *daemon) handleJournal(r *http.Request) (any, *api.Problem) {
	var q cluster.JournalQuery
	var problem *api.Problem
	if q.Moved, problem = flagOf(r, "moved"); problem != nil {
		return nil, problem
	}
	if q.Limit, problem = limitOf(r); problem != nil {
		return nil, problem
	}
	if name := r.URL.Query().Get("name"); name != "" {
		q.Service = providers.CanonicalName(name)
	}
	cl, problem := d.keeper()
	if problem != nil {
		return nil, problem
	}
	entries, err := cl.Journal(r.Context(), q)
	if err != nil && len(entries) == 0 {
		return nil, failed(err)
	}
	if err != nil {
		d.o.Log.Warn().Err(err).Msg("cannot read all of the journal")
	}
	if entries == nil {
		entries = []steering.Entry{}
	}
	return entries, nil
}

// limitOf reads the bound on what is listed.
func limitOf(r *http.Request) (int, *api.Problem) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return journalDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > journalMost {
		return 0, bad("limit=%q: expected a number from 1 to %d", text, journalMost)
	}
	return n, nil
}

// keeper returns the cluster, which keeps the journal.
func (d *daemon) keeper() (*cluster.Cluster, *api.Problem) {
	if cl := d.cluster.Load(); cl != nil {
		return cl, nil
	}
	return nil, &api.Problem{Code: http.StatusServiceUnavailable, What: "the journal cannot be read: the cluster is not joined", Hint: "veer status says why"}
}

func (d *daemon) handleNotes(r *http.Request) (any, *api.Problem) {
	limit, problem := limitOf(r)
	if problem != nil {
		return nil, problem
	}
	cl, problem := d.keeper()
	if problem != nil {
		return nil, problem
	}
	notes, err := cl.Notes(r.Context(), limit)
	if err != nil {
		return nil, failed(err)
	}
	out := make([]api.Note, 0, len(notes))
	for _, n := range notes {
		out = append(out, api.Note(n))
	}
	return out, nil
}

func (d *daemon) handleOrders(*http.Request) (any, *api.Problem) {
	orders := d.picture().view.Overrides
	if orders == nil {
		orders = []controller.Order{}
	}
	return orders, nil
}

// handleOrder reads an order strictly and gives it to do. Who is the user at
// the other end of the socket, unless the request says so.
func (d *daemon) handleOrder(r *http.Request, do func(context.Context, api.OrderRequest, bool) (api.OrderResult, *api.Problem)) (any, *api.Problem) {
	dry, problem := flagOf(r, "dry_run")
	if problem != nil {
		return nil, problem
	}
	var req api.OrderRequest
	if err := decodeStrict(r.Body, &req); err != nil {
		return nil, badBody(err)
	}
	if req.By == "" {
		req.By = peer(r.Context())
	}
	return do(r.Context(), req, dry)
}

// flagOf reads a parameter that is true or false; left out, it is false.
func flagOf(r *http.Request, name string) (bool, *api.Problem) {
	switch text := r.URL.Query().Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, bad("%s=%q: expected true or false", name, text)
	}
}

func badBody(err error) *api.Problem {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &api.Problem{Code: http.StatusRequestEntityTooLarge, What: fmt.Sprintf("the body is larger than %d bytes", large.Limit)}
	}
	return bad("the body is not as expected: %v", err)
}

// peerKey is where withPeer keeps who is at the other end.
type peerKey struct{}

// withPeer notes the user at the other end of a connection: net/http offers
// only the context to carry what belongs to a connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return ctx
	}
	var uid int
	var known bool
	err = raw.Control(func(fd uintptr) { uid, known = peerUID(int(fd)) })
	if err != nil || !known {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

// peer is the name of the user at the other end, or the number.
func peer(ctx context.Context) string {
	uid, ok := ctx.Value(peerKey{}).(int)
	if !ok {
		return "unknown"
	}
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}
