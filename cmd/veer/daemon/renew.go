package daemon

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
	"github.com/veerdns/veer/regions/steering"
)

// next is another config with everything made that a process runs by it.
type next struct {
	d      *daemon
	c      *config.Config
	policy steering.Policy
	files  secrets
	// changes are of each authority, in the order of daemon.servers.
	changes          []*authority.Change
	jobs, references []prober.Job
	written          []controller.Written // nil: not opened yet
	opened           map[string]opened
	token            string
}

// next reads and makes all that a config names. It changes nothing; the error
// says what cannot be had.
func (d *daemon) next(c *config.Config) (*next, error) {
	n := &next{d: d, c: c, policy: c.Policy()}
	var problems []error
	note := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	if d.roles[RoleProber] && !slices.Contains(c.Vantages, d.c.Host.Region) {
		note(fmt.Errorf("host.region %s is none of the vantages %v", d.c.Host.Region, c.Vantages))
	}
	note(d.pingable(c))
	var err error
	n.files, err = d.readable(c)
	note(err)
	note(d.pairs(n.files))
	if n.token, err = tokenFrom("host.http", d.c.Host.HTTP.TokenFile, d.c.Host.HTTP.TokenEnv); err != nil && n.another("host.http.token_file") {
		note(err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err // nothing is made of what cannot be read
	}
	byName := map[string]config.Provider{}
	for _, p := range c.Providers {
		byName[p.Name] = p
	}
	for _, s := range d.servers {
		own, o := d.authorityOf(c, n.policy, byName[s.name])
		change, err := s.Prepare(own, o)
		if err != nil {
			note(fmt.Errorf("provider %s: %w", s.name, err))
		}
		n.changes = append(n.changes, change)
	}
	if d.engine != nil {
		n.jobs, n.references, err = d.jobs(c, n.files)
		note(err)
	}
	n.written, n.opened, err = d.reopened(c, n.files)
	note(err)
	return n, errors.Join(problems...)
}

// pingable refuses monitors that need what was given up with root's privileges.
func (d *daemon) pingable(c *config.Config) error {
	if !d.dropped {
		return nil
	}
	to, err := findAccount(d.c.Host.User)
	if err != nil {
		return err
	}
	if d.pingsRaw(c, to) && !d.pingsRaw(d.config(), to) {
		return errors.New("a monitor of kind icmp needs CAP_NET_RAW, which was given up with root: restart veer for it")
	}
	return nil
}

// take takes it over. Nothing in it waits or fails.
func (n *next) take(why string) {
	d := n.d
	d.opening.Lock()
	d.files, d.written, d.opened = n.files, n.written, n.opened
	d.current.Store(n.c)
	d.opening.Unlock()
	for _, p := range n.c.Providers {
		if p.Written() != nil && d.roles[RoleController] {
			d.metrics.Foresee(p.Name)
		}
	}
	if d.roles[RoleController] {
		foreseeReceivers(d.metrics, n.c)
	}
	for i, s := range d.servers {
		for _, p := range n.c.Providers {
			if p.Name == s.name {
				s.foreign.Store(foreign(n.c, p))
			}
		}
		n.changes[i].Take()
	}
	d.replaceScene(n.c, n.policy)
	if n.token != "" {
		d.token.Store(&n.token)
	}
	if cl := d.cluster.Load(); cl != nil {
		cl.Reconfigured(n.c.Hash())
	}
	if p := d.prober.Load(); p != nil {
		if err := p.Replace(n.jobs, n.references); err != nil { // they were made as those of New
			d.o.Log.Error().Err(err).Msg("the prober goes on with the endpoints of before")
		}
	}
	if c := d.controller.Load(); c != nil {
		c.Replace(controllerOf(n.c, n.policy, n.written), why)
	}
}

// contents are the changes of what the config names, beside those of the config
// itself.
func (n *next) contents(known []api.ConfigChange) []api.ConfigChange {
	var out []api.ConfigChange
	was := n.d.files
	for _, key := range slices.Sorted(maps.Keys(n.files)) {
		if before, there := was[key]; !there || before == n.files[key] {
			continue
		}
		what, rest := key, ""
		for prefix, kind := range map[string]string{"providers.": "provider ", "monitors.": "monitor "} {
			if below, ok := strings.CutPrefix(key, prefix); ok {
				name, of, _ := strings.Cut(below, ".")
				what, rest = kind+name, of
			}
		}
		out = append(out, api.ConfigChange{What: what, Change: config.Changed, Key: strings.TrimSuffix("content of "+rest, " of ")})
	}
	for i, c := range n.changes {
		for _, zone := range slices.Sorted(maps.Keys(c.Zones)) {
			what := "provider " + n.d.servers[i].name
			if c.Zones[zone] == config.Changed {
				out = append(out, api.ConfigChange{What: what, Change: config.Changed, Key: "zone file of " + short(zone)})
			}
		}
	}
	return slices.DeleteFunc(out, func(c api.ConfigChange) bool { return slices.Contains(known, c) })
}

// another reports whether a file has another content than before.
func (n *next) another(key string) bool { return n.files[key] != n.d.files[key] }

// jobs makes the jobs of a config.
func (d *daemon) jobs(c *config.Config, files secrets) (endpoints, references []prober.Job, err error) {
	if endpoints, err = jobsOf(d.engine, d.book, c.Endpoints(), files); err != nil {
		return nil, nil, err
	}
	references, err = jobsOf(d.engine, d.book, c.ReferenceProbes(), files)
	return endpoints, references, err
}

// opened is a client of a provider, and what it was made of.
type opened struct {
	client providers.Provider
	of     string
}

// reopened opens the written providers of a config, if they were opened before.
// The caller holds reloading.
func (d *daemon) reopened(c *config.Config, files secrets) ([]controller.Written, map[string]opened, error) {
	d.opening.Lock()
	defer d.opening.Unlock()
	if d.written == nil {
		return nil, nil, nil
	}
	return d.open(c, files)
}

// open makes the clients of a config's written providers. One of which nothing
// changed, its secrets included, stays as it is, with what it knows. The caller
// holds opening.
func (d *daemon) open(c *config.Config, files secrets) ([]controller.Written, map[string]opened, error) {
	open := d.o.Open
	if open == nil {
		open = Open
	}
	log := d.o.Log.With().Str("part", "controller").Logger()
	all := map[string]opened{}
	written, err := writtenBy(c, func(p config.Provider) (providers.Provider, error) {
		of, err := files.sign("providers."+p.Name+".", p.Kind, p.Written(), namesOf(c, p))
		if err != nil {
			return nil, err
		}
		is := d.opened[p.Name]
		if is.client == nil || is.of != of {
			if is.client, err = open(c, p, log.With().Str("provider", p.Name).Logger()); err != nil {
				return nil, err
			}
			is.of = of
		}
		all[p.Name] = is
		return is.client, nil
	})
	if err == nil && written == nil {
		written = []controller.Written{}
	}
	return written, all, err
}

// secrets are the digests of the files that a config names, by key. They are
// compared, and never shown.
type secrets map[string]string

// maxSecretFile bounds what is read of such a file.
const maxSecretFile = 1 << 20

// readFiles reads what it can of files, by key; the problems are of those that it
// cannot.
func readFiles(files map[string]string) (secrets, map[string]error) {
	out, problems := secrets{}, map[string]error{}
	for key, path := range files {
		f, err := os.Open(path) // #nosec G304 -- the operator names it
		if err != nil {
			problems[key] = fmt.Errorf("%s: %w", key, err)
			continue
		}
		text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
		_ = f.Close() // it was only read
		switch {
		case err != nil:
			problems[key] = fmt.Errorf("%s: %w", key, err)
		case len(text) > maxSecretFile:
			problems[key] = fmt.Errorf("%s: %s has more than %d bytes", key, path, maxSecretFile)
		case len(bytes.TrimSpace(text)) == 0:
			problems[key] = fmt.Errorf("%s: %s is empty", key, path)
		default:
			sum := sha256.Sum256(text)
			out[key] = hex.EncodeToString(sum[:])
		}
	}
	return out, problems
}

// readable reads the files of a config. One that cannot be read is a problem,
// unless that was so before: the process runs without it.
func (d *daemon) readable(c *config.Config) (secrets, error) {
	named, before := c.Files(), d.config().Files()
	files, problems := readFiles(named)
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(problems)) {
		if _, read := d.files[key]; read || before[key] != named[key] {
			errs = append(errs, problems[key])
		}
	}
	return files, errors.Join(errs...)
}

// sign is a digest of values, and of the files whose keys begin with prefix.
func (s secrets) sign(prefix string, values ...any) (string, error) {
	sum := sha256.New()
	for _, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			return "", fmt.Errorf("comparing it with that of before: %w", err)
		}
		sum.Write(append(text, 0)) // a hash's Write never fails
	}
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if strings.HasPrefix(key, prefix) {
			sum.Write([]byte(key + "\x00" + s[key] + "\x00"))
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// pairs checks the certificates that are read again by themselves: a bad one
// would only show at the next handshake.
func (d *daemon) pairs(files secrets) error {
	var errs []error
	for key, of := range map[string][2]string{
		"host.tls.cert_file":  {d.c.Host.TLS.CertFile, d.c.Host.TLS.KeyFile},
		"host.http.cert_file": {d.c.Host.HTTP.CertFile, d.c.Host.HTTP.KeyFile},
	} {
		keyFile := strings.Replace(key, "cert_file", "key_file", 1)
		if of[0] == "" || files[key] == d.files[key] && files[keyFile] == d.files[keyFile] {
			continue // one that was bad before is no reason
		}
		if _, err := tls.LoadX509KeyPair(of[0], of[1]); err != nil {
			errs = append(errs, fmt.Errorf("%s %s with the key %s: %w", key, of[0], of[1], err))
		}
	}
	return errors.Join(errs...)
}
