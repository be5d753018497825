//go:build linux

package links

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Network is the hosts and the links between them. Its methods may be called
// concurrently, but for AddHost and Close.
type Network struct {
	seed  uint64
	stop  chan struct{}
	tasks sync.WaitGroup

	mu    sync.Mutex
	hosts map[byte]*Host
	wires map[[2]byte]*wire
}

// New makes a network without hosts. The seed decides which packets are lost
// and how they jitter.
func New(seed uint64) *Network {
	return &Network{seed: seed, stop: make(chan struct{}), hosts: map[byte]*Host{}, wires: map[[2]byte]*wire{}}
}

// AddHost makes the host 10.77.n.10, with a zero Link to and from all others.
func (n *Network) AddHost(name string, number byte) (*Host, error) {
	h, err := newHost(name, number)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	for m, other := range n.hosts {
		n.wires[[2]byte{number, m}] = n.start(newWire(other.tun, Link{}, n.random(number, m)))
		n.wires[[2]byte{m, number}] = n.start(newWire(h.tun, Link{}, n.random(m, number)))
	}
	n.hosts[number] = h
	n.mu.Unlock()
	n.tasks.Go(func() { n.read(h) })
	return h, nil
}

func (n *Network) random(from, to byte) *rand.Rand {
	return rand.New(rand.NewPCG(n.seed, uint64(from)<<8|uint64(to)))
}

func (n *Network) start(w *wire) *wire {
	n.tasks.Go(func() { w.run(n.stop) })
	return w
}

// read hands the packets of one host to the wires, until its device is closed.
func (n *Network) read(h *Host) {
	buf := make([]byte, 1<<16)
	for {
		k, err := h.tun.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		p := buf[:k]
		if k < 20 || p[0]>>4 != 4 || p[16] != 10 || p[17] != 77 {
			continue // not IPv4, or to nowhere
		}
		if w := n.wire(h.N, p[18]); w != nil {
			w.send(p, now)
		}
	}
}

func (n *Network) wire(from, to byte) *wire {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wires[[2]byte{from, to}]
}

// Set sets the link in one direction.
func (n *Network) Set(from, to *Host, l Link) {
	if w := n.wire(from.N, to.N); w != nil {
		w.set(l)
	}
}

// Both sets the links in both directions.
func (n *Network) Both(a, b *Host, l Link) {
	n.Set(a, b, l)
	n.Set(b, a, l)
}

// Get returns the link in one direction.
func (n *Network) Get(from, to *Host) Link {
	w := n.wire(from.N, to.N)
	if w == nil {
		return Link{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.link
}

// Counts returns what the link of one direction has carried.
func (n *Network) Counts(from, to *Host) Counts {
	w := n.wire(from.N, to.N)
	if w == nil {
		return Counts{}
	}
	return w.counted()
}

// Close ends the relay and all hosts, with the processes on them.
func (n *Network) Close() error {
	var errs []error
	for _, h := range n.hosts {
		errs = append(errs, h.close())
	}
	close(n.stop)
	n.tasks.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the network: %w", err)
	}
	return nil
}
