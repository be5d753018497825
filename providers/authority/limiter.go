package authority

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"
)

// A limiter counts answers by client network and answer, and says which are
// too many. Each pair has an account: a debt in time, to which every answer
// adds its share of a second, and from which time takes away what passes. An
// answer is too many when with it the debt would be more than a second; such
// ones add to the debt as well, up to the window, so that a flood has to stop
// for that long before all is as before.
//
// So in any d seconds a pair gets at most rate*(d+1) answers, and one that
// never asks more often than the rate, with bursts of at most a second's
// share, gets them all.
//
// The accounts are a table of a fixed size that all loops share without a
// lock: four accounts fill a line of the CPU's cache, and a pair's account is
// one of those four. Which line, and the tag that tells pairs on a line apart,
// follow from a hash with a random seed, so that nobody can aim at a line. A
// pair that finds no account of its own takes one that nobody has had, or that
// with the smallest debt: nearly always one without any, of which no debt is
// lost. So a table that is too small forgives, and never limits who is innocent;
// that takes two pairs of one line and one tag, of which one is over the limit: a
// chance of 2^-36 for one innocent pair and one other, with a table of the default
// size.
//
// A limiter is safe for concurrent use, and judging allocates nothing.
type limiter struct {
	rules limitRules
	start time.Time
	seed  [4]uint64
	lines []limitLine
	mask  uint64

	counts   [limitClasses][limitActions]atomic.Uint64
	episodes chan episode
}

// limitLine is one line of the CPU's cache.
type limitLine [4]account

// account is what one client network was given of one answer.
type account struct {
	// state is the pair's tag and the tick at which it will have no debt.
	state atomic.Uint64
	// over counts the answers over the limit; told is the second, from 1 on, in
	// which the log was last told of them.
	over, told atomic.Uint32
}

// A tick is 256 ns. Its count needs no more than 42 bits for 13 days, after
// which it begins anew: what an account says is a time near now, or nothing.
// (An account that nobody used for just so long seems to be in debt, for the
// length of the window; another pair takes it, and its own would have to ask
// in just those seconds.)
const (
	tickShift   = 8
	tickBits    = 42
	tickMask    = 1<<tickBits - 1
	second      = uint64(time.Second) >> tickShift
	clockErrors = 60 * second // of loops that judge with the time of their batch
)

// limitRules are a RateLimit, ready for queries.
type limitRules struct {
	// cost is the debt of one answer, by class, and burst that of a second's
	// answers.
	cost, burst [limitClasses]uint64
	// most is the largest debt.
	most     uint64
	slip     uint32
	v4, v6   int
	exempt   []netip.Prefix
	loopback bool
	logOnly  bool
	window   time.Duration
}

// newLimiter makes a limiter with so many accounts, rounded up to a power of
// two.
func newLimiter(rules limitRules, accounts int) *limiter {
	const each = len(limitLine{})
	lines := 1 << bits.Len(uint((accounts+each-1)/each-1)) // #nosec G115 -- RateLimit.check bounds it
	l := &limiter{rules: rules, start: time.Now(), lines: make([]limitLine, lines), mask: uint64(lines - 1), episodes: make(chan episode, maxEpisodes)}
	for i := range l.seed {
		l.seed[i] = rand.Uint64() | 1 // #nosec G404 -- seeded by the system, and its numbers are never shown
	}
	return l
}

// network is the key of a client's network: its first bits, the others 0. No
// network of IPv6 that can ask has the key of one of IPv4.
func (l *limiter) network(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return 0xffff << 48, uint64(binary.BigEndian.Uint32(b[:])) &^ (1<<(32-l.rules.v4) - 1)
	}
	b := a.As16()
	hi, lo = binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	if l.rules.v6 <= 64 {
		return hi &^ (1<<(64-l.rules.v6) - 1), 0
	}
	return hi, lo &^ (1<<(128-l.rules.v6) - 1)
}

// line is where the pair with the hash has its account.
func (l *limiter) line(hash uint64) *limitLine { return &l.lines[hash&l.mask] }

// hash mixes a client's network and an answer.
func (l *limiter) hash(from netip.Addr, what subject) uint64 {
	hi, lo := l.network(from)
	h := mix(hi^l.seed[0], lo^l.seed[1])
	h = mix(h^what.id, l.seed[2]^(uint64(what.class)<<16|uint64(what.typ)))
	return mix(h^l.seed[3], 0x9e3779b97f4a7c15)
}

// mix folds the product of two numbers.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// ticks is a time as it is counted here; accounts have its lower bits.
func (l *limiter) ticks(now time.Time) uint64 {
	return uint64(now.Sub(l.start)) >> tickShift // #nosec G115 -- it is later
}

// debt is what an account owes.
func (l *limiter) debt(state, now uint64) uint64 {
	d := (state - now) & tickMask
	switch {
	case d <= l.rules.most:
		return d
	case d <= l.rules.most+clockErrors: // another loop's batch came later
		return l.rules.most
	}
	return 0
}

// judge adds an answer to its pair's account, and says whether it is too many;
// then, that of how many since the account was opened.
func (l *limiter) judge(class limitClass, hash, now uint64) (a *account, over uint32) {
	cost, burst := l.rules.cost[class], l.rules.burst[class]
	line, tag := l.line(hash), hash>>tickBits<<tickBits
	for {
		a, state, owes := l.find(line, tag, now)
		mine := state&^tickMask == tag
		if !mine {
			owes = 0
		}
		next := owes + cost
		tooMany := next > burst
		if tooMany {
			if next = min(next, l.rules.most); next == owes {
				return a, a.over.Add(1)
			}
		}
		after := tag | (now+next)&tickMask
		if !a.state.CompareAndSwap(state, after) {
			continue // another loop was faster
		}
		if !mine {
			if line.others(a, tag) { // another loop opened one, and neither saw the other's
				a.state.CompareAndSwap(after, state)
				continue
			}
			a.over.Store(0)
			a.told.Store(0)
		}
		if !tooMany {
			return a, 0
		}
		return a, a.over.Add(1)
	}
}

// others reports whether a pair has an account on the line beside this one.
func (line *limitLine) others(but *account, tag uint64) bool {
	for i := range line {
		if a := &line[i]; a != but && a.state.Load()&^tickMask == tag {
			return true
		}
	}
	return false
}

// find returns the pair's account, or one that nobody has had yet, or that which
// owes least. The middle one is for the count of answers over the limit, which
// an account without debt still has for its pair.
func (l *limiter) find(line *limitLine, tag, now uint64) (a *account, state, owes uint64) {
	for i := range line {
		if s := line[i].state.Load(); s&^tickMask == tag {
			return &line[i], s, l.debt(s, now)
		}
	}
	for i := range line {
		s := line[i].state.Load()
		if s == 0 {
			return &line[i], s, 0
		}
		if d := l.debt(s, now); a == nil || d < owes {
			a, state, owes = &line[i], s, d
		}
	}
	return a, state, owes
}
