package authority

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// aliasTypes are the two families of addresses, in the order of a target's.
var aliasTypes = [...]uint16{dns.TypeA, dns.TypeAAAA}

// confirmations is how many look-ups in a row must say that a host has no more
// addresses of one family, while it has others, until that is believed.
const confirmations = 3

// Waits before a look-up that failed is made again.
const (
	firstAskAgain = time.Second
	mostAskAgain  = 30 * time.Second
)

// aliasRules are the bounds of a target's times.
type aliasRules struct{ minTTL, maxTTL, stale time.Duration }

// target is what is known of one host. It reads no clock and asks nobody.
//
// What was learned once is never lost but to something better: neither a
// failure nor the news that the host has no address at all takes an address
// away.
type target struct {
	families [len(aliasTypes)]family
	// resolved is when a resolver told addresses last; zero: never.
	resolved time.Time
	// failed is how many look-ups in a row failed in part or whole, problem why
	// the last one did.
	failed  int
	problem string
	// due is when to look up next.
	due time.Time
}

// family is what is known of a host's addresses of one type.
type family struct {
	// known says that a resolver said once what there is; without addresses: none.
	known bool
	addrs []netip.Addr
	// ttl is in seconds, and counts from when the addresses were learned until
	// until; the zero time: that is long ago, before the start.
	ttl   uint32
	until time.Time
	// gone is how many look-ups in a row said that the addresses are no more.
	gone int
}

// stale reports whether the addresses should have been renewed by now.
func (f family) stale(now time.Time) bool { return f.known && !now.Before(f.until) }

// finding is what looking one family up came to.
type finding struct {
	found
	err error
}

// news is what a look-up changed.
type news struct {
	// addresses: others than before.
	addresses bool
	// failed: the last look-up was well, this one is not; well: the other way.
	failed, well bool
}

// learn takes in what looking both families up came to. jitter is from 0 to 1.
func (t *target) learn(now time.Time, got [len(aliasTypes)]finding, rules aliasRules, jitter float64) news {
	any := slices.ContainsFunc(got[:], func(o finding) bool { return o.err == nil && len(o.addrs) > 0 })
	var problems []error
	var changed bool
	wait := rules.maxTTL
	for i, o := range got {
		renewed, differs, err := t.families[i].learn(now, o, any, rules)
		changed = changed || differs
		if err != nil {
			if len(problems) == 0 || problems[0].Error() != err.Error() {
				problems = append(problems, err)
			}
		} else {
			wait = min(wait, renewed)
		}
	}
	was := t.failed
	if err := errors.Join(problems...); err != nil {
		t.failed++
		t.problem = strings.ReplaceAll(err.Error(), "\n", "; ")
		wait = min(wait, mostAskAgain, firstAskAgain<<min(t.failed-1, 10))
	} else {
		t.failed, t.problem = 0, ""
	}
	if any {
		t.resolved = now
	}
	// At the TTL's end, or later by a tenth at most: before, a resolver would
	// give what is left of it again.
	t.due = now.Add(wait + time.Duration(jitter*float64(min(wait/10, 5*time.Second))))
	return news{addresses: changed, failed: was == 0 && t.failed > 0, well: was > 0 && t.failed == 0}
}

// learn takes in one family's outcome; any says that there are addresses of
// this or the other one. It returns when to ask again, and whether other
// addresses hold from now on.
func (f *family) learn(now time.Time, o finding, any bool, rules aliasRules) (wait time.Duration, differs bool, err error) {
	ttl := max(min(time.Duration(o.ttl)*time.Second, rules.maxTTL), rules.minTTL)
	switch {
	case o.err != nil:
		f.gone = 0
		return 0, false, o.err
	case len(o.addrs) > 0:
		differs = !f.known || !slices.Equal(f.addrs, o.addrs)
		f.addrs, f.gone = o.addrs, 0
	case !any:
		f.gone = 0
		return 0, false, fmt.Errorf("the resolver says that there is no address (%s), which takes none away", o.none)
	case len(f.addrs) > 0:
		if f.gone++; f.gone < confirmations {
			return 0, false, fmt.Errorf("the resolver says %s; what was served is kept until it says so %d times in a row", o.none, confirmations)
		}
		f.addrs, f.gone, differs = nil, 0, true
	default:
		differs = !f.known
	}
	f.known, f.ttl, f.until = true, uint32(ttl/time.Second), now.Add(ttl) // #nosec G115 -- at most maxTTL
	return ttl, differs, nil
}

// flat is a target as answers are made of it. It does not change.
type flat struct {
	families [len(aliasTypes)]flatFamily
}

// flatFamily is one family of a flat.
type flatFamily struct {
	known bool
	addrs []string
	ttl   uint32
	until time.Time // the zero time: the TTL does not run
	stale bool
}

// flat returns the target as it is to be served from now on.
func (t *target) flat(now time.Time, rules aliasRules) *flat {
	out := new(flat)
	for i, f := range t.families {
		to := &out.families[i]
		to.known, to.ttl, to.until = f.known, f.ttl, f.until
		if f.stale(now) {
			to.stale, to.ttl, to.until = true, uint32(rules.stale/time.Second), time.Time{} // #nosec G115 -- a day at most
		}
		for _, a := range f.addrs {
			to.addrs = append(to.addrs, a.String())
		}
	}
	return out
}

// addresses are those of both families.
func (t *target) addresses() []netip.Addr {
	var out []netip.Addr
	for _, f := range t.families {
		out = append(out, f.addrs...)
	}
	return out
}
