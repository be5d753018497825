package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// services checks each service by itself, then what they share.
func (l *loader) services() {
	if l.require("", "services", "the names whose traffic is steered") && len(l.c.Services) == 0 && l.clean("services") {
		l.bad("services", "found an empty list", "at least one service", "")
	}
	if len(l.c.Services) > maxServices {
		l.bad("services", fmt.Sprintf("found %d services", len(l.c.Services)), fmt.Sprintf("at most %d", maxServices), "")
	}
	first := map[string]int{}
	for i := range l.c.Services {
		s, path := &l.c.Services[i], "services["+strconv.Itoa(i)+"]"
		l.serviceName(s, path)
		if other, twice := first[s.Name]; twice && s.Name != "" {
			n, _ := l.find(fmt.Sprintf("services[%d].name", other))
			l.bad(path+".name", fmt.Sprintf("%s is given twice, first on line %d", quote(s.Name), n.line), "each service once", "")
		} else {
			first[s.Name] = i
		}
		l.servedBy(s, path)
		l.words(s, path)
		l.expressible(s, path)
		l.placeable(s, path)
		l.pools(s, path)
		l.alias(s, path)
		l.overlaid(s, path)
		l.latency(s, path)
		l.locations(s, path)
		l.https(s, path)
		l.quorum(s, path)
		l.times(s, path)
		l.budget(*s, path)
	}
	l.sharedEndpoints()
	l.measuredAlike()
	l.circles()
}

func (l *loader) serviceName(s *Service, path string) {
	if !l.require(path, "name", "the DNS name to steer, like app.example.test") || !l.clean(path+".name") {
		return
	}
	name, err := canonical(s.Name)
	if err != nil {
		l.bad(path+".name", err.Error(), "a DNS name, like app.example.test", "")
		s.Name = ""
		return
	}
	if providers.Reserved(name) {
		l.bad(path+".name", quote(name)+" is where Veer keeps its own records", "another name", "")
	}
	s.Name = name
}

// servedBy finds the providers of a service and checks their zones.
func (l *loader) servedBy(s *Service, path string) {
	known := l.c.Providers.names()
	for i, name := range s.Providers {
		at := fmt.Sprintf("%s.providers[%d]", path, i)
		p, ok := l.c.Providers.find(name)
		switch {
		case !ok:
			l.unknown(at, "provider", name, known)
		case slices.Contains(s.Providers[:i], name):
			l.bad(at, quote(name)+" is listed twice", "each provider once", "")
		case s.Name != "" && len(p.Zones()) > 0 && p.Zone(s.Name) == "":
			l.bad(path+".name", s.Name+" is in no zone of the provider "+name, "a name in one of "+strings.Join(p.Zones(), ", "), "")
		}
	}
	if l.has(path+".providers") && len(s.Providers) == 0 && l.clean(path+".providers") {
		l.bad(path+".providers", "found an empty list", "at least one provider, or no key for all that have the zone", "")
	}
	if l.has(path+".providers") || s.Name == "" {
		return
	}
	for _, p := range l.c.Providers {
		if p.Zone(s.Name) != "" {
			s.Providers = append(s.Providers, p.Name)
		}
	}
	if zones := l.c.Providers.zoneList(); len(s.Providers) == 0 && zones != "" && l.clean("providers") {
		l.bad(path+".name", s.Name+" is in no zone of any provider", "a name in one of "+zones, "")
	}
}

// words checks the keys that take one of a few words, and the monitor.
func (l *loader) words(s *Service, path string) {
	for key, word := range map[string]string{"policy": string(s.Policy), "type": s.Type, "all_down": string(s.AllDown), "failback.mode": s.Failback.Mode} {
		if key != "type" || word != "" {
			l.oneOf(path+"."+key, word, wordsOf("services[]."+key)...)
		}
	}
	if !l.require(path, "monitor", "the name of a monitor") || !l.clean(path+".monitor") {
		return
	}
	if _, ok := l.c.Monitors[s.Monitor]; !ok {
		l.unknown(path+".monitor", "monitor", s.Monitor, slices.Sorted(maps.Keys(l.c.Monitors)))
	}
}

// wordsOf are the words that a key may be, by its path in the reference; nil:
// any.
func wordsOf(path string) []string {
	switch path {
	case "services[].policy":
		return []string{string(steering.Failover), string(steering.Weighted), string(steering.Multivalue), string(steering.Geo), string(steering.Latency)}
	case "services[].type":
		return []string{"A", "AAAA", "CNAME", providers.TypeAlias}
	case "services[].all_down":
		return []string{string(steering.LastGood), string(steering.All), string(steering.Fallback)}
	case "services[].failback.mode":
		return []string{FailbackAuto, FailbackManual}
	case "services[].latency.measure":
		return []string{MeasureConnect, MeasureAnswer}
	case "isolation.mode":
		return []string{IsolationHold, IsolationLocal}
	}
	return nil
}

func (l *loader) oneOf(path, word string, known ...string) {
	if slices.Contains(known, word) || !l.clean(path) {
		return
	}
	l.bad(path, "found "+quote(word), "one of "+strings.Join(known, ", "), didYouMean(word, known))
}

func (l *loader) quorum(s *Service, path string) {
	n := len(l.c.Vantages)
	if n == 0 || !l.clean("vantages", "regions", path+".quorum") {
		return
	}
	if _, err := regions.ParseNeed(s.Quorum.Need, n); err != nil || s.Quorum.Need == "" {
		l.bad(path+".quorum.need", "found "+quote(s.Quorum.Need), fmt.Sprintf("majority, all, any, a count from 1 to the number of vantages, %d, or a percentage like 60%%", n), "")
	}
	if !l.has(path + ".quorum.min_voters") {
		s.Quorum.MinVoters = regions.DefaultMinVoters(n)
	}
	if v := s.Quorum.MinVoters; v < 1 || v > n {
		l.bad(path+".quorum.min_voters", fmt.Sprintf("found %d", v), fmt.Sprintf("1 to the number of vantages, %d", n), "")
	}
}

func (l *loader) times(s *Service, path string) {
	l.ttl(s, path+".ttl")
	l.between(path+".rto", s.RTO, 0, maxTime)
	l.between(path+".rejoin", s.Rejoin, 0, maxTime)
	l.between(path+".failback.hold", s.Failback.Hold, 0, maxTime)
	if w := s.Failback.Window; w != nil {
		l.window(w, path+".failback.window")
	}
	if d := s.Damping; !d.Off && l.clean(path+".damping") {
		l.between(path+".damping.half_life", d.HalfLife, time.Second, maxTime)
		l.between(path+".damping.max", d.Max, time.Second, maxTime)
		if d.Suppress < 1 || d.Suppress > 60_000 {
			l.bad(path+".damping.suppress", fmt.Sprintf("found %d", d.Suppress), "1 to 60000, where each departure adds 1000; or damping: off", "")
		} else if d.Reuse < 1 || d.Reuse >= d.Suppress {
			l.bad(path+".damping.reuse", fmt.Sprintf("found %d", d.Reuse), fmt.Sprintf("at least 1 and less than suppress, %d", d.Suppress), "")
		}
	}
}

// ttl checks the bounds. One that is left out gives way to the other, and to
// what the providers take.
func (l *loader) ttl(s *Service, path string) {
	least, by := l.leastTTL(s)
	if !l.has(path + ".min") {
		s.TTL.Min = max(min(s.TTL.Min, s.TTL.Max), least)
	}
	if !l.has(path + ".max") {
		s.TTL.Max = max(s.TTL.Min, s.TTL.Max)
	}
	for key, d := range map[string]time.Duration{".min": s.TTL.Min, ".max": s.TTL.Max} {
		if l.between(path+key, d, time.Second, maxTTL); d%time.Second != 0 && l.clean(path+key) {
			l.bad(path+key, "found "+showDuration(d), "whole seconds: DNS has no finer TTL (RFC 2181, section 8)", "")
		}
		if d < least && l.has(path+key) && l.clean(path+key) {
			low, expected := uint32(d/time.Second), "at least "+showDuration(least)
			if able := l.able(s, func(c providers.Caps) bool { return c.MinTTL <= low }); able != "" {
				expected += ", or only providers that take less; of yours " + able
			}
			l.bad(path+key, fmt.Sprintf("found %s, and the provider %s takes no TTL below %s", showDuration(d), by, showDuration(least)), expected, "")
		}
	}
	if l.clean(path) && s.TTL.Min > s.TTL.Max {
		l.bad(path+".min", "found "+showDuration(s.TTL.Min), "at most max, "+showDuration(s.TTL.Max), "")
	}
}

func (l *loader) window(w *Window, path string) {
	from := l.require(path, "from", `a time of day such as "02:00"`)
	if to := l.require(path, "to", `a time of day such as "05:00"`); !from || !to || !l.clean(path) {
		return
	}
	if w.From == w.To {
		l.bad(path+".to", "found "+quote(w.To.String())+", which is also from", "another time, or no window at all", "")
	}
	if w.From == dayEnd {
		l.bad(path+".from", `found "24:00"`, `a time from "00:00" to "23:59"`, "")
	}
	if _, err := time.LoadLocation(w.Location); err != nil || w.Location == "" || w.Location == "Local" {
		l.bad(path+".location", "found "+quote(w.Location), "a time zone such as Europe/Paris or UTC", "")
	}
}

// sharedEndpoints refuses an endpoint whose votes two services would count by
// different rules.
func (l *loader) sharedEndpoints() {
	type use struct {
		service string
		quorum  regions.Quorum
	}
	first := map[regions.EndpointID]use{}
	for i, s := range l.c.Services {
		q, ok := l.c.quorum(s)
		path := "services[" + strconv.Itoa(i) + "]"
		if !ok || !l.clean(path) {
			continue
		}
		for p, pool := range s.Pools {
			for e, a := range pool.Endpoints {
				id := endpointID(s.Monitor, a)
				was, shared := first[id]
				if shared && (was.quorum.Need != q.Need || was.quorum.MinVoters != q.MinVoters) {
					l.bad(fmt.Sprintf("%s.pools[%d].endpoints[%d]", path, p, e),
						fmt.Sprintf("%s is also probed for %s with need %d and min_voters %d; here they are %d and %d", id, was.service, was.quorum.Need, was.quorum.MinVoters, q.Need, q.MinVoters),
						"the same quorum, or a monitor of its own for one of the services", "")
				} else if !shared {
					first[id] = use{s.Name, q}
				}
			}
		}
	}
}
