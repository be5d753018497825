package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

// birthRoute is served on the peer URL by a member whose folder is empty.
// etcd, which takes the port after it, does not know it.
const birthRoute = "/veer/birth"

// membersRoute is etcd's, on the peer URL; it tells who is in its cluster,
// without a quorum.
const membersRoute = "/members"

// maxPeerReply bounds what another member is listened to.
const maxPeerReply = 1 << 20

// word is what came of asking another member: one of birth, cluster and err
// is set.
type word struct {
	name    string
	birth   *birth // its folder is empty
	cluster *living
	err     error // it cannot be reached, or is something else
}

// living is an etcd that runs, as one of its members tells.
type living struct {
	id      types.ID
	members []*membership.Member
}

// member finds the member of an id; nil: there is none.
func (l *living) member(id types.ID) *membership.Member {
	for _, m := range l.members {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// peers asks the other members on their peer URLs.
type peers struct {
	self    string
	members map[string]Member
	http    *http.Client
	timeout time.Duration
}

func newPeers(c Config, self string, info transport.TLSInfo) (*peers, error) {
	timeout := 2*time.Second + 4*c.RTT
	t, err := transport.NewTransport(info, timeout)
	if err != nil {
		return nil, fmt.Errorf("read the certificate for the other members: %w", err)
	}
	t.DisableKeepAlives = true
	t.Proxy = nil // members are reached as the config says
	return &peers{self: self, members: c.Members, http: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, timeout: timeout}, nil
}

// ask asks every other member, in the order of their names.
func (p *peers) ask(ctx context.Context) []word {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var out []word
	for _, name := range sortedKeys(p.members) {
		if name != p.self {
			out = append(out, word{name: name})
		}
	}
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { p.askOne(ctx, &out[i]) })
	}
	wg.Wait()
	return out
}

func (p *peers) askOne(ctx context.Context, w *word) {
	peer := p.members[w.name].Peer
	text, _, code, err := p.get(ctx, peer+birthRoute)
	switch {
	case err != nil:
		w.err = err
		return
	case code == http.StatusOK:
		b, err := parseBirth(text)
		if err == nil && b.Name != w.name {
			err = fmt.Errorf("%s answers there: is cluster.members the same everywhere?", b.Name)
		}
		if err != nil {
			w.err = fmt.Errorf("the answer of %s at %s: %w", w.name, peer, err)
			return
		}
		w.birth = &b
		return
	}
	text, head, code, err := p.get(ctx, peer+membersRoute)
	if err != nil {
		w.err = err
		return
	}
	if w.cluster, err = parseLiving(text, head, code); err != nil {
		w.err = fmt.Errorf("the answer of %s at %s: %w", w.name, peer, err)
	}
}

// parseLiving reads etcd's reply on who is in its cluster.
func parseLiving(text []byte, id string, code int) (*living, error) {
	cluster, err := types.IDFromString(id)
	if code != http.StatusOK || err != nil {
		return nil, fmt.Errorf("expected a member's list of members, found status %d", code)
	}
	l := &living{id: cluster}
	if err := json.Unmarshal(text, &l.members); err != nil {
		return nil, fmt.Errorf("expected a list of members: %w", err)
	}
	for _, m := range l.members {
		if m == nil {
			return nil, errors.New("expected a list of members, found null in it")
		}
	}
	return l, nil
}

func (p *peers) get(ctx context.Context, url string) (text []byte, id string, code int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", 0, fmt.Errorf("ask another member: %w", err)
	}
	resp, err := p.http.Do(req)
	if errors.Is(err, io.EOF) && strings.HasPrefix(url, "https:") { // how etcd refuses
		return nil, "", 0, fmt.Errorf("ask another member: %w: it may not take this host's certificate, which must hold the address that this host connects from", err)
	}
	if err != nil {
		return nil, "", 0, fmt.Errorf("ask another member: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxPeerReply+1))
	if err == nil && len(text) > maxPeerReply {
		err = fmt.Errorf("it is larger than %d bytes", maxPeerReply)
	}
	if err != nil {
		return nil, "", 0, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	return text, resp.Header.Get("X-Etcd-Cluster-ID"), resp.StatusCode, nil
}

// crib serves a member's birth on its peer URL until etcd takes the port.
type crib struct {
	server *http.Server
	wg     sync.WaitGroup

	mu    sync.Mutex
	birth birth
}

// openCrib listens. That it can shows that no other process of this member
// runs: the peer URL is an address of this machine.
func openCrib(cfg *embed.Config, b birth) (*crib, error) {
	peer := cfg.ListenPeerUrls[0]
	info := cfg.PeerTLSInfo
	l, err := transport.NewListener(peer.Host, peer.Scheme, &info) // with etcd's checks of the other side
	if err != nil {
		return nil, fmt.Errorf("listen on the peer URL of %s, %s: %w: is another process of this member running, and is host.region right?", b.Name, peer.String(), err)
	}
	c := &crib{birth: b}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+birthRoute, func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		text, err := json.Marshal(c.birth)
		c.mu.Unlock()
		if err != nil {
			http.Error(w, "cannot be written", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(text) // that the other side is gone is no error here
	})
	c.server = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	c.server.SetKeepAlivesEnabled(false)
	c.wg.Go(func() { _ = c.server.Serve(l) }) // it returns when close closes it
	return c, nil
}

func (c *crib) tell(b birth) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.birth = b
}

// close frees the port.
func (c *crib) close() {
	_ = c.server.Close() // the port is free in any case
	c.wg.Wait()
}
