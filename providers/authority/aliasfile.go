package authority

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/veerdns/veer/providers"
)

// aliasName is the file of the last good addresses in the data folder.
const aliasName = "authority.aliases"

// maxAliasFile bounds it in bytes.
const maxAliasFile = 64 << 20

// aliasHead begins it, as snapshotHead begins a snapshot.
const aliasHead = "veer-authority-aliases 1 sha256=%x bytes=%d\n"

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
	slices.SortFunc(out.Targets, func(a, b savedTarget) int { return bytes.Compare([]byte(a.Host), []byte(b.Host)) })
	return out
}

// encode writes a file's content.
func (s savedTargets) encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the last good addresses: %w", err)
	}
	return append(fmt.Appendf(nil, aliasHead, sha256.Sum256(body), len(body)), body...), nil
}

// decodeTargets reads what encode wrote, and refuses anything else.
func decodeTargets(content []byte) (savedTargets, error) {
	var s savedTargets
	head, body, ok := bytes.Cut(content, []byte("\n"))
	if want := fmt.Sprintf(aliasHead, sha256.Sum256(body), len(body)); !ok || string(head)+"\n" != want {
		return s, fmt.Errorf("%w: it begins %.90q; expected %.90q", errCorrupt, head, want)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("%w: more follows the JSON value", errCorrupt)
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

// loadTargets reads the file in dir. A corrupt one is moved aside to a name
// ending in .bad, and aside tells why.
func loadTargets(dir string) (s savedTargets, aside, err error) {
	path := filepath.Join(dir, aliasName)
	f, err := os.Open(path) // #nosec G304 -- the data folder is the operator's
	if errors.Is(err, os.ErrNotExist) {
		return savedTargets{}, nil, nil
	}
	if err != nil {
		return savedTargets{}, nil, fmt.Errorf("open the last good addresses: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(f, maxAliasFile+1))
	if err != nil {
		return savedTargets{}, nil, fmt.Errorf("read the last good addresses from %s: %w", path, err)
	}
	s, bad := decodeTargets(content)
	if bad == nil {
		return s, nil, nil
	}
	if err := os.Rename(path, path+".bad"); err != nil {
		return savedTargets{}, nil, fmt.Errorf("move the corrupt file of last good addresses aside: %w", err)
	}
	return savedTargets{}, fmt.Errorf("%s is ignored and kept as %s.bad: %w", path, aliasName, bad), nil
}

// save writes the file into dir, whole or not at all.
func (s savedTargets) save(dir string) error {
	content, err := s.encode()
	if err != nil {
		return err
	}
	if err := replaceFile(dir, aliasName, content); err != nil {
		return fmt.Errorf("save the last good addresses: %w", err)
	}
	return nil
}
