package authority

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

// limitClass is a class of answers that has a limit of its own.
type limitClass uint8

const (
	limitAnswers   limitClass = iota // of one RRset, by its name and type
	limitNoData                      // by the name
	limitReferrals                   // by the delegation
	limitNXDomain                    // by the zone: names that do not exist are without number
	limitErrors                      // all together
	limitClasses
)

// String names the class, as metrics and the log do.
func (c limitClass) String() string {
	return [...]string{"answer", "nodata", "referral", "nxdomain", "error"}[c]
}

// limitAction is what becomes of an answer; limitActions are counted.
type limitAction uint8

const (
	limitDrop limitAction = iota
	limitSlip
	limitLog // with log_only: nothing
	limitActions
	limitPass // of one within the limit
)

// String names the action, as metrics do.
func (a limitAction) String() string { return [...]string{"dropped", "slipped", "logged"}[a] }

// subject is what an answer is counted as. A name that a wildcard, a DNAME or a
// delegation answers for counts as that, so that a flood of random names below
// it is one answer.
type subject struct {
	class limitClass
	typ   uint16
	id    uint64
}

// subjectOf says what an answer with this rcode is.
func subjectOf(was outcome, rcode int) subject {
	switch {
	case was.known:
		return was.what
	case was.zone == nil || rcode != dns.RcodeSuccess && rcode != dns.RcodeNameError && rcode != dns.RcodeYXDomain:
		return subject{class: limitErrors}
	case rcode == dns.RcodeNameError || was.node == nil:
		return subject{class: limitNXDomain, id: was.zone.id}
	case was.pick != nil:
		return subject{class: limitAnswers, typ: was.pick.typ, id: was.node.id}
	case was.node.cut != "":
		return subject{class: limitReferrals, id: was.node.id}
	}
	return subject{class: limitNoData, id: was.node.id}
}

// limit counts the answer in buf, and returns how much of it is to be sent: all
// that is within the limit, and nothing of what is too much, except that every
// so many-th slips through without its records, so that an honest client of a
// network in whose name others ask learns to ask over TCP.
func (a *answerer) limit(d *draft, buf []byte) int {
	switch a.limits.decide(d.from.addr, d.what, d.hash, a.ticks()) {
	case limitDrop:
		return 0
	case limitSlip:
		if d.what.class != limitErrors { // which have no records, and TC would say nothing of them
			return truncate(buf, d.size)
		}
	}
	return d.size
}

// ticks is the time of the batch, as the limiter counts it.
func (a *answerer) ticks() uint64 {
	if a.tick == 0 {
		a.tick = a.limits.ticks(a.clock.now())
	}
	return a.tick
}

// decide counts one answer, and says what is to become of it. hash is that of
// who asks and what.
func (l *limiter) decide(from netip.Addr, what subject, hash, now uint64) limitAction {
	account, over := l.judge(what.class, hash, now)
	if over == 0 || l.rules.exempts(from) {
		return limitPass
	}
	l.note(account, from, what.class, now)
	action, slip := limitDrop, l.rules.slip
	if slip == 1 && what.class == limitErrors {
		slip = 2 // nothing of them is left out
	}
	switch {
	case l.rules.logOnly:
		action = limitLog
	case slip > 0 && over%slip == 0:
		action = limitSlip
	}
	l.counts[what.class][action].Add(1)
	return action
}

// truncate leaves the header and the question of an answer, with TC (RFC 2181,
// section 9), and returns their length.
func truncate(buf []byte, size int) int {
	end := headerSize
	if binary.BigEndian.Uint16(buf[4:]) == 1 {
		for end < size && buf[end] != 0 { // the question's name is not compressed
			end += 1 + int(buf[end])
		}
		end += 1 + questionTail
	}
	if end > size { // cannot be: it is an answer of ours
		return 0
	}
	buf[2] = buf[2]&^flagAuthoritative | flagTruncated
	clear(buf[6:headerSize])
	return end
}

// Limited is how many answers of a class were over the limit, and what became
// of them.
type Limited struct {
	Class, Action string
	Answers       uint64
}

// Limited returns the counts of the rate limit since the start, none where there
// is no limit.
func (s *Server) Limited() []Limited {
	if s.limits == nil {
		return nil
	}
	var out []Limited
	for class := range limitClasses {
		for action := range limitActions {
			out = append(out, Limited{class.String(), action.String(), s.limits.counts[class][action].Load()})
		}
	}
	return out
}
