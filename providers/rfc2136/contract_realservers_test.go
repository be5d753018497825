//go:build realservers

package rfc2136_test

import (
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// timeout is long: the machine may be busy, and no test waits for it.
const timeout = 20 * time.Second

func TestBIND(t *testing.T)     { testServer(t, startBIND(t)) }
func TestKnot(t *testing.T)     { testServer(t, startKnot(t)) }
func TestPowerDNS(t *testing.T) { testServer(t, startPowerDNS(t)) }

// testServer shows on a real server all that the adapter relies on.
func testServer(t *testing.T, p *primary) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", p.log)
		}
	})
	t.Run("contract", func(t *testing.T) { testContract(t, p) })
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
