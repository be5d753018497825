package prober

import (
	"context"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"github.com/veerdns/veer/checks"
)

// reference is the index of a job that is not voted on.
const reference = -1

// settlings is how many votes follow a suspicion, so that it is settled, even
// where the vote does not change: the one that comes of it, and one more, since
// the first may overtake the suspicion on its way to the booth.
const settlings = 2

// never is a due time that does not come.
const never time.Duration = -1

// job is an endpoint with all that the loop remembers of it. Only the loop
// touches it once it runs.
type job struct {
	Job
	index      int // in the ballot
	number     int // among all jobs and references
	thresholds checks.Thresholds
	track      checks.Track
	trip       checks.RoundTrip
	told       time.Duration // of trip, in the last vote
	round      uint64
	random     *rand.Rand
	// unwatch ends the watching of it; nil: it is not watched.
	unwatch context.CancelFunc
	// gone: it is not probed any more; what flies of it yet means nothing.
	gone bool
	// due is when the next scheduled probe starts; never: when the one in
	// flight or in the queue allows.
	due time.Duration
	air [causes]*flight
	// unsettled is how many more votes a suspicion is owed.
	unsettled int
	// stuck counts flights whose checker did not return in time.
	stuck int
	// voids counts results in a row that were discarded.
	voids int
	// nudged is when another's suspicion last had it probed.
	nudged time.Duration
}

func (p *Prober) newJob(j Job, index int) *job {
	j.Monitor = j.Monitor.Defaults()
	random := p.randomOf(j, "schedule")
	due := time.Duration(random.Int64N(int64(j.Monitor.Interval)))
	return &job{
		Job: j, index: index, thresholds: j.Monitor.Thresholds(), due: due, nudged: never,
		random: random,
	}
}

// randomOf returns the numbers of one endpoint at one vantage. The vantage is
// part of it, so that the vantages' phases differ and a failure is seen by
// the first of them soon.
func (p *Prober) randomOf(j Job, use string) *rand.Rand {
	h := fnv.New64a()
	for _, part := range []string{string(p.vantage), string(j.Endpoint), use} {
		io.WriteString(h, part+"\x00") // a hash's Write never fails
	}
	return rand.New(rand.NewPCG(p.seed, h.Sum64()))
}

// jittered is the time to the next scheduled probe.
func (j *job) jittered() time.Duration {
	spread := j.Monitor.Interval / jitterPart
	return j.Monitor.Interval - spread + time.Duration(j.random.Int64N(int64(2*spread)+1))
}

// measure adds the round trip of a result, and reports whether what the vote
// says of it is another than what it said last. Of an endpoint that does not
// work nothing is known.
func (j *job) measure(r checks.Result) bool {
	if j.Measure == nil {
		return false
	}
	var sample time.Duration
	if r.Health == checks.Up || r.Health == checks.Degraded {
		sample = j.Measure(r)
	}
	j.trip = j.trip.Observe(sample, j.WarmUp)
	if j.track.State == checks.Down || j.track.State == checks.Unknown {
		j.trip = checks.RoundTrip{}
	}
	return j.trip.Told != j.told
}

// settled reports whether an extra probe would tell nothing: the endpoint is
// down already, re-probes are on their way, or the checker does not answer.
func (j *job) settled() bool {
	return j.track.State == checks.Down || j.track.Suspicious() || j.stuck > 0
}

// limit is how long after its start a probe must have returned. One that an
// engine runs may wait for it first.
func (j *job) limit() time.Duration {
	limit := j.Monitor.Timeout + max(j.Monitor.Timeout/2, minGrace)
	if j.Starter != nil {
		limit += j.Monitor.Timeout
	}
	return limit
}

const (
	// minGrace is the least time that a checker has to return after its
	// context ended.
	minGrace = 250 * time.Millisecond
	// spareRoom is room for a small number of endpoints that are re-probed.
	spareRoom = 128
	// maxRoom bounds the probes in flight, and with them the descriptors.
	maxRoom = 12288
)

// room is how many probes may be in flight at once: twice what the schedule
// needs when every probe takes its whole time-out, since re-probes come beside
// it. Where that is too little, probes wait, and those that wait for a whole
// interval say unknown.
func room(jobs []*job) int {
	var need float64
	for _, j := range jobs {
		need += float64(j.Monitor.Timeout) / float64(j.Monitor.Interval)
	}
	return min(int(2*need)+spareRoom, maxRoom)
}

// A loop that starts many probes a second does what is due at a pace, so that
// it need not wake for each: it starts some paced ones each time, at most
// maxPace late.
const (
	pacedRate = 1000 // probes a second
	paced     = 40
	maxPace   = 5 * time.Millisecond
)

// pace is the time from one waking of the loop to the next; 0: as it comes.
func pace(jobs []*job) time.Duration {
	rate := suspicionRate(jobs)
	if rate < pacedRate {
		return 0
	}
	return min(time.Duration(paced*float64(time.Second)/rate), maxPace)
}

// minSuspicionRate is the least number of probes a second that others'
// suspicions may start.
const minSuspicionRate = 100

// suspicionRate is the same as what the schedule starts a second: suspicions
// at most double the load.
func suspicionRate(jobs []*job) float64 {
	var rate float64
	for _, j := range jobs {
		rate += float64(time.Second) / float64(j.Monitor.Interval)
	}
	return max(rate, minSuspicionRate)
}

// allowance is a token bucket that holds one second's tokens.
type allowance struct {
	rate, tokens float64
	at           time.Duration
}

func newAllowance(rate float64, now time.Duration) allowance {
	return allowance{rate: rate, tokens: rate, at: now}
}

func (a *allowance) take(now time.Duration) bool {
	a.tokens = min(a.rate, a.tokens+a.rate*(now-a.at).Seconds())
	a.at = now
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}
