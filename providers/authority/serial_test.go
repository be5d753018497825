package authority

import (
	"testing"

	"pgregory.net/rapid"
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
