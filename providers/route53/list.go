package route53

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

const (
	// pageSize is the most sets that a reply can have
	// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html).
	pageSize = 300
	// findSize is a page where one set is looked for, and told to be the only one.
	findSize = 2
	// maxPages bounds a listing: a zone has 10,000 sets unless AWS raises that.
	maxPages = 10000
)

// errEmpty tells of a reply that lacks what every reply has. The SDK takes one
// that is no XML for one that holds nothing, and nothing is not what is known.
var errEmpty = errors.New("the reply is not the API's: it lacks what every reply has")

// List implements fenced.API.
func (a *api) List(ctx context.Context, zoneName string) ([]fenced.Record, error) {
	var sets []rawSet
	err := a.pages(ctx, zoneName, &sdk.ListResourceRecordSetsInput{MaxItems: aws.Int32(pageSize)}, func(page []rawSet) bool {
		sets = append(sets, page...)
		return true
	})
	if err != nil {
		return nil, err
	}
	records, err := a.merge(sets)
	if err != nil {
		return nil, err
	}
	whole := false
	for _, r := range records {
		if !providers.InZone(r.Name, zoneName) {
			return nil, fmt.Errorf("hosted zone %s holds %s: it is not the zone %s; correct the id in the config", a.zones[zoneName].ID, r.Name, zoneName)
		}
		whole = whole || r.Type == "SOA" && r.Name == zoneName
	}
	if !whole {
		// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html
		return nil, fmt.Errorf("the listing has no SOA at %s, which every hosted zone of this name has", zoneName)
	}
	return records, nil
}

// Find implements fenced.API.
func (a *api) Find(ctx context.Context, zoneName, name, typ string) ([]fenced.Record, error) {
	in := &sdk.ListResourceRecordSetsInput{MaxItems: aws.Int32(findSize), StartRecordName: aws.String(toAPI(name)), StartRecordType: types.RRType(typ)}
	var sets []rawSet
	err := a.pages(ctx, zoneName, in, func(page []rawSet) bool {
		for _, raw := range page {
			// One whose name cannot be read is another's.
			if at, err := fromAPI(aws.ToString(raw.Name)); err != nil || at != name || string(raw.Type) != typ {
				return false
			}
			sets = append(sets, raw)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return a.merge(sets)
}

// pages lists a zone from where in says, until each wants no more.
func (a *api) pages(ctx context.Context, zoneName string, in *sdk.ListResourceRecordSetsInput, each func([]rawSet) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	id, err := a.zoneID(ctx, zoneName)
	if err != nil {
		return err
	}
	in.HostedZoneId = &id
	for range maxPages {
		out, err := a.client.ListResourceRecordSets(ctx, in)
		if err != nil {
			a.lost(zoneName, err)
			return a.failed(ctx, err, actList, zoneName, id)
		}
		if out.MaxItems == nil {
			return fmt.Errorf("%s: %w", actList, errEmpty)
		}
		if !each(out.ResourceRecordSets) || !out.IsTruncated {
			return nil
		}
		if out.NextRecordName == nil || same(in, out) {
			return errors.New("ListResourceRecordSets: the API says that there is more, and not where")
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
	}
	return fmt.Errorf("ListResourceRecordSets: the listing has more than %d pages", maxPages)
}

// same reports whether the next page begins where the last one did.
func same(in *sdk.ListResourceRecordSetsInput, out *sdk.ListResourceRecordSetsOutput) bool {
	return aws.ToString(in.StartRecordName) == aws.ToString(out.NextRecordName) && in.StartRecordType == out.NextRecordType &&
		aws.ToString(in.StartRecordIdentifier) == aws.ToString(out.NextRecordIdentifier)
}

// lost forgets a zone's id that was looked up and is none any more.
func (a *api) lost(zoneName string, err error) {
	var gone *types.NoSuchHostedZone
	if z := a.zones[zoneName]; errors.As(err, &gone) {
		z.mu.Lock()
		z.id = ""
		z.mu.Unlock()
	}
}

// zoneID returns the zone's id, of the config or looked up once.
func (a *api) zoneID(ctx context.Context, zoneName string) (string, error) {
	z := a.zones[zoneName]
	if z == nil {
		return "", fmt.Errorf("zone %s is not in the config", zoneName)
	}
	if z.ID != "" {
		return z.ID, nil
	}
	z.mu.Lock()
	id := z.id
	z.mu.Unlock()
	if id != "" {
		return id, nil
	}
	id, err := a.lookUp(ctx, z)
	if err != nil {
		return "", fmt.Errorf("looking up the hosted zone of %s: %w", zoneName, err)
	}
	z.mu.Lock()
	z.id = id
	z.mu.Unlock()
	return id, nil
}

// lookUp finds the one hosted zone of the name that is private, or public, and
// of the VPC, as the config says.
func (a *api) lookUp(ctx context.Context, z *zone) (string, error) {
	// The reply is sorted by name, from the one that is asked for on
	// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZonesByName.html).
	in := &sdk.ListHostedZonesByNameInput{DNSName: aws.String(toAPI(z.name)), MaxItems: aws.Int32(100)}
	out, err := a.client.ListHostedZonesByName(ctx, in)
	if err != nil {
		return "", a.failed(ctx, err, actByName, z.name, "")
	}
	if out.MaxItems == nil {
		return "", fmt.Errorf("%s: %w", actByName, errEmpty)
	}
	var ids, others []string
	for _, h := range out.HostedZones {
		if name, err := fromAPI(aws.ToString(h.Name)); err != nil || name != z.name {
			break
		}
		id := strings.TrimPrefix(aws.ToString(h.Id), "/hostedzone/")
		if private := h.Config != nil && h.Config.PrivateZone; private != z.Private {
			others = append(others, id)
			continue
		}
		if z.VPC != "" {
			if used, err := a.usedBy(ctx, z, id); err != nil {
				return "", err
			} else if !used {
				others = append(others, id)
				continue
			}
		}
		ids = append(ids, id)
	}
	return one(z, ids, others)
}

func one(z *zone, ids, others []string) (string, error) {
	what := "public"
	if z.Private {
		what = "private"
	}
	if z.VPC != "" {
		what += " (" + z.VPC + ")"
	}
	switch {
	case len(ids) > 1:
		return "", fmt.Errorf("the account has %d %s zones of this name: %s; give the id of one in the config", len(ids), what, strings.Join(ids, ", "))
	case len(ids) == 0 && len(others) > 0:
		return "", fmt.Errorf("the account has no %s zone of this name, but %s; set id, private or vpc in the config", what, strings.Join(others, ", "))
	case len(ids) == 0:
		return "", fmt.Errorf("the account has no %s zone of this name", what)
	case !zoneID.MatchString(ids[0]):
		return "", fmt.Errorf("the API tells the id %s", clip(ids[0]))
	}
	return ids[0], nil
}

// usedBy reports whether the zone's VPC uses the hosted zone.
func (a *api) usedBy(ctx context.Context, z *zone, id string) (bool, error) {
	out, err := a.client.GetHostedZone(ctx, &sdk.GetHostedZoneInput{Id: &id})
	if err != nil {
		return false, a.failed(ctx, err, actGetZone, z.name, id)
	}
	return slices.ContainsFunc(out.VPCs, func(v types.VPC) bool { return aws.ToString(v.VPCId) == z.VPC }), nil
}
