package authority

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// RateLimit bounds how often one client network gets one answer over UDP, where
// anybody can ask in its name: what a flood through this server does to it. TCP
// is not limited, nor is who shows a server cookie.
type RateLimit struct {
	// Enabled: nil is true.
	Enabled *bool `yaml:"enabled"`
	// ResponsesPerSecond is how often a network gets one answer: one RRset, one
	// NODATA, one referral. 0 is 200.
	ResponsesPerSecond int `yaml:"responses_per_second"`
	// NXDomainsPerSecond is the same of the names that a zone does not have, all
	// together, ErrorsPerSecond of errors of every kind. 0 is ResponsesPerSecond.
	NXDomainsPerSecond int `yaml:"nxdomains_per_second"`
	ErrorsPerSecond    int `yaml:"errors_per_second"`
	// Window is how long a flood is remembered at most. 0 is 15 s.
	Window time.Duration `yaml:"window"`
	// Slip: every so many-th answer over the limit is sent without its records
	// and with TC; of errors, which have none, at most every second one. 0: none
	// is; nil is 1.
	Slip *int `yaml:"slip"`
	// PrefixV4 and PrefixV6 are how long a client network's prefix is. 0 is 24
	// and 56.
	PrefixV4 int `yaml:"prefix_v4"`
	PrefixV6 int `yaml:"prefix_v6"`
	// Exempt holds networks that are not limited. Loopback says that clients on
	// this host are limited as well: nobody else can ask in their name.
	Exempt   []string `yaml:"exempt"`
	Loopback bool     `yaml:"loopback"`
	// LogOnly counts and logs what would be limited, and limits nothing.
	LogOnly bool `yaml:"log_only"`
	// Accounts is how many pairs of a network and an answer are counted at once,
	// rounded up to a power of two; each takes 16 bytes. 0 is 65536.
	Accounts int `yaml:"accounts"`
}

// Defaults and bounds of RateLimit.
const (
	defaultRate     = 200
	maxRate         = 100_000
	defaultWindow   = 15 * time.Second
	maxWindow       = time.Hour
	defaultSlip     = 1
	maxSlip         = 100
	defaultLimitV4  = 24
	defaultLimitV6  = 56
	minAccounts     = 1 << 10
	maxAccounts     = 1 << 24
	defaultAccounts = 1 << 16
)

func (r RateLimit) check(bad func(field, format string, args ...any)) {
	within := func(field string, is, low, high int, text string) {
		if is != 0 && (is < low || is > high) {
			bad("rate_limit."+field, "%d is out of range; expected %d to %d%s", is, low, high, text)
		}
	}
	within("responses_per_second", r.ResponsesPerSecond, 1, maxRate, " (default 200), or rate_limit: {enabled: false}")
	within("nxdomains_per_second", r.NXDomainsPerSecond, 1, maxRate, " (default: as responses_per_second)")
	within("errors_per_second", r.ErrorsPerSecond, 1, maxRate, " (default: as responses_per_second)")
	within("prefix_v4", r.PrefixV4, 8, 32, " bits (default 24)")
	within("prefix_v6", r.PrefixV6, 16, 128, " bits (default 56)")
	within("accounts", r.Accounts, minAccounts, maxAccounts, " (default 65536)")
	if r.Slip != nil {
		within("slip", *r.Slip, 0, maxSlip, " (default 1)")
	}
	if r.Window != 0 && (r.Window < time.Second || r.Window > maxWindow) {
		bad("rate_limit.window", "%s is out of range; expected 1s to %s (default %s)", r.Window, maxWindow, defaultWindow)
	}
	for i, text := range r.Exempt {
		if _, err := ParseNetwork(text); err != nil {
			bad("rate_limit.exempt["+strconv.Itoa(i)+"]", "%v", err)
		}
	}
}

// limiter makes what the config says, or nil.
func (r RateLimit) limiter() *limiter {
	if r.Enabled != nil && !*r.Enabled {
		return nil
	}
	return newLimiter(r.rules(), cmp.Or(r.Accounts, defaultAccounts))
}

func (r RateLimit) rules() limitRules {
	rate := cmp.Or(r.ResponsesPerSecond, defaultRate)
	out := limitRules{
		window: cmp.Or(r.Window, defaultWindow), slip: defaultSlip, logOnly: r.LogOnly, loopback: r.Loopback,
		v4: cmp.Or(r.PrefixV4, defaultLimitV4), v6: cmp.Or(r.PrefixV6, defaultLimitV6),
	}
	for class := range limitClasses {
		rate := uint64(rate) // #nosec G115 -- check bounds it
		switch class {
		case limitNXDomain:
			rate = uint64(cmp.Or(r.NXDomainsPerSecond, int(rate))) // #nosec G115 -- the same
		case limitErrors:
			rate = uint64(cmp.Or(r.ErrorsPerSecond, int(rate))) // #nosec G115 -- the same
		}
		out.cost[class] = (second + rate - 1) / rate
		out.burst[class] = out.cost[class] * rate
	}
	out.most = second + uint64(out.window)>>tickShift // #nosec G115 -- check bounds it
	if r.Slip != nil {
		out.slip = uint32(*r.Slip) // #nosec G115 -- check bounds it
	}
	for _, text := range r.Exempt {
		if n, err := ParseNetwork(text); err == nil { // check has seen the others
			out.exempt = append(out.exempt, n)
		}
	}
	return out
}

// exempts reports whether a client is not limited. It is asked of clients that
// would be only.
func (r *limitRules) exempts(a netip.Addr) bool {
	return !r.loopback && a.IsLoopback() || slices.ContainsFunc(r.exempt, func(n netip.Prefix) bool { return n.Contains(a) })
}
