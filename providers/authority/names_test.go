package authority

import (
	"bytes"
	"testing"
)

// Every byte at every place of names up to four words long: lowered as by lower,
// and nothing is written behind the name.
func TestLowerInto(t *testing.T) {
	from := make([]byte, 40)
	for size := range 33 {
		for at := range size {
			for c := range 256 {
				for i := range from {
					from[i] = byte(c + i - at)
				}
				want := bytes.Clone(from[:size])
				lower(want)
				room := bytes.Repeat([]byte{0xee}, 40)
				lowerInto(room[:size], from)
				if !bytes.Equal(room[:size], want) {
					t.Fatalf("% x became % x, expected % x", from[:size], room[:size], want)
				}
				if behind := bytes.Trim(room[size:], "\xee"); len(behind) > 0 {
					t.Fatalf("of % x, %d bytes are written behind it", from[:size], len(behind))
				}
			}
		}
	}
}
