package rfc2136test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Race sends updates with one prerequisite at once. A server that checks and
// changes in one step makes exactly one of them.
type Race struct {
	Dial    DialFunc
	Address string
	Key     Key
	Zone    string
	Name    string // what is changed: its A records
}

// Run races so many updates in each round, of which each depends on who won the
// round before, half over TCP and half over UDP. It returns the last winner's
// address, and an error where not exactly one was made.
func (r Race) Run(rounds, racers int) (last string, err error) {
	conns := make([]net.Conn, racers)
	for i := range conns {
		conn, err := r.Dial(context.Background(), []string{"tcp", "udp"}[i%2], r.Address)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		conns[i] = conn
	}
	for round := range rounds {
		won, err := r.round(conns, round, last)
		if err != nil {
			return "", fmt.Errorf("round %d: %w", round, err)
		}
		last = address(round, won)
	}
	return last, nil
}

func address(round, racer int) string { return fmt.Sprintf("192.0.%d.%d", round%256, racer+1) }

func (r Race) round(conns []net.Conn, round int, was string) (won int, err error) {
	begin := make(chan struct{})
	rcodes, errs := make([]int, len(conns)), make([]error, len(conns))
	var all sync.WaitGroup
	for i, conn := range conns {
		m, err := r.update(was, address(round, i))
		if err != nil {
			return 0, err
		}
		all.Go(func() {
			<-begin
			rcodes[i], errs[i] = r.send(conn, []string{"tcp", "udp"}[i%2], m)
		})
	}
	close(begin)
	all.Wait()
	won = -1
	for i, rcode := range rcodes {
		switch {
		case errs[i] != nil:
			return 0, errs[i]
		case rcode == dns.RcodeSuccess && won >= 0:
			return 0, fmt.Errorf("two updates on the same prerequisite were made")
		case rcode == dns.RcodeSuccess:
			won = i
		case rcode != dns.RcodeNXRrset && rcode != dns.RcodeYXRrset:
			return 0, fmt.Errorf("the server answers %s", dns.RcodeToString[rcode])
		}
	}
	if won < 0 {
		return 0, fmt.Errorf("no update was made")
	}
	return won, nil
}

// update turns the one address into the other.
func (r Race) update(was, is string) (*dns.Msg, error) {
	record := func(data string) ([]dns.RR, error) {
		rr, err := dns.NewRR(r.Name + " 60 IN A " + data)
		return []dns.RR{rr}, err
	}
	next, err := record(is)
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	m.SetUpdate(r.Zone)
	if was == "" {
		m.RRsetNotUsed(next)
	} else {
		before, err := record(was)
		if err != nil {
			return nil, err
		}
		m.Used(before)
	}
	m.RemoveRRset(next)
	m.Insert(next)
	m.SetTsig(r.Key.Name, r.Key.Algorithm, 300, time.Now().Unix())
	return m, nil
}

func (r Race) send(conn net.Conn, network string, m *dns.Msg) (rcode int, err error) {
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	wire, mac, err := dns.TsigGenerate(m, r.Key.Secret, "", false)
	if err != nil {
		return 0, err
	}
	if err := writeMessage(conn, network, wire); err != nil {
		return 0, err
	}
	reply, err := readMessage(conn, network)
	if err != nil {
		return 0, err
	}
	a := new(dns.Msg)
	if err := a.Unpack(reply); err != nil {
		return 0, err
	}
	if a.Rcode != dns.RcodeNotAuth { // of which the library verifies none
		err = dns.TsigVerify(reply, r.Key.Secret, mac, false)
	}
	return a.Rcode, err
}
