package powerdns_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced/fencedtest"
	"github.com/veerdns/veer/providers/powerdns"
	"github.com/veerdns/veer/providers/powerdns/powerdnstest"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/providertest/scheduletest"
)

const doubleZone = "example.test."

// double is a server in memory, and somebody with its key.
type double struct{ *powerdnstest.Server }

func (d double) put(owner string, set providers.RRSet) error {
	set = set.Canonical()
	one := powerdnstest.RRset{Name: set.Name, Type: set.Type, TTL: set.TTL}
	for _, data := range set.Data {
		one.Records = append(one.Records, powerdnstest.Record{Content: data})
	}
	if owner == "" {
		return d.Put(one)
	}
	return d.Put(powerdnstest.RRset{Name: providers.OwnerName(set.Name), Type: "TXT", TTL: 60,
		Records: []powerdnstest.Record{{Content: `"` + providers.OwnerText(owner) + `"`}}}, one)
}

func (d double) remove(key providers.Key) error {
	return d.Put(powerdnstest.RRset{Name: key.Name, Type: key.Type, ChangeType: "DELETE"})
}

// sets returns those of certain types, without the locks' bits.
func (d double) sets(typ func(string) bool) []providers.RRSet {
	var out []providers.RRSet
	for _, s := range d.All() {
		if first, rest, _ := strings.Cut(s.Name, "."); !typ(s.Type) || strings.HasPrefix(first, "b") && strings.HasPrefix(rest, "_veer") {
			continue
		}
		set := providers.RRSet{Name: s.Name, Type: s.Type, TTL: s.TTL}
		for _, r := range s.Records {
			text, _, _ := strings.Cut(r.Content, ` "lock=`)
			set.Data = append(set.Data, text)
		}
		out = append(out, set.Canonical())
	}
	return out
}

func (d double) client(t testing.TB, owner string, c providertest.Carrier, log zerolog.Logger) *powerdns.Provider {
	t.Setenv("VEER_TEST_PDNS", powerdnstest.Key)
	p, err := powerdns.New(
		powerdns.Config{URL: "http://pdns.invalid:8081", APIKeyEnv: "VEER_TEST_PDNS", Zones: []powerdns.Zone{{Name: doubleZone}}},
		powerdns.Options{Owner: owner, Log: log, Transport: providertest.Transport(c, d.Server, powerdnstest.Writes)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func doubleWorld(t *testing.T, without powerdnstest.Rule) providertest.World {
	d, line := double{powerdnstest.New(doubleZone, without)}, &providertest.Line{}
	client := func(owner string) providers.Provider { return d.client(t, owner, line, zerolog.Nop()) }
	return providertest.World{
		Zone: doubleZone, Owner: "shop", Plain: true, Provider: client("shop"), Other: client, Line: line,
		Put: d.put, Remove: d.remove,
		All: func() ([]providers.RRSet, error) { return d.sets(providers.Steered), nil },
		Types: func() ([]providers.RRSet, error) {
			return d.sets(func(typ string) bool { return !providers.Steered(typ) }), nil
		},
		Attribute: func(key providers.Key) (string, error) {
			for _, s := range d.All() {
				if s.Name == key.Name && s.Type == key.Type && len(s.Comments) == 1 {
					return s.Comments[0].Content, nil
				}
			}
			return "", nil
		},
		SetAttribute: func(key providers.Key) error {
			return d.Put(powerdnstest.RRset{Name: key.Name, Type: key.Type, Comments: []powerdnstest.Comment{{Content: "ask the web team"}}})
		},
		Throttle: func() { providertest.AnswerHTTP(line, http.StatusTooManyRequests, nil, "one too many") },
		Lacks: map[string]string{
			"Page":  "the API lists a zone in one reply",
			"Parts": "a request carries megabytes",
		},
	}
}

func TestContractOfTheDouble(t *testing.T) {
	providertest.RunBubble(t, func(t *testing.T) providertest.World { return doubleWorld(t, "") })
}

// TestRulesOfTheDouble: without a rule that the provider rests on, a test fails.
func TestRulesOfTheDouble(t *testing.T) {
	failed := providertest.Failures(t, func(t *testing.T) providertest.World { return doubleWorld(t, powerdnstest.Exclusive) })
	if len(failed) == 0 {
		t.Errorf("without the rule %q no test of the contract fails", powerdnstest.Exclusive)
	}
	for _, rule := range []powerdnstest.Rule{"", powerdnstest.Atomic} {
		if whole := madeWhole(t, rule); whole != (rule == "") {
			t.Errorf("without the rule %q a request that is refused changes nothing: %v", rule, whole)
		}
	}
}

// madeWhole reports whether a request whose last set the server refuses has
// changed nothing.
func madeWhole(t *testing.T, without powerdnstest.Rule) bool {
	w := doubleWorld(t, without)
	a, z := providers.RRSet{Name: "a." + w.Zone, Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}, providers.RRSet{Name: "z." + w.Zone, Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}
	for _, set := range []providers.RRSet{a, z} {
		if err := w.Put("shop", set); err != nil {
			t.Fatal(err)
		}
	}
	from, err := w.Provider.Read(t.Context(), w.Zone)
	if err != nil {
		t.Fatal(err)
	}
	// Somebody makes z an alias after it was read.
	if err := w.Remove(z.Key()); err != nil {
		t.Fatal(err)
	}
	if err := w.Put("", providers.RRSet{Name: z.Name, Type: "CNAME", TTL: 60, Data: []string{"elsewhere.example."}}); err != nil {
		t.Fatal(err)
	}
	a.Data, z.Data = []string{"192.0.2.2"}, []string{"192.0.2.2"}
	next := providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: 1}
	if _, err := w.Provider.Apply(t.Context(), from, next, providers.Diff(from.Records, []providers.RRSet{a, z})); err == nil && without == "" {
		t.Error("addresses were written beside an alias")
	}
	all, err := w.All()
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(all, a.Equal)
}

// TestDisabledRecordsStay: where only records stand that the server does not
// serve, nothing is written, since that would delete them.
func TestDisabledRecordsStay(t *testing.T) {
	d := double{powerdnstest.New(doubleZone, "")}
	off := powerdnstest.RRset{Name: "app." + doubleZone, Type: "A", TTL: 60, Records: []powerdnstest.Record{{Content: "192.0.2.9", Disabled: true}}}
	if err := d.Put(off); err != nil {
		t.Fatal(err)
	}
	p := d.client(t, "shop", &providertest.Line{}, zerolog.Nop())
	from, err := p.Read(t.Context(), doubleZone)
	if err != nil {
		t.Fatal(err)
	}
	set := providers.RRSet{Name: off.Name, Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}
	_, err = p.Apply(t.Context(), from, providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: 1}, []providers.Change{{After: &set}})
	if !errors.Is(err, providers.ErrConflict) || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("got %v, want a conflict that tells of the disabled records", err)
	}
	if all := d.All(); len(all) != 1 || len(all[0].Records) != 1 || !all[0].Records[0].Disabled {
		t.Errorf("the zone has %+v", all)
	}
}

func race(t *testing.T, fence bool) scheduletest.World {
	d := double{powerdnstest.New(doubleZone, "")}
	return scheduletest.World{
		Zone: doubleZone,
		Client: func(c providertest.Carrier, log zerolog.Logger) providers.Provider {
			p := d.client(t, scheduletest.Owner, c, log)
			if !fence {
				p.Provider = p.Provider.With(fencedtest.Unfenced)
			}
			return p
		},
		Look: func() (scheduletest.Zone, error) {
			return scheduletest.Sort(doubleZone, d.sets(func(string) bool { return true }))
		},
		Put:    func(set providers.RRSet) error { return d.put("", set) },
		Remove: d.remove,
		Throttle: func(l *providertest.Line) {
			providertest.AnswerHTTP(l, http.StatusTooManyRequests, nil, "one too many")
		},
	}
}

func TestSchedules(t *testing.T) { scheduletest.Search(t, scheduletest.Schedules(t), race) }

func TestSchedulesMutantFence(t *testing.T) { scheduletest.SearchWithout(t, race) }

func TestMishaps(t *testing.T) { scheduletest.Mishaps(t, race, scheduletest.Settled) }
