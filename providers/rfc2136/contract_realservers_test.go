//go:build realservers

package rfc2136_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// timeout is long: the machine may be busy, and no test waits for it.
const timeout = 20 * time.Second

func TestBIND(t *testing.T) {
	p := startBIND(t)
	t.Run("follow", func(t *testing.T) { testFollow(t, p) })
	testServer(t, p, ways{
		otherSecret: "NOTAUTH BADSIG", unknownKey: "NOTAUTH BADKEY", badTime: "NOTAUTH BADTIME", otherKey: "REFUSED", unsigned: "REFUSED",
		otherName: "REFUSED", otherType: dns.RcodeRefused, pairs: true,
	})
}

func TestKnot(t *testing.T) {
	testServer(t, startKnot(t), ways{
		otherSecret: "NOTAUTH BADSIG", unknownKey: "NOTAUTH BADKEY", badTime: "NOTAUTH BADTIME", otherKey: "NOTAUTH", unsigned: "NOTAUTH",
		otherName: "NOTAUTH", otherType: dns.RcodeNotAuth, again: true,
	})
}

func TestPowerDNS(t *testing.T) {
	testServer(t, startPowerDNS(t), ways{
		otherSecret: "NOTAUTH", unknownKey: "NOTAUTH", badTime: "NOTAUTH", otherKey: "NOTAUTH", unsigned: "NOTAUTH",
		drops: true, pairs: true, otherType: dns.RcodeSuccess,
	})
}

// testServer shows on a real server all that the adapter relies on.
func testServer(t *testing.T, p *primary, w ways) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", p.log)
		}
	})
	t.Run("contract", func(t *testing.T) { testContract(t, p) })
	t.Run("refusals", func(t *testing.T) { testRefusals(t, p, w) })
	t.Run("one of many wins", func(t *testing.T) { testRace(t, p) })
	t.Run("aliases", func(t *testing.T) { testAliases(t, p, p.take(t, false), false) })
	t.Run("a signed zone", func(t *testing.T) { testSigned(t, p, w) })
	t.Run("wildcards", func(t *testing.T) { testWildcards(t, p) })
}

func testContract(t *testing.T, p *primary) {
	providertest.Run(t, func(t *testing.T) providertest.World {
		zone := p.take(t, strings.Contains(t.Name(), "of_several_requests"))
		line := &providertest.Line{}
		wire := rfc2136test.NewWire(line, dialer())
		wire.Key = veerKey
		return rfc2136test.Contract(owner, line, p.admin(zone), func(owner string) providers.Provider {
			return p.as(t, zone, owner, veerKey, wire.Dial)
		})
	})
}

// testSigned: what DNSSEC adds to a zone is no hindrance.
func testSigned(t *testing.T, p *primary, w ways) {
	zone := p.takeOf(t, func(z zone) bool { return z.signed })
	testAliases(t, p, zone, w.again)
	conn, err := dns.Dial("udp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := new(dns.Msg)
	m.SetQuestion(zone, dns.TypeDNSKEY)
	r, _, err := new(dns.Client).ExchangeWithConn(m, conn)
	if err != nil || len(r.Answer) == 0 {
		t.Errorf("the zone is not signed: %v, %v", r, err)
	}
}

// TestDocs holds the policies of the page to those that the servers were tried
// with.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/providers/rfc2136.md")
	if err != nil {
		t.Fatal(err)
	}
	const zone = "example.org."
	steered := []string{"app"}
	marks := marksOf(zone, steered, owner)
	for name, policy := range map[string]string{
		"BIND": bindPolicy(zone, steered, marks), "Knot": knotACL("veer", steered, marks),
		"PowerDNS": pdnsNames(zone, steered, marks) + pdnsPolicy,
	} {
		if !strings.Contains(string(page), policy) {
			t.Errorf("the page has not the policy for %s:\n%s", name, policy)
		}
	}
}
