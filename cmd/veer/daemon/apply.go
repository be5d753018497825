package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
)

// checkApply reads a request strictly.
func checkApply(r *controller.Request) *api.Problem {
	r.By, r.Why = strings.TrimSpace(r.By), strings.TrimSpace(r.Why)
	switch {
	case r.Why == "":
		return bad("the request has no reason: say why, for the journal and for colleagues")
	case len(r.Why) > maxWhy:
		return bad("the reason has %d bytes: expected at most %d", len(r.Why), maxWhy)
	case len(r.By) > maxBy:
		return bad("by has %d bytes: expected at most %d", len(r.By), maxBy)
	case len(r.AcceptConfig) > maxHash:
		return bad("accept_config has %d bytes: expected the hash of a config, as veer status shows it", len(r.AcceptConfig))
	case len(r.Take)+len(r.Release) > maxNames:
		return bad("%d names: expected at most %d", len(r.Take)+len(r.Release), maxNames)
	}
	return nil
}

// decodeStrict reads one JSON value without unknown fields, and nothing after.
func decodeStrict(from io.Reader, into any) error {
	dec := json.NewDecoder(from)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it goes on after its end")
	}
	return nil
}

// handleApply has the leader write: here, or wherever it is.
func (d *daemon) handleApply(r *http.Request) (any, *api.Problem) {
	var req controller.Request
	if err := decodeStrict(r.Body, &req); err != nil {
		return nil, badBody(err)
	}
	if req.By == "" {
		req.By = peer(r.Context())
	}
	if problem := checkApply(&req); problem != nil {
		return nil, problem
	}
	cl, problem := d.ledger()
	if problem != nil {
		return nil, problem
	}
	if c := d.controller.Load(); c != nil && c.Zones() != nil {
		out, problem := d.applyHere(r.Context(), c, req)
		if problem != nil {
			return nil, problem
		}
		return out, nil
	}
	out, problem := askLeader(r.Context(), cl, req)
	if problem != nil {
		return nil, problem
	}
	return out, nil
}

// applyHere carries a request out as the leader.
func (d *daemon) applyHere(ctx context.Context, c *controller.Controller, req controller.Request) (api.Applied, *api.Problem) {
	zones, err := c.Apply(ctx, req)
	if problem := applyProblem(err); problem != nil {
		return api.Applied{}, problem
	}
	d.noteApply(ctx, req)
	return api.Applied{Leader: string(d.c.Host.Region), Zones: nonNilZones(zones)}, nil
}

func applyProblem(err error) *api.Problem {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, controller.ErrGuarded):
		return refused("look at veer plan --prune; --allow-many confirms it", "%v", err)
	case errors.Is(err, controller.ErrConfig):
		return refused("veer plan shows what waits, and for which config", "%v", err)
	case errors.Is(err, controller.ErrNotLeader):
		return &api.Problem{Code: http.StatusServiceUnavailable, What: "the leader changed meanwhile: what was written is not known", Hint: "look at veer plan, then try again"}
	}
	return failed(err)
}

// noteApply keeps in the journal who had what written; a failure is logged.
func (d *daemon) noteApply(ctx context.Context, req controller.Request) {
	cl := d.joined
	if cl == nil {
		return
	}
	act := "applied"
	if req.AcceptConfig != "" {
		act = "confirmed config " + req.AcceptConfig
	}
	switch {
	case len(req.Take) > 0:
		act = "imported " + list(shortAll(req.Take))
	case len(req.Release) > 0:
		act = "released " + list(shortAll(req.Release))
	case req.Prune:
		act = "pruned"
	}
	if err := cl.JournalNote(ctx, cluster.Note{Act: act, By: req.By, Why: req.Why}); err != nil {
		d.o.Log.Warn().Err(err).Msg("cannot note in the journal who had the zones written")
	}
}

// carried is what goes through etcd as a reply.
type carried struct {
	Applied api.Applied `json:"applied"`
	// Problem is why it was not done, with its status.
	Problem *api.Problem `json:"problem,omitempty"`
	Code    int          `json:"code,omitempty"`
}

// askLeader has the daemon that leads carry a request out.
func askLeader(ctx context.Context, cl *cluster.Cluster, req controller.Request) (api.Applied, *api.Problem) {
	leader, err := cl.Daemon(ctx)
	if err != nil {
		return api.Applied{}, failed(err)
	}
	if leader == "" {
		return api.Applied{}, &api.Problem{Code: http.StatusServiceUnavailable, What: "no daemon leads, so nothing can be written", Hint: "veer status says why"}
	}
	body, err := json.Marshal(req)
	if err != nil {
		return api.Applied{}, failed(err)
	}
	_, reply, err := cl.Ask(ctx, body)
	if err != nil {
		return api.Applied{}, failed(err)
	}
	var out carried
	if err := decodeStrict(bytes.NewReader(reply), &out); err != nil {
		return api.Applied{}, failed(fmt.Errorf("reading the reply of %s: %w (is it the same version?)", leader, err))
	}
	if out.Problem != nil {
		out.Problem.Code = out.Code
	}
	return out.Applied, out.Problem
}

// answerOthers carries out what other regions' daemons pass on, while this one
// leads.
func (d *daemon) answerOthers(ctx context.Context, cl *cluster.Cluster, c *controller.Controller) error {
	leads := func() bool { return c.Zones() != nil }
	return cl.Answer(ctx, leads, func(ctx context.Context, from string, body json.RawMessage) json.RawMessage {
		ctx, cancel := context.WithTimeout(ctx, apiTimeout)
		defer cancel()
		var out carried
		var req controller.Request
		if err := decodeStrict(bytes.NewReader(body), &req); err != nil {
			out.Problem = bad("the request of %s is not one: %v (is it the same version?)", from, err)
		} else if out.Problem = checkApply(&req); out.Problem == nil {
			out.Applied, out.Problem = d.applyHere(ctx, c, req)
		}
		if out.Problem != nil {
			out.Code = out.Problem.Code
		}
		text, err := json.Marshal(out)
		if err != nil {
			d.o.Log.Error().Err(err).Msg("cannot write a reply to another region")
			return json.RawMessage(`{"problem":{"error":"the leader cannot write its reply; its log says why"},"code":500}`)
		}
		return text
	})
}

func nonNilZones(zones []controller.ZoneOutcome) []controller.ZoneOutcome {
	if zones == nil {
		return []controller.ZoneOutcome{}
	}
	return zones
}

// Apply has a request carried out without a daemon on this host: by the daemon
// that leads, if one does, or else by leading for one pass.
func Apply(ctx context.Context, o OnceOptions, req controller.Request) (out api.Applied, err error) {
	if problem := checkApply(&req); problem != nil {
		return out, problem
	}
	err = offline(ctx, o, func(d *daemon, cl *cluster.Cluster) error {
		if cl == nil {
			return refused("run veer once, or a daemon, first", "there is no ledger yet, so nothing is decided")
		}
		leader, err := cl.Daemon(ctx)
		if err != nil {
			return err
		}
		if leader != "" {
			var problem *api.Problem
			if out, problem = askLeader(ctx, cl, req); problem != nil {
				return problem
			}
			return nil
		}
		return d.applyPass(ctx, req, &out)
	})
	return out, err
}

func (d *daemon) applyPass(ctx context.Context, req controller.Request, out *api.Applied) error {
	p := api.NewPass(d.c.Host.Region)
	err := d.leadPass(ctx, &req, &p)
	if problem := applyProblem(err); problem != nil {
		return problem
	}
	if p.Result == api.PassUnknown && (req.Prune || req.AcceptConfig != "") {
		return refused("wait for fresh votes: veer once casts them", "the state is unknown (no quorum of fresh votes), so nothing was written")
	}
	if p.Result == api.PassVoted {
		return refused("try again", "a daemon began to lead meanwhile")
	}
	d.noteApply(ctx, req)
	out.Leader, out.Zones = p.Leader, nonNilZones(p.Zones)
	return nil
}
