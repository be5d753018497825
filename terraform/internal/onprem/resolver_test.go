//go:build realservers

package onprem

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// errServer is an answer that sends a resolver to the next server.
var errServer = errors.New("the server answers with an error")

// ask asks one server for a name's IPv4 addresses, by "udp" or "tcp". That there
// are none is an answer; no answer, or SERVFAIL and REFUSED, is an error.
func ask(network, server, name string, wait time.Duration) ([]string, error) {
	c, err := net.DialTimeout(network, server, wait)
	if err != nil {
		return nil, err
	}
	defer c.Close() //nolint:errcheck // what was wanted is read
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32())},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	packet, err := query.AppendPack(make([]byte, 2, 514))
	if err != nil {
		return nil, err
	}
	if network == "tcp" {
		binary.BigEndian.PutUint16(packet, uint16(len(packet)-2))
	} else {
		packet = packet[2:]
	}
	if _, err := c.Write(packet); err != nil {
		return nil, err
	}
	reply, err := receive(c, network)
	if err != nil {
		return nil, err
	}
	var answer dnsmessage.Message
	if err := answer.Unpack(reply); err != nil {
		return nil, fmt.Errorf("%w: %w", errServer, err)
	}
	if answer.ID != query.ID || !answer.Response || answer.RCode != dnsmessage.RCodeSuccess && answer.RCode != dnsmessage.RCodeNameError {
		return nil, fmt.Errorf("%w: id %d for %d, %s", errServer, answer.ID, query.ID, answer.RCode)
	}
	addresses := []string{}
	for _, r := range answer.Answers {
		if a, ok := r.Body.(*dnsmessage.AResource); ok {
			addresses = append(addresses, net.IP(a.A[:]).String())
		}
	}
	slices.Sort(addresses)
	return addresses, nil
}

func receive(c net.Conn, network string) ([]byte, error) {
	buf := make([]byte, 1<<16)
	if network == "udp" {
		n, err := c.Read(buf)
		return buf[:n], err
	}
	if _, err := io.ReadFull(c, buf[:2]); err != nil {
		return nil, err
	}
	buf = buf[:binary.BigEndian.Uint16(buf)]
	_, err := io.ReadFull(c, buf)
	return buf, err
}

// resolve asks the servers as a stub resolver does: in their order, the next one
// when one does not answer in time or refuses, and all of them twice. The number
// of attempts beyond the first is returned with the answer.
func resolve(network string, servers []string, name string, wait time.Duration) (addresses []string, more int, err error) {
	for range 2 {
		for _, server := range servers {
			if addresses, err = ask(network, server, name, wait); err == nil {
				return addresses, more, nil
			}
			more++
		}
	}
	return nil, more, err
}

// counts are what clients saw. Every query that is not lost, empty or wrong had
// the answer that it should have.
type counts struct {
	Queries, Retried, Lost, Empty, Wrong int
	Slowest                              time.Duration
	Faults                               []string // the first of them
}

func (c counts) String() string {
	return fmt.Sprintf("%d queries, %d of them asked again elsewhere, slowest %d ms; lost %d, empty %d, wrong %d",
		c.Queries, c.Retried, c.Slowest.Milliseconds(), c.Lost, c.Empty, c.Wrong)
}

func (c counts) bad() int { return c.Lost + c.Empty + c.Wrong }

// outage is what was seen of one server, asked without a second attempt.
type outage struct {
	Server          string
	Queries, Failed int
	Longest         time.Duration // between two answers
	answered        time.Time
}

// clients are resolvers that ask all the time, and beside them one that watches
// each server by itself.
type clients struct {
	name    string
	servers []string

	mu    sync.Mutex
	right []string // the answers that are right now, their addresses joined
	seen  counts
	each  []outage

	stop  context.CancelFunc
	tasks sync.WaitGroup
}

const (
	// perAnswer is how long a resolver waits for one server.
	perAnswer = 2 * time.Second
	// between is how long each client waits between two queries.
	between = 50 * time.Millisecond
	// watching is the same of the one that watches a server.
	watching = 20 * time.Millisecond
)

// start starts the clients: of each server one that asks it first, by UDP and by
// TCP.
func start(name string, servers []string, right ...string) *clients {
	ctx, stop := context.WithCancel(context.Background())
	c := &clients{name: name, servers: servers, right: right, each: make([]outage, len(servers)), stop: stop}
	for i := range servers {
		order := slices.Concat(servers[i:], servers[:i])
		for _, network := range []string{"udp", "tcp"} {
			c.tasks.Go(func() { every(ctx, between, func() { c.query(network, order) }) })
		}
		c.each[i].Server = servers[i]
		c.tasks.Go(func() { every(ctx, watching, func() { c.watch(&c.each[i]) }) })
	}
	return c
}

func every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// query is one query of a resolver.
func (c *clients) query(network string, servers []string) {
	before := c.allowed()
	began := time.Now()
	got, more, err := resolve(network, servers, c.name, perAnswer)
	took := time.Since(began)
	answer := strings.Join(got, ",")

	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.seen
	s.Queries++
	s.Slowest = max(s.Slowest, took)
	if more > 0 {
		s.Retried++
	}
	what := ""
	switch {
	case err != nil:
		s.Lost++
		what = "lost: " + err.Error()
	case len(got) == 0:
		s.Empty++
		what = "empty"
	case !slices.Contains(before, answer) && !slices.Contains(c.right, answer):
		s.Wrong++
		what = fmt.Sprintf("wrong: %s, expected one of %q", answer, c.right)
	}
	if what != "" && len(s.Faults) < 10 {
		s.Faults = append(s.Faults, fmt.Sprintf("%s %s of %s: %s", began.Format("15:04:05.000"), network, servers[0], what))
	}
}

// watch asks one server once.
func (c *clients) watch(o *outage) {
	_, err := ask("udp", o.Server, c.name, 250*time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	o.Queries++
	if err != nil {
		o.Failed++
		return
	}
	now := time.Now()
	if !o.answered.IsZero() {
		o.Longest = max(o.Longest, now.Sub(o.answered))
	}
	o.answered = now
}

func (c *clients) allowed() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.right
}

// allow says which answers are right from now on.
func (c *clients) allow(right ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.right = right
}

// take returns what was seen since the last time.
func (c *clients) take() (counts, []outage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, servers := c.seen, slices.Clone(c.each)
	c.seen = counts{}
	for i := range c.each {
		c.each[i].Queries, c.each[i].Failed, c.each[i].Longest = 0, 0, 0
	}
	return seen, servers
}

func (c *clients) close() {
	c.stop()
	c.tasks.Wait()
}
