package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// The stages of a start with an empty folder, as Options.Stage names them.
const (
	StageMarked   = "marked"   // the folder has its mark
	StageAgreed   = "agreed"   // it keeps the marks of all
	StageRemoved  = "removed"  // the lost member is out of the living cluster
	StageAdded    = "added"    // a learner is in
	StageStarted  = "started"  // etcd runs
	StagePromoted = "promoted" // the member votes
)

// askEvery and askLeast are how often the others are asked while they are
// waited for: less and less often while nothing changes.
const (
	askEvery = 250 * time.Millisecond
	askLeast = 2 * time.Second
)

// entrance is the start of a member with an empty folder, one of several. It ends
// with a configuration of etcd that makes the cluster, or joins it.
type entrance struct {
	c     Config
	o     Options
	cfg   *embed.Config
	inner string
	birth birth
	peers *peers
	crib  *crib
	said  string // the last reason to wait
}

// enter waits until it is known what to do: the cluster is made only when all
// other members have told that their folders are empty too, and that they
// keep the same set of marks. Any living etcd is joined.
func enter(ctx context.Context, c Config, o Options, cfg *embed.Config, inner string) error {
	e := &entrance{c: c, o: o, cfg: cfg, inner: inner}
	want := birth{Owner: o.Owner, Name: o.Name, Members: map[string]string{}}
	for name, m := range c.Members {
		want.Members[name] = m.Peer
	}
	var err error
	if e.birth, err = readBirth(inner, want); err != nil {
		return err
	}
	if err := errors.Join(clearUnborn(inner), e.birth.write(inner)); err != nil {
		return err
	}
	if e.peers, err = newPeers(c, o.Name, cfg.PeerTLSInfo); err != nil {
		return err
	}
	o.stage(StageMarked)
	if e.crib, err = openCrib(cfg, e.birth); err != nil {
		return err
	}
	defer e.crib.close()
	for every := askEvery; ; every = min(every*5/4, askLeast) {
		ready, why, err := e.decide(ctx, e.peers.ask(ctx))
		if ready || err != nil {
			return err
		}
		if e.wait(why) {
			every = askEvery
		}
		if !pause(ctx, every) {
			return fmt.Errorf("start member %s: %w: %s", o.Name, ctx.Err(), why)
		}
	}
}

// wait tells why nothing is done, once for each reason, and whether it is
// another one than before. Numbers, such as those of ports, are no reason.
func (e *entrance) wait(why string) bool {
	reason := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, why)
	if reason == e.said {
		return false
	}
	e.said = reason
	e.o.Log.Warn().Str("member", e.o.Name).Msg("the data folder is empty; waiting: " + why)
	if e.o.Waiting != nil {
		e.o.Waiting(errors.New(why))
	}
	return true
}

// decide does what can be done after the others were asked. Without an error
// it is ready, or says why not.
func (e *entrance) decide(ctx context.Context, words []word) (ready bool, why string, err error) {
	var alive, empty, away []string
	var cluster *living
	for _, w := range words {
		switch {
		case w.birth != nil && !w.birth.same(e.birth):
			return false, fmt.Sprintf("member %s has another owner or other cluster.members than this one: make veer.yaml the same everywhere", w.name), nil
		case w.birth != nil:
			empty = append(empty, w.name)
		case w.cluster != nil && cluster != nil && cluster.id != w.cluster.id:
			return false, fmt.Sprintf("members %s and %s are of two clusters: keep the one with the ledger that you want, stop the other's veer and move its data_dir/etcd away", alive[0], w.name), nil
		case w.cluster != nil:
			alive, cluster = append(alive, w.name), w.cluster
		default:
			away = append(away, fmt.Sprintf("%s (%v)", w.name, w.err))
		}
	}
	switch {
	case cluster != nil && e.expected(cluster):
		return e.make()
	case cluster != nil:
		return e.join(ctx, alive, empty)
	case len(away) > 0:
		return false, "a cluster is made only when all members are there, and not reached are " + strings.Join(away, ", "), nil
	}
	return e.agree(words)
}

// expected reports whether a living cluster is the one that this member has
// agreed to make, and waits for it.
func (e *entrance) expected(l *living) bool {
	if len(e.birth.Set) == 0 {
		return false
	}
	id, self, err := e.birth.ids()
	if err != nil || l.id != id {
		return false
	}
	m := l.member(self)
	return m != nil && len(m.ClientURLs) == 0 // it has never been heard of
}

// agree goes on with the others, whose folders are all empty: it keeps the set
// of all marks, and is ready when all others do.
func (e *entrance) agree(words []word) (ready bool, why string, err error) {
	set := map[string]string{e.birth.Name: e.birth.Mark}
	for _, w := range words {
		set[w.name] = w.birth.Mark
	}
	b := e.birth
	b.Set = set
	if b.token() != e.birth.token() || len(e.birth.Set) == 0 {
		if err := b.write(e.inner); err != nil {
			return false, "", err
		}
		e.birth = b
		e.crib.tell(b)
		e.o.stage(StageAgreed)
	}
	for _, w := range words {
		if len(w.birth.Set) == 0 || w.birth.token() != e.birth.token() {
			return false, "all members are there, and agree on the cluster that they make", nil
		}
	}
	return e.make()
}

// make configures etcd to make the cluster that was agreed on.
func (e *entrance) make() (bool, string, error) {
	e.o.Log.Info().Str("member", e.o.Name).Strs("members", sortedKeys(e.c.Members)).Msg("all data folders are empty: making the cluster")
	e.cfg.ClusterState = embed.ClusterStateFlagNew
	e.cfg.InitialClusterToken = e.birth.token()
	return true, "", nil
}

// join takes the place of a lost member in a living cluster, or a new one: it
// removes whoever has its name or its peer URL, adds itself as a learner, and
// configures etcd to start as that. Alive are the members that are in the
// cluster, empty those that wait as this one does.
func (e *entrance) join(ctx context.Context, alive, empty []string) (ready bool, why string, err error) {
	client, err := e.dialLiving(alive)
	if err != nil {
		return false, "", err
	}
	defer func() { _ = client.Close() }() // what was asked is answered
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second+4*e.c.Election())
	defer cancel()
	list, err := client.MemberList(ctx)
	if err != nil {
		why := fmt.Sprintf("the cluster of %s lives, and has no quorum to let this member in (%v)", strings.Join(alive, ", "), brief(err))
		if len(empty) > 0 {
			why += fmt.Sprintf("; the data folders of %s are empty too, and nothing is made anew while a ledger is left: bring back one of the folders, restore a backup, or, to begin anew from what is served, move the data_dir/etcd of %s away", strings.Join(empty, ", "), strings.Join(alive, ", "))
		}
		return false, why, nil
	}
	peer := e.c.Members[e.o.Name].Peer
	stay, gone, why := e.sort(list.Members)
	if why != "" {
		return false, why, nil
	}
	for _, m := range gone {
		if _, err := client.MemberRemove(ctx, m.ID); err != nil {
			return false, fmt.Sprintf("the lost member %s cannot be removed yet (%v)", e.o.Name, brief(err)), nil
		}
		e.o.Log.Warn().Str("member", e.o.Name).Str("id", idText(m.ID)).Msg("removed the member whose data folder is lost")
	}
	e.o.stage(StageRemoved)
	added, err := client.MemberAddAsLearner(ctx, []string{peer})
	if err != nil {
		return false, fmt.Sprintf("the cluster of %s does not take this member yet (%v)", strings.Join(alive, ", "), brief(err)), nil
	}
	e.o.stage(StageAdded)
	e.o.Log.Info().Str("member", e.o.Name).Str("id", idText(added.Member.ID)).Strs("through", alive).Msg("joining the living cluster as a learner")
	e.cfg.InitialCluster = known(e.o.Name, peer, stay)
	e.cfg.ClusterState = embed.ClusterStateFlagExisting
	return true, "", nil
}

// sort parts the members that stay from those in whose place this one comes;
// or says why it is too early to join.
func (e *entrance) sort(list []*etcdserverpb.Member) (stay, gone []*etcdserverpb.Member, why string) {
	peer := e.c.Members[e.o.Name].Peer
	for _, m := range list {
		if m.Name == e.o.Name || slices.Contains(m.PeerURLs, peer) {
			gone = append(gone, m)
			continue
		}
		conf, listed := e.c.Members[m.Name]
		if listed && !slices.Contains(m.PeerURLs, conf.Peer) || slices.Contains(m.PeerURLs, nowhere) {
			return nil, nil, fmt.Sprintf("member %s is still known by another peer URL than the config's: its own veer sets that right once it runs with this config", m.Name)
		}
		stay = append(stay, m)
	}
	return stay, gone, ""
}

// known is what etcd is told of the cluster that it joins.
func known(name, peer string, others []*etcdserverpb.Member) string {
	parts := []string{name + "=" + peer}
	for _, m := range others {
		other := m.Name
		if other == "" {
			other = "unstarted-" + idText(m.ID)
		}
		for _, u := range m.PeerURLs {
			parts = append(parts, other+"="+u)
		}
	}
	return strings.Join(parts, ",")
}

func (e *entrance) dialLiving(alive []string) (*clientv3.Client, error) {
	var urls []string
	for _, name := range alive {
		if u := e.c.Members[name].Client; u != "" {
			urls = append(urls, u)
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("join the cluster of %s: none of them has a client URL in cluster.members", strings.Join(alive, ", "))
	}
	return dial(Config{Endpoints: urls}, e.o, &trouble{log: e.o.Log})
}

func idText(id uint64) string { return fmt.Sprintf("%016x", id) }

// brief is an error without gRPC's wrapping.
func brief(err error) string {
	text := err.Error()
	if _, after, ok := strings.Cut(text, "desc = "); ok {
		return after
	}
	return strings.TrimPrefix(text, "etcdserver: ")
}
