package authority

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// Bounds of a zone, with all files that it includes.
const (
	MaxZoneBytes   = 64 << 20
	MaxZoneRecords = 1 << 20
)

// maxProblems is how many problems of one zone file are told at once.
const maxProblems = 20

// ZoneFile is a zone as its master file says, checked. It does not change.
type ZoneFile struct {
	// Name is the apex in canonical form.
	Name string
	// Hash is the SHA-256 of the zone's records, in hexadecimal.
	Hash string

	file    string
	apex    key
	records []record // sorted by name, type and data
	// redirects are the owners of DNAME records; nil where there are none.
	redirects map[key]place
	// delegated are the cuts, first where each owner's records begin.
	delegated map[key]bool
	first     map[key]int
}

// record is one resource record and where it was found.
type record struct {
	rr    dns.RR
	owner key
	text  string // the data in presentation form
	at    place
}

// place is a line in a file.
type place struct {
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// ReadZone reads and checks a zone's file. $INCLUDE reaches files below the
// folder of the zone's file only: a path or a symbolic link that leads out of
// it is refused. The error tells all problems found, each with file and line.
func ReadZone(z Zone) (*ZoneFile, error) {
	file, err := filepath.EvalSymlinks(z.File)
	if err != nil {
		return nil, fmt.Errorf("zone %s: its file: %w", z.Name, err)
	}
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("zone %s: open the folder of its file %s: %w", z.Name, z.File, err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	return ParseZone(z.Name, filepath.Base(file), root.FS())
}

// bounds are of a zone with all files that it includes.
type bounds struct {
	bytes   int64
	records int
}

// ParseZone reads the zone from the file in fsys, and checks it.
func ParseZone(name, file string, fsys fs.FS) (*ZoneFile, error) {
	return parseZone(name, file, fsys, bounds{MaxZoneBytes, MaxZoneRecords})
}

func parseZone(name, file string, fsys fs.FS, most bounds) (*ZoneFile, error) {
	z := &ZoneFile{Name: providers.CanonicalName(name), file: file}
	var err error
	if z.apex, err = keyOf(z.Name); err != nil {
		return nil, fmt.Errorf("zone %w", err)
	}
	if z.records, err = parse(z.Name, file, fsys, most); err != nil {
		return nil, fmt.Errorf("zone %s: %w", z.Name, err)
	}
	slices.SortStableFunc(z.records, compareRecords)
	z.findRedirects()
	z.findOwners()
	if problems := z.check(); len(problems) > 0 {
		if more := len(problems) - maxProblems; more > 0 {
			problems = append(problems[:maxProblems], fmt.Errorf("and %d more", more))
		}
		return nil, fmt.Errorf("zone %s: %w", z.Name, errors.Join(problems...))
	}
	sum := sha256.Sum256([]byte(z.String()))
	z.Hash = hex.EncodeToString(sum[:])
	return z, nil
}

// parse reads all records, in order.
func parse(origin, file string, fsys fs.FS, most bounds) ([]record, error) {
	files := &openFiles{fsys: fsys, left: most.bytes}
	top, err := files.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open its file: %w", err)
	}
	defer top.Close() //nolint:errcheck // it was only read
	zp := dns.NewZoneParser(top.(*countedFile), origin, file)
	zp.SetIncludeAllowed(true)
	zp.SetIncludeFS(files)
	var records []record
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		at := files.at()
		r, err := newRecord(rr, at)
		if err != nil {
			return nil, err
		}
		if records = append(records, r); len(records) > most.records {
			return nil, fmt.Errorf("%s: more than %d records; split the zone", at, most.records)
		}
	}
	if files.left < 0 {
		return nil, fmt.Errorf("%s: more than %d bytes with all included files; split the zone", files.at(), most.bytes)
	}
	if err := zp.Err(); err != nil {
		return nil, describe(err, files.at())
	}
	return records, nil
}

// describe turns a parser's error into one that names file and line first.
func describe(err error, at place) error {
	text := err.Error()
	text = strings.TrimPrefix(text, at.file+": ")
	text = strings.TrimPrefix(text, "dns: ")
	if what, where, ok := strings.Cut(text, " at line: "); ok {
		expected := `a record like "www 300 IN A 192.0.2.1" or a directive (RFC 1035, section 5.1)`
		if strings.Contains(what, "failed to open") {
			expected = "a file below the folder of the zone's file"
		}
		if strings.HasSuffix(strings.ToUpper(what), `: "ALIAS"`) {
			expected = "a service of type ALIAS with this name in the config, since zone files have no such type"
		}
		return fmt.Errorf("%s:%s: %s; expected %s", at.file, where, what, expected)
	}
	return fmt.Errorf("%s: %s", at, text)
}

// newRecord takes the record through its wire format, so that each name and
// datum has one spelling only, and what can't be sent is refused.
func newRecord(rr dns.RR, at place) (record, error) {
	buf := make([]byte, dns.Len(rr)+maxName)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return record{}, fmt.Errorf("%s: record %q can't be put on the wire: %w", at, rr.String(), err)
	}
	clean, _, err := dns.UnpackRR(buf[:n], 0)
	if err != nil {
		return record{}, fmt.Errorf("%s: record %q can't be read back from the wire: %w", at, rr.String(), err)
	}
	if !survives(clean, buf[:n]) {
		return record{}, fmt.Errorf("%s: the data of %q is not what its type needs", at, strings.ReplaceAll(printed(rr), "\t", " "))
	}
	owner, err := keyOf(clean.Header().Name)
	if err != nil {
		return record{}, fmt.Errorf("%s: %w", at, err)
	}
	return record{rr: clean, owner: owner, text: rdata(clean), at: at}, nil
}

// survives reports whether the record is still the same wire after it was
// printed and read again: some types lack data and pack all the same.
func survives(rr dns.RR, wire []byte) bool {
	again, err := dns.NewRR(printed(rr))
	if err != nil || again == nil {
		return false
	}
	buf := make([]byte, len(wire)+maxName)
	n, err := dns.PackRR(again, buf, 0, nil, false)
	return err == nil && bytes.Equal(buf[:n], wire)
}

// compareRecords orders by name (RFC 4034, section 6.1), type and data.
func compareRecords(a, b record) int {
	if c := compareKeys(a.owner, b.owner); c != 0 {
		return c
	}
	ha, hb := a.rr.Header(), b.rr.Header()
	// The SOA comes first, as a master file has it.
	if c := cmp.Compare(rank(ha.Rrtype), rank(hb.Rrtype)); c != 0 {
		return c
	}
	// Spellings of one name stand together, so that duplicates are neighbours.
	if c := strings.Compare(strings.ToLower(a.text), strings.ToLower(b.text)); c != 0 {
		return c
	}
	return strings.Compare(a.text, b.text)
}

func rank(typ uint16) int {
	if typ == dns.TypeSOA {
		return -1
	}
	return int(typ)
}

// rdata is the record's data in presentation form: what follows the header.
func rdata(rr dns.RR) string { return strings.TrimPrefix(rr.String(), rr.Header().String()) }

// compareKeys orders names by their labels from the root down.
func compareKeys(a, b key) int { return slices.Compare(labels(a), labels(b)) }

// labels returns the labels from the top one down.
func labels(k key) []string {
	var out []string
	for len(k) > 1 {
		n := 1 + int(k[0])
		out = append(out, string(k[1:n]))
		k = k[n:]
	}
	slices.Reverse(out)
	return out
}

// String prints the zone as a master file that reads back to the same zone.
func (z *ZoneFile) String() string {
	var b strings.Builder
	for _, r := range z.records {
		b.WriteString(printed(r.rr))
		b.WriteByte('\n')
	}
	return b.String()
}

// printed is a record's line. A leading "$" is escaped lest it be read as a
// directive.
func printed(rr dns.RR) string {
	text := rr.String()
	if strings.HasPrefix(text, "$") {
		return `\` + text
	}
	return text
}

// Records is how many records the zone has.
func (z *ZoneFile) Records() int { return len(z.records) }

// Serial is that of the SOA record in the file.
func (z *ZoneFile) Serial() uint32 { return z.soa().Serial }

// soa returns the SOA record as the file has it.
func (z *ZoneFile) soa() *dns.SOA {
	for _, r := range z.records {
		if soa, ok := r.rr.(*dns.SOA); ok && r.owner == z.apex {
			return soa
		}
	}
	return nil
}
