package authority

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ledger is a second, simple rate limit: a map of balances, with no hash, no
// table and no wrapping clock. A pair has a balance of at most a second's
// answers, earns with time, and pays for every answer, also for those that it
// does not get, down to a window's debt.
type ledger struct {
	rate     [limitClasses]int
	window   time.Duration
	slip     int
	v4, v6   int
	balances map[string]*balance
}

type balance struct {
	left time.Duration // how long a second's answers would take that it has left
	at   time.Duration
	over int
}

// tick is the limiter's precision: the ledger has times in whole ticks too.
const tick = 1 << tickShift

func (b *ledger) cost(c limitClass) time.Duration {
	return (time.Second/time.Duration(b.rate[c]) + tick - 1) / tick * tick
}

func (b *ledger) decide(from netip.Addr, what subject, now time.Duration) limitAction {
	length := b.v6
	if from.Is4() {
		length = b.v4
	}
	network, _ := from.Prefix(length)
	pair := fmt.Sprint(network, what)
	acc, second := b.balances[pair], b.cost(what.class)*time.Duration(b.rate[what.class])
	if acc == nil {
		acc = &balance{left: second, at: now}
		b.balances[pair] = acc
	}
	acc.left = min(acc.left+now-acc.at, second)
	acc.at = now
	acc.left -= b.cost(what.class)
	if acc.left >= 0 {
		return limitPass
	}
	acc.left = max(acc.left, second-time.Second-b.window)
	acc.over++
	slip := b.slip
	if what.class == limitErrors && slip > 0 {
		slip = max(slip, 2)
	}
	if slip > 0 && acc.over%slip == 0 {
		return limitSlip
	}
	return limitDrop
}

// tooOften returns a pair and a time in which it got more than its rate allows.
func (b *ledger) tooOften(passed map[string][]time.Duration, class map[string]limitClass) error {
	for pair, at := range passed {
		rate := float64(b.rate[class[pair]])
		for i := range at {
			for j := i; j < len(at); j++ {
				if most := rate*((at[j]-at[i]).Seconds()+1) + 1e-6; float64(j-i+1) > most {
					return fmt.Errorf("%s got %d answers in %s, and its limit is %g a second", pair, j-i+1, at[j]-at[i], rate)
				}
			}
		}
	}
	return nil
}

// searchLimits plays a story of queries to the limiter and to the ledger.
func searchLimits(t *rapid.T, plant func(*limiter)) error {
	config := RateLimit{
		ResponsesPerSecond: rapid.SampledFrom([]int{1, 2, 3, 7, 30}).Draw(t, "rate"),
		NXDomainsPerSecond: rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "nxdomains"),
		ErrorsPerSecond:    rapid.SampledFrom([]int{0, 2}).Draw(t, "errors"),
		Window:             rapid.SampledFrom([]time.Duration{0, time.Second, 4 * time.Second}).Draw(t, "window"),
		PrefixV6:           rapid.SampledFrom([]int{0, 64, 72}).Draw(t, "prefix"),
		Loopback:           true,
	}
	slip := rapid.IntRange(0, 3).Draw(t, "slip")
	config.Slip = &slip
	rules := config.rules()
	model := ledger{window: rules.window, slip: slip, v4: rules.v4, v6: rules.v6, balances: map[string]*balance{}}
	for class := range limitClasses {
		model.rate[class] = config.ResponsesPerSecond
	}
	if config.NXDomainsPerSecond > 0 {
		model.rate[limitNXDomain] = config.NXDomainsPerSecond
	}
	if config.ErrorsPerSecond > 0 {
		model.rate[limitErrors] = config.ErrorsPerSecond
	}
	l := newLimiter(rules, defaultAccounts)
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) // #nosec G404 -- so that a story can be played again
	for i := range l.seed {
		l.seed[i] = rng.Uint64() | 1
	}
	plant(l)
	clients := []string{"192.0.2.1", "192.0.2.200", "192.0.3.1", "2001:db8::1", "2001:db8::ff:1:2:3:4", "2001:db8:0:100::1", "2001:db8:0:1::1", "::ffff:c0:2"}
	subjects := []subject{{limitAnswers, 1, 7}, {limitAnswers, 28, 7}, {limitAnswers, 1, 8}, {limitNoData, 0, 7}, {limitReferrals, 0, 7}, {limitNXDomain, 0, 7}, {class: limitErrors}}
	passed, classes := map[string][]time.Duration{}, map[string]limitClass{}
	now := time.Duration(0)
	for range rapid.IntRange(1, 150).Draw(t, "queries") {
		now += tick * time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 1000, 200_000, 1_000_000, 4_000_000, 80_000_000}).Draw(t, "ticks"))
		from, what := netip.MustParseAddr(rapid.SampledFrom(clients).Draw(t, "client")), rapid.SampledFrom(subjects).Draw(t, "answer")
		got, want := l.weigh(from, what, l.ticks(l.start.Add(now))), model.decide(from, what, now)
		if got == limitPass {
			pair := fmt.Sprint(from, what)
			passed[pair], classes[pair] = append(passed[pair], now), what.class
		}
		if got != want {
			return fmt.Errorf("%s, %+v: %d, want %d (config %+v)", from, what, got, want, config)
		}
	}
	return model.tooOften(passed, classes)
}

// TestLimiterIsTheLedger: generated stories have the same answers limited as in
// the ledger, and nobody gets more than the bound.
func TestLimiterIsTheLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := searchLimits(t, func(*limiter) {}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMutantLimiter: faults of the limiter are found.
func TestMutantLimiter(t *testing.T) {
	for name, plant := range map[string]func(*limiter){
		"no debt beyond the second":  func(l *limiter) { l.rules.most = second },
		"a window that is too long":  func(l *limiter) { l.rules.most += second / 2 },
		"every answer slips":         func(l *limiter) { l.rules.slip = 1 },
		"half the cost":              func(l *limiter) { l.rules.cost[limitAnswers] /= 2 },
		"a longer prefix":            func(l *limiter) { l.rules.v4++ },
		"a shorter prefix":           func(l *limiter) { l.rules.v6 -= 8 },
		"errors are not limited":     func(l *limiter) { l.rules.burst[limitErrors] = 1 << 41 },
		"who is exempt":              func(l *limiter) { l.rules.exempt = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
		"answers are not told apart": func(l *limiter) { l.seed[2], l.lines, l.mask = 0, l.lines[:1], 0 },
	} {
		found := false
		for seed := range 3000 {
			rapid.Custom(func(t *rapid.T) bool {
				found = searchLimits(t, plant) != nil
				return found
			}).Example(seed)
			if found {
				break
			}
		}
		if !found {
			t.Errorf("%s: the search proves nothing: it does not see the planted fault", name)
		}
	}
}

// TestSmallTableForgives: on one line with thousands of pairs nobody is limited
// who is within the limit, and who floods stays limited.
func TestSmallTableForgives(t *testing.T) {
	config := RateLimit{ResponsesPerSecond: 10}
	l := newLimiter(config.rules(), 1)
	if len(l.lines) != 1 {
		t.Fatalf("%d lines, want 1", len(l.lines))
	}
	rng := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- seeded on purpose
	flooder, passed := netip.MustParseAddr("198.51.100.1"), 0
	const seconds, others = 20, 1000
	for i := range seconds * others {
		at := l.ticks(l.start.Add(time.Duration(i) * time.Second / others))
		for range 2 {
			if l.weigh(flooder, subject{class: limitAnswers, typ: 1, id: 1}, at) == limitPass {
				passed++
			}
		}
		// Each of 250 asks four times a second.
		from := netip.AddrFrom4([4]byte{10, 0, byte(i % 250), byte(rng.Uint32())})
		if got := l.weigh(from, subject{class: limitAnswers, typ: 1, id: 1}, at); got != limitPass {
			t.Fatalf("%s is limited (%s) within its limit", from, got)
		}
	}
	if most := 10 * (seconds + 1); passed > most {
		t.Errorf("the flood got %d answers, want at most %d", passed, most)
	}
}

// TestAccountOfNobodyFirst: a pair that comes to a line does not take the account of
// another one, whose every second answer over the limit is a slip, while there
// is one that nobody has had.
func TestAccountOfNobodyFirst(t *testing.T) {
	every := 2
	config := RateLimit{ResponsesPerSecond: 1, Window: time.Second, Slip: &every}
	l := newLimiter(config.rules(), 1)
	what := subject{class: limitAnswers, typ: 1, id: 1}
	weigh := func(host byte, at time.Duration) limitAction {
		return l.weigh(netip.AddrFrom4([4]byte{10, 0, host, 1}), what, l.ticks(l.start.Add(at)))
	}
	got := []limitAction{weigh(1, 0), weigh(1, 0)}
	for host := byte(2); host <= 4; host++ { // all that the line has room for, the first without debt again
		got = append(got, weigh(host, time.Minute))
	}
	got = append(got, weigh(1, time.Minute), weigh(1, time.Minute))
	if want := []limitAction{limitPass, limitDrop, limitPass, limitPass, limitPass, limitPass, limitSlip}; !slices.Equal(got, want) {
		t.Errorf("%d, want %d", got, want)
	}
}

// TestLoopsShareAccounts: what several loops give one network is counted once,
// from the first answer on, for which each of them would open an account.
func TestLoopsShareAccounts(t *testing.T) {
	const rate, each, networks = 100, 200, 500
	second := 2
	config := RateLimit{ResponsesPerSecond: rate, Slip: &second}
	l := newLimiter(config.rules(), defaultAccounts)
	var passed, dropped [networks]atomic.Int64
	var loops sync.WaitGroup
	for loop := range 4 {
		loops.Go(func() {
			// The batches of loops begin at different times, and go back and forth.
			at := l.ticks(l.start.Add(time.Duration(loop) * time.Millisecond))
			for i := range networks * each {
				network := i / each
				from := netip.AddrFrom4([4]byte{10, byte(network >> 8), byte(network), byte(i)})
				switch l.weigh(from, subject{class: limitAnswers, typ: 1, id: 1}, at) {
				case limitPass:
					passed[network].Add(1)
				case limitDrop:
					dropped[network].Add(1)
				}
			}
		})
	}
	loops.Wait()
	all := uint64(0)
	for i := range networks {
		n := passed[i].Load()
		if n > rate || n < rate-1 { // a loop that is ahead takes a moment from the others
			t.Errorf("network %d got %d answers at one time, want %d", i, n, rate)
		}
		over := 4*each - n
		// The loop that opens the account begins the count, also when it was held up
		// in between and others have counted already.
		if n := dropped[i].Load(); n < over/2 || n > (over+1)/2+1 {
			t.Errorf("%d answers of %d to network %d were dropped, want half", n, over, i)
		}
		all += uint64(over) // #nosec G115 -- at most 800
	}
	if n := l.counts[limitAnswers][limitDrop].Load() + l.counts[limitAnswers][limitSlip].Load(); n != all {
		t.Errorf("%d answers were counted, want %d", n, all)
	}
}

// TestClockOfAccounts: after 13 days, when the ticks begin anew, and after any
// time, limits are as before.
func TestClockOfAccounts(t *testing.T) {
	config := RateLimit{ResponsesPerSecond: 2}
	from, what := netip.MustParseAddr("192.0.2.1"), subject{class: limitAnswers, typ: 1, id: 1}
	whole := time.Duration(tickMask+1) * tick
	for _, start := range []time.Duration{0, whole / 2, whole - time.Second, whole - tick, whole, 400 * 24 * time.Hour} {
		l := newLimiter(config.rules(), defaultAccounts)
		for round := range 3 {
			at := l.ticks(l.start.Add(start + time.Duration(round)*time.Minute))
			for i, want := range []bool{true, true, false, false, false} {
				if got := l.weigh(from, what, at) == limitPass; got != want {
					t.Errorf("start %s, round %d: answer %d: passed %v, want %v", start, round, i, got, want)
				}
			}
		}
	}
}

func TestLimiterSize(t *testing.T) {
	for accounts, lines := range map[int]int{1: 1, 4: 1, 5: 2, 1024: 256, 1025: 512, defaultAccounts: defaultAccounts / 4} {
		if l := newLimiter(RateLimit{}.rules(), accounts); len(l.lines) != lines || l.mask != uint64(lines-1) {
			t.Errorf("%d accounts: %d lines, mask %x; want %d", accounts, len(l.lines), l.mask, lines)
		}
	}
}

// weigh is decide with the hash.
func (l *limiter) weigh(from netip.Addr, what subject, now uint64) limitAction {
	return l.decide(from, what, l.hash(from, what), now)
}
