package authority

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// probe is one of the compliance probes of RFC 8906, section 8.
type probe struct {
	section, name string
	// change makes the probe of a plain SOA query for the zone.
	change func(m *dns.Msg)
	// bytes changes the packet itself.
	bytes func(packet []byte) []byte
	want  probed
}

// probed is what a probe expects. An answer never has reserved bits, an
// unknown option, RA, AD or CD set.
type probed struct {
	rcode   int
	soa, aa bool
	opt, do bool
	tc      bool // over UDP; over TCP the answer is whole
}

// unknownOption is not assigned; neither is unknownFlag.
const (
	unknownOption = 100
	unknownFlag   = 0x40
)

func withEDNS(version uint8, change func(o *dns.OPT)) func(*dns.Msg) {
	return func(m *dns.Msg) {
		m.SetEdns0(4096, false)
		o := m.IsEdns0()
		o.SetVersion(version)
		if change != nil {
			change(o)
		}
	}
}

func withOption(o *dns.OPT) {
	o.Option = append(o.Option, &dns.EDNS0_LOCAL{Code: unknownOption})
}

func withFlag(o *dns.OPT) { o.Hdr.Ttl |= unknownFlag }

func withDO(o *dns.OPT) { o.SetDo() }

var (
	plainSOA = probed{soa: true, aa: true}
	ednsSOA  = probed{soa: true, aa: true, opt: true}
	badVers  = probed{rcode: dns.RcodeBadVers, opt: true}
)

var probes = []probe{
	{"8.1.1", "the zone is served", nil, nil, plainSOA},
	{"8.1.2", "unknown type", func(m *dns.Msg) { m.Question[0].Qtype = 1000 }, nil, probed{aa: true}},
	{"8.1.3.1", "CD=1", func(m *dns.Msg) { m.CheckingDisabled = true }, nil, plainSOA},
	{"8.1.3.2", "AD=1", func(m *dns.Msg) { m.AuthenticatedData = true }, nil, plainSOA},
	{"8.1.3.3", "reserved bit", func(m *dns.Msg) { m.Zero = true }, nil, plainSOA},
	{"8.1.3.4", "RD=1", func(m *dns.Msg) { m.RecursionDesired = true }, nil, plainSOA},
	{"8.1.4", "unknown opcode, header only", func(m *dns.Msg) { m.Opcode, m.Question = 15, nil }, nil, probed{rcode: dns.RcodeNotImplemented}},
	{"8.1.4", "unknown opcode, all bits set", func(m *dns.Msg) { m.Opcode = 15 }, func(p []byte) []byte { p[2] |= 0x07; p[3] = 0xf0; return p[:headerSize] }, probed{rcode: dns.RcodeNotImplemented}},
	{"8.1.5", "TCP", nil, nil, plainSOA}, // as each probe is sent over both
	{"8.2.1", "minimal EDNS", withEDNS(0, nil), nil, ednsSOA},
	{"8.2.2", "version negotiation", withEDNS(1, nil), nil, badVers},
	{"8.2.3", "unknown option", withEDNS(0, withOption), nil, ednsSOA},
	{"8.2.4", "unknown flag", withEDNS(0, withFlag), nil, ednsSOA},
	{"8.2.5", "version negotiation with an unknown flag", withEDNS(1, withFlag), nil, badVers},
	{"8.2.6", "version negotiation with an unknown option", withEDNS(1, withOption), nil, badVers},
	{"8.2.7", "truncated answer", func(m *dns.Msg) {
		m.Question[0].Name, m.Question[0].Qtype = "big.example.test.", dns.TypeTXT
		m.SetEdns0(512, true)
	}, nil, probed{aa: true, opt: true, do: true, tc: true}},
	{"8.2.8", "DO=1", withEDNS(0, withDO), nil, probed{soa: true, aa: true, opt: true, do: true}},
	{"8.2.9", "version negotiation with DO=1", withEDNS(1, withDO), nil, probed{rcode: dns.RcodeBadVers, opt: true, do: true}},
	{"8.2.10", "several defined options", withEDNS(0, func(o *dns.OPT) {
		o.Option = append(o.Option,
			&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"},
			&dns.EDNS0_NSID{Code: dns.EDNS0NSID},
			&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true},
			&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, Address: net.IPv4zero})
	}), nil, ednsSOA},
}

// TestRFC8906Probes sends every probe over UDP and TCP.
func TestRFC8906Probes(t *testing.T) {
	s := startServer(t, exampleConfig(), Options{})
	for _, p := range probes {
		for _, a := range s.Addrs() {
			m := new(dns.Msg)
			m.Id, m.Question = 4711, []dns.Question{{Name: "example.test.", Qtype: dns.TypeSOA, Qclass: dns.ClassINET}}
			if p.change != nil {
				p.change(m)
			}
			packet, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if p.bytes != nil {
				packet = p.bytes(packet)
			}
			got := exchangePacket(t, a, packet)
			if d := p.want.compare(m, got, a.Network() == "tcp"); d != "" {
				t.Errorf("%s %s over %s: %s:\n%v", p.section, p.name, a.Network(), d, got)
			}
		}
	}
}

// exchangePacket sends a packet and reads the answer.
func exchangePacket(t *testing.T, a net.Addr, packet []byte) *dns.Msg {
	t.Helper()
	c, err := dns.DialTimeout(a.Network(), a.String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.UDPSize = dns.MaxMsgSize - 1
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(packet); err != nil {
		t.Fatal(err)
	}
	m, err := c.ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// compare says how an answer differs from what the probe wants, "" for not.
func (want probed) compare(q, m *dns.Msg, tcp bool) string {
	soa := len(m.Answer) == 1 && typed(m.Answer[0], dns.TypeSOA)
	opt := m.IsEdns0()
	switch {
	case m.Rcode != want.rcode:
		return "rcode " + dns.RcodeToString[m.Rcode]
	case m.Id != q.Id || !m.Response || m.Opcode != q.Opcode:
		return "the header belongs to another query"
	case m.Zero || m.RecursionAvailable || m.AuthenticatedData || m.CheckingDisabled:
		return "a flag that must not be set"
	case m.Authoritative != want.aa:
		return "AA"
	case soa != want.soa:
		return "SOA in the answer"
	case m.Truncated != (want.tc && !tcp):
		return "TC"
	case (opt != nil) != want.opt:
		return "OPT"
	case opt == nil:
		return ""
	case opt.Version() != 0:
		return "the version of EDNS"
	case opt.Hdr.Ttl&0x7fff != 0:
		return "an unknown flag was copied"
	case opt.Do() != want.do:
		return "DO"
	}
	for _, o := range opt.Option {
		if o.Option() == unknownOption {
			return "an unknown option was copied"
		}
	}
	return ""
}

// TestRFC8906ProbesMutant: each wrong answer is seen.
func TestRFC8906ProbesMutant(t *testing.T) {
	q := new(dns.Msg)
	q.SetQuestion("example.test.", dns.TypeSOA)
	soa, err := dns.NewRR("example.test. 60 IN SOA ns. h. 1 2 3 4 5")
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(m *dns.Msg){
		"":                 func(*dns.Msg) {},
		"rcode":            func(m *dns.Msg) { m.Rcode = dns.RcodeFormatError },
		"no aa":            func(m *dns.Msg) { m.Authoritative = false },
		"reserved bit":     func(m *dns.Msg) { m.Zero = true },
		"ad":               func(m *dns.Msg) { m.AuthenticatedData = true },
		"cd":               func(m *dns.Msg) { m.CheckingDisabled = true },
		"ra":               func(m *dns.Msg) { m.RecursionAvailable = true },
		"tc":               func(m *dns.Msg) { m.Truncated = true },
		"no soa":           func(m *dns.Msg) { m.Answer = nil },
		"no opt":           func(m *dns.Msg) { m.Extra = nil },
		"version":          func(m *dns.Msg) { m.IsEdns0().SetVersion(1) },
		"flag copied":      func(m *dns.Msg) { withFlag(m.IsEdns0()) },
		"option copied":    func(m *dns.Msg) { withOption(m.IsEdns0()) },
		"do without asked": func(m *dns.Msg) { m.IsEdns0().SetDo() },
		"id":               func(m *dns.Msg) { m.Id++ },
	} {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative, m.Answer = true, []dns.RR{soa}
		m.SetEdns0(1232, false)
		spoil(m)
		if d := ednsSOA.compare(q, m, false); (d == "") != (name == "") {
			t.Errorf("fault %q: found %q", name, d)
		}
	}
}
