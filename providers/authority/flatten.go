package authority

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// flats are what the hosts of ALIAS answers lead to, by name; nil where no
// resolver is configured. A host that has none was never looked up.
type flats struct {
	hosts  map[string]*flat
	minTTL uint32 // the floor of TTLs that run out
}

// why is an extended error that an answer carries (RFC 8914).
type why struct {
	code uint16
	text string
}

// What answers of hosts carry that could not be looked up: so that nobody
// takes "not known yet" for "there is none", and an old answer for a new one.
var (
	whyStale   = &why{dns.ExtendedErrorCodeStaleAnswer, "the addresses could not be looked up again"}
	whyUnknown = &why{dns.ExtendedErrorCodeNotReady, "the addresses are not known yet"}
)

// extra is what an answer that was flattened has beyond an answer.
type extra struct {
	until   time.Time
	why     *why
	unknown bool // there is no address yet, nor the news that there is none
}

// extras are those of a service's answers.
type extras struct {
	of    map[providers.Key]extra
	floor uint32
}

// compile compiles one answer.
func (x extras) compile(a steering.Answer, now time.Time) (pick, error) {
	e, ok := x.of[a.Key()]
	if e.unknown {
		return unknownPick(a), nil
	}
	p, err := compileAnswer(a, now)
	if err == nil && ok {
		e.give(&p, x.floor)
	}
	return p, err
}

// errNoResolver means that nobody can look up an answer's hosts.
var errNoResolver = errors.New("an ALIAS answer, and no resolver to look its hosts up; set alias.resolver")

// flatten replaces the ALIAS answers among the sorted answers of one name by A
// and AAAA answers of their hosts' addresses, together with the addresses that
// stand beside them. hosts are those that were looked for.
//
// Of one location and type, what is not known is left out where the answers of
// other weights have addresses: their share goes to these.
func (f *flats) flatten(sorted []steering.Answer) (out []steering.Answer, extras map[providers.Key]extra, hosts []string, err error) {
	if !slices.ContainsFunc(sorted, func(a steering.Answer) bool { return a.Type == providers.TypeAlias }) {
		return sorted, nil, nil, nil
	}
	if f == nil {
		return nil, nil, nil, errNoResolver
	}
	byVariant := make(map[variant][]steering.Answer)
	for _, a := range sorted {
		if a.Type == "CNAME" {
			return nil, nil, nil, errors.New("a CNAME beside an ALIAS; a CNAME stands alone (RFC 1034, section 3.6.2)")
		}
		v := variant{a.Location, a.SetID}
		byVariant[v] = append(byVariant[v], a)
		if a.Type == providers.TypeAlias {
			if err := checkHosts(a.Data); err != nil {
				return nil, nil, nil, err
			}
			hosts = append(hosts, a.Data...)
		}
	}
	extras = make(map[providers.Key]extra)
	for _, answers := range byVariant {
		for i, typ := range aliasTypes {
			if a, x, ok := f.family(answers, i, dns.Type(typ).String()); ok {
				out, extras[a.Key()] = append(out, a), x
			}
		}
	}
	out = slices.DeleteFunc(out, func(a steering.Answer) bool {
		return extras[a.Key()].unknown && slices.ContainsFunc(out, func(o steering.Answer) bool {
			return o.Type == a.Type && o.Location == a.Location && !extras[o.Key()].unknown
		})
	})
	slices.SortFunc(out, func(a, b steering.Answer) int { return providers.Compare(a.RRSet, b.RRSet) })
	slices.Sort(hosts)
	return out, extras, slices.Compact(hosts), nil
}

func checkHosts(hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("no data; an answer is never empty")
	}
	if len(hosts) > maxData {
		return fmt.Errorf("%d hosts; expected at most %d", len(hosts), maxData)
	}
	for _, h := range hosts {
		if _, err := keyOf(h); err != nil {
			return fmt.Errorf("ALIAS answer: %w", err)
		}
	}
	return nil
}

// family makes the answer of one family and variant; false: there is none, and
// that is known.
func (f *flats) family(answers []steering.Answer, family int, typ string) (out steering.Answer, x extra, ok bool) {
	unknown := false
	for _, a := range answers {
		if a.Type != providers.TypeAlias && a.Type != typ {
			continue
		}
		made := a
		made.Type, made.Data = typ, a.Data
		if a.Type == providers.TypeAlias {
			var missing bool
			if made, missing = f.made(a, family, typ, &x); missing {
				unknown = true
			}
		}
		switch {
		case out.Name == "":
			data := slices.Clone(made.Data)
			out = made
			out.Data = data
		default:
			out.TTL, out.Data = min(out.TTL, made.TTL), append(out.Data, made.Data...)
			if out.Left == 0 || made.Left > 0 && made.Left < out.Left {
				out.Left, out.MinTTL = made.Left, made.MinTTL
			}
		}
	}
	if len(out.Data) > 0 {
		out.RRSet = out.Canonical()
		return out, x, true
	}
	return out, extra{why: whyUnknown, unknown: true}, unknown
}

// made is the answer with the addresses of its hosts, as far as they are known,
// and what holds of them.
func (f *flats) made(a steering.Answer, family int, typ string, x *extra) (out steering.Answer, missing bool) {
	out = a
	out.Type, out.Data = typ, nil
	for _, host := range a.Data {
		is := f.hosts[host]
		if is == nil || !is.families[family].known {
			missing = true
			continue
		}
		of := is.families[family]
		if len(of.addrs) == 0 {
			continue
		}
		out.Data, out.TTL = append(out.Data, of.addrs...), min(out.TTL, of.ttl)
		if of.stale {
			x.why = whyStale
		}
		if !of.until.IsZero() && (x.until.IsZero() || of.until.Before(x.until)) {
			x.until = of.until
		}
	}
	return out, missing
}

// give gives a pick what holds beyond its answer. Its TTL runs out when the
// first of its hosts' does; then the least one is given until they are known
// again. What the answer itself says, which may change sooner, holds as well.
func (x extra) give(p *pick, floor uint32) {
	p.why = x.why
	switch {
	case x.until.IsZero():
	case p.until.IsZero():
		p.until, p.floor = x.until, min(floor, p.ttl)
	default:
		p.floor = min(floor, p.floor)
		if x.until.Before(p.until) {
			p.until = x.until
		}
	}
}

// unknownPick stands for addresses that are not known yet: whoever asks for
// them is told that this failed.
func unknownPick(a steering.Answer) pick {
	return pick{weight: a.Weight, ttl: a.TTL, steered: true, why: whyUnknown}
}

// unknown reports whether nothing can be answered.
func (p *pick) unknown() bool { return len(p.rrs) == 0 }
