package route53

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// A fenced.Record's Handle is the []types.ResourceRecordSet that it was read
// from, as the API listed them: a deletion must give each exactly. It is one
// set, save for multivalue answers (one for each value) and aliases (one for
// each type).
type rawSet = types.ResourceRecordSet

// byHand is the TTL of what is not as Veer would have written it, though it
// has the same data: no wanted TTL is 0 (see Caps), so the diff mends it.
const byHand = 0

// merge turns sets as the API lists them into records.
func (a *api) merge(sets []rawSet) ([]fenced.Record, error) {
	out := make([]fenced.Record, 0, len(sets))
	parts := map[providers.Key]int{} // of multivalue answers and aliases: where in out
	for _, raw := range sets {
		r, part, err := a.record(raw)
		if err != nil {
			return nil, fmt.Errorf("the API lists a record set that cannot be read, %s %s %s: %w",
				clip(aws.ToString(raw.Name)), clip(string(raw.Type)), clip(aws.ToString(raw.SetIdentifier)), err)
		}
		at, seen := parts[r.Key()]
		switch {
		case part && seen:
			join(&out[at], r)
			continue
		case part:
			parts[r.Key()] = len(out)
		}
		out = append(out, r)
	}
	for _, at := range parts {
		a.settle(&out[at])
	}
	return out, nil
}

// clip bounds text of the API in an error.
func clip(text string) string { return fmt.Sprintf("%.100q", text) }

// record reads one set. part says that others of its Key belong to the same
// record.
func (a *api) record(raw rawSet) (r fenced.Record, part bool, err error) {
	name, err := fromAPI(aws.ToString(raw.Name))
	if err != nil {
		return r, false, err
	}
	weight, ttl := aws.ToInt64(raw.Weight), aws.ToInt64(raw.TTL)
	if weight < 0 || weight > maxWeight || ttl < 0 || ttl > maxTTL {
		return r, false, fmt.Errorf("its weight %d or TTL %d is out of range", weight, ttl)
	}
	r = fenced.Record{
		RRSet:   providers.RRSet{Name: name, Type: string(raw.Type), SetID: aws.ToString(raw.SetIdentifier), Weight: uint32(weight), TTL: uint32(ttl)},
		Handle:  []rawSet{raw},
		Foreign: foreign(raw),
	}
	if len(r.SetID) > 128 {
		return r, false, fmt.Errorf("its set identifier has %d characters", len(r.SetID))
	}
	if raw.AliasTarget != nil {
		part, err = a.aliasRecord(&r, raw)
		return r, part, err
	}
	if len(raw.ResourceRecords) == 0 {
		return r, false, fmt.Errorf("it has no values")
	}
	for _, v := range raw.ResourceRecords {
		data, err := dataFromAPI(r.Type, aws.ToString(v.Value))
		if err != nil {
			return r, false, err
		}
		r.Data = append(r.Data, data)
	}
	if part = aws.ToBool(raw.MultiValueAnswer); part {
		r.SetID = "" // the values of one set, to Veer
	}
	return r, part, nil
}

// aliasRecord reads an alias: to one of the config's it is a CNAME.
func (a *api) aliasRecord(r *fenced.Record, raw rawSet) (part bool, err error) {
	host, err := fromAPI(aws.ToString(raw.AliasTarget.DNSName))
	if err != nil {
		return false, err
	}
	r.Data, r.TTL = []string{host}, byHand
	alias, ours := a.config.Aliases[host]
	if !ours || r.Type != "A" && r.Type != "AAAA" {
		if r.Foreign == "" {
			r.Foreign = fmt.Sprintf("whoever made its alias to %s, which is not among the provider's aliases in the config", host)
		}
		return false, nil
	}
	if r.Foreign != "" { // told apart from those of other types, as the API does
		return false, nil
	}
	r.Type, r.TTL = "CNAME", alias.TTL
	return true, nil
}

// foreign says whose a set is that Veer could not write, "" for all others.
func foreign(raw rawSet) string {
	kind := ""
	switch {
	case raw.TrafficPolicyInstanceId != nil:
		return "the traffic policy instance " + clip(*raw.TrafficPolicyInstanceId)
	case raw.Region != "":
		kind = "latency"
	case raw.GeoLocation != nil:
		kind = "geolocation"
	case raw.GeoProximityLocation != nil:
		kind = "geoproximity"
	case raw.Failover != "":
		kind = "failover"
	case raw.CidrRoutingConfig != nil:
		kind = "IP-based routing"
	case raw.SetIdentifier != nil && raw.Weight == nil && !aws.ToBool(raw.MultiValueAnswer):
		kind = "(of a routing policy that Veer does not know)"
	default:
		return ""
	}
	return fmt.Sprintf("whoever made its %s record %s", kind, clip(aws.ToString(raw.SetIdentifier)))
}

// join adds a part to a record.
func join(to *fenced.Record, part fenced.Record) {
	if to.TTL != part.TTL || to.Weight != part.Weight {
		to.TTL = byHand
	}
	if !slices.Equal(to.Data, part.Data) {
		to.Data = append(to.Data, part.Data...)
	}
	to.Handle = append(to.Handle.([]rawSet), part.Handle.([]rawSet)...)
}

// settle marks a merged record that is not as Veer would have written it.
func (a *api) settle(r *fenced.Record) {
	raws := r.Handle.([]rawSet)
	if raws[0].AliasTarget == nil {
		return
	}
	alias := a.config.Aliases[r.Data[0]]
	whole := len(r.Data) == 1 && len(raws) == len(alias.Types)
	for _, raw := range raws {
		whole = whole && slices.Contains(alias.Types, string(raw.Type)) &&
			aws.ToString(raw.AliasTarget.HostedZoneId) == alias.ZoneID &&
			raw.AliasTarget.EvaluateTargetHealth == alias.EvaluateTargetHealth
	}
	if !whole {
		r.TTL = byHand
	}
}

// dataFromAPI turns one value into presentation form. What it cannot be is an
// error for the types that Veer compares; others stay as they are.
func dataFromAPI(typ, value string) (string, error) {
	switch typ {
	case "A", "AAAA":
		addr, err := netip.ParseAddr(value)
		if err != nil || addr.Is4() != (typ == "A") || addr.Zone() != "" {
			return "", fmt.Errorf("its value %s is no address of the type", clip(value))
		}
		return addr.String(), nil
	case "CNAME":
		return fromAPI(value)
	case "TXT":
		return textFromAPI(value)
	}
	return value, nil
}

func dataToAPI(typ, data string) string {
	switch typ {
	case "CNAME":
		return toAPI(providers.CanonicalName(data))
	case "TXT":
		return textToAPI(data)
	}
	return data
}

// sets returns the record as the API has it or is to have it. before is what
// it replaces, whose attributes that Veer does not set are kept.
func (a *api) sets(r *fenced.Record, before *fenced.Record) []rawSet {
	if r == nil {
		return nil
	}
	if raws, ok := r.Handle.([]rawSet); ok {
		return raws
	}
	var out []rawSet
	whole := rawSet{Name: aws.String(toAPI(providers.CanonicalName(r.Name))), Type: types.RRType(r.Type), TTL: aws.Int64(int64(r.TTL))}
	if r.SetID != "" {
		whole.SetIdentifier, whole.Weight = aws.String(r.SetID), aws.Int64(int64(r.Weight))
	}
	alias, ok := a.config.Aliases[providers.CanonicalName(r.Data[0])]
	switch {
	case r.Type == "CNAME" && len(r.Data) == 1 && ok:
		out = aliasSets(whole, providers.CanonicalName(r.Data[0]), alias)
	case a.config.Multivalue && r.SetID == "" && (r.Type == "A" || r.Type == "AAAA"):
		for _, data := range r.Data {
			one := whole
			one.MultiValueAnswer, one.SetIdentifier = aws.Bool(true), aws.String(data)
			one.ResourceRecords = []types.ResourceRecord{{Value: aws.String(data)}}
			out = append(out, one)
		}
	default:
		for _, data := range r.Data {
			whole.ResourceRecords = append(whole.ResourceRecords, types.ResourceRecord{Value: aws.String(dataToAPI(r.Type, data))})
		}
		out = []rawSet{whole}
	}
	if before != nil {
		if raws, ok := before.Handle.([]rawSet); ok && len(raws) > 0 {
			keep(out, raws)
		}
	}
	return out
}

func aliasSets(whole rawSet, host string, alias Alias) []rawSet {
	var out []rawSet
	for _, t := range alias.Types {
		one := whole
		one.Type, one.TTL = types.RRType(t), nil
		one.AliasTarget = &types.AliasTarget{DNSName: aws.String(toAPI(host)), HostedZoneId: aws.String(alias.ZoneID), EvaluateTargetHealth: alias.EvaluateTargetHealth}
		out = append(out, one)
	}
	return out
}

// keep gives the new sets the health checks of those that they replace: of the
// same type and, for multivalue answers, value; and to all that have none so
// the one that all had.
func keep(after, before []rawSet) {
	shared := before[0].HealthCheckId
	for _, b := range before {
		if aws.ToString(b.HealthCheckId) != aws.ToString(shared) {
			shared = nil
		}
	}
	for i := range after {
		after[i].HealthCheckId = shared
		for _, b := range before {
			if after[i].Type == b.Type && value(after[i]) == value(b) {
				after[i].HealthCheckId = b.HealthCheckId
			}
		}
	}
}

// value is what tells a multivalue answer from the others of its set.
func value(raw rawSet) string {
	if !aws.ToBool(raw.MultiValueAnswer) || len(raw.ResourceRecords) != 1 {
		return ""
	}
	return strings.ToLower(aws.ToString(raw.ResourceRecords[0].Value))
}

// cost is what sets are of the limits of one request: ResourceRecord elements,
// aliases included, and characters in their Value elements.
func cost(sets []rawSet) fenced.Size {
	var s fenced.Size
	for _, set := range sets {
		s.Records += max(len(set.ResourceRecords), 1)
		for _, r := range set.ResourceRecords {
			s.Characters += len(aws.ToString(r.Value))
		}
	}
	return s
}
