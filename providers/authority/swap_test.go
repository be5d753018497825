package authority

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions/steering"
)

// The swaps of a test: each replaces all addresses of one name.
const (
	swaps       = 300
	swapRecords = 4
	swapClients = 4
	swapWindow  = 16 // queries of a client in flight
	// answerWait is how long an answer is waited for, briefWait where none will come.
	answerWait = 10 * time.Second
	briefWait  = 500 * time.Millisecond
)

// TestFailoverUnderLoad: while all addresses of a name are replaced again and
// again, no query over UDP is lost, each is answered with all the addresses of
// one order, and none with an older order than was seen before it was asked. `make
// bench-dns-failover` measures how long it takes.
func TestFailoverUnderLoad(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			s := swapServer(t, way)
			swap := func(i int, w *watcher) {
				s.Update([]steering.Shard{swapShard(t, i)})
				if i%10 == 0 { // otherwise as fast as it goes
					awaitServed(s, w)
				}
			}
			if err := swapUnderLoad(s.Addrs()[0].String(), answerWait, swap, func(int) bool { return true }); err != nil {
				t.Error(err)
			}
		})
	}
}

var (
	errMixed = errors.New("an answer is a mixture of orders")
	errOlder = errors.New("an answer is older than one before")
	errLost  = errors.New("queries were lost")
)

// TestFailoverUnderLoadSeesPlantedFaults: what the test above looks for is seen
// when it is there.
func TestFailoverUnderLoadSeesPlantedFaults(t *testing.T) {
	all := func(int) bool { return true }
	for _, way := range ways {
		t.Run("torn "+way, func(t *testing.T) {
			s := swapServer(t, way)
			err := swapUnderLoad(s.Addrs()[0].String(), answerWait, func(i int, w *watcher) {
				old := s.Table()
				s.Update([]steering.Shard{swapShard(t, i)})
				whole := s.Table()
				s.table.Store(tear(t, old, whole))
				awaitServed(s, w) // somebody must have seen it
				s.table.Store(whole)
			}, all)
			if !errors.Is(err, errMixed) {
				t.Errorf("a torn table: %v", err)
			}
		})
		t.Run("backward "+way, func(t *testing.T) {
			s := swapServer(t, way)
			err := swapUnderLoad(s.Addrs()[0].String(), answerWait, func(i int, w *watcher) {
				old := s.Table()
				s.Update([]steering.Shard{swapShard(t, i)})
				awaitServed(s, w)
				whole := s.Table()
				s.table.Store(old)
				awaitServed(s, w)
				s.table.Store(whole)
			}, all)
			if !errors.Is(err, errOlder) {
				t.Errorf("a table that goes back: %v", err)
			}
		})
	}
	t.Run("lost", func(t *testing.T) {
		s := swapServer(t, FastAuto)
		err := swapUnderLoad(s.Addrs()[0].String(), briefWait, func(i int, w *watcher) {
			s.Update([]steering.Shard{swapShard(t, i)})
			awaitServed(s, w)
		}, func(n int) bool { return n != 1 })
		if !errors.Is(err, errLost) {
			t.Errorf("a query that nobody answers: %v", err)
		}
	})
}

func swapServer(t *testing.T, way string) *Server {
	t.Helper()
	c := exampleConfig()
	c.Fast, c.Sockets = way, 2
	s := startServer(t, c, Options{})
	s.Update([]steering.Shard{swapShard(t, 1)})
	return s
}

// swapShard is order i: addresses that tell its number.
func swapShard(t *testing.T, i int) steering.Shard {
	line := "app.example.test. A 30"
	for r := range swapRecords {
		line += fmt.Sprintf(" 10.%d.%d.%d", r, i/250, i%250)
	}
	return shard(t, 1, 1, uint64(i), line)
}

// watcher is told by the clients of each answer, and of what they saw wrong.
type watcher struct {
	heard chan struct{} // of capacity 1
	errs  chan error
}

func (w *watcher) hear() {
	select {
	case w.heard <- struct{}{}:
	default: // who waits looks anyway
	}
}

func (w *watcher) found() bool { return len(w.errs) > 0 }

// awaitServed waits until enough answers were given that one of them is of the table
// that is there now, or a client has found a fault.
func awaitServed(s *Server, w *watcher) {
	count := func() uint64 {
		fast, general := s.Answered()
		return fast + general
	}
	// Each client's window may be of the table before.
	for from := count(); count() < from+2*swapClients*swapWindow; {
		if w.found() {
			return
		}
		<-w.heard
	}
}

// tear makes a table whose answer for the name is half of the old one and half
// of the new one, on both paths.
func tear(t *testing.T, old, whole *Table) *Table {
	t.Helper()
	k, err := keyOf("app.example.test.")
	if err != nil {
		t.Fatal(err)
	}
	was, is := old.zoneOf(k, false), whole.zoneOf(k, false)
	rrs := slices.Clone(is.find(k).get(dns.TypeA).picks[0].rrs)
	copy(rrs, was.find(k).get(dns.TypeA).picks[0].rrs[:swapRecords/2])
	p, err := newPick(rrs)
	if err != nil {
		t.Fatal(err)
	}
	p.steered = true
	torn := &set{typ: dns.TypeA, picks: []pick{p}}
	torn.pack(k)
	z := *is
	z.over = is.over.with(edits{k: &node{sets: []*set{torn}}})
	return newTable([]*zone{&z})
}

// swapUnderLoad makes all swaps while clients ask, and returns what they saw
// wrong. keep says of each query of the first client whether it is sent.
func swapUnderLoad(at string, wait time.Duration, swap func(i int, w *watcher), keep func(n int) bool) error {
	var asking sync.WaitGroup
	var over atomic.Bool
	w := &watcher{heard: make(chan struct{}, 1), errs: make(chan error, swapClients)}
	for c := range swapClients {
		asking.Go(func() {
			send := func(int) bool { return true }
			if c == 0 {
				send = keep
			}
			if err := swapClient(at, wait, &over, send, w.hear); err != nil {
				w.errs <- fmt.Errorf("client %d: %w", c, err)
			}
			w.hear()
		})
	}
	for i := 2; i <= swaps && !w.found(); i++ {
		swap(i, w)
	}
	over.Store(true)
	asking.Wait()
	close(w.errs)
	var all []error
	for err := range w.errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// swapClient keeps queries in flight until the end, and then waits for all that
// are still due.
func swapClient(at string, wait time.Duration, over *atomic.Bool, keep func(n int) bool, heard func()) error {
	conn, err := net.Dial("udp", at)
	if err != nil {
		return err
	}
	defer conn.Close()
	due, newest, buf := map[uint16]int{}, 0, make([]byte, 1500) // due: what was seen before it was asked
	for n := 0; ; {
		for ; len(due) < swapWindow && !over.Load(); n++ {
			m := new(dns.Msg)
			m.SetQuestion("aPP.example.test.", dns.TypeA)
			m.Id = uint16(n)
			packet, err := m.Pack()
			if err != nil {
				return err
			}
			due[m.Id] = newest
			if !keep(n) {
				continue
			}
			if _, err := conn.Write(packet); err != nil {
				return err
			}
		}
		if len(due) == 0 {
			return nil
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		size, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("%w: %d of %d: %w", errLost, len(due), n, err)
		}
		number, id, err := orderOf(buf[:size])
		seen, waited := due[id]
		switch {
		case err != nil:
			return err
		case !waited:
			return fmt.Errorf("an answer with id %d, which nobody waits for", id)
		case number < seen:
			return fmt.Errorf("%w: %d after %d", errOlder, number, seen)
		}
		delete(due, id)
		newest = max(newest, number)
		heard()
	}
}

// orderOf returns the number of the order that an answer is of.
func orderOf(packet []byte) (number int, id uint16, err error) {
	var r dns.Msg
	if err := r.Unpack(packet); err != nil {
		return 0, 0, err
	}
	if r.Rcode != dns.RcodeSuccess || len(r.Answer) != swapRecords || r.Question[0].Name != "aPP.example.test." {
		return 0, 0, fmt.Errorf("found %v; expected %d addresses", &r, swapRecords)
	}
	numbers := map[int]bool{}
	places := map[byte]bool{}
	for _, rr := range r.Answer {
		a := rr.(*dns.A).A.To4()
		number = int(a[2])*250 + int(a[3])
		numbers[number], places[a[1]] = true, true
	}
	if len(numbers) != 1 || len(places) != swapRecords {
		return 0, 0, fmt.Errorf("%w: %v", errMixed, r.Answer)
	}
	return number, r.Id, nil
}
