package cloudflare

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// batch is the body of POST /zones/{zone_id}/dns_records/batch
// (https://developers.cloudflare.com/dns/manage-dns-records/how-to/batch-record-changes/).
// All of it is one transaction; deletes come first, then patches, then posts.
type batch struct {
	Deletes []target `json:"deletes,omitempty"`
	Patches []patch  `json:"patches,omitempty"`
	Posts   []post   `json:"posts,omitempty"`
}

// target names the record to delete.
type target struct {
	ID string `json:"id"`
}

// patch changes a record; what it does not name stays.
type patch struct {
	ID      string `json:"id"`
	Content string `json:"content,omitempty"`
	TTL     uint32 `json:"ttl,omitempty"`
}

// post makes a record.
type post struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Content string `json:"content"`
	TTL     uint32 `json:"ttl"`
	attributes
}

// attributes are what Veer keeps and copies, but never chooses.
type attributes struct {
	Proxied        bool            `json:"proxied,omitempty"`
	PrivateRouting bool            `json:"private_routing,omitempty"`
	Comment        string          `json:"comment,omitempty"`
	Tags           []string        `json:"tags,omitempty"`
	Settings       json.RawMessage `json:"settings,omitempty"`
}

// autoTTL is the API's word for a TTL that Cloudflare chooses.
const autoTTL = 1

func (b *batch) size() int { return len(b.Deletes) + len(b.Patches) + len(b.Posts) }

func (b *batch) remove(records ...record) {
	for _, r := range records {
		b.Deletes = append(b.Deletes, target{r.ID})
	}
}

// swap replaces a fence, or a scratch record, by deleting its record and making
// another one: a record's id is what the next write is held to.
//
// The API cannot make a record on the condition that there is none. So beside
// the fence stands a latch, which has the same text whoever makes it, and which
// a swap leaves alone: where there is no fence, both are made, and the request
// is refused when a latch stands there, since an identical record is (81058).
// Without it, it is made anew; alone, it is what is replaced.
func (b *batch) swap(latch string, before, after *fenced.Record) error {
	var fences, latches []record
	if before != nil {
		for _, r := range members(*before) {
			if r.latch {
				latches = append(latches, r)
			} else {
				fences = append(fences, r)
			}
		}
	}
	b.remove(fences...)
	switch {
	case after == nil:
		b.remove(latches...)
		return nil
	case len(fences) > 0 && len(latches) > 0:
		return b.make(*after, after.Data, attributes{})
	}
	b.remove(latches...)
	return b.make(*after, append([]string{fenced.Quote(latch)}, after.Data...), attributes{})
}

// add turns a step into as few changes as can be: what says the same stays,
// the others take new content, and only what is left over is deleted or made.
func (b *batch) add(s fenced.Step) error {
	switch {
	case s.After == nil:
		b.remove(members(*s.Before)...)
		return nil
	case s.Before == nil:
		return b.make(*s.After, s.After.Data, attributes{})
	}
	after := s.After.Canonical()
	var stay, free []record
	missing := slices.Clone(after.Data)
	for _, r := range members(*s.Before) {
		if i := slices.Index(missing, r.data); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
			stay = append(stay, r)
			continue
		}
		free = append(free, r)
	}
	for _, r := range stay {
		if !r.Proxied && r.TTL != int64(after.TTL) {
			b.Patches = append(b.Patches, patch{ID: r.ID, TTL: after.TTL})
		}
	}
	for len(free) > 0 && len(missing) > 0 {
		content, err := contentOf(after.Type, missing[0])
		if err != nil {
			return fmt.Errorf("%s %s: %w", after.Name, after.Type, err)
		}
		p := patch{ID: free[0].ID, Content: content}
		if !free[0].Proxied && free[0].TTL != int64(after.TTL) {
			p.TTL = after.TTL
		}
		b.Patches = append(b.Patches, p)
		stay, free, missing = append(stay, free[0]), free[1:], missing[1:]
	}
	b.remove(free...)
	return b.make(*s.After, missing, stay[0].attributes)
}

// make creates records with the data. Those of a proxied set have no TTL.
func (b *batch) make(set fenced.Record, data []string, like attributes) error {
	name, err := toAPI(providers.CanonicalName(set.Name))
	if err != nil {
		return err
	}
	ttl := set.TTL
	if like.Proxied {
		ttl = autoTTL
	}
	for _, d := range data {
		content, err := contentOf(set.Type, d)
		if err != nil {
			return fmt.Errorf("%s %s: %w", set.Name, set.Type, err)
		}
		b.Posts = append(b.Posts, post{Name: name, Type: set.Type, Content: content, TTL: ttl, attributes: like})
	}
	return nil
}
