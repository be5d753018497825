//go:build realservers

package links

import (
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// pair is two hosts, an echo server on the second and a socket of the first.
type pair struct {
	net  *Network
	a, b *Host
	conn net.Conn
	// heard is how many packets the server got.
	heard atomic.Int64
	// replies are the numbers of the replies, as they come.
	replies chan int
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{net: New(7), replies: make(chan int, 10000)}
	var err error
	for at, h := range map[byte]**Host{1: &p.a, 2: &p.b} {
		if *h, err = p.net.AddHost("h"+strconv.Itoa(int(at)), at); err != nil {
			t.Fatal(err)
		}
	}
	server, err := p.b.ListenPacket(p.b.Address(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if p.conn, err = p.a.Dial("udp", p.b.Address().String()+":7"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 100)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			p.heard.Add(1)
			_, _ = server.WriteTo(buf[:n], from) // that it is lost is what is tested
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 100)
		for {
			n, err := p.conn.Read(buf)
			if err != nil {
				return
			}
			if k, err := strconv.Atoi(string(buf[:n])); err == nil {
				p.replies <- k
			}
		}
	}()
	t.Cleanup(func() {
		server.Close()
		p.conn.Close()
		<-done
		<-done
		if err := p.net.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *pair) ask(t *testing.T, number int) {
	t.Helper()
	if _, err := p.conn.Write([]byte(strconv.Itoa(number))); err != nil {
		t.Fatal(err)
	}
}

// within returns the next reply, or -1 if there is none in time.
func (p *pair) within(d time.Duration) int {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case k := <-p.replies:
		return k
	case <-timer.C:
		return -1
	}
}

func TestDelay(t *testing.T) {
	p := newPair(t)
	for _, want := range []time.Duration{0, 40 * time.Millisecond, 150 * time.Millisecond} {
		p.net.Both(p.a, p.b, Link{Delay: want})
		var took []time.Duration
		for i := range 9 {
			began := time.Now()
			p.ask(t, i)
			if got := p.within(time.Minute); got != i {
				t.Fatalf("reply %d to packet %d", got, i)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		t.Logf("%s each way: round trips from %s, median %s", want, took[0], took[4])
		if took[0] < 2*want {
			t.Errorf("a round trip of %s at %s each way", took[0], want)
		}
		if most := 2*want + 30*time.Millisecond; took[4] > most {
			t.Errorf("the median round trip is %s, want at most %s", took[4], most)
		}
	}
}

func TestLoss(t *testing.T) {
	p := newPair(t)
	p.net.Set(p.a, p.b, Link{Loss: 0.2})
	const sent = 3000
	came := p.note()
	for i := range sent {
		p.ask(t, i)
		<-came // before the next, so that no buffer loses any
	}
	c := p.net.Counts(p.a, p.b)
	share := float64(c.Lost) / sent // some of the others may be under way yet
	t.Logf("%.1f %% of %d lost", 100*share, sent)
	if share < 0.17 || share > 0.23 {
		t.Errorf("%.1f %% were lost, want 20 %%", 100*share)
	}
	if back := p.net.Counts(p.b, p.a); back.Lost != 0 {
		t.Errorf("%d were lost on the way back", back.Lost)
	}
}

func TestOneWayCut(t *testing.T) {
	p := newPair(t)
	p.net.Set(p.b, p.a, Link{Cut: true})
	p.ask(t, 1)
	if got := p.within(200 * time.Millisecond); got != -1 {
		t.Fatalf("reply %d through a cut link", got)
	}
	if p.heard.Load() != 1 {
		t.Fatal("the way there was cut, too")
	}
	p.net.Set(p.b, p.a, Link{})
	p.net.Set(p.a, p.b, Link{Cut: true})
	p.ask(t, 2)
	if got := p.within(200 * time.Millisecond); got != -1 || p.heard.Load() != 1 {
		t.Fatalf("reply %d, %d packets heard; want the way there cut", got, p.heard.Load())
	}
	p.net.Set(p.a, p.b, Link{})
	p.ask(t, 3)
	if got := p.within(time.Minute); got != 3 {
		t.Fatalf("reply %d after the cut; want 3", got)
	}
}

// TestCutLosesWhatIsUnderWay: no packet from before a cut comes after it.
func TestCutLosesWhatIsUnderWay(t *testing.T) {
	p := newPair(t)
	p.net.Set(p.a, p.b, Link{Delay: 100 * time.Millisecond})
	came := p.note()
	p.ask(t, 1)
	<-came
	p.net.Set(p.a, p.b, Link{Cut: true})
	p.net.Set(p.a, p.b, Link{})
	p.ask(t, 2)
	if got := p.within(time.Minute); got != 2 {
		t.Fatalf("reply %d, want 2 only", got)
	}
}

// note returns what tells of each packet from a to b when the relay has it.
func (p *pair) note() <-chan struct{} {
	came := make(chan struct{}, 10000)
	w := p.net.wire(1, 2)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted = came
	return came
}

func TestOrder(t *testing.T) {
	p := newPair(t)
	for _, overtake := range []bool{false, true} {
		p.net.Set(p.a, p.b, Link{Delay: 30 * time.Millisecond, Jitter: 30 * time.Millisecond, Overtake: overtake})
		const sent = 200
		for i := range sent {
			p.ask(t, i)
		}
		late, last := 0, -1
		for range sent {
			k := p.within(time.Minute)
			if k < last {
				late++
			}
			last = max(last, k)
		}
		t.Logf("overtake %v: %d of %d came after a later one", overtake, late, sent)
		if overtake != (late > 0) {
			t.Errorf("overtake %v: %d of %d came after a later one", overtake, late, sent)
		}
	}
}
