package config

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/checks/tcpcheck"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/prober"
)

// Probe is one thing to probe, and how.
type Probe struct {
	Endpoint regions.EndpointID
	Target   checks.Target
	Monitor  Monitor
	// Measure is what round trips are taken from, empty where nobody wants to
	// know, WarmUp how many of them make a figure.
	Measure string
	WarmUp  int
}

// Endpoints returns every endpoint of every service once, in the order of the
// file.
func (c *Config) Endpoints() []Probe {
	var out []Probe
	seen, measured := map[regions.EndpointID]bool{}, c.measured()
	for _, s := range c.Services {
		for _, p := range s.Pools {
			for _, a := range p.Endpoints {
				id := endpointID(s.Monitor, a)
				if seen[id] {
					continue
				}
				seen[id] = true
				m := c.Monitors[s.Monitor]
				out = append(out, Probe{id, checks.Target{Name: string(id), Host: a, Port: m.Port}, m, measured[id].Measure, measured[id].WarmUp})
			}
		}
	}
	return out
}

func endpointID(monitor, address string) regions.EndpointID {
	return regions.EndpointID(monitor + "@" + address)
}

// ReferenceProbes returns the references, each with a monitor of defaults. An
// answer of any status shows that a reference can be reached.
func (c *Config) ReferenceProbes() []Probe {
	out := make([]Probe, 0, len(c.References))
	for _, text := range c.References {
		if p, err := reference(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

const referenceForms = "tcp://HOST:PORT, http://HOST or https://HOST"

// reference reads a reference's URL.
func reference(text string) (Probe, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return Probe{}, fmt.Errorf("%s is not a URL with a host", quote(text))
	}
	if u.User != nil || u.Fragment != "" {
		return Probe{}, fmt.Errorf("a reference has no user and no fragment")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if u.Port() != "" && (err != nil || port == 0) {
		return Probe{}, fmt.Errorf("%s: port %s is not a number from 1 to 65535", quote(text), quote(u.Port()))
	}
	m := Monitor{MonitorConfig: prober.MonitorConfig{Kind: u.Scheme, Interval: 5 * time.Second, Port: uint16(port)}.Defaults()}
	switch u.Scheme {
	case KindTCP:
		if port == 0 || u.Path != "" || u.RawQuery != "" {
			return Probe{}, fmt.Errorf("%s: tcp needs a host and a port, and nothing after it", quote(text))
		}
		m.TCP = &tcpcheck.Config{}
	case KindHTTP, KindHTTPS:
		m.HTTP = &httpcheck.Config{Scheme: u.Scheme, Path: u.RequestURI(), Status: []string{"100-599"}}
	default:
		return Probe{}, fmt.Errorf("%s: unknown scheme %s", quote(text), quote(u.Scheme))
	}
	return Probe{
		Endpoint: regions.EndpointID("reference@" + text),
		Target:   checks.Target{Name: text, Host: u.Hostname(), Port: uint16(port)},
		Monitor:  m,
	}, nil
}
