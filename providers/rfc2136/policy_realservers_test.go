//go:build realservers

package rfc2136_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// ways is how a server refuses what it does not allow: a part of what Veer says
// of it.
type ways struct {
	otherSecret, unknownKey, badTime, otherKey, unsigned, otherName string
	// otherType is the answer to an update of a type that the key may not
	// update at that name.
	otherType int
	// pairs: the policy says which types each name may have, not only which
	// names and which types.
	pairs bool
	// drops: of an update, what is not allowed is left out, and the rest made.
	drops bool
	// again: in a signed zone an alias in the place of addresses is left out.
	again bool
}

// testRefusals shows that who does not have the right key, or not the right,
// changes nothing, and is told why.
func testRefusals(t *testing.T, p *primary, w ways) {
	zone := p.take(t, false)
	hour := func() time.Time { return time.Now().Add(-time.Hour) }
	unknown := veerKey
	unknown.Name = "nobody."
	for _, c := range []struct {
		name string
		key  rfc2136test.Key
		now  func() time.Time
		want string
	}{
		{"another secret", wrongKey, nil, w.otherSecret},
		{"a key that is not known", unknown, nil, w.unknownKey},
		{"a clock that is wrong", veerKey, hour, w.badTime},
		{"a key of somebody else", otherKey, nil, w.otherKey},
		{"no key", rfc2136test.Key{}, nil, w.unsigned},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := p.with(t, zone, c.key, rfc2136.Options{Owner: owner, Log: zerolog.Nop(), Now: c.now})
			_, err := v.Read(t.Context(), zone)
			t.Logf("read: %v", err)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("reading gives %v; want %q", err, c.want)
			}
			if err := v.Prove(t.Context(), zone); err == nil || errors.Is(err, providers.ErrUnproven) {
				t.Errorf("writing gives %v; want it refused", err)
			}
		})
	}
	t.Run("another type", func(t *testing.T) {
		forbidden := []string{"app.%s 60 IN MX 10 mail.invalid.", "%s 60 IN A 192.0.2.1", "%s 60 IN TXT x"}
		if w.pairs {
			forbidden = append(forbidden, "app.%s 60 IN TXT x", "_veer.app.%s 60 IN A 192.0.2.1")
		}
		for _, rr := range forbidden {
			rr = fmt.Sprintf(rr, zone)
			if got := p.update(t, zone, veerKey, rr); got != w.otherType {
				t.Errorf("%s: the server answers %s, want %s", rr, dns.RcodeToString[got], dns.RcodeToString[w.otherType])
			}
		}
	})
	t.Run("another name", func(t *testing.T) { testOtherName(t, p, zone, w) })
	rrs, err := p.admin(zone).Records()
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range rrs {
		h := rr.Header()
		if h.Name != zone && !strings.HasPrefix(h.Name, "_veer-fence.") || h.Name == zone && (h.Rrtype == dns.TypeA || h.Rrtype == dns.TypeTXT) {
			t.Errorf("after all was refused, the zone has %s", rr)
		}
	}
}

// testOtherName writes a name that the policy does not allow.
func testOtherName(t *testing.T, p *primary, zone string, w ways) {
	var mu sync.Mutex
	var text bytes.Buffer
	log := zerolog.New(zerolog.SyncWriter(locked{&mu, &text}))
	short := *p // Knot's refusal is not signed, and one that is signed is waited for
	short.timeout = 2 * time.Second
	v := short.with(t, zone, veerKey, rfc2136.Options{Owner: owner, Log: log})
	from, err := v.Read(t.Context(), zone)
	if err != nil {
		t.Fatal(err)
	}
	set := providers.RRSet{Name: "secret." + zone, Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}
	next := providers.Fence{Owner: owner, Term: 1, Holder: "h", Write: 1}
	_, err = v.Apply(t.Context(), from, next, []providers.Change{{After: &set}})
	t.Logf("apply: %v", err)
	if w.drops {
		mu.Lock()
		defer mu.Unlock()
		if !errors.Is(err, providers.ErrConflict) || !strings.Contains(text.String(), "its records are not as it has them") {
			t.Errorf("an update that was made in part gives %v; want a conflict, and it logged:\n%s", err, text.String())
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), w.otherName) {
		t.Errorf("writing gives %v; want %q", err, w.otherName)
	}
}

type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// update adds a record with a key, and returns what the server answers.
func (p *primary) update(t *testing.T, zone string, k rfc2136test.Key, record string) int {
	t.Helper()
	rr, err := dns.NewRR(record)
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	m.SetUpdate(zone)
	m.Insert([]dns.RR{rr})
	m.SetTsig(k.Name, k.Algorithm, 300, time.Now().Unix())
	c := &dns.Client{Net: "tcp", Timeout: timeout, TsigSecret: map[string]string{k.Name: k.Secret}}
	r, _, err := c.Exchange(m, p.address)
	if r == nil {
		t.Fatal(err)
	}
	return r.Rcode
}
