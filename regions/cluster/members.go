package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// statusWithin bounds what one member is asked for a list.
const statusWithin = 2 * time.Second

// MemberState is one etcd member as another, or itself, sees it.
type MemberState struct {
	Name string
	// ID is etcd's, in hexadecimal.
	ID     string
	Peer   string
	Client string
	// Learner: it follows and does not vote yet. Leader: it is etcd's leader.
	Learner, Leader bool
	// Reachable: it answers here, and knows a leader. Why it does not.
	Reachable bool
	Why       string
	Version   string
	Bytes     int64
	// Lag is how many entries of the log it has still to apply.
	Lag uint64

	known bool   // it answered
	index uint64 // what it has applied
}

// ErrMemberRefused means that a change of the members would lose the quorum,
// or makes no sense; the error says which.
var ErrMemberRefused = errors.New("refused")

// ErrNoMember means that a name is nobody's.
var ErrNoMember = errors.New("no such member")

// Members lists the cluster's members by name. Without a quorum the list is
// what one member last knew, and agreed is false.
func (c *Cluster) Members(ctx context.Context) (list []MemberState, agreed bool, err error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	short, done := context.WithTimeout(ctx, c.timeout/3)
	resp, err := c.etcd.MemberList(short)
	done()
	agreed = err == nil
	if err != nil {
		if resp, err = c.etcd.MemberList(ctx, clientv3.WithSerializable()); err != nil {
			return nil, false, fmt.Errorf("ask who is in the cluster: %w", err)
		}
	}
	list = make([]MemberState, len(resp.Members))
	var newest uint64
	var wg sync.WaitGroup
	for i, m := range resp.Members {
		wg.Go(func() { list[i] = c.look(ctx, m) })
	}
	wg.Wait()
	for _, m := range list {
		newest = max(newest, m.index)
	}
	for i := range list {
		if list[i].known {
			list[i].Lag = newest - list[i].index
		}
	}
	slices.SortFunc(list, func(a, b MemberState) int { return strings.Compare(a.Name+" "+a.ID, b.Name+" "+b.ID) })
	return list, agreed, nil
}

// look asks one member how it is.
func (c *Cluster) look(ctx context.Context, m *etcdserverpb.Member) MemberState {
	out := MemberState{Name: c.nameOf(m), ID: idText(m.ID), Learner: m.IsLearner}
	if len(m.PeerURLs) > 0 && m.PeerURLs[0] != nowhere {
		out.Peer = m.PeerURLs[0]
	}
	if len(m.ClientURLs) > 0 && m.ClientURLs[0] != nowhere {
		out.Client = m.ClientURLs[0]
	}
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	resp, err := c.statusOf(ctx, m, out.Client)
	switch {
	case err != nil:
		out.Why = brief(err)
		return out
	case resp.Header.MemberId != m.ID:
		out.Why = "another member answers at its client URL"
		return out
	case resp.Leader == 0:
		out.Why = "it knows no leader"
	default:
		out.Reachable, out.Leader = true, resp.Leader == m.ID
	}
	out.known, out.index = true, resp.RaftAppliedIndex
	out.Version, out.Bytes = resp.Version, resp.DbSize
	return out
}

func (c *Cluster) statusOf(ctx context.Context, m *etcdserverpb.Member, client string) (*clientv3.StatusResponse, error) {
	switch {
	case c.member != nil && uint64(c.member.etcd.Server.MemberID()) == m.ID:
		return c.etcd.Status(ctx, "")
	case client == "" && len(c.conf.Endpoints) == 1:
		return c.etcd.Status(ctx, c.etcd.Endpoints()[0]) // the only member, by its socket
	case m.Name == "":
		return nil, errors.New("it has not started yet")
	case client == "":
		return nil, errors.New("it has no client URL")
	}
	one, err := dial(Config{Endpoints: []string{client}}, c.opts, &trouble{log: zerolog.Nop()})
	if err != nil {
		return nil, err
	}
	defer func() { _ = one.Close() }() // what was asked is answered
	resp, err := one.Status(ctx, client)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("no answer in %s", statusWithin)
	}
	return resp, err
}

// nameOf is a member's name, by its peer URL while it has not told it.
func (c *Cluster) nameOf(m *etcdserverpb.Member) string {
	if m.Name != "" {
		return m.Name
	}
	for _, name := range sortedKeys(c.conf.Members) {
		if slices.Contains(m.PeerURLs, c.conf.Members[name].Peer) {
			return name
		}
	}
	return ""
}

// ours refuses to change the members of an etcd that is not Veer's.
func (c *Cluster) ours() error {
	if c.opts.Client || c.member != nil {
		return nil
	}
	for _, e := range c.conf.Endpoints {
		if !strings.HasPrefix(e, "unix://") {
			return fmt.Errorf("%w: etcd at cluster.endpoints is not Veer's own: change its members with etcdctl", ErrMemberRefused)
		}
	}
	return nil
}

// AddMember makes a member of cluster.members a learner of the cluster, which
// the process there starts as and is promoted. It reports false where the
// member is there already.
func (c *Cluster) AddMember(ctx context.Context, name string) (bool, error) {
	if err := c.ours(); err != nil {
		return false, err
	}
	want, ok := c.conf.Members[name]
	if !ok {
		return false, fmt.Errorf("add member %q: %w in cluster.members (%s): list it in every region's veer.yaml first", name, ErrNoMember, strings.Join(sortedKeys(c.conf.Members), ", "))
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	if c.member != nil { // who is alone has told no peer URL yet
		if err := c.settleOnce(ctx); err != nil && !errors.Is(err, errLearning) {
			return false, fmt.Errorf("add member %s: %w", name, err)
		}
	}
	list, err := c.etcd.MemberList(ctx)
	if err != nil {
		return false, fmt.Errorf("add member %s: %w", name, err)
	}
	for _, m := range list.Members {
		if c.nameOf(m) == name || slices.Contains(m.PeerURLs, want.Peer) {
			return false, nil
		}
	}
	if _, err := c.etcd.MemberAddAsLearner(ctx, []string{want.Peer}); err != nil {
		return false, fmt.Errorf("add member %s: %w", name, err)
	}
	return true, nil
}

// RemoveMember removes a member, by name or ID, for good: its folder is of no
// more use. The note is kept just before: after, this member may be the one
// that is gone, or be electing a leader. It is an ErrMemberRefused to remove the last one that votes, and,
// without force, to leave too few that answer for a quorum.
func (c *Cluster) RemoveMember(ctx context.Context, name string, force bool, n Note) (MemberState, error) {
	if err := c.ours(); err != nil {
		return MemberState{}, err
	}
	list, agreed, err := c.Members(ctx)
	if err != nil {
		return MemberState{}, fmt.Errorf("remove member %s: %w", name, err)
	}
	if !agreed {
		return MemberState{}, fmt.Errorf("%w: remove member %s: the cluster has no quorum, and nothing can be changed without one", ErrMemberRefused, name)
	}
	i := slices.IndexFunc(list, func(m MemberState) bool { return m.Name == name || m.ID == name })
	if i < 0 {
		var have []string
		for _, m := range list {
			have = append(have, m.Name)
		}
		return MemberState{}, fmt.Errorf("remove member %q: %w; there are %s", name, ErrNoMember, strings.Join(have, ", "))
	}
	if err := removable(list, i, force); err != nil {
		return list[i], err
	}
	var id uint64
	if _, err := fmt.Sscanf(list[i].ID, "%x", &id); err != nil {
		return list[i], fmt.Errorf("read the id of member %s: %w", name, err)
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	n.Act = "member " + list[i].Name + " removed"
	if err := c.JournalNote(ctx, n); err != nil {
		return list[i], fmt.Errorf("remove member %s: %w", name, err)
	}
	if _, err := c.etcd.MemberRemove(ctx, id); err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return list[i], fmt.Errorf("remove member %s: %w", name, err)
	}
	return list[i], nil
}

// removable says why a member must not be removed.
func removable(list []MemberState, i int, force bool) error {
	if list[i].Learner {
		return nil
	}
	voters, live := 0, 0
	for j, m := range list {
		if j == i || m.Learner {
			continue
		}
		voters++
		if m.Reachable {
			live++
		}
	}
	switch need := voters/2 + 1; {
	case voters == 0:
		return fmt.Errorf("%w: %s is the last member that votes: removing it would lose the ledger", ErrMemberRefused, list[i].Name)
	case live < need && !force:
		return fmt.Errorf("%w: without %s the cluster has %d members that vote and needs %d of them, and %d can be reached: it would have no quorum", ErrMemberRefused, list[i].Name, voters, need, live)
	}
	return nil
}
