package authority

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// zoneMaker makes zones with everything that RFC 1034, 4592, 6672 and 9460
// speak of: hosts, empty non-terminals, wildcards, delegations with and
// without glue and data below them, CNAME and DNAME chains, loops and dead
// ends, and targets in the zone's siblings and outside.
type zoneMaker struct {
	rng   *rand.Rand
	apex  string
	peers []string // other apexes of the server
	lines []string
	// names are what CNAME, DNAME and MX may point at; heads are names that
	// queries go below.
	names, heads []string
	ttls         map[string]uint32
}

// madeZone is a generated zone.
type madeZone struct {
	apex, text string
	heads      []string
	ref        reference
	asks       *generator
}

func (m *zoneMaker) pick(from ...string) string { return from[m.rng.IntN(len(from))] }

func (m *zoneMaker) chance(n int) bool { return m.rng.IntN(n) == 0 }

// at returns the full name below the apex.
func (m *zoneMaker) at(rel string) string {
	if rel == "" {
		return m.apex
	}
	return rel + "." + m.apex
}

// add writes a record with the TTL of its RRset.
func (m *zoneMaker) add(rel, typ, data string) {
	id := rel + " " + typ
	ttl, ok := m.ttls[id]
	if !ok {
		ttl = []uint32{0, 1, 60, 300, 3600, 86400, maxTTL}[m.rng.IntN(7)]
		if typ == "SOA" && ttl == 0 {
			ttl = 60
		}
		m.ttls[id] = ttl
	}
	line := fmt.Sprintf("%s %d IN %s %s", m.at(rel), ttl, typ, data)
	if !slices.ContainsFunc(m.lines, func(l string) bool { return same(l, line) }) {
		m.lines = append(m.lines, line)
	}
}

// know makes a name one that others may point at.
func (m *zoneMaker) know(rel string) string {
	m.names = append(m.names, m.at(rel))
	return rel
}

// below makes queries for the name and names below it likely.
func (m *zoneMaker) below(rel string) string {
	m.heads = append(m.heads, m.at(rel))
	return m.know(rel)
}

// target is a name for data: known, decorated, of a peer, or outside.
func (m *zoneMaker) target() string {
	name := m.pick(m.names...)
	switch m.rng.IntN(12) {
	case 0:
		return "www.outside.example."
	case 1:
		if len(m.peers) > 0 {
			return m.pick("h0", "w0", "x.w1", "c1", "x.n0", "a.e0", "d0", "nowhere") + "." + m.pick(m.peers...)
		}
	case 2:
		return "nowhere." + m.apex
	case 3, 4:
		if !strings.HasPrefix(name, "*.") {
			return m.pick("any", "a", "b.a", "host") + "." + name
		}
	case 5:
		return strings.ToUpper(name)
	}
	return name
}

// hosts gives a name RRsets of some types.
func (m *zoneMaker) hosts(rel string, types ...string) {
	for _, typ := range types {
		for range 1 + m.rng.IntN(3) {
			if data := m.data(typ); data != "" {
				m.add(rel, typ, data)
			}
		}
	}
}

func (m *zoneMaker) data(typ string) string {
	n := m.rng.IntN(250)
	switch typ {
	case "A":
		return fmt.Sprintf("192.0.2.%d", n)
	case "AAAA":
		return fmt.Sprintf("2001:db8::%x", n+1)
	case "TXT":
		return fmt.Sprintf(`"text %d" "and \"more\""`, n)
	case "MX":
		return fmt.Sprintf("%d %s", n, m.target())
	case "SRV":
		return fmt.Sprintf("%d 1 %d %s", n, 1000+n, m.target())
	case "PTR":
		return m.target()
	case "CAA":
		return fmt.Sprintf(`0 issue "ca%d.example"`, n)
	case "NAPTR":
		return fmt.Sprintf(`%d 10 "u" "E2U+sip" "!^.*$!sip:x@example.com!" .`, n)
	case "TYPE65280":
		return fmt.Sprintf(`\# 3 0a00%02x`, n)
	case "HTTPS", "SVCB":
		return fmt.Sprintf("%d %s alpn=h2 port=%d", 1+n, m.pick(".", m.target()), 1000+n)
	}
	return ""
}

var hostTypes = []string{"A", "A", "A", "AAAA", "TXT", "MX", "SRV", "PTR", "CAA", "NAPTR", "TYPE65280", "HTTPS", "SVCB"}

// some returns a few types, each once.
func (m *zoneMaker) some(from []string) []string {
	var out []string
	for range 1 + m.rng.IntN(4) {
		if t := m.pick(from...); !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func (m *zoneMaker) make(child bool) madeZone {
	m.ttls = make(map[string]uint32)
	m.add("", "SOA", fmt.Sprintf("ns0.%s hostmaster.%s %d 7200 3600 1209600 %d", m.apex, m.apex, 1+m.rng.IntN(1<<20), []int{0, 30, 300, 86400}[m.rng.IntN(4)]))
	for i := range 1 + m.rng.IntN(2) {
		ns := fmt.Sprintf("ns%d", i)
		m.add("", "NS", m.at(ns))
		m.hosts(m.know(ns), "A")
		if m.chance(2) {
			m.hosts(ns, "AAAA")
		}
	}
	if m.chance(2) {
		m.add("", "NS", "ns.outside.example.")
	}
	m.know("")
	m.tree()
	m.wildcards()
	m.delegations(child)
	m.redirects()
	m.aliases()
	m.hosts("", m.some([]string{"MX", "TXT", "A", "CAA"})...)
	if m.chance(2) {
		m.add("", "HTTPS", "0 "+m.target0())
	}
	m.odd()
	return madeZone{apex: m.apex, text: strings.Join(m.lines, "\n") + "\n", heads: m.heads}
}

// target0 is a target of an alias, which may not be the apex itself.
func (m *zoneMaker) target0() string {
	for {
		if t := m.target(); !same(t, m.apex) {
			return t
		}
	}
}

// tree makes hosts, some of them deep, so that there are empty non-terminals.
func (m *zoneMaker) tree() {
	for i := range 6 {
		rel := fmt.Sprintf("h%d", i)
		m.hosts(m.below(rel), m.some(hostTypes)...)
		if m.chance(3) {
			m.hosts(m.know("www."+rel), m.some(hostTypes)...)
		}
	}
	for i := range 3 {
		ent := fmt.Sprintf("e%d", i)
		m.hosts(m.know("a."+m.below("b."+m.below(ent))), m.some(hostTypes)...)
		if m.chance(2) {
			m.hosts(m.know("c."+ent), m.some(hostTypes)...)
		}
	}
}

func (m *zoneMaker) wildcards() {
	for i := range 4 {
		w := m.below(fmt.Sprintf("w%d", i))
		star := "*." + w
		switch {
		case i == 1:
			m.add(star, "CNAME", m.target())
		case i == 2:
			m.hosts("sub."+star, "TXT") // the asterisk itself is empty
			m.hosts("host."+w, "A")
			continue
		default:
			m.hosts(star, m.some(hostTypes)...)
		}
		if m.chance(2) {
			m.hosts("host."+w, m.some(hostTypes)...)
		}
		if m.chance(2) {
			m.hosts("x.y."+m.below("ent."+w), "A")
		}
		if m.chance(2) {
			m.hosts("sub."+star, "TXT")
		}
	}
	if m.chance(6) {
		m.hosts("*", "A", "TXT")
	}
}

func (m *zoneMaker) delegations(child bool) {
	for i := range 3 {
		d := m.below(fmt.Sprintf("d%d", i))
		if m.chance(2) || i == 0 {
			m.add(d, "NS", m.at("ns."+d))
			m.hosts("ns."+d, m.pick("A", "AAAA"))
		}
		if m.chance(3) && i > 0 {
			m.add(d, "NS", m.at("ns.d0"))
		}
		if m.chance(3) {
			m.add(d, "NS", m.at("ns0"))
		}
		m.add(d, "NS", m.pick("ns.outside.example.", "ns2.outside.example."))
		if m.chance(2) {
			m.add(d, "DS", "60485 8 2 "+strings.Repeat("0A1B2C3D", 8))
		}
		if m.chance(2) {
			m.hosts("host."+d, "A", "TXT") // occluded
		}
		if m.chance(3) {
			m.add("deep."+d, "NS", "ns.outside.example.")
		}
	}
	if child {
		m.below("child")
		m.add("child", "NS", m.at("ns0.child"))
		m.add("child", "DS", "60485 8 2 "+strings.Repeat("11223344", 8))
		m.add("ns0.child", "A", "192.0.2.251")
	}
}

func (m *zoneMaker) redirects() {
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("l", 57)+".", 3), ".")
	for i, to := range []string{m.at(m.pick("h0", "h1", "e0", "e1")), m.at(m.pick("w0", "w1", "d0", "d1")), m.target(), m.at("n" + m.pick("0", "1", "2")), long + "." + m.apex, m.at("sub.n5")} {
		n := fmt.Sprintf("n%d", i)
		if same(to, m.at(n)) || strings.HasPrefix(to, "*.") {
			to = m.at("h2")
		}
		m.heads = append(m.heads, m.at(n), m.at(n))
		m.names = append(m.names, "a."+m.at(n), m.at(n))
		m.add(n, "DNAME", to)
		if m.chance(2) {
			m.hosts(n, m.some([]string{"A", "TXT", "MX"})...)
		}
	}
}

func (m *zoneMaker) aliases() {
	for i := range 6 {
		m.add(m.know(fmt.Sprintf("c%d", i)), "CNAME", m.target())
	}
	m.add(m.know("loop0"), "CNAME", m.at("loop1"))
	m.add(m.know("loop1"), "CNAME", m.at(m.pick("loop0", "loop1")))
	m.add("long0", "CNAME", m.at("long1"))
	for i := range 4 {
		m.add(fmt.Sprintf("long%d", i+1), "CNAME", m.at(fmt.Sprintf("long%d", i+2)))
	}
	m.hosts("long5", "A")
}

// odd adds names that need escapes, and sets that do not fit a small answer.
func (m *zoneMaker) odd() {
	m.hosts(m.know(`a\.b`), "A")
	m.hosts(m.know(`\000\255x`), "TXT")
	m.hosts(m.know("UPPER"), "A")
	for i := range 6 {
		m.add("big", "TXT", fmt.Sprintf(`"%d%s"`, i, strings.Repeat("a", 240)))
	}
}
