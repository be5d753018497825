package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/cluster"
)

// handleMembers lists the etcd members.
func (d *daemon) handleMembers(r *http.Request) (any, *api.Problem) {
	cl, problem := d.membership()
	if problem != nil {
		return nil, problem
	}
	list, agreed, err := cl.Members(r.Context())
	if err != nil {
		return nil, failed(err)
	}
	rtt := cl.RTT()
	out := api.Members{Members: make([]api.Member, 0, len(list)), Agreed: agreed}
	for _, m := range list {
		out.Members = append(out.Members, api.Member{
			Name: m.Name, ID: m.ID, Peer: m.Peer, Client: m.Client, Learner: m.Learner, Leader: m.Leader,
			Reachable: m.Reachable, Why: m.Why, Version: m.Version, Bytes: m.Bytes, Lag: m.Lag, RTT: rtt[m.Name],
		})
	}
	return out, nil
}

func (d *daemon) membership() (*cluster.Cluster, *api.Problem) {
	if cl := d.cluster.Load(); cl != nil {
		return cl, nil
	}
	what := "the cluster is not joined"
	if p := d.picture(); p.trouble != nil {
		what += ": " + p.trouble.Error()
	}
	return nil, &api.Problem{Code: http.StatusServiceUnavailable, What: what, Hint: "ask a daemon of another region"}
}

// handleChangeMember reads a request strictly, and adds or removes a member.
func (d *daemon) handleChangeMember(r *http.Request) (any, *api.Problem) {
	var req api.MemberRequest
	if err := decodeStrict(r.Body, &req); err != nil {
		return nil, badBody(err)
	}
	if req.By == "" {
		req.By = peer(r.Context())
	}
	req.Why = strings.TrimSpace(req.Why)
	switch {
	case req.Act != api.MemberAdd && req.Act != api.MemberRemove:
		return nil, bad("act %q: expected add or remove", req.Act)
	case req.Name == "" || len(req.Name) > 200:
		return nil, bad("the request names no member: expected a name of cluster.members, or an id")
	case len(req.Why) > maxWhy:
		return nil, bad("the reason has %d bytes: expected at most %d", len(req.Why), maxWhy)
	case len(req.By) > maxBy:
		return nil, bad("by has %d bytes: expected at most %d", len(req.By), maxBy)
	case req.Force && req.Why == "":
		return nil, bad("a forced removal has no reason: say why, for the journal and for colleagues")
	}
	cl, problem := d.membership()
	if problem != nil {
		return nil, problem
	}
	return d.changeMember(r.Context(), cl, req)
}

func (d *daemon) changeMember(ctx context.Context, cl *cluster.Cluster, r api.MemberRequest) (any, *api.Problem) {
	out := api.MemberResult{Name: r.Name, Changed: true}
	note := cluster.Note{Time: time.Now(), By: r.By, Why: r.Why}
	var err error
	if r.Act == api.MemberAdd {
		out.Changed, err = cl.AddMember(ctx, r.Name)
		out.Next = fmt.Sprintf("start veer in %s with an empty data folder: it follows, and votes once it has caught up", r.Name)
		if !out.Changed {
			out.Next = "nothing: it is a member already"
		}
	} else {
		var gone cluster.MemberState
		gone, err = cl.RemoveMember(ctx, r.Name, r.Force, note)
		if gone.Name != "" {
			out.Name = gone.Name
		}
		out.Next = fmt.Sprintf("%s goes on as a client of the others; take it out of cluster.members everywhere, or, if it is to come back, move its data_dir/etcd away", out.Name)
	}
	switch {
	case errors.Is(err, cluster.ErrMemberRefused):
		hint := "veer member list says which members answer; --force --reason WHY removes it all the same"
		if r.Force {
			hint = "veer member list says which members answer"
		}
		return nil, refused(hint, "%s", strings.TrimPrefix(err.Error(), cluster.ErrMemberRefused.Error()+": "))
	case errors.Is(err, cluster.ErrNoMember):
		return nil, &api.Problem{Code: http.StatusNotFound, What: err.Error()}
	case err != nil:
		return nil, failed(err)
	}
	if !out.Changed {
		return out, nil
	}
	d.o.Log.Info().Str("member", out.Name).Str("act", r.Act).Str("by", r.By).Str("why", r.Why).Bool("force", r.Force).Msg("the cluster's members changed")
	if r.Act == api.MemberAdd {
		note.Act = "member " + r.Name + " added"
		if err := cl.JournalNote(ctx, note); err != nil {
			d.o.Log.Warn().Err(err).Msg("the journal does not tell of the change of members")
		}
	}
	return out, nil
}

// slowRTT is below what any declared round trip is taken for.
const slowRTT = 10 * time.Millisecond

// farMembers warns of members that are further away than the config says:
// heartbeats and elections are timed by what it declares.
func (d *daemon) farMembers() []string {
	cl := d.cluster.Load()
	if cl == nil {
		return nil
	}
	return farther(cl.RTT(), d.c.Cluster.RTT)
}

func farther(measured map[string]time.Duration, declared time.Duration) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(measured)) {
		if is := measured[name]; is > max(declared, slowRTT) {
			out = append(out, fmt.Sprintf("the round trip to etcd member %s is %s at its shortest, above the declared cluster.rtt of %s: elections and budgets are timed too tightly; declare more, the same everywhere",
				name, is.Round(100*time.Microsecond), declared))
		}
	}
	return out
}
