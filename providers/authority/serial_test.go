package authority

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/regions/regionstest"
)

func TestSerialOrder(t *testing.T) {
	for _, c := range []struct {
		a, b uint32
		want bool
	}{
		{1, 0, true}, {0, 1, false}, {5, 5, false}, {0, 1<<32 - 1, true}, {1<<31 - 1, 0, true}, {1 << 31, 0, false}, {0, 1 << 31, false}, {44, 4294967290, true},
	} {
		if got := after(c.a, c.b); got != c.want {
			t.Errorf("after(%d, %d) = %v, want %v (RFC 1982, section 3.2)", c.a, c.b, got, c.want)
		}
	}
}

// TestSerialGrows: whatever happens to file and ledger, each change raises the
// serial and nothing lowers it; while the ledger grows and the file stays,
// two servers that began apart agree.
func TestSerialGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, sum, hash := rapid.Uint32().Draw(t, "file"), rapid.Uint64Range(0, 1<<20).Draw(t, "sum"), "a"
		s := serial{}.next(file, sum, hash, false)
		if s.Serial != file+uint32(sum) || s.Offset != 0 {
			t.Fatalf("the first serial is %+v, want file %d + sum %d", s, file, sum)
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			was, changed := s, false
			switch rapid.IntRange(0, 4).Draw(t, "event") {
			case 0: // a commit
				sum += rapid.Uint64Range(1, 1000).Draw(t, "commits")
				changed = true
			case 1: // the file is edited, its serial set to anything
				file, hash = rapid.Uint32().Draw(t, "edited"), hash+"x"
			case 2: // the ledger is rebuilt
				sum = rapid.Uint64Range(0, sum).Draw(t, "rebuilt")
				changed = true
			case 3: // a restart
			case 4: // the file is edited, its serial forgotten
				hash += "y"
			}
			s = s.next(file, sum, hash, changed)
			switch {
			case (changed || hash != was.Hash) && !after(s.Serial, was.Serial):
				t.Fatalf("a change brought serial %d after %d", s.Serial, was.Serial)
			case !changed && hash == was.Hash && s != was:
				t.Fatalf("%+v became %+v without a change", was, s)
			case s.Serial != file+uint32(sum)+s.Offset:
				t.Fatalf("%+v is not file %d + sum %d + offset", s, file, sum)
			}
		}
		restarted := serial{}.next(file, sum, hash, false)
		other := serial{}.next(file, sum/2, hash, false).next(file, sum, hash, true)
		if sum > sum/2 && restarted.Serial != other.Serial {
			t.Fatalf("two servers say %d and %d", restarted.Serial, other.Serial)
		}
	})
}

// TestHeldSerials: a server that keeps nothing shows no serial but the one that
// is kept, and derived ones of what is kept, which it would show again after a
// restart. It never goes back, and once it can keep a serial, raises it for what
// it held back.
func TestHeldSerials(t *testing.T) {
	regionstest.Holds(t, func(rt *rapid.T) error { return heldSerials(rt, serial.held) })
	regionstest.Caught(t, 1000, "a serial that is raised all the same", func(rt *rapid.T) error { return heldSerials(rt, serial.next) })
	regionstest.Caught(t, 1000, "what was held back is forgotten", func(rt *rapid.T) error {
		return heldSerials(rt, func(s serial, file uint32, sum uint64, hash string, changed bool) serial {
			n := s.held(file, sum, hash, changed)
			n.Hash = hash
			return n
		})
	})
}

func heldSerials(t *rapid.T, next func(s serial, file uint32, sum uint64, hash string, changed bool) serial) error {
	file, sum, hash := rapid.Uint32().Draw(t, "file"), rapid.Uint64Range(0, 1000).Draw(t, "sum"), "a"
	kept := serial{}.next(file, sum, hash, false)
	if rapid.Bool().Draw(t, "raised before") {
		hash += "z"
		kept = kept.next(file, sum, hash, false)
	}
	s, due := kept, false // due: what is served now is not what the serial was first shown for
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		was, changed, before := s, false, hash
		switch rapid.IntRange(0, 4).Draw(t, "event") {
		case 0: // a commit
			sum += rapid.Uint64Range(1, 10).Draw(t, "commits")
			changed = true
		case 1: // the file is edited, and its serial perhaps
			file, hash = file+rapid.Uint32Range(0, 2).Draw(t, "raise"), hash+"x"
		case 2: // the ledger is rebuilt
			sum = rapid.Uint64Range(0, sum).Draw(t, "rebuilt")
			changed = true
		case 3: // an overlay is laid
		case 4: // the file is edited, its serial lowered
			file, hash = file-rapid.Uint32Range(1, 5).Draw(t, "lower"), hash+"y"
		}
		s = next(s, file, sum, hash, changed)
		derived := file + uint32(sum) + kept.Offset
		switch {
		case after(was.Serial, s.Serial):
			return fmt.Errorf("serial %d after %d", s.Serial, was.Serial)
		case s.Serial != was.Serial && s.Serial != derived:
			return fmt.Errorf("serial %d is neither %d, which was shown, nor %d, which follows from what is kept", s.Serial, was.Serial, derived)
		case s.Serial == was.Serial:
			due = due || changed || hash != before
		default:
			due = false
		}
	}
	if r := s.next(file, sum, hash, false); due && !after(r.Serial, s.Serial) {
		return fmt.Errorf("%+v is kept at last, and %d is not raised for what was held back", r, s.Serial)
	}
	return nil
}
