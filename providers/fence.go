package providers

import (
	"fmt"
	"strconv"
	"strings"
)

// Fence is the mark that every write swaps: whoever holds an older one can no
// longer write. Terms come from the ledger; Holder is random per election;
// Write grows with every write and never starts again within a zone.
type Fence struct {
	Owner  string `json:"owner"`
	Term   uint64 `json:"term"`
	Holder string `json:"holder"`
	Write  uint64 `json:"write"`
}

// Next returns the fence of the same holder's next write.
func (f Fence) Next() Fence { f.Write++; return f }

// Admits returns nil when a controller that holds next may write over f: its
// term is newer, or it is the same term and holder, and its write number is
// higher. Else it returns ErrFenced with both, wrapped.
func (f Fence) Admits(next Fence) error {
	if f == (Fence{}) {
		return nil
	}
	newer := next.Term > f.Term || next.Term == f.Term && next.Holder == f.Holder
	if f.Owner != next.Owner || !newer || next.Write <= f.Write {
		return fmt.Errorf("%w: the zone has %s, this write is %s", ErrFenced, f, next)
	}
	return nil
}

// Guard is what a provider's swap comes down to: now is the fence that the
// zone has, from the one that was read with the records, next the one to
// write. It returns nil when the write may happen, ErrFenced when another
// controller has written or leads, and else ErrConflict.
func Guard(now, from, next Fence) error {
	if now == from {
		return now.Admits(next)
	}
	if now.Owner != "" && now.Owner != next.Owner ||
		now.Term > next.Term || now.Term == next.Term && now.Holder != next.Holder {
		return fmt.Errorf("%w: the zone has %s, this write is %s", ErrFenced, now, next)
	}
	return fmt.Errorf("%w: the zone has %s, the write was made on %s", ErrConflict, now, from)
}

// String is the text of the fence's TXT record.
func (f Fence) String() string {
	return fmt.Sprintf("veer-fence owner=%s term=%d holder=%s write=%d", f.Owner, f.Term, f.Holder, f.Write)
}

// maxFence is the longest text of one TXT character-string (RFC 1035, 3.3.14).
const maxFence = 255

// ParseFence reads the text of String, and refuses anything else. Owner and
// holder are printable ASCII without spaces, quotes or backslashes, so that
// the text is the same within a TXT record's quotes.
func ParseFence(text string) (Fence, error) {
	bad := func() (Fence, error) {
		return Fence{}, fmt.Errorf("fence %.300q: expected %q", text, "veer-fence owner=… term=N holder=… write=N")
	}
	words := strings.Split(text, " ")
	if len(text) > maxFence || len(words) != 5 || words[0] != "veer-fence" {
		return bad()
	}
	var f Fence
	var errTerm, errWrite error
	for i, key := range []string{"owner=", "term=", "holder=", "write="} {
		value, ok := strings.CutPrefix(words[i+1], key)
		if !ok || !word(value) {
			return bad()
		}
		switch key {
		case "owner=":
			f.Owner = value
		case "holder=":
			f.Holder = value
		case "term=":
			f.Term, errTerm = strconv.ParseUint(value, 10, 64)
		case "write=":
			f.Write, errWrite = strconv.ParseUint(value, 10, 64)
		}
	}
	if errTerm != nil || errWrite != nil || f.String() != text {
		return bad()
	}
	return f, nil
}
