package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// Latency is how a service with policy latency follows what the vantages measure.
type Latency struct {
	// Measure is what is measured: MeasureConnect or MeasureAnswer.
	Measure string `yaml:"measure"`
	// Margin, of the other's, and Least are how much shorter a round trip must
	// be, both, For is for how long.
	Margin Percent       `yaml:"margin"`
	Least  time.Duration `yaml:"least"`
	For    time.Duration `yaml:"for"`
	// WarmUp is how many probes make a figure.
	WarmUp int `yaml:"warm_up"`
}

// The words of Latency.Measure.
const (
	// MeasureConnect is the time to connect: one round trip.
	MeasureConnect = "connect"
	// MeasureAnswer is the time of the whole check.
	MeasureAnswer = "answer"
)

func (l *Latency) setDefaults() {
	l.Measure, l.Margin, l.Least, l.For, l.WarmUp = MeasureConnect, 20, 5*time.Millisecond, 5*time.Minute, 10
}

// Bounds of Latency. A margin of more than that leaves nothing that is nearer.
const (
	mostMargin = 90
	mostLeast  = 10 * time.Second
	mostWarmUp = 1000
)

// latency checks how a service measures, and what of it can.
func (l *loader) latency(s *Service, path string) {
	if s.Policy != steering.Latency {
		if s.Latency != nil && l.clean(path+".policy") {
			l.bad(path+".latency", "the key has no meaning with policy "+string(s.Policy), "policy: latency, or no such key", "")
		}
		return
	}
	if s.Latency == nil {
		s.Latency = new(Latency)
		s.Latency.setDefaults()
	}
	if slices.Contains(l.c.Vantages, steering.DefaultLocation) {
		l.bad(path+".policy", "with policy latency a location has the name of the vantage that measures for it, and there is a vantage called default", "another name for the vantage, or policy failover", "")
	}
	at := path + ".latency"
	l.oneOf(at+".measure", s.Latency.Measure, wordsOf("services[].latency.measure")...)
	if m := s.Latency.Margin; m > mostMargin && l.clean(at+".margin") {
		l.bad(at+".margin", fmt.Sprintf("found %d%%", m), fmt.Sprintf("0%% to %d%% of the other's round trip", mostMargin), "")
	}
	l.between(at+".least", s.Latency.Least, 0, mostLeast)
	l.between(at+".for", s.Latency.For, 0, maxTime)
	if n := s.Latency.WarmUp; (n < 1 || n > mostWarmUp) && l.clean(at+".warm_up") {
		l.bad(at+".warm_up", fmt.Sprintf("found %d", n), fmt.Sprintf("1 to %d probes", mostWarmUp), "")
	}
	l.measurable(s, path)
}

// measurable refuses a monitor that has no round trip to the endpoint.
func (l *loader) measurable(s *Service, path string) {
	m, ok := l.c.Monitors[s.Monitor]
	if !ok || !l.clean(path+".monitor", path+".latency.measure", "monitors."+s.Monitor) {
		return
	}
	refuse := func(why, expected string) {
		l.bad(path+".monitor", fmt.Sprintf("policy latency measures with the monitor, and %s %s", quote(s.Monitor), why), expected, "")
	}
	connects := m.HTTP != nil || m.TCP != nil || m.TLS != nil || m.GRPC != nil || m.SQL != nil
	switch {
	case m.Prom != nil:
		refuse("asks Prometheus, not the endpoint", "a monitor that probes the endpoint itself, such as kind tcp")
	case m.Heartbeat != nil:
		refuse("is told by the endpoint, and measures nothing", "a monitor that probes the endpoint itself, such as kind tcp")
	case m.Composite != nil:
		refuse("is of several, whose times are not one", "one of the monitors that it names")
	case s.Latency.Measure != MeasureConnect:
	case m.HTTP != nil && m.HTTP.KeepAlive:
		refuse("keeps its connections, so that it seldom connects", "keep_alive: false, or latency: {measure: answer}")
	case !connects:
		refuse("of kind "+m.Kind+" makes no connection", "kind http, https, tcp, tls, grpc, grpcs or sql, or latency: {measure: answer}")
	}
}

// measuredLocation checks what a location of a Latency service has in the place
// of an order.
func (l *loader) measuredLocation(o *Location, path string) {
	if len(o.Pools) > 0 {
		l.bad(path+".pools", "the order of a location's pools is measured with policy latency", "no pools in a location, or policy: geo", "")
	}
	var known []string
	for _, v := range l.c.Vantages {
		if !l.c.Votes(v) { // which measures nothing
			known = append(known, string(v))
		}
	}
	if l.clean(path+".name", "vantages", "regions") && o.Name != steering.DefaultLocation && !slices.Contains(known, o.Name) {
		l.unknown(path+".name", "vantage", o.Name, known)
	}
}

// measuredAlike refuses an endpoint of which two services measure different
// times: a vantage tells one.
func (l *loader) measuredAlike() {
	first := map[regions.EndpointID]Service{}
	for i, s := range l.c.Services {
		path := fmt.Sprintf("services[%d]", i)
		if s.Policy != steering.Latency || s.Latency == nil || !l.clean(path) {
			continue
		}
		for _, pool := range s.Pools {
			for _, a := range pool.Endpoints {
				id := endpointID(s.Monitor, a)
				was, shared := first[id]
				if !shared {
					first[id] = s
				} else if was.Latency.Measure != s.Latency.Measure {
					l.bad(path+".latency.measure", fmt.Sprintf("%s is also measured for %s with measure %s; here it is %s", id, was.Name, was.Latency.Measure, s.Latency.Measure),
						"the same measure, or a monitor of its own for one of the services", "")
					return
				}
			}
		}
	}
}

// measured are the endpoints of which a service wants to know the round trip. Of
// two warm-ups the longer one holds.
func (c *Config) measured() map[regions.EndpointID]Latency {
	out := map[regions.EndpointID]Latency{}
	for _, s := range c.Services {
		if s.Policy != steering.Latency || s.Latency == nil {
			continue
		}
		for _, p := range s.Pools {
			for _, a := range p.Endpoints {
				id, one := endpointID(s.Monitor, a), *s.Latency
				one.WarmUp = max(one.WarmUp, out[id].WarmUp)
				out[id] = one
			}
		}
	}
	return out
}

// nearness is the rule in the form that decisions take.
func (s Service) nearness() steering.Nearness {
	if s.Policy != steering.Latency || s.Latency == nil {
		return steering.Nearness{}
	}
	return steering.Nearness{Percent: int(s.Latency.Margin), Least: s.Latency.Least, For: s.Latency.For}
}

// vantageLocations are the locations of a Latency service: one for each vantage.
func (c *Config) vantageLocations() []steering.Location {
	var out []steering.Location
	for _, v := range c.Vantages {
		if !c.Votes(v) {
			out = append(out, steering.Location{Name: string(v)})
		}
	}
	return out
}

// withRest adds who has the clients of a Latency service that are in no
// location: the vantage of this host's region, if there is one.
func (c *Config) withRest(locations []authority.Location) []authority.Location {
	here := string(c.Host.Region)
	if !slices.Contains(c.Vantages, c.Host.Region) {
		return locations
	}
	for i := range locations {
		if locations[i].Name == here {
			locations[i].Rest = true
			return locations
		}
	}
	return append(locations, authority.Location{Name: here, Rest: true})
}

// clientsNeeded says which policy needs answers that depend on the client.
func clientsNeeded(k steering.Kind) string {
	what := "policy " + string(k) + " needs answers that depend on the client"
	if k == steering.Latency {
		what += ", by round trips that Veer measures itself"
	}
	return what
}
