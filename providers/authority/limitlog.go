package authority

import (
	"context"
	"net/netip"
	"time"

	"github.com/rs/zerolog"
)

// Bounds of what the log is told of the rate limit: how many networks it follows
// at once, and how long one that is limited no more is followed.
const (
	maxEpisodes  = 64
	episodeQuiet = 10 * time.Second
)

// episode tells of a client network over its limit.
type episode struct {
	network netip.Prefix
	class   limitClass
}

// note tells the log of an answer over the limit, once a second and account.
// What the log has no room for is not waited for.
func (l *limiter) note(a *account, from netip.Addr, class limitClass, now uint64) {
	s := uint32(now/second) + 1 // #nosec G115 -- in 136 years
	if was := a.told.Load(); was == s || !a.told.CompareAndSwap(was, s) {
		return
	}
	length := l.rules.v6
	if from.Is4() {
		length = l.rules.v4
	}
	network, err := from.Prefix(length)
	if err != nil {
		return // cannot be: check bounds the length
	}
	select {
	case l.episodes <- episode{network, class}:
	default:
	}
}

// followed is a network that is limited.
type followed struct {
	since, last time.Time
}

// tell writes a line when a network begins to be limited and one when it has
// not been for a time, until ctx ends. It looks once a second, and follows no
// more than maxEpisodes networks, so that a flood in many names writes no more
// than that many lines in episodeQuiet.
func (l *limiter) tell(ctx context.Context, log zerolog.Logger) {
	if l == nil {
		return
	}
	networks := make(map[netip.Prefix]*followed)
	for {
		if len(networks) == 0 {
			select {
			case e := <-l.episodes:
				l.follow(networks, e, log)
			case <-ctx.Done():
				return
			}
		} else if !pause(ctx, time.Second) {
			return
		}
		l.gather(networks, log)
	}
}

// gather takes what was told, and ends what is over.
func (l *limiter) gather(networks map[netip.Prefix]*followed, log zerolog.Logger) {
	for more := true; more; {
		select {
		case e := <-l.episodes:
			l.follow(networks, e, log)
		default:
			more = false
		}
	}
	for network, f := range networks {
		if time.Since(f.last) >= episodeQuiet {
			delete(networks, network)
			log.Info().Stringer("network", network).Dur("for_ms", f.last.Sub(f.since)).Msg("a client network is within the rate limit again")
		}
	}
}

// follow notes that a network is limited.
func (l *limiter) follow(networks map[netip.Prefix]*followed, e episode, log zerolog.Logger) {
	now := time.Now()
	if f := networks[e.network]; f != nil {
		f.last = now
		return
	}
	if len(networks) >= maxEpisodes {
		return
	}
	networks[e.network] = &followed{since: now, last: now}
	what := "a client network is over the rate limit: answers to it are dropped"
	if l.rules.logOnly {
		what = "a client network is over the rate limit; log_only: nothing is dropped"
	}
	log.Warn().Stringer("network", e.network).Stringer("class", e.class).Msg(what)
}
