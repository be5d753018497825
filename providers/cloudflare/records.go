package cloudflare

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// record is one record as the API lists it
// (https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/list/).
type record struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Content string `json:"content"`
	TTL     int64  `json:"ttl"`
	attributes
	// name and data are Name and Content as Veer writes them.
	name, data string
	// latch: see batch.swap.
	latch bool
}

// same reports whether two listings tell the same of a record.
func (r record) same(o record) bool {
	return r.ID == o.ID && r.name == o.name && r.Type == o.Type && r.data == o.data && r.TTL == o.TTL
}

// maxTTLSeen is the largest TTL that is believed (RFC 2181, section 8).
const maxTTLSeen = 1<<31 - 1

// autoSeconds is what resolvers see of an automatic TTL, in seconds
// (https://developers.cloudflare.com/dns/manage-dns-records/reference/ttl/).
const autoSeconds = 300

// parseRecord reads one record of a reply.
func parseRecord(raw json.RawMessage) (record, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return record{}, fmt.Errorf("the API's record %.200q: %w", raw, err)
	}
	bad := func(format string, args ...any) (record, error) {
		return record{}, fmt.Errorf("the API's record %.64q (%.300q %.20q): %s", r.ID, r.Name, r.Type, fmt.Sprintf(format, args...))
	}
	if r.ID == "" || len(r.ID) > 64 {
		return bad("its id is not one")
	}
	if r.Type == "" || len(r.Type) > 16 || r.Type != strings.ToUpper(r.Type) {
		return bad("its type is not one")
	}
	if r.TTL < 0 || r.TTL > maxTTLSeen {
		return bad("its TTL is %d", r.TTL)
	}
	var err error
	if r.name, err = fromAPI(r.Name); err != nil {
		return bad("its name: %v", err)
	}
	if r.data, err = dataOf(r.Type, r.Content); err != nil {
		return bad("its content: %v", err)
	}
	if s := string(r.Settings); s == "null" || s == "{}" {
		r.Settings = nil
	}
	return r, nil
}

// dataOf reads a record's content. That of types which Veer never writes stays
// as it is.
func dataOf(typ, content string) (string, error) {
	switch typ {
	case "A", "AAAA":
		a, err := netip.ParseAddr(content)
		if err != nil || a.Zone() != "" || a.Is4() != (typ == "A") {
			return "", fmt.Errorf("%.100q is not an address of type %s", content, typ)
		}
		return a.String(), nil
	case "CNAME":
		return fromAPI(content)
	case "TXT":
		// A record from before Cloudflare added the quotes has none
		// (.../reference/dns-record-types/#txt).
		if !strings.HasPrefix(content, `"`) {
			return fenced.Quote(content), nil
		}
	}
	return content, nil
}

// contentOf writes data as the API takes it, and refuses what it would not.
func contentOf(typ, data string) (string, error) {
	switch typ {
	case "A", "AAAA":
		return dataOf(typ, data)
	case "CNAME":
		return toAPI(providers.CanonicalName(data))
	case "TXT":
		// Quoted character-strings; longer ones than 255 bytes are split by the
		// API (.../api/resources/dns/subresources/records/models/txt_record/).
		text, err := fenced.Text(data)
		if err != nil {
			return "", err
		}
		return fenced.Quote(text), nil
	}
	return "", fmt.Errorf("type %s is not written", typ)
}

// sets puts the records of one name and type together, in the order of their
// names and types.
func sets(records []record, latch string) []fenced.Record {
	type key struct{ name, typ string }
	byKey := map[key][]record{}
	var keys []key
	for _, r := range records {
		k := key{r.name, r.Type}
		if byKey[k] == nil {
			keys = append(keys, k)
		}
		byKey[k] = append(byKey[k], r)
	}
	slices.SortFunc(keys, func(a, b key) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.typ, b.typ)
	})
	out := make([]fenced.Record, len(keys))
	for i, k := range keys {
		out[i] = set(byKey[k], latch)
	}
	return out
}

// set makes one set of its records. A latch does not show in its data, unless it
// is all there is. Where they differ in TTL, the largest is
// told: what resolvers may still hold. One proxied record makes all of them
// proxied (https://developers.cloudflare.com/dns/proxy-status/).
func set(records []record, latch string) fenced.Record {
	records = slices.Clone(records)
	for i, r := range records {
		text, err := fenced.Text(r.data)
		records[i].latch = r.Type == "TXT" && err == nil && text == latch
	}
	hidden := slices.ContainsFunc(records, func(r record) bool { return !r.latch })
	out := fenced.Record{RRSet: providers.RRSet{Name: records[0].name, Type: records[0].Type}, Handle: records}
	for _, r := range records {
		if !r.latch || !hidden {
			out.Data = append(out.Data, r.data)
		}
		ttl := uint32(r.TTL)
		if ttl <= autoTTL {
			ttl = autoSeconds
		}
		out.TTL = max(out.TTL, ttl)
		out.AutoTTL = out.AutoTTL || r.Proxied
	}
	return out
}

// handle returns the records that a set was made of.
func handle(r fenced.Record) []record {
	records, _ := r.Handle.([]record)
	return records
}

// members are the records of a set: with ids where they are known, and for a
// set that is only measured, one for each data.
func members(r fenced.Record) []record {
	if records := handle(r); records != nil {
		return records
	}
	out := make([]record, len(r.Data))
	for i, d := range r.Data {
		out[i] = record{TTL: int64(r.TTL), data: d}
	}
	return out
}

// sameData reports whether two sets hold the same texts.
func sameData(a, b fenced.Record) bool {
	x, y := a.Canonical().Data, b.Canonical().Data
	return slices.Equal(x, y)
}
