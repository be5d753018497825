package powerdns

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// bits is how wide a lock's counter is: enough for a write a second over a
// century.
const bits = 32

// lock is the counter beside a swapped TXT record. Bit i is the name
// b<i>.<record>: 1 where it has a CNAME, 0 where it has a TXT or nothing. The
// record's second character-string repeats the count, so that a reader need
// not look at the bits.
type lock struct {
	name  string // of the record
	count uint32
}

// next is the count of a record that gets the text: one more, and where the
// lock is made, a number that follows from the text, so that no request to a
// lock that was taken away fits the one made after it.
func (l lock) next(text string) uint32 {
	if l.count > 0 {
		return l.count + 1
	}
	h := fnv.New32a()
	h.Write([]byte(text)) // a hash's Write never fails
	return h.Sum32()>>2 + 1
}

// step returns what insists on the count and changes it to another.
func (l lock) step(to uint32) []rrset {
	var out []rrset
	for i := range bits {
		was, is := l.count>>i&1, to>>i&1
		out = append(out, l.bit(i, was))
		if was != is {
			out = append(out, l.clear(i, was), l.bit(i, is))
		}
	}
	return out
}

// remove returns what insists on the count and takes the lock away.
func (l lock) remove() []rrset {
	var out []rrset
	for i := range bits {
		was := l.count >> i & 1
		out = append(out, l.bit(i, was), l.clear(i, was))
	}
	return out
}

// bit replaces the set of the type that says v: the API refuses that while the
// other type is there.
func (l lock) bit(i int, v uint32) rrset {
	r := rrset{Name: l.at(i), Type: typeOf(v), ChangeType: "REPLACE", TTL: lockTTL}
	r.Records = []record{{Content: `"0"`}}
	if v == 1 {
		r.Records[0].Content = "veer-lock.invalid."
	}
	return r
}

func (l lock) clear(i int, v uint32) rrset {
	return rrset{Name: l.at(i), Type: typeOf(v), ChangeType: "DELETE"}
}

func (l lock) at(i int) string { return "b" + strconv.Itoa(i) + "." + l.name }

// ofLock reports whether the name is one of a lock's bits.
func ofLock(name string) bool {
	first, rest, _ := strings.Cut(name, ".")
	digits, ok := strings.CutPrefix(first, "b")
	n, err := strconv.ParseUint(digits, 10, 8)
	_, mark := providers.OwnedName(rest)
	return ok && err == nil && n < bits && (mark || strings.HasPrefix(rest, "_veer-fence.") || strings.HasPrefix(rest, "_veer-scratch."))
}

const lockTTL = 60

func typeOf(bit uint32) string {
	if bit == 1 {
		return "CNAME"
	}
	return "TXT"
}

// counted writes a swapped record's text with its count.
func counted(text string, count uint32) string {
	return text + " " + fenced.Quote(fmt.Sprintf("lock=%d", count))
}

// uncounted splits it again. A record without a count has 0, as one that this
// package never wrote.
func uncounted(data string) (string, uint32) {
	text, rest, ok := strings.Cut(data, ` "lock=`)
	digits, closed := strings.CutSuffix(rest, `"`)
	n, err := strconv.ParseUint(digits, 10, bits)
	if !ok || !closed || err != nil {
		return data, 0
	}
	return text, uint32(n)
}
