package authority

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/providers"
)

// aliasFile is that of the last good addresses in the data folder.
var aliasFile = kept{name: "authority.aliases", what: "last good addresses", head: "veer-authority-aliases 1", most: 64 << 20}

// savedTargets is what a server must know to answer with the last good
// addresses again.
type savedTargets struct {
	Targets []savedTarget `json:"targets"` // by host, each once
}

// savedTarget is one host. A family that is null was never known.
type savedTarget struct {
	Host string        `json:"host"`
	V4   *[]netip.Addr `json:"v4"`
	V6   *[]netip.Addr `json:"v6"`
	// Resolved is by this host's wall clock, for people.
	Resolved time.Time `json:"resolved"`
}

func (s *savedTarget) families() [len(aliasTypes)]**[]netip.Addr {
	return [...]**[]netip.Addr{&s.V4, &s.V6}
}

// saveTargets returns what is to be kept, without what is not known.
func saveTargets(targets map[string]*target) savedTargets {
	var out savedTargets
	for host, t := range targets {
		one := savedTarget{Host: host, Resolved: t.resolved.UTC().Truncate(time.Second)}
		known := false
		for i, to := range one.families() {
			if f := t.families[i]; f.known {
				addrs := append([]netip.Addr{}, f.addrs...)
				*to, known = &addrs, true
			}
		}
		if known {
			out.Targets = append(out.Targets, one)
		}
	}
	slices.SortFunc(out.Targets, func(a, b savedTarget) int { return strings.Compare(a.Host, b.Host) })
	return out
}

// decodeTargets reads what was written, and refuses anything else.
func decodeTargets(content []byte) (savedTargets, error) {
	var s savedTargets
	if err := aliasFile.decode(content, &s); err != nil {
		return s, err
	}
	for i := range s.Targets {
		t := &s.Targets[i]
		if t.Host != providers.CanonicalName(t.Host) || checkHosts([]string{t.Host}) != nil || i > 0 && t.Host <= s.Targets[i-1].Host {
			return s, fmt.Errorf("%w: the host %q is not canonical or out of order", errCorrupt, t.Host)
		}
		if err := t.check(); err != nil {
			return s, fmt.Errorf("%w: host %s: %w", errCorrupt, t.Host, err)
		}
	}
	return s, nil
}

// check wants what a resolver could have said.
func (s *savedTarget) check() error {
	any := false
	for i, f := range s.families() {
		if *f == nil {
			continue
		}
		addrs := **f
		if len(addrs) > maxAliasAddresses {
			return fmt.Errorf("%d addresses", len(addrs))
		}
		for k, a := range addrs {
			if !usable(a, aliasTypes[i]) || k > 0 && a.Compare(addrs[k-1]) <= 0 {
				return fmt.Errorf("the address %s is of no use or out of order", a)
			}
			any = true
		}
	}
	if !any {
		return errors.New("no address at all")
	}
	return nil
}

// targets are the hosts as they were. How long ago is not known for sure: all
// should have been renewed by now.
func (s savedTargets) targets() map[string]*target {
	out := make(map[string]*target, len(s.Targets))
	for _, one := range s.Targets {
		t := &target{resolved: one.Resolved}
		for i, from := range one.families() {
			if *from != nil {
				t.families[i] = family{known: true, addrs: **from}
			}
		}
		out[one.Host] = t
	}
	return out
}

// loadTargets reads the file in dir: see kept.load.
func loadTargets(dir string) (s savedTargets, aside, err error) {
	found, aside, err := aliasFile.load(dir, func(content []byte) (err error) {
		s, err = decodeTargets(content)
		return err
	})
	if !found {
		s = savedTargets{}
	}
	return s, aside, err
}
