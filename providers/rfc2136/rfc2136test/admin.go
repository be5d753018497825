package rfc2136test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// Admin is somebody with a key that may do all, who edits and reads a zone past
// every fence.
type Admin struct {
	Dial    DialFunc
	Address string
	Key     Key // no name: unsigned
	Zone    string
}

// exchange sends a message over TCP and returns the replies' answers: one, or
// all of a transfer.
func (a Admin) exchange(m *dns.Msg) ([]dns.RR, error) {
	conn, err := a.Dial(context.Background(), "tcp", a.Address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	secrets := map[string]string(nil)
	if a.Key.Name != "" {
		secrets = map[string]string{a.Key.Name: a.Key.Secret}
		m.SetTsig(a.Key.Name, a.Key.Algorithm, 300, time.Now().Unix())
	}
	if m.Question[0].Qtype == dns.TypeAXFR {
		return receive(m, conn, secrets)
	}
	c := &dns.Conn{Conn: conn, TsigSecret: secrets}
	if err := c.WriteMsg(m); err != nil {
		return nil, err
	}
	r, err := c.ReadMsg()
	switch {
	case err != nil:
		return nil, err
	case r.Rcode != dns.RcodeSuccess:
		return nil, fmt.Errorf("the server answers %s", dns.RcodeToString[r.Rcode])
	}
	return r.Answer, nil
}

func receive(m *dns.Msg, conn net.Conn, secrets map[string]string) ([]dns.RR, error) {
	t := &dns.Transfer{Conn: &dns.Conn{Conn: conn}, TsigSecret: secrets}
	parts, err := t.In(m, "")
	if err != nil {
		return nil, err
	}
	var out []dns.RR
	for part := range parts {
		if part.Error != nil {
			err = part.Error
		}
		out = append(out, part.RR...)
	}
	return out, err
}

// Put replaces a set. The name becomes the owner's; with "" it stays whose it
// is.
func (a Admin) Put(owner string, set providers.RRSet) error {
	m := new(dns.Msg)
	m.SetUpdate(a.Zone)
	set = set.Canonical()
	rrs := make([]dns.RR, len(set.Data))
	for i, data := range set.Data {
		rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", set.Name, set.TTL, set.Type, data))
		if err != nil {
			return err
		}
		rrs[i] = rr
	}
	m.RemoveRRset(rrs[:1])
	m.Insert(rrs)
	if owner != "" {
		mark, err := dns.NewRR(fmt.Sprintf("%s 60 IN TXT %q", providers.OwnerName(set.Name), providers.OwnerText(owner)))
		if err != nil {
			return err
		}
		m.RemoveRRset([]dns.RR{mark})
		m.Insert([]dns.RR{mark})
	}
	_, err := a.exchange(m)
	return err
}

// Delete removes a set.
func (a Admin) Delete(name, typ string) error {
	m := new(dns.Msg)
	m.SetUpdate(a.Zone)
	m.Ns = []dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: name, Rrtype: dns.StringToType[typ], Class: dns.ClassANY}}}
	_, err := a.exchange(m)
	return err
}

// Records returns every record of the zone.
func (a Admin) Records() ([]dns.RR, error) {
	m := new(dns.Msg)
	m.SetAxfr(a.Zone)
	return a.exchange(m)
}

// All returns every steered set of the zone, sorted by key.
func (a Admin) All() ([]providers.RRSet, error) {
	return a.Sets(func(set providers.RRSet) bool { return providers.Steered(set.Type) })
}

// Types returns the other sets, without the zone's own and Veer's.
func (a Admin) Types() ([]providers.RRSet, error) {
	return a.Sets(func(set providers.RRSet) bool {
		return !providers.Steered(set.Type) && set.Name != a.Zone && !strings.HasPrefix(set.Name, "_veer")
	})
}

// Sets returns those that are wanted, sorted by key.
func (a Admin) Sets(want func(providers.RRSet) bool) ([]providers.RRSet, error) {
	rrs, err := a.Records()
	if err != nil {
		return nil, err
	}
	byKey := map[providers.Key]providers.RRSet{}
	for i, rr := range rrs {
		h := rr.Header()
		set := providers.RRSet{Name: providers.CanonicalName(h.Name), Type: dns.Type(h.Rrtype).String(), TTL: h.Ttl}
		if want(set) && (i == 0 || h.Rrtype != dns.TypeSOA) {
			set.Data = append(byKey[set.Key()].Data, strings.TrimPrefix(rr.String(), h.String()))
			byKey[set.Key()] = set
		}
	}
	return providers.ApplyTo(slices.Collect(maps.Values(byKey)), nil), nil
}
