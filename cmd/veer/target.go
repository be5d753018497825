package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// known is what a TARGET can name: each service's pools, by region, with
// their addresses.
type known map[string]map[regions.Name][]string

// knownOf reads it from what the daemon steers.
func knownOf(services []api.Service) known {
	k := make(known, len(services))
	for _, s := range services {
		pools := make(map[regions.Name][]string, len(s.Pools))
		for _, p := range s.Pools {
			for _, e := range p.Endpoints {
				pools[p.Region] = append(pools[p.Region], e.Address)
			}
		}
		k[providers.CanonicalName(s.Name)] = pools
	}
	return k
}

// parseTarget reads REGION, SERVICE, SERVICE/REGION or SERVICE/REGION/ADDRESS.
// A service may be written without its final dot, an IPv6 address in any form
// and in brackets. The error names the nearest word and what is known.
func parseTarget(text string, k known) (steering.Target, error) {
	head, rest, split := strings.Cut(text, "/")
	if text == "" || head == "" || split && rest == "" {
		return steering.Target{}, fmt.Errorf("target %q: expected REGION, SERVICE, SERVICE/REGION or SERVICE/REGION/ADDRESS", text)
	}
	service := providers.CanonicalName(head)
	pools, isService := k[service]
	if !split {
		return k.alone(text, service)
	}
	if !isService {
		return steering.Target{}, unknown("service", head, k.services())
	}
	region, address, split := strings.Cut(rest, "/")
	addresses, isPool := pools[regions.Name(region)]
	if !isPool {
		return steering.Target{}, fmt.Errorf("%s: %w", shown(service), unknown("region", region, sorted(pools)))
	}
	t := steering.Target{Service: service, Region: regions.Name(region)}
	if !split {
		return t, nil
	}
	for _, a := range addresses {
		if sameAddress(a, address) {
			t.Address = a
			return t, nil
		}
	}
	return steering.Target{}, fmt.Errorf("%s/%s: %w", shown(service), region, unknown("address", address, slices.Sorted(slices.Values(addresses))))
}

// alone reads a target without a slash: a region everywhere, or a service.
func (k known) alone(text, service string) (steering.Target, error) {
	_, isService := k[service]
	isRegion := slices.Contains(k.regions(), text)
	switch {
	case isService && isRegion:
		return steering.Target{}, fmt.Errorf("target %q is a region and a service: write %s. for the service, or SERVICE/%s for the region's pool of one service", text, text, text)
	case isService:
		return steering.Target{Service: service}, nil
	case isRegion:
		return steering.Target{Region: regions.Name(text)}, nil
	}
	return steering.Target{}, unknown("region or service", text, append(k.regions(), k.services()...))
}

func (k known) services() []string {
	names := make([]string, 0, len(k))
	for name := range k {
		names = append(names, shown(name))
	}
	slices.Sort(names)
	return names
}

func (k known) regions() []string {
	var names []string
	for _, pools := range k {
		names = append(names, sorted(pools)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func sorted(pools map[regions.Name][]string) []string {
	var names []string
	for region := range pools {
		names = append(names, string(region))
	}
	slices.Sort(names)
	return names
}

func sameAddress(a, b string) bool {
	b = strings.TrimSuffix(strings.TrimPrefix(b, "["), "]")
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX == nil && errY == nil {
		return x == y
	}
	return errX != nil && errY != nil && providers.CanonicalName(a) == providers.CanonicalName(b)
}

// unknown is the error for a word that names nothing.
func unknown(what, word string, all []string) error {
	if len(all) == 0 {
		return fmt.Errorf("no %s %q: none is configured", what, word)
	}
	list := all
	more := ""
	if len(list) > 20 {
		list, more = list[:20], fmt.Sprintf(" and %d more", len(all)-20)
	}
	text := fmt.Sprintf("no %s %q; known: %s%s", what, word, strings.Join(list, ", "), more)
	if near := nearest(word, all); near != "" {
		text = fmt.Sprintf("no %s %q; did you mean %s? Known: %s%s", what, word, near, strings.Join(list, ", "), more)
	}
	return fmt.Errorf("%s", text)
}

// nearest returns the word with the least edits, if these are at most a third
// of its length.
func nearest(word string, all []string) string {
	best, found := len(word)/3+2, ""
	for _, w := range all {
		if d := edits(strings.ToLower(word), strings.ToLower(w), best); d < best {
			best, found = d, w
		}
	}
	return found
}

// edits is the Levenshtein distance in bytes, or limit if it is not less.
func edits(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return min(row[len(b)], limit)
}

// shown is a canonical name as people write it.
func shown(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// targetText is the TARGET that parseTarget reads as t.
func targetText(t steering.Target) string {
	switch {
	case t.Service == "":
		return string(t.Region)
	case t.Region == "":
		return shown(t.Service)
	case t.Address == "":
		return shown(t.Service) + "/" + string(t.Region)
	}
	return shown(t.Service) + "/" + string(t.Region) + "/" + t.Address
}
