package authority

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// maxData bounds the records of one answer: more than that fit no message.
const maxData = 4096

// service is one name's answers, compiled.
type service struct {
	key     key
	apex    key
	answers []steering.Answer
	sets    []*set
	lines   *serviceLines // where its answers are counted; nil: not numbered yet
	// flat are the answers that sets are made of, hosts the hosts whose
	// addresses are among them: see flatten.
	flat  []steering.Answer
	hosts []string
	// made is when the time left of the answers began to run; spent: it is over.
	made  time.Time
	spent bool
}

// compileService compiles the sorted answers of one name. The time left of
// each runs from now.
func compileService(files map[key]*ZoneFile, hosts *flats, sorted []steering.Answer, now time.Time) (service, error) {
	name := sorted[0].Name
	k, err := keyOf(name)
	if err != nil {
		return service{}, fmt.Errorf("service %w", err)
	}
	file := fileOf(files, k)
	if file == nil {
		return service{}, errElsewhere
	}
	if err := file.CheckService(name, typeNames(sorted)...); err != nil {
		return service{}, err
	}
	out := service{key: k, apex: file.apex, answers: sorted, made: now}
	var extras extras
	if sorted, extras.of, out.hosts, err = hosts.flatten(sorted); err != nil {
		return service{}, fmt.Errorf("service %s: %w", name, err)
	}
	if hosts != nil {
		extras.floor = hosts.minTTL
	}
	out.flat = sorted
	for len(sorted) > 0 {
		end := slices.IndexFunc(sorted, func(a steering.Answer) bool { return a.Type != sorted[0].Type })
		if end < 0 {
			end = len(sorted)
		}
		s, err := compileLocated(sorted[:end], extras, now)
		if err != nil {
			return service{}, fmt.Errorf("service %s: %w", name, err)
		}
		s.pack(k)
		out.sets = append(out.sets, s)
		sorted = sorted[end:]
	}
	if err := locate(out); err != nil {
		return service{}, fmt.Errorf("service %s: %w", name, err)
	}
	return out, nil
}

// errElsewhere means that the name is in no zone of this server: another
// provider's.
var errElsewhere = errors.New("the name is in no zone of this server")

// fileOf returns the zone with the longest apex at or above the name, or nil.
func fileOf(files map[key]*ZoneFile, k key) *ZoneFile {
	for ok := true; ok; k, ok = k.parent() {
		if f := files[k]; f != nil {
			return f
		}
	}
	return nil
}

// compileSet compiles the answers of one name and type.
func compileSet(answers []steering.Answer, extras extras, now time.Time) (*set, error) {
	s := &set{typ: dns.StringToType[answers[0].Type]}
	for i, a := range answers {
		if len(answers) > 1 && a.SetID == "" || i > 0 && a.SetID == answers[i-1].SetID {
			return nil, fmt.Errorf("%d %s answers, of which one has the set identifier %q; expected one each", len(answers), a.Type, a.SetID)
		}
		p, err := extras.compile(a, now)
		if err != nil {
			return nil, fmt.Errorf("%s answer: %w", a.Type, err)
		}
		s.picks = append(s.picks, p)
		s.sum += uint64(p.weight)
	}
	return s, nil
}

func compileAnswer(a steering.Answer, now time.Time) (pick, error) {
	switch {
	case len(a.Data) == 0:
		return pick{}, errors.New("no data; an answer is never empty")
	case len(a.Data) > maxData:
		return pick{}, fmt.Errorf("%d records; expected at most %d", len(a.Data), maxData)
	case a.Type == "CNAME" && len(a.Data) > 1:
		return pick{}, fmt.Errorf("%d host names; a name has one CNAME (RFC 2181, section 10.1)", len(a.Data))
	case a.TTL > maxTTL:
		return pick{}, fmt.Errorf("TTL %d; expected at most %d (RFC 2181, section 8)", a.TTL, uint32(maxTTL))
	case a.Left < 0:
		return pick{}, fmt.Errorf("time left %s; expected none or more", a.Left)
	}
	set := a.Canonical()
	var rrs []dns.RR
	for _, d := range set.Data {
		rr, err := newRR(dns.RR_Header{Name: set.Name, Class: dns.ClassINET, Ttl: a.TTL}, set.Type, d)
		if err != nil {
			return pick{}, err
		}
		rrs = append(rrs, rr)
	}
	p, err := newPick(rrs)
	if err != nil {
		return pick{}, err
	}
	p.weight, p.floor, p.steered = a.Weight, a.MinTTL, true
	if a.Left > 0 {
		p.until = now.Add(a.Left)
	}
	return p, nil
}

func newRR(h dns.RR_Header, typ, data string) (dns.RR, error) {
	h.Rrtype = dns.StringToType[typ]
	switch typ {
	case "A", "AAAA":
		addr, err := netip.ParseAddr(data)
		if err != nil || addr.Zone() != "" || addr.Is4() != (typ == "A") {
			return nil, fmt.Errorf("%q is not an address for a record of type %s", data, typ)
		}
		if typ == "A" {
			return &dns.A{Hdr: h, A: addr.AsSlice()}, nil
		}
		return &dns.AAAA{Hdr: h, AAAA: addr.AsSlice()}, nil
	case "CNAME":
		if _, err := keyOf(data); err != nil {
			return nil, err
		}
		return &dns.CNAME{Hdr: h, Target: dns.Fqdn(data)}, nil
	}
	return nil, fmt.Errorf("type %q; expected A, AAAA or CNAME", typ)
}

// compileShard compiles a shard's answers, by name: those that are not as they
// were before. A name that can't be served as told keeps what it had before, if
// anything; bad hears of it.
func compileShard(files map[key]*ZoneFile, hosts *flats, before map[string]service, answers []steering.Answer, now time.Time, bad func(name string, err error)) map[string]service {
	names := make(map[string][]steering.Answer)
	for _, a := range answers {
		a.RRSet = a.Canonical()
		names[a.Name] = append(names[a.Name], a)
	}
	out := make(map[string]service, len(names))
	for name, as := range names {
		slices.SortStableFunc(as, func(a, b steering.Answer) int { return providers.Compare(a.RRSet, b.RRSet) })
		if was, ok := before[name]; ok && sameAnswers(was.answers, as) {
			out[name] = was
			continue
		}
		s, err := compileService(files, hosts, as, now)
		if err == nil {
			out[name] = s
			continue
		}
		if errors.Is(err, errElsewhere) {
			continue
		}
		bad(name, err)
		if was, ok := before[name]; ok {
			out[name] = was
		}
	}
	return out
}
