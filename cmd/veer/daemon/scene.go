package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// scene is what this process has heard of the votes and the ledger, with when
// it heard it, on the monotonic clock. It is safe for concurrent use.
type scene struct {
	mu     sync.Mutex
	c      *config.Config
	policy steering.Policy // of c
	votes  map[voteKey]voteSeen
	shards map[int]shardSeen
	moved  map[string]time.Time // service: when its data changed
	// configs are the hashes that vantages published, as they were told of last;
	// others hears of each that is not this process's.
	configs map[regions.Name]string
	others  func(vantage regions.Name, hash string)
	news    chan struct{} // closed and replaced when shards were heard of
	// trouble is why the cluster could not be joined last, or was lost for good;
	// it is of no matter while there is one.
	trouble error
}

type voteKey struct {
	vantage  regions.Name
	endpoint regions.EndpointID
}

type voteSeen struct {
	health checks.Health
	at     time.Time
}

type shardSeen struct {
	steering.Shard
	at time.Time
}

func newScene(c *config.Config) *scene {
	return &scene{c: c, policy: c.Policy(), votes: map[voteKey]voteSeen{}, shards: map[int]shardSeen{}, moved: map[string]time.Time{}, configs: map[regions.Name]string{}, news: make(chan struct{})}
}

// replace has the scene looked at by another config.
func (s *scene) replace(c *config.Config, p steering.Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.c, s.policy = c, p
}

// rules are the config and its policy.
func (s *scene) rules() (*config.Config, steering.Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c, s.policy
}

// watch notes when votes arrive, until ctx ends.
func (s *scene) watch(ctx context.Context, w controller.World) {
	for {
		changed := w.Changed()
		s.seen(w.View())
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// seen notes the arrival of every vote that is new or says another health, and
// forgets those that are gone.
func (s *scene) seen(v controller.View) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	is := make(map[voteKey]voteSeen, len(s.votes))
	for _, b := range v.Ballots {
		for _, vote := range b.Votes {
			k := voteKey{b.Vantage, vote.Endpoint}
			was, ok := s.votes[k]
			if !ok || was.health != vote.Health {
				was = voteSeen{vote.Health, now}
			}
			is[k] = was
		}
	}
	s.votes = is
	s.compare(v.Ballots)
}

// lost notes why the cluster cannot be joined.
func (s *scene) lost(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = err
}

// next returns a channel that is closed when shards are heard of after the call.
func (s *scene) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.news
}

// heard takes over versions of shards that are newer than those known.
func (s *scene) heard(shards []steering.Shard) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range shards {
		was, ok := s.shards[sh.ID]
		if ok && !sh.Newer(was.Shard) {
			continue
		}
		for _, svc := range sh.State.Services {
			if _, known := s.moved[svc.Name]; !known || !sameData(serviceOf(was.State, svc.Name).Answer, svc.Answer) {
				s.moved[svc.Name] = now
			}
		}
		s.shards[sh.ID] = shardSeen{sh, now}
	}
	close(s.news)
	s.news = make(chan struct{})
}

// states are those of all services, as far as they were heard of.
func (s *scene) states() steering.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out steering.State
	for _, sh := range s.shards {
		out.Services = append(out.Services, sh.State.Services...)
	}
	return out
}

// picture is the scene at one moment, with what follows from it.
type picture struct {
	now      time.Time
	c        *config.Config
	policy   steering.Policy
	view     controller.View
	ballots  []regions.Ballot // self-suspect ones marked, sorted by vantage
	byVote   map[regions.EndpointID][]regions.Vote
	votes    map[voteKey]voteSeen
	shards   map[int]shardSeen
	moved    map[string]time.Time
	quorums  map[regions.EndpointID]regions.Quorum
	suspects []regions.EndpointID
	calendar steering.Calendar
	trouble  error
}

// picture takes one. w may be nil: then no vote is known.
func (s *scene) picture(w controller.World) *picture {
	c, policy := s.rules()
	p := &picture{now: time.Now(), c: c, policy: policy, quorums: c.Quorums(), byVote: map[regions.EndpointID][]regions.Vote{}}
	if w != nil {
		p.view = w.View()
		s.seen(p.view)
	}
	s.mu.Lock()
	p.votes = s.votes // replaced, never changed
	p.shards, p.moved = make(map[int]shardSeen, len(s.shards)), make(map[string]time.Time, len(s.moved))
	for id, sh := range s.shards {
		p.shards[id] = sh
	}
	for name, at := range s.moved {
		p.moved[name] = at
	}
	p.trouble = s.trouble
	s.mu.Unlock()
	p.suspects = slices.Clone(p.view.Suspects)
	slices.Sort(p.suspects)
	p.calendar = c.Calendar(p.now)
	p.ballots = regions.SelfSuspect(p.view.Ballots, c.Vantages)
	slices.SortFunc(p.ballots, func(a, b regions.Ballot) int { return compareNames(a.Vantage, b.Vantage) })
	for _, b := range p.ballots {
		for _, v := range b.Votes {
			if b.Suspect {
				v.Health = checks.Unknown
			}
			p.byVote[v.Endpoint] = append(p.byVote[v.Endpoint], v)
		}
	}
	return p
}

// verdict tallies the votes on an endpoint as the leader does.
func (p *picture) verdict(id regions.EndpointID) regions.Verdict {
	q, ok := p.quorums[id]
	if !ok {
		n := len(p.c.Vantages)
		q = regions.Quorum{Vantages: p.c.Vantages, Need: n/2 + 1, MinVoters: regions.DefaultMinVoters(n)}
	}
	return q.Tally(id, p.byVote[id])
}

// input is what a leader would decide a service's shard from now, with the
// given orders; only the one service is in it, so that asking is cheap.
func (p *picture) input(svc steering.Service, orders []controller.Order) steering.Input {
	sh := p.shards[steering.ShardOf(svc.Name)]
	var prev steering.State
	if was := serviceOf(sh.State, svc.Name); was.Name != "" {
		prev.Services = []steering.ServiceState{was}
	}
	// The state's durations ran since its version arrived here.
	in := steering.Input{Policy: steering.Policy{Services: []steering.Service{svc}}, Prev: prev, Now: 1}
	if !sh.at.IsZero() {
		in.Now = p.now.Sub(sh.at) + 1
		in.Prev.Clock = 1
	}
	mine := map[regions.EndpointID]bool{}
	for _, pool := range svc.Pools {
		for _, e := range pool.Endpoints {
			if !mine[e.ID] {
				mine[e.ID] = true
				in.Verdicts = append(in.Verdicts, p.verdict(e.ID))
			}
		}
	}
	for _, id := range p.suspects {
		if mine[id] {
			in.Suspects = append(in.Suspects, id)
		}
	}
	in.Distances = p.distances(svc)
	in.Overrides = inForce(orders, p.now)
	in.Calendar = p.calendar
	limited(&in, sh.State.Panic)
	return in
}

// inForce are the orders that have not expired, with the time left.
func inForce(orders []controller.Order, now time.Time) []steering.Override {
	var out []steering.Override
	for _, o := range orders {
		ov := o.Override
		ov.Left = 0
		if !o.Until.IsZero() {
			if ov.Left = o.Until.Round(0).Sub(now.Round(0)); ov.Left <= 0 {
				continue
			}
		}
		out = append(out, ov)
	}
	return out
}

// service finds a service of the policy, or, held as it is, of the ledger.
func (p *picture) service(name string) (steering.Service, bool) {
	for _, s := range p.policy.Services {
		if s.Name == name {
			return s, true
		}
	}
	return steering.Service{}, false
}

// state is what the ledger remembers of a service.
func (p *picture) state(name string) steering.ServiceState {
	return serviceOf(p.shards[steering.ShardOf(name)].State, name)
}

func serviceOf(s steering.State, name string) steering.ServiceState {
	for _, v := range s.Services {
		if v.Name == name {
			return v
		}
	}
	return steering.ServiceState{}
}

func compareNames(a, b regions.Name) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// sameData reports whether two answers hold the same data, whatever the TTL.
func sameData(a, b []providers.RRSet) bool {
	return slices.EqualFunc(a, b, func(x, y providers.RRSet) bool {
		x.TTL, y.TTL = 0, 0
		return x.Equal(y)
	})
}
