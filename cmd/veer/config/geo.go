package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// Location is a part of the clients of a service with policy geo, and the pools
// that they prefer.
type Location struct {
	Name string `yaml:"name"`
	// Countries are codes of ISO 3166, Continents two letters each.
	Countries  []string `yaml:"countries"`
	Continents []string `yaml:"continents"`
	// Networks are in CIDR notation.
	Networks []string `yaml:"networks"`
	// Pools are regions, in order of preference; the service's others follow.
	Pools []regions.Name `yaml:"pools"`
}

// Bounds of a service's locations.
const (
	maxLocations = 64
	maxNetworks  = 4096
)

func continents() []string { return []string{"AF", "AN", "AS", "EU", "NA", "OC", "SA"} }

// locations checks what a service says of its clients' places.
func (l *loader) locations(s *Service, path string) {
	if !s.Policy.Located() {
		if len(s.Locations) > 0 && l.clean(path+".policy") {
			l.bad(path+".locations", "locations have no meaning with policy "+string(s.Policy), "policy: geo, or no locations", "")
		}
		return
	}
	if s.Policy == steering.Geo && !l.require(path, "locations", "the places of clients, like - {name: europe, continents: [EU], pools: [eu-west]}") || !l.clean(path+".locations") {
		return
	}
	if n := len(s.Locations); n < 1 && s.Policy == steering.Geo || n > maxLocations {
		l.bad(path+".locations", fmt.Sprintf("found %d locations", n), fmt.Sprintf("1 to %d", maxLocations), "")
	}
	if s.Demand > 0 {
		l.bad(path+".demand", "a demand has no meaning with policy "+string(s.Policy)+": which share of it each location has is not known", "policy failover or weighted, or no demand", "")
	}
	taken := map[string]string{} // what a location says, to the location
	for i := range s.Locations {
		l.location(s, &s.Locations[i], fmt.Sprintf("%s.locations[%d]", path, i), taken)
	}
	l.databases(s, path)
}

func (l *loader) location(s *Service, o *Location, path string, taken map[string]string) {
	if l.require(path, "name", "a name such as europe") {
		switch {
		case !isLabel(o.Name):
			l.bad(path+".name", "found "+quote(o.Name), labelRule, "")
		case o.Name == steering.DefaultLocation:
			l.bad(path+".name", "found default, which all clients are in that are in no other location", "another name; the order of the service's pools is the default's", "")
		case taken["name "+o.Name] != "":
			l.bad(path+".name", quote(o.Name)+" is given twice", "each location once", "")
		}
		taken["name "+o.Name] = o.Name
	}
	if len(o.Countries)+len(o.Continents)+len(o.Networks) == 0 {
		l.bad(path, "the location has no clients", "at least one of countries, continents and networks", "")
	}
	once := func(at, what, text string) {
		if other, twice := taken[what+" "+text]; twice {
			l.bad(at, fmt.Sprintf("%s is in the location %s already", quote(text), other), "each "+what+" once in a service", "")
		}
		taken[what+" "+text] = o.Name
	}
	for i, code := range o.Countries {
		at := fmt.Sprintf("%s.countries[%d]", path, i)
		o.Countries[i] = strings.ToUpper(code)
		if code = o.Countries[i]; len(code) != 2 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			l.bad(at, "found "+quote(code), "two letters of ISO 3166, such as FR", "")
			continue
		}
		once(at, "country", code)
	}
	for i, code := range o.Continents {
		at := fmt.Sprintf("%s.continents[%d]", path, i)
		o.Continents[i] = strings.ToUpper(code)
		if code = o.Continents[i]; !slices.Contains(continents(), code) {
			l.bad(at, "found "+quote(code), "one of "+strings.Join(continents(), ", "), "")
			continue
		}
		once(at, "continent", code)
	}
	if len(o.Networks) > maxNetworks {
		l.bad(path+".networks", fmt.Sprintf("found %d networks", len(o.Networks)), fmt.Sprintf("at most %d", maxNetworks), "")
	}
	for i, text := range o.Networks {
		at := fmt.Sprintf("%s.networks[%d]", path, i)
		n, err := authority.ParseNetwork(text)
		if err != nil {
			l.bad(at, err.Error(), "a network such as 192.0.2.0/24 or 2001:db8::/32", "")
			continue
		}
		o.Networks[i] = n.String()
		once(at, "network", n.String())
	}
	if s.Policy == steering.Latency {
		l.measuredLocation(o, path)
		return
	}
	l.locationPools(s, o, path)
}

func (l *loader) locationPools(s *Service, o *Location, path string) {
	if !l.require(path, "pools", "regions of the service's pools, the most preferred first") || !l.clean(path+".pools") {
		return
	}
	if len(o.Pools) == 0 {
		l.bad(path+".pools", "found an empty list", "at least one region of the service's pools", "")
	}
	var known []string
	for _, p := range s.Pools {
		known = append(known, string(p.Region))
	}
	for i, region := range o.Pools {
		at := fmt.Sprintf("%s.pools[%d]", path, i)
		switch {
		case !slices.Contains(known, string(region)):
			l.unknown(at, "pool of this service", string(region), known)
		case slices.Contains(o.Pools[:i], region):
			l.bad(at, quote(string(region))+" is listed twice", "each pool once", "")
		}
	}
}

// databases wants a database of countries where a service speaks of them.
func (l *loader) databases(s *Service, path string) {
	i := slices.IndexFunc(s.Locations, func(o Location) bool { return len(o.Countries)+len(o.Continents) > 0 })
	if i < 0 {
		return
	}
	for _, name := range s.Providers {
		p, _ := l.c.Providers.find(name)
		if p.Authority != nil && p.Authority.GeoFile == "" && l.clean("providers."+name) {
			l.bad(fmt.Sprintf("%s.locations[%d]", path, i), fmt.Sprintf("countries and continents need a database, and the provider %s has none", name),
				"providers."+name+".geo_file: the path of a MaxMind DB such as GeoLite2-Country.mmdb; or networks alone", "")
		}
	}
}

// geoFile looks at a provider's database.
func (l *loader) geoFile(c *authority.Config, path string) {
	if c.GeoFile == "" || !l.clean(path) {
		return
	}
	if err := authority.CheckDatabase(c.GeoFile); err != nil {
		l.bad(path, "the database is not valid: "+oneLine(err.Error()), "a MaxMind DB of countries or cities, such as GeoLite2-Country.mmdb", "")
	}
}

// placeable refuses a service whose answers depend on the client and that one of its providers has no records for.
func (l *loader) placeable(s *Service, path string) {
	if !s.Policy.Located() {
		return
	}
	geo := func(c providers.Caps) bool { return c.Geo }
	without := l.without(s, geo)
	if len(without) == 0 {
		return
	}
	expected := "policy failover, or a provider of kind authority"
	if able := l.able(s, geo); able != "" {
		expected += "; of yours " + able
	}
	l.bad(path+".policy", clientsNeeded(s.Policy)+", which the records that Veer writes to "+strings.Join(without, " and ")+" do not have", expected, "")
}

// Locations are those of the services whose answers depend on the client, as an
// authority takes them.
func (c *Config) Locations() map[string][]authority.Location {
	out := map[string][]authority.Location{}
	for _, s := range c.Services {
		if !s.Policy.Located() {
			continue
		}
		for _, o := range s.Locations {
			one := authority.Location{Name: o.Name, Countries: o.Countries, Continents: o.Continents}
			for _, text := range o.Networks {
				if n, err := netip.ParsePrefix(text); err == nil { // location has checked it
					one.Networks = append(one.Networks, n)
				}
			}
			out[s.Name] = append(out[s.Name], one)
		}
		if s.Policy == steering.Latency {
			out[s.Name] = c.withRest(out[s.Name])
		}
	}
	return out
}

// steered are the locations in the form that decisions take.
func (c *Config) steered(s Service) []steering.Location {
	if s.Policy == steering.Latency {
		return c.vantageLocations()
	}
	var out []steering.Location
	for _, o := range s.Locations {
		out = append(out, steering.Location{Name: o.Name, Order: slices.Clone(o.Pools)})
	}
	return out
}
