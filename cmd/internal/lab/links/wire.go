//go:build linux

package links

import (
	"container/heap"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// Link says what becomes of packets in one direction. The zero Link hands them
// over at once.
type Link struct {
	// Delay is how long a packet takes, Jitter how much longer or shorter, at
	// most; each packet by itself.
	Delay, Jitter time.Duration
	// Overtake: a packet may overtake those before it, as Jitter has it. Else
	// each waits for the one before.
	Overtake bool
	// Loss is the share of packets that are lost, 0 to 1.
	Loss float64
	// Cut: all are lost, those under way, too.
	Cut bool
}

// Counts are what a direction has carried, IP headers included.
type Counts struct {
	Packets, Bytes uint64 // handed over
	Lost           uint64 // packets
}

// most is how many packets are under way at once; more are lost, as in a
// router whose buffer is full.
const most = 20000

// wire is one direction between two hosts. Its goroutine hands over what is
// due.
type wire struct {
	to   *os.File
	wake chan struct{}

	mu     sync.Mutex
	link   Link
	random *rand.Rand
	flight flight
	last   time.Time // when the newest is due
	number uint64
	counts Counts
	// noted, if it is there, is told of each packet that came, taken or lost.
	noted chan<- struct{}
}

// packet is one under way.
type packet struct {
	due    time.Time
	number uint64
	data   []byte
}

// flight is a heap by due, then number.
type flight []packet

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	if !f[i].due.Equal(f[j].due) {
		return f[i].due.Before(f[j].due)
	}
	return f[i].number < f[j].number
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)   { *f = append(*f, x.(packet)) }
func (f *flight) Pop() any {
	old := *f
	p := old[len(old)-1]
	old[len(old)-1] = packet{}
	*f = old[:len(old)-1]
	return p
}

func newWire(to *os.File, link Link, random *rand.Rand) *wire {
	return &wire{to: to, wake: make(chan struct{}, 1), link: link, random: random}
}

// set changes the link. What is under way keeps its time, unless it is cut.
func (w *wire) set(l Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = l
	if l.Cut {
		w.counts.Lost += uint64(len(w.flight))
		w.flight = nil
	}
}

// send takes a packet on its way; data is copied.
func (w *wire) send(data []byte, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.noted != nil {
		defer func() { w.noted <- struct{}{} }()
	}
	l := w.link
	if l.Cut || len(w.flight) >= most || l.Loss > 0 && w.random.Float64() < l.Loss {
		w.counts.Lost++
		return
	}
	delay := l.Delay
	if l.Jitter > 0 {
		delay = max(0, delay+time.Duration(w.random.Int64N(int64(2*l.Jitter)+1))-l.Jitter)
	}
	due := now.Add(delay)
	if !l.Overtake && due.Before(w.last) {
		due = w.last
	}
	w.last = due
	w.number++
	first := len(w.flight) == 0 || due.Before(w.flight[0].due)
	heap.Push(&w.flight, packet{due, w.number, append([]byte(nil), data...)})
	if first {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// take returns the packet that is due, or how long until one is; without any,
// an hour.
func (w *wire) take(now time.Time) (data []byte, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.flight) == 0 {
		return nil, time.Hour
	}
	if wait = w.flight[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	data = heap.Pop(&w.flight).(packet).data
	w.counts.Packets++
	w.counts.Bytes += uint64(len(data))
	return data, 0
}

// run hands packets over until stop is closed.
func (w *wire) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		data, wait := w.take(time.Now())
		if data != nil {
			_, _ = w.to.Write(data) // a host that is gone, or refuses it, has lost it
			continue
		}
		timer.Reset(wait)
		select {
		case <-stop:
			return
		case <-w.wake:
		case <-timer.C:
		}
	}
}

func (w *wire) counted() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}
