package route53test

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ordered returns the zone's sets in the order of listings.
func (s *Server) ordered(z *zone) []*Set {
	if z.sorted != nil {
		return z.sorted
	}
	type entry struct {
		order string
		set   *Set
	}
	var entries []entry
	for name, sets := range z.sets {
		order := s.order(name)
		for _, set := range sets {
			entries = append(entries, entry{order, set})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.order, b.order), strings.Compare(a.set.Type, b.set.Type), strings.Compare(a.set.SetIdentifier, b.set.SetIdentifier))
	})
	z.sorted = make([]*Set, len(entries))
	for i, e := range entries {
		z.sorted[i] = e.set
	}
	return z.sorted
}

// list does a ListResourceRecordSets.
func (s *Server) list(z *zone, r *request) any {
	q := r.URL.Query()
	name, typ, id := q.Get("name"), q.Get("type"), q.Get("identifier")
	limit, err := maxItems(q.Get("maxitems"), 300)
	if err != nil || s.on(StartType) && (typ != "" && name == "" || id != "" && typ == "") {
		return fail(http.StatusBadRequest, "InvalidInput", "The start of the listing or maxitems is not valid")
	}
	sets := s.ordered(z)
	first := 0
	if name != "" {
		name, err = s.normalize(name)
		if err != nil {
			return fail(http.StatusBadRequest, "InvalidInput", err.Error())
		}
		from := s.order(name)
		first, _ = slices.BinarySearchFunc(sets, 0, func(set *Set, _ int) int {
			c := cmp.Or(strings.Compare(s.order(set.Name), from), strings.Compare(set.Type, typ), strings.Compare(set.SetIdentifier, id))
			if c >= 0 {
				return 1
			}
			return -1
		})
	}
	out := listReply{Namespace: namespace, MaxItems: limit, ResourceRecordSets: sets[first:]}
	if s.on(Paging) && len(out.ResourceRecordSets) > limit {
		next := out.ResourceRecordSets[limit]
		out.ResourceRecordSets, out.IsTruncated = out.ResourceRecordSets[:limit], true
		out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier = next.Name, next.Type, next.SetIdentifier
	}
	// The reply is written after the lock is given back; sets never change,
	// they are replaced.
	return out
}

func maxItems(text string, most int) (int, error) {
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	return min(max(n, 1), most), err
}

// zonesByName does a ListHostedZonesByName.
func (s *Server) zonesByName(r *request) any {
	q := r.URL.Query()
	limit, err := maxItems(q.Get("maxitems"), 100)
	if err != nil {
		return fail(http.StatusBadRequest, "InvalidInput", "maxitems is not a number")
	}
	out := byNameReply{Namespace: namespace, DNSName: q.Get("dnsname"), MaxItems: limit}
	from := ""
	if out.DNSName != "" {
		name, err := s.normalize(out.DNSName)
		if err != nil {
			return fail(http.StatusBadRequest, "InvalidDomainName", err.Error())
		}
		from = s.order(name)
	}
	for _, z := range s.zones {
		if s.order(z.name) >= from && (s.on(PrivateZonesByName) || !z.Private) {
			out.HostedZones = append(out.HostedZones, z.describe())
		}
	}
	slices.SortFunc(out.HostedZones, func(a, b hostedZone) int {
		return cmp.Or(strings.Compare(s.order(a.Name), s.order(b.Name)), strings.Compare(a.ID, b.ID))
	})
	if len(out.HostedZones) > limit {
		next := out.HostedZones[limit]
		out.HostedZones, out.IsTruncated = out.HostedZones[:limit], true
		out.NextDNSName, out.NextHostedZoneID = next.Name, strings.TrimPrefix(next.ID, "/hostedzone/")
	}
	return out
}

func (z *zone) describe() hostedZone {
	n := 0
	for _, sets := range z.sets {
		n += len(sets)
	}
	return hostedZone{ID: "/hostedzone/" + z.ID, Name: z.name, CallerReference: z.ID, PrivateZone: z.Private, Count: n}
}

func (s *Server) getZone(z *zone) any {
	out := zoneReply{Namespace: namespace, HostedZone: z.describe()}
	for _, id := range z.VPCs {
		out.VPCs = append(out.VPCs, vpc{VPCRegion: s.options.Region, VPCId: id})
	}
	return out
}
