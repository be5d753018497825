package route53test

import (
	"net/http"
	"time"
)

// bucket is a token bucket: capacity tokens at most, refilled at rate a second.
type bucket struct {
	tokens float64
	at     time.Time
}

// take takes n tokens if they are there.
func (s *Server) take(name string, n, rate, capacity float64) bool {
	now := time.Now()
	b := s.buckets[name]
	if b == nil {
		b = &bucket{capacity, now}
		s.buckets[name] = b
	}
	b.tokens = min(capacity, b.tokens+rate*now.Sub(b.at).Seconds())
	b.at = now
	// A token may be a rounding error short.
	if b.tokens+1e-6 < n {
		return false
	}
	b.tokens -= n
	return true
}

func rateExceeded() *apiError {
	return failed(http.StatusBadRequest, "Throttling", "Rate exceeded")
}

func (s *Server) throttled(action string) *apiError {
	o := s.options
	account := !s.on(ThrottleAccount) || s.take("account", 1, o.Rate, float64(o.Burst))
	own := !s.on(ThrottleAction) || s.take(action, 1, o.Rate, float64(o.Burst))
	if account && own {
		return nil
	}
	return rateExceeded()
}

// throttledChanges takes a token for each change of a batch.
func (s *Server) throttledChanges(n int) *apiError {
	o := s.options
	if o.ChangeRate == 0 || !s.on(ThrottleChanges) || s.take("changes", float64(n), o.ChangeRate, float64(o.ChangeBurst)) {
		return nil
	}
	return rateExceeded()
}
