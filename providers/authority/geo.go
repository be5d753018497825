package authority

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions/steering"
)

// Location says which clients a location of a service has: those of its
// networks, else those whose country is one of its countries, else those whose
// continent is one of its continents. Of several networks the longest counts.
type Location struct {
	Name     string
	Networks []netip.Prefix
	// Countries are codes of ISO 3166, Continents AF, AN, AS, EU, NA, OC, SA.
	Countries, Continents []string
	// Rest: it has all clients that are in no other location as well, in the
	// place of the default.
	Rest bool
}

// atlas tells the location of every address, for one service's locations. It
// does not change.
type atlas struct {
	v4, v6 *trie // of indexes into names
	names  []string
	// brief says that all of this is about to be another: see geography.coming.
	// What is found of an address is then said of no other one, so that no cache
	// has it for those that were not asked for.
	brief bool
}

// newAtlas makes the atlas of some locations.
func newAtlas(g *geography, locations []Location) *atlas {
	a := &atlas{names: []string{steering.DefaultLocation}, brief: g.coming}
	byCountry, byContinent := make(map[string]int), make(map[string]int)
	type network struct {
		netip.Prefix
		location int
	}
	var networks []network
	for _, l := range locations {
		at := len(a.names)
		if a.names = append(a.names, l.Name); l.Rest {
			a.names[0] = l.Name
		}
		for _, c := range l.Countries {
			byCountry[strings.ToUpper(c)] = at
		}
		for _, c := range l.Continents {
			byContinent[strings.ToUpper(c)] = at
		}
		for _, n := range l.Networks {
			networks = append(networks, network{n.Masked(), at})
		}
	}
	values := make([]int, len(g.countries))
	for i, c := range g.countries {
		if at, ok := byCountry[c.code]; ok && c.code != "" {
			values[i] = at
		} else if c.continent != "" {
			values[i] = byContinent[c.continent] // 0, the default, for others
		}
	}
	of := func(value int) int { return values[value] }
	a.v4, a.v6 = g.v4.compact(of), g.v6.compact(of)
	// The longer of two networks is laid over the shorter.
	slices.SortStableFunc(networks, func(a, b network) int { return a.Bits() - b.Bits() })
	for _, n := range networks {
		if n.Addr().Is4() {
			a.v4.put(n.Prefix, n.location)
		} else {
			a.v6.put(n.Prefix, n.location)
		}
	}
	same := func(value int) int { return value }
	a.v4, a.v6 = a.v4.compact(same), a.v6.compact(same)
	return a
}

// find returns the location of an address, and the length of its longest
// prefix of which all addresses are in the same one. An address within
// ::ffff:0:0/96 is one of IPv6 like any other: a query has none as its source
// (see addressOf), and a client subnet option with one has lengths of IPv6.
func (a *atlas) find(addr netip.Addr) (location string, depth int) {
	if !addr.IsValid() {
		return a.names[0], 0
	}
	t := a.v6
	if addr.Is4() {
		t = a.v4
	}
	at, depth := t.find(addr)
	if a.brief {
		depth = addr.BitLen()
	}
	return a.names[at], depth
}

// places are the atlases of all services, by name, of one database. A query
// reads the one of its service behind one atomic pointer.
type places struct {
	of map[string]*atomic.Pointer[atlas]
	// mapping is the config's part of each.
	mapping map[string][]Location
	nobody  *atomic.Pointer[atlas] // of services that the config does not know
}

func newPlaces(mapping map[string][]Location, g *geography) *places {
	p := &places{of: make(map[string]*atomic.Pointer[atlas], len(mapping)), mapping: mapping, nobody: new(atomic.Pointer[atlas])}
	p.nobody.Store(newAtlas(nowhere(), nil))
	for name := range mapping {
		p.of[name] = new(atomic.Pointer[atlas])
	}
	p.use(g)
	return p
}

// use makes all atlases anew of a database. Services with the same locations
// share one.
func (p *places) use(g *geography) {
	var made []string
	for _, name := range slices.Sorted(maps.Keys(p.mapping)) {
		like := slices.IndexFunc(made, func(other string) bool { return slices.EqualFunc(p.mapping[other], p.mapping[name], sameLocation) })
		if like >= 0 {
			p.of[name].Store(p.of[made[like]].Load())
			continue
		}
		p.of[name].Store(newAtlas(g, p.mapping[name]))
		made = append(made, name)
	}
}

func sameLocation(a, b Location) bool {
	return a.Name == b.Name && a.Rest == b.Rest && slices.Equal(a.Networks, b.Networks) && slices.Equal(a.Countries, b.Countries) && slices.Equal(a.Continents, b.Continents)
}

// atlasOf returns where the atlas of a service is.
func (p *places) atlasOf(service string) *atomic.Pointer[atlas] {
	if at, ok := p.of[service]; ok {
		return at
	}
	return p.nobody
}

// located is what a set has where it depends on the client: a set for each
// location that has one.
type located struct {
	sets map[string]*set
	// known are the locations of the service, of which some may have no set of
	// this type.
	known map[string]bool
	atlas *atomic.Pointer[atlas]
}

// at returns the set that the query's client gets, nil where its location has
// none, and notes in the reply for which network that holds.
func (s *set) at(q Query, r *Reply) *set {
	if s.located == nil {
		return s
	}
	location, depth := steering.DefaultLocation, 0
	if a := s.located.atlas; a != nil {
		location, depth = a.Load().find(q.Client)
	}
	r.Scope, r.Tailored = max(r.Scope, depth), true
	if !s.located.known[location] {
		location = steering.DefaultLocation
	}
	return s.located.sets[location]
}

// each calls f with every pick of the set.
func (s *set) each(f func(p *pick)) {
	for i := range s.picks {
		f(&s.picks[i])
	}
	if s.located != nil {
		for _, one := range s.located.sets {
			one.each(f)
		}
	}
}

// compileLocated compiles the sorted answers of one name and type, which are
// those of one set, or of one for each location.
func compileLocated(answers []steering.Answer, extras extras, now time.Time) (*set, error) {
	if answers[0].Location == "" && answers[len(answers)-1].Location == "" {
		return compileSet(answers, extras, now)
	}
	out := &set{typ: dns.StringToType[answers[0].Type], located: &located{sets: make(map[string]*set)}}
	for len(answers) > 0 {
		location := answers[0].Location
		end := slices.IndexFunc(answers, func(a steering.Answer) bool { return a.Location != location })
		if end < 0 {
			end = len(answers)
		}
		if location == "" {
			return nil, fmt.Errorf("%s answers with and without a location; expected all with one, or none", answers[0].Type)
		}
		s, err := compileSet(answers[:end], extras, now)
		if err != nil {
			return nil, fmt.Errorf("location %s: %w", location, err)
		}
		out.located.sets[location] = s
		answers = answers[end:]
	}
	return out, nil
}

// locate tells the sets of a service of its locations. One of them is the
// default's, unless a leader of another version decided: then the first by name
// stands for it, so that every client gets an answer.
func locate(s service) error {
	known := make(map[string]bool)
	for _, a := range s.answers { // hosts of some may have no address
		if a.Location != "" {
			known[a.Location] = true
		}
	}
	plain := slices.ContainsFunc(s.sets, func(one *set) bool { return one.located == nil })
	if len(known) == 0 {
		return nil
	}
	if plain {
		return errors.New("types with and without locations; expected all with them, or none")
	}
	for _, one := range s.sets {
		one.located.known = known
		standIn(one.located)
	}
	return nil
}

// standIn gives the default's clients the set of the first location by name,
// where the service has no default.
func standIn(l *located) {
	if !l.known[steering.DefaultLocation] {
		if s := l.sets[slices.Min(slices.Collect(maps.Keys(l.known)))]; s != nil {
			l.sets[steering.DefaultLocation] = s
		}
	}
}
