package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// ErrRemoved means that the embedded member was removed from its cluster.
// Its folder is of no more use.
var ErrRemoved = errors.New("this member was removed from the cluster")

// errLearning: a learner has not caught up yet.
var errLearning = errors.New("the learner has not caught up yet")

// settle makes the cluster know this member as the config has it: by its peer
// URL, and as one that votes. Whatever a killed start left, the next one's
// settle goes on from.
func (c *Cluster) settle() {
	for {
		ctx, cancel := c.bound(c.ctx)
		err := c.settleOnce(ctx)
		cancel()
		if err == nil || c.ctx.Err() != nil {
			return
		}
		c.opts.Log.Debug().Err(err).Str("member", c.opts.Name).Msg("this member is not settled yet")
		if !pause(c.ctx, 200*time.Millisecond) {
			return
		}
	}
}

func (c *Cluster) settleOnce(ctx context.Context) error {
	list, err := c.etcd.MemberList(ctx)
	if err != nil {
		return fmt.Errorf("ask who is in the cluster: %w", err)
	}
	id := uint64(c.member.etcd.Server.MemberID())
	i := slices.IndexFunc(list.Members, func(m *etcdserverpb.Member) bool { return m.ID == id })
	if i < 0 {
		return fmt.Errorf("member %s is not in the cluster", idText(id))
	}
	me := list.Members[i]
	peer := nowhere
	if m, ok := c.conf.Members[c.opts.Name]; ok {
		peer = m.Peer
	}
	if !slices.Equal(me.PeerURLs, []string{peer}) {
		if _, err := c.etcd.MemberUpdate(ctx, id, []string{peer}); err != nil {
			return fmt.Errorf("tell the cluster the peer URL %s: %w", peer, err)
		}
		c.opts.Log.Info().Str("member", c.opts.Name).Strs("was", me.PeerURLs).Str("is", peer).Msg("the cluster knows this member by its new peer URL")
	}
	if me.IsLearner {
		if _, err := c.etcd.MemberPromote(ctx, id); err != nil {
			if errors.Is(err, rpctypes.ErrMemberLearnerNotReady) {
				err = errLearning
			}
			return fmt.Errorf("promote this member: %w", err)
		}
		c.opts.Log.Info().Str("member", c.opts.Name).Msg("this member has caught up, and votes")
	}
	if err := removeBirth(c.member.inner); err != nil {
		return err
	}
	c.opts.stage(StagePromoted)
	return nil
}

// checkMembership refuses a folder that the config does not fit: one of
// several members that is started as the only one would wait for the others
// for ever; and one whose cluster is not that of the members that run already
// would be a second one.
func (m *member) checkMembership(ctx context.Context, c Config, p *peers) error {
	cl := m.etcd.Server.Cluster()
	if len(c.Members) <= 1 {
		var names []string
		for _, v := range cl.Members() {
			if !v.IsLearner {
				names = append(names, v.Name)
			}
		}
		if len(names) <= 1 {
			return nil
		}
		slices.Sort(names)
		return fmt.Errorf("start the embedded etcd: the data folder %s is one of a cluster of %d members (%s), and the config has no other member: list them under cluster.members again, remove the others with `veer member remove`, and only then shorten the list",
			m.inner, len(names), strings.Join(names, ", "))
	}
	for _, w := range p.ask(ctx) {
		if w.cluster != nil && len(w.cluster.members) > 0 && w.cluster.id != cl.ID() {
			return fmt.Errorf("start the embedded etcd: the data folder %s is of another cluster (%s) than that of member %s, which runs (%s): decide whose ledger to keep, and move the other's data_dir/etcd away; a member with an empty folder joins by itself",
				m.inner, cl.ID(), w.name, w.cluster.id)
		}
	}
	return nil
}
