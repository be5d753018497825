package cluster

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config is the `cluster:` part of the config. Empty, it is one embedded etcd
// member in this process without any TCP port. Durations are at least the
// minima that Check names; zero takes the default.
type Config struct {
	// Members are the embedded etcd members by region, the same in every
	// region's file: 1, 3, 5 or 7 of them.
	Members map[string]Member `yaml:"members"`
	// Endpoints are client URLs of an etcd that exists, or unix:///... of a
	// Veer process on this machine. Then this process embeds no member.
	Endpoints []string `yaml:"endpoints"`
	// User is the user of that etcd, whose password stands in PasswordFile or
	// in the variable PasswordEnv. Empty: none, or by the certificate's name.
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	// Prefix is where the keys are: below Prefix/<owner>/. It ends in /veer;
	// empty is /veer.
	Prefix string `yaml:"prefix"`
	// RTT is the declared round trip between the members; it times their
	// heartbeats (max(RTT, 50 ms)) and elections (ten heartbeats).
	RTT time.Duration `yaml:"rtt"`
	// VoteLease is how long a vantage's votes outlive its last sign of life;
	// default 5 s. Whole seconds: etcd's leases have no finer unit.
	VoteLease time.Duration `yaml:"vote_lease"`
	// LeaderLease is how long a lost leader's place stays taken, and how long
	// its sign of life is good for; default 2 s, never below what the election
	// time-out lets etcd grant.
	LeaderLease time.Duration `yaml:"leader_lease"`
	Journal     Retention     `yaml:"journal"`
}

// Member is where one embedded etcd member listens.
type Member struct {
	// Peer is the URL for other members, https://ip:port (http on loopback).
	Peer string `yaml:"peer"`
	// Client is the URL for clients, and for members that join; a single
	// member may do with its unix socket alone.
	Client string `yaml:"client"`
}

// Retention bounds the journal; the oldest entries go first.
type Retention struct {
	// Entries is how many are kept; default 10,000.
	Entries int `yaml:"entries"`
	// Bytes is how large they may be together, as stored; default 64 MiB.
	Bytes int64 `yaml:"bytes"`
}

// The defaults and bounds.
const (
	maxMembers         = 7
	minHeartbeat       = 50 * time.Millisecond
	maxRTT             = 2 * time.Second
	electionBeats      = 10
	defaultVoteLease   = 5 * time.Second
	defaultLeaderLease = 2 * time.Second
	maxLease           = 10 * time.Minute
	defaultEntries     = 10_000
	maxEntries         = 1_000_000
	defaultBytes       = 64 << 20
	minBytes           = 1 << 20
	maxBytes           = 512 << 20
	// revokeScan is how often etcd looks for leases that ran out.
	revokeScan = 500 * time.Millisecond
	// leastTry is how long a request that may have gone to a dead leader of etcd
	// is given at least before it is sent again.
	leastTry = 250 * time.Millisecond
	// agreeTrips are the round trips between the members, at most, from a request
	// until all know what was agreed: to etcd's leader, to a majority and back,
	// and to all.
	agreeTrips = 2
	// AgreedWrite bounds one write to etcd's log on a disk that is not ailing,
	// besides the round trips.
	AgreedWrite = 100 * time.Millisecond
)

// Defaults returns the config with every zero value filled in.
func (c Config) Defaults() Config {
	fill := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
		*d = max(*d, c.minLease()).Truncate(time.Second)
	}
	fill(&c.VoteLease, defaultVoteLease)
	fill(&c.LeaderLease, defaultLeaderLease)
	if c.Journal.Entries == 0 {
		c.Journal.Entries = defaultEntries
	}
	if c.Journal.Bytes == 0 {
		c.Journal.Bytes = defaultBytes
	}
	return c
}

// Heartbeat is the interval of etcd's heartbeats.
func (c Config) Heartbeat() time.Duration {
	return max(c.RTT, minHeartbeat).Round(time.Millisecond)
}

// Election is etcd's election time-out: the least time without a heartbeat
// after which its members elect anew; the most is twice that.
func (c Config) Election() time.Duration { return electionBeats * c.Heartbeat() }

// clients are the client URLs of the members, in the order of their names.
func (c Config) clients() []string {
	var out []string
	for _, name := range sortedKeys(c.Members) {
		if u := c.Members[name].Client; u != "" {
			out = append(out, u)
		}
	}
	return out
}

// minLease is the shortest lease that etcd grants: one and a half election
// time-outs, rounded up to whole seconds (etcd, server/etcdserver/server.go).
func (c Config) minLease() time.Duration {
	return (c.Election()*3/2 + time.Second - 1).Truncate(time.Second)
}

// try is how long a request is given at first that can be sent again.
func (c Config) try() time.Duration { return max(leastTry, 2*agreeTrips*c.RTT) }

// sign is how long a leader's sign of life is good for; 0: it gives none.
// In an etcd of others each one would stay until they compact it.
func (c Config) sign() time.Duration {
	if len(c.Members) < 2 {
		return 0
	}
	return c.LeaderLease
}

// LeaderLoss is the longest time from the loss of a leader, with the etcd
// member beside it, until another leads, while a majority of the members lives;
// twice is that time where etcd has to elect twice.
//
// With several members two things go on at the same time. The last sign of life
// comes to be known, and loses its worth. And etcd elects: a member stands
// after at most two election time-outs less a heartbeat, and asks in two rounds.
// Should two stand at the same moment, as happens in one of ten elections where
// only two are left, their votes are split, and both begin anew. Twice in a row,
// one in a hundred, is not counted. Last comes the transaction that makes the
// next leader.
func (c Config) LeaderLoss() (loss, twice time.Duration) {
	c = c.Defaults()
	sign, agreed := c.sign(), AgreedWrite+agreeTrips*c.RTT
	if sign == 0 {
		return c.LeaderLease + revokeScan, c.LeaderLease + revokeScan
	}
	stands := 2*c.Election() - c.Heartbeat()
	elected := c.RTT/2 + stands + 2*c.RTT
	if sign-sign/4+c.RTT < stands {
		// The next leader may ask while its member knows of no loss. A member
		// ends such a try when it knows the next one (see attempt); a client of
		// members waits for its time to run out.
		elected += c.try()
	}
	unsigned := agreed + sign
	return max(unsigned, elected) + agreed, max(unsigned, elected+c.RTT+stands) + agreed
}

// Check reports every problem, with the YAML key path below `cluster`.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if len(c.Members) > 0 && len(c.Endpoints) > 0 {
		bad("endpoints", "members and endpoints are both set: expected members (Veer embeds etcd) or endpoints (etcd exists); remove one")
	}
	if n := len(c.Members); n > 0 && (n%2 == 0 || n > maxMembers) {
		bad("members", "found %d members, expected 1, 3, 5 or 7: an even number survives no more losses than one less", n)
	}
	if len(c.Members) > 1 {
		for _, name := range sortedKeys(c.Members) {
			if c.Members[name].Client == "" {
				bad("members."+name+".client", "is missing: expected the URL at which a member that joins, and a process without a member, reach %s, e.g. https://10.0.1.10:2379", name)
			}
		}
	}
	seen := map[string]string{}
	for _, name := range sortedKeys(c.Members) {
		c.Members[name].check("members."+name, name, seen, bad)
	}
	for i, e := range c.Endpoints {
		if why := endpointProblem(e); why != "" {
			bad("endpoints["+itoa(i)+"]", "%q: %s", e, why)
		} else if slices.Contains(c.Endpoints[:i], e) {
			bad("endpoints["+itoa(i)+"]", "%q is listed twice: remove one", e)
		}
	}
	c.checkUser(bad)
	if why := prefixProblem(c.Prefix); c.Prefix != "" && why != "" {
		bad("prefix", "%q: %s", c.Prefix, why)
	}
	if c.RTT < 0 || c.RTT > maxRTT {
		bad("rtt", "found %s, expected from 0s to %s", c.RTT, maxRTT)
		c.RTT = 0
	}
	c.checkLease("vote_lease", c.VoteLease, bad)
	c.checkLease("leader_lease", c.LeaderLease, bad)
	if n := c.Journal.Entries; n < 0 || n > maxEntries {
		bad("journal.entries", "found %d, expected from 1 to %d", n, maxEntries)
	}
	if n := c.Journal.Bytes; n != 0 && (n < minBytes || n > maxBytes) {
		bad("journal.bytes", "found %d, expected from %d to %d", n, minBytes, maxBytes)
	}
}

// checkUser reports the problems of the user of an etcd that exists.
func (c Config) checkUser(bad func(field, format string, args ...any)) {
	file, env := c.PasswordFile != "", c.PasswordEnv != ""
	switch {
	case c.User == "" && !file && !env:
		return
	case c.User == "" && file:
		bad("password_file", "a password without a user, expected the key user")
	case c.User == "":
		bad("password_env", "a password without a user, expected the key user")
	case len(c.Members) > 0:
		bad("user", "members and user are both set, expected no user: an embedded etcd has none, and knows its clients by the certificates of host.tls")
	case file && env:
		bad("password_env", "password_file and password_env are both set, expected one of them")
	case !file && !env:
		bad("user", "a user without a password, expected password_file or password_env")
	}
	for i, e := range c.Endpoints {
		if u, err := url.Parse(e); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
			bad("endpoints["+itoa(i)+"]", "%q would show the password on its way, expected https where there is a user", e)
		}
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c Config) checkLease(field string, d time.Duration, bad func(field, format string, args ...any)) {
	switch least := c.minLease(); {
	case d == 0:
	case d < least || d > maxLease:
		bad(field, "found %s, expected from %s (one and a half election time-outs at this rtt) to %s", d, least, maxLease)
	case d%time.Second != 0:
		bad(field, "found %s, expected whole seconds: etcd's leases have no finer unit", d)
	}
}

// check reports the problems of one member; seen maps URLs to their owners.
func (m Member) check(field, name string, seen map[string]string, bad func(field, format string, args ...any)) {
	one := func(key, raw string) {
		if why := memberURLProblem(raw); why != "" {
			bad(field+"."+key, "%q: %s", raw, why)
			return
		}
		if other, taken := seen[raw]; taken {
			bad(field+"."+key, "%q is also %s: every member listens on URLs of its own", raw, other)
			return
		}
		seen[raw] = name + "." + key
	}
	if m.Peer == "" {
		bad(field+".peer", "is missing: expected the URL at which the other members reach %s, e.g. https://10.0.1.10:2380", name)
	} else {
		one("peer", m.Peer)
	}
	if m.Client != "" {
		one("client", m.Client)
	}
}

// memberURLProblem says what is wrong with a URL to listen on: etcd binds IP
// addresses only, and what leaves the machine must be encrypted.
func memberURLProblem(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "expected https://IP:PORT"
	}
	host, port, err := net.SplitHostPort(u.Host)
	ip := net.ParseIP(host)
	switch {
	case err != nil || port == "" || port == "0":
		return "expected https://IP:PORT with a port"
	case ip == nil:
		return "expected an IP address: etcd does not listen on host names"
	case u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "":
		return "expected nothing after the port and no user"
	case u.Scheme == "http" && !ip.IsLoopback():
		return "expected https: plain http is for loopback addresses only"
	}
	return ""
}

// endpointProblem says what is wrong with a client URL.
func endpointProblem(raw string) string {
	if path, ok := strings.CutPrefix(raw, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			return "expected an absolute path, e.g. unix:///var/lib/veer/etcd.sock"
		}
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "expected https://HOST:PORT, http://HOST:PORT or unix:///PATH"
	}
	if host, port, err := net.SplitHostPort(u.Host); err != nil || host == "" || port == "" {
		return "expected a host and a port, e.g. https://etcd-1:2379"
	}
	if u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return "expected nothing after the port and no user"
	}
	return ""
}
