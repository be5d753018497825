package steering

import (
	"fmt"
	"strings"
	"time"
)

// agreeTrips are the round trips between regions, at most, from a write until
// everybody knows that it was agreed on: to etcd's leader, to a majority and
// back, and to all.
const agreeTrips = 2

// Timings are the times that a service's worst case is made of, all of them
// upper bounds.
type Timings struct {
	// Silence is the longest time until the silence of an endpoint that calls in
	// counts, besides what follows; 0: it is probed.
	Silence time.Duration
	// Interval (jitter included), Timeout and Recheck are the monitor's;
	// Fall is its threshold.
	Interval, Timeout, Recheck time.Duration
	Fall                       int
	// RTT is the declared round trip between regions, Write the time of one
	// agreed write.
	RTT, Write time.Duration
	// Leader is the time without a leader from its loss on: lease, election,
	// claim; Twice the same where etcd has to elect twice. Turn is how long a
	// decision waits besides, where nobody leads all the time; 0: somebody does.
	Leader, Twice, Turn time.Duration
	// Queue and Propagation are the providers': time for the API's answer,
	// and until all name servers have it. 0 for the authority's own table.
	Queue, Propagation time.Duration
}

// Term is one summand of a budget.
type Term struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
	// How says how it was computed.
	How string `json:"how"`
}

// Budget is a worst-case RTO, term by term.
type Budget struct {
	Terms []Term        `json:"terms"`
	Total time.Duration `json:"total"`
	// Limit is the service's rto; 0 is none.
	Limit time.Duration `json:"limit"`
}

// WithTTL computes the budget of a service whose answers live ttl seconds.
//
// RTO, worst case = detection + vote + loss of the leader + commit + API queue
// + propagation + the largest TTL outstanding (DESIGN, "TTL and RTO"). What is
// lost at once is noticed at the same time: of the loss of the leader only that
// counts by which it takes longer than detection and vote, and of a second
// election that by which it takes longer than all of these.
func (t Timings) WithTTL(ttl uint32, limit time.Duration) Budget {
	fall := max(t.Fall, 1)
	detection := t.Silence + t.Interval + time.Duration(fall)*t.Timeout + time.Duration(fall-1)*t.Recheck
	how := fmt.Sprintf("interval %s + %d x timeout %s + %d x recheck %s", t.Interval, fall, t.Timeout, fall-1, t.Recheck)
	if t.Silence > 0 {
		how = fmt.Sprintf("silence %s + ", t.Silence) + how
	}
	agreed := t.Write + agreeTrips*t.RTT
	write := fmt.Sprintf("write %s + %d x round trip %s", t.Write, agreeTrips, t.RTT)
	leader := max(t.Leader, detection+agreed)
	twice := max(t.Twice, leader)
	loss := fmt.Sprintf("lease, election and claim take %s of the leader's loss at the same moment", t.Leader)
	if t.Turn > 0 {
		loss += fmt.Sprintf("; then until the next pass %s", t.Turn)
	}
	b := Budget{Limit: limit, Terms: []Term{
		{"detection", detection, how},
		{"vote", agreed, write},
		{"leader", leader - detection - agreed + t.Turn, loss},
		{"election", twice - leader, fmt.Sprintf("should etcd's members split their votes, it takes %s", t.Twice)},
		{"commit", agreed, write},
		{"queue", t.Queue, "the provider's API"},
		{"propagation", t.Propagation, "until every name server has it"},
		{"ttl", time.Duration(ttl) * time.Second, "the largest TTL outstanding"},
	}}
	for _, term := range b.Terms {
		b.Total += term.Took
	}
	return b
}

// SteadyTTL is the largest TTL in [lo, hi] seconds that keeps the limit, and
// whether there is one; where there is none it returns lo. A limit of 0 gives
// hi.
func (t Timings) SteadyTTL(lo, hi uint32, limit time.Duration) (uint32, bool) {
	if limit == 0 {
		return hi, true
	}
	room := limit - t.WithTTL(0, limit).Total
	if room < time.Duration(lo)*time.Second {
		return lo, false
	}
	return uint32(min(int64(room/time.Second), int64(hi))), true
}

// Holds reports whether the budget is within its limit.
func (b Budget) Holds() bool { return b.Limit == 0 || b.Total <= b.Limit }

// String is the sum in one line.
func (b Budget) String() string {
	parts := make([]string, 0, len(b.Terms))
	for _, t := range b.Terms {
		if t.Took > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", t.Name, t.Took))
		}
	}
	return fmt.Sprintf("%s = %s", strings.Join(parts, " + "), b.Total)
}
