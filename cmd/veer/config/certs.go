package config

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster/certs"
)

// ExpiresSoon is how long before its end a certificate is warned of.
const ExpiresSoon = 30 * 24 * time.Hour

// The kinds of a CertificateFile.
const (
	KindCA          = "ca"
	KindCertificate = "certificate"
	KindKey         = "key"
)

// CertificateFile is what a PEM file holds, and what is wrong with it here.
type CertificateFile struct {
	File string `json:"file"`
	// Kind is ca, certificate or key; empty: it cannot be read.
	Kind string `json:"kind"`
	// Region is for whom a certificate was judged.
	Region    regions.Name `json:"region,omitempty"`
	Subject   string       `json:"subject,omitempty"`
	Names     []string     `json:"names"`
	Issuer    string       `json:"issuer,omitempty"`
	Serial    string       `json:"serial,omitempty"`
	NotBefore *time.Time   `json:"not_before,omitempty"`
	NotAfter  *time.Time   `json:"not_after,omitempty"`
	Usages    []string     `json:"usages"`
	Problems  []string     `json:"problems"`
	// Soon tells of an end that is near.
	Soon string `json:"soon,omitempty"`

	key string // of the config
}

// LoadUnissued is Load for the commands that make the files of host.tls: none
// of them has to be there yet.
func LoadUnissued(path string, env func(string) (string, bool), flags ...Flag) (*Config, error) {
	return loadBut(path, env, flags, func(e Error) bool {
		file := slices.Contains([]string{"ca_file", "cert_file", "key_file"}, e.Path[strings.LastIndex(e.Path, ".")+1:])
		at := strings.HasPrefix(e.Path, "host.tls.") || strings.HasPrefix(e.Path, "tls.") // in host.yaml
		return file && at && strings.HasPrefix(e.Problem, "cannot read ")
	})
}

// Places are all that may have a certificate: regions, vantages and members.
func (c *Config) Places() []string {
	out := append(text(c.Regions), text(c.Vantages)...)
	for name := range c.shared.Members {
		out = append(out, name)
	}
	slices.Sort(out)
	out = slices.DeleteFunc(out, func(name string) bool { return c.Votes(regions.Name(name)) })
	return slices.Compact(out)
}

// MemberHosts are the addresses at which the member of a region listens; none:
// it has no member.
func (c *Config) MemberHosts(region regions.Name) []string {
	m := c.shared.Members[string(region)]
	var out []string
	for _, raw := range []string{m.Peer, m.Client} {
		if u, err := url.Parse(raw); err == nil && u.Hostname() != "" && !slices.Contains(out, u.Hostname()) {
			out = append(out, u.Hostname())
		}
	}
	return out
}

// HostCertificates looks at the files of host.tls.
func (c *Config) HostCertificates(now time.Time, soon time.Duration) []CertificateFile {
	var out []CertificateFile
	add := func(key string, f CertificateFile) {
		f.key = "host.tls." + key
		out = append(out, f)
	}
	t := c.Host.TLS
	if t.CAFile != "" {
		add("ca_file", caFile(t.CAFile, now, soon))
	}
	if t.CertFile != "" {
		add("cert_file", c.leafFile(t.CertFile, t.KeyFile, c.Host.Region, now, soon))
	}
	if t.KeyFile != "" {
		add("key_file", keyFile(t.KeyFile))
	}
	return out
}

// CertificateAt looks at any file. A certificate is judged for the region, or
// where that is empty for the one whose name it carries, or for this host's.
func (c *Config) CertificateAt(path string, region regions.Name, now time.Time, soon time.Duration) CertificateFile {
	chain, err := certs.ReadChain(path)
	switch {
	case err != nil:
		if _, wrong := certs.ReadKey(path); wrong == nil {
			return keyFile(path)
		}
		return CertificateFile{File: path, Names: []string{}, Usages: []string{}, Problems: []string{err.Error()}}
	case chain[0].IsCA:
		return caFile(path, now, soon)
	case region == "" && slices.Contains(c.Places(), chain[0].Subject.CommonName):
		region = regions.Name(chain[0].Subject.CommonName)
	case region == "":
		region = c.Host.Region
	}
	key := strings.TrimSuffix(path, ".pem") + ".key"
	if _, err := os.Stat(key); err != nil || !strings.HasSuffix(path, ".pem") {
		key = ""
	}
	return c.leafFile(path, key, region, now, soon)
}

func caFile(path string, now time.Time, soon time.Duration) CertificateFile {
	f := CertificateFile{File: path, Kind: KindCA, Names: []string{}, Usages: []string{}, Problems: []string{}}
	cas, err := certs.ReadCAs(path)
	if err != nil {
		f.Problems = append(f.Problems, err.Error())
		return f
	}
	f.describe(cas[0])
	j := certs.JudgeCAs(cas, soon, now)
	f.Problems, f.Soon = append(f.Problems, j.Problems...), j.Soon
	return f
}

func (c *Config) leafFile(path, key string, region regions.Name, now time.Time, soon time.Duration) CertificateFile {
	f := CertificateFile{File: path, Kind: KindCertificate, Region: region, Names: []string{}, Usages: []string{}, Problems: []string{}}
	chain, err := certs.ReadChain(path)
	if err != nil {
		f.Problems = append(f.Problems, err.Error())
		return f
	}
	use := certs.Use{Hosts: c.MemberHosts(region), Soon: soon}
	if ca := c.Host.TLS.CAFile; ca != "" {
		if use.CAs, err = certs.ReadCAs(ca); err != nil {
			use.CAs = nil // said of that file
		}
	}
	if key != "" {
		if use.Key, err = certs.ReadKey(key); err != nil {
			use.Key = nil
			if key != c.Host.TLS.KeyFile {
				f.Problems = append(f.Problems, "its key: "+err.Error())
			}
		}
	}
	leaf := chain[0]
	f.describe(leaf)
	j := certs.Judge(chain, use, now)
	f.Problems, f.Soon = append(f.Problems, j.Problems...), j.Soon
	return f
}

func (f *CertificateFile) describe(c *x509.Certificate) {
	from, to := c.NotBefore.UTC(), c.NotAfter.UTC()
	f.Subject, f.Issuer, f.Serial = certs.Name(c.Subject), certs.Name(c.Issuer), c.SerialNumber.Text(16)
	f.NotBefore, f.NotAfter = &from, &to
	f.Names, f.Usages = certs.Hosts(c), certs.Usages(c)
}

func keyFile(path string) CertificateFile {
	f := CertificateFile{File: path, Kind: KindKey, Names: []string{}, Usages: []string{}, Problems: []string{}}
	if _, err := certs.ReadKey(path); err != nil {
		f.Problems = append(f.Problems, err.Error())
		return f
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&0o007 != 0 {
		f.Problems = append(f.Problems, fmt.Sprintf("everybody on this host may read the key (mode %04o): chmod 600 %s", info.Mode().Perm(), path))
	}
	return f
}

// CertificateWarnings are what is wrong with the certificates of this host, or
// soon will be.
func (c *Config) CertificateWarnings(now time.Time) []string {
	var out []string
	t := c.Host.TLS
	if m, member := c.Cluster.Members[string(c.Host.Region)]; member && (strings.HasPrefix(m.Peer, "https:") || strings.HasPrefix(m.Client, "https:")) {
		var missing []string
		for key, file := range map[string]string{"ca_file": t.CAFile, "cert_file": t.CertFile, "key_file": t.KeyFile} {
			if file == "" {
				missing = append(missing, key)
			}
		}
		if slices.Sort(missing); len(missing) > 0 {
			out = append(out, fmt.Sprintf("the member %s listens with https, and host.tls does not name %s: it cannot start; `veer certs init` and `veer certs issue %s` make the files", c.Host.Region, strings.Join(missing, " and "), c.Host.Region))
		}
	}
	out = append(out, c.dotWarnings(now)...)
	for _, f := range c.HostCertificates(now, ExpiresSoon) {
		for _, p := range f.Problems {
			out = append(out, fmt.Sprintf("%s %s: %s", f.key, f.File, strings.TrimPrefix(p, f.File+": ")))
		}
		if f.Soon != "" {
			out = append(out, fmt.Sprintf("%s %s: %s", f.key, f.File, f.Soon))
		}
	}
	return out
}
