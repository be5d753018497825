package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudflare/cloudflare-go/v7/dns"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

const (
	// listTries is how often a zone is listed whose records change meanwhile.
	listTries = 4
	// maxRecords bounds what is kept of one zone.
	maxRecords = 2_000_000
)

// errMoved means that records changed from one page to the next.
var errMoved = errors.New("its records changed while they were listed")

// List implements fenced.API.
func (a *api) List(ctx context.Context, zone string) ([]fenced.Record, error) {
	id, err := a.zoneID(ctx, zone)
	if err != nil {
		return nil, err
	}
	records, err := a.all(ctx, zone, id)
	if err != nil {
		a.forget(zone, err)
		return nil, err
	}
	return sets(records, a.latch()), nil
}

// all lists the zone. One record that is removed while another is added can
// hide a third between two pages, and no count tells; so what takes several
// pages is listed until two listings agree.
func (a *api) all(ctx context.Context, zone, id string) ([]record, error) {
	var before []record
	for range listTries {
		records, err := a.pages(ctx, zone, id, dns.RecordListParams{})
		switch {
		case errors.Is(err, errMoved):
			before = nil
			continue
		case err != nil:
			return nil, err
		case len(records) <= a.config.PageSize, before != nil && slices.EqualFunc(before, records, record.same):
			return records, nil
		}
		before = records
	}
	return nil, errMoved
}

// Find implements fenced.API.
func (a *api) Find(ctx context.Context, zone, name, typ string) ([]fenced.Record, error) {
	id, err := a.zoneID(ctx, zone)
	if err != nil {
		return nil, err
	}
	found, err := a.find(ctx, zone, id, name, typ)
	if err != nil {
		a.forget(zone, err)
		return nil, err
	}
	if found == nil {
		return nil, nil
	}
	return []fenced.Record{*found}, nil
}

// find returns the set of one name and type, nil where there is none.
func (a *api) find(ctx context.Context, zone, id, name, typ string) (*fenced.Record, error) {
	host, err := toAPI(name)
	if err != nil {
		return nil, err
	}
	var filter dns.RecordListParams
	filter.Name.Present, filter.Name.Value.Exact.Present, filter.Name.Value.Exact.Value = true, true, host
	filter.Type.Present, filter.Type.Value = true, dns.RecordListParamsType(typ)
	records, err := a.pages(ctx, zone, id, filter)
	if err != nil {
		return nil, fmt.Errorf("looking for %s %s: %w", name, typ, err)
	}
	// What the filter should have kept out does not count.
	var own []record
	for _, r := range records {
		if r.name == name && r.Type == typ {
			own = append(own, r)
		}
	}
	if len(own) == 0 {
		return nil, nil
	}
	out := set(own, a.latch())
	return &out, nil
}

// pages reads every page of a listing. That the API counts as many records on
// each page, and lists as many, each once, shows that none moved from one page
// to another; the order by name keeps the others in place.
func (a *api) pages(ctx context.Context, zone, id string, filter dns.RecordListParams) ([]record, error) {
	filter.ZoneID.Value, filter.ZoneID.Present = id, true
	filter.PerPage.Value, filter.PerPage.Present = float64(a.config.PageSize), true
	filter.Order.Value, filter.Order.Present = dns.RecordListParamsOrderName, true
	var out []record
	seen := map[string]bool{}
	counted := int64(-1)
	for number := int64(1); ; number++ {
		filter.Page.Value, filter.Page.Present = float64(number), true
		got, err := a.client.list(ctx, filter)
		if err != nil {
			return nil, err
		}
		total := got.Info.TotalCount
		switch {
		case got.Info.Page != number:
			return nil, fmt.Errorf("the API sent page %d; expected %d", got.Info.Page, number)
		case total < 0 || total > maxRecords:
			return nil, fmt.Errorf("the API counts %d records; at most %d are read", total, maxRecords)
		case len(got.Result) > a.config.PageSize:
			return nil, fmt.Errorf("the API sent %d records on one page; asked for %d", len(got.Result), a.config.PageSize)
		case counted >= 0 && total != counted:
			return nil, errMoved
		}
		counted = total
		for _, raw := range got.Result {
			r, err := parseRecord(raw)
			if err != nil {
				return nil, err
			}
			if !providers.InZone(r.name, zone) {
				return nil, fmt.Errorf("the API lists %.300q in zone %s", r.name, zone)
			}
			if seen[r.ID] {
				return nil, errMoved
			}
			seen[r.ID] = true
			out = append(out, r)
		}
		switch {
		case int64(len(out)) == total:
			return out, nil
		case int64(len(out)) > total || len(got.Result) < a.config.PageSize:
			return nil, errMoved
		}
	}
}

// handle finds the fence that a batch made, and the latch that it made or left;
// nil where the reply does not name the fence.
func (m made) handle(before *fenced.Record, of fenced.Record, latch string) any {
	want := of.Canonical()
	var out []record
	made := false // a latch
	for _, raw := range m.Result.Posts {
		r, err := parseRecord(raw)
		if err == nil && r.name == want.Name && r.Type == want.Type {
			text, err := fenced.Text(r.data)
			made = made || err == nil && text == latch
			out = append(out, r)
		}
	}
	if before != nil && !made {
		for _, r := range handle(*before) {
			if r.latch {
				out = append(out, r)
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	if got := set(out, latch); sameData(got, of) {
		return got.Handle
	}
	return nil
}
