package authority

import (
	"runtime"
	"sync/atomic"
)

// rcodes counts responses by the code of their header. It is spread over
// blocks, so that two loops rarely write to one line of the cache.
type rcodes struct {
	blocks []rcodeBlock
	next   atomic.Uint32
}

// rcodeBlock fills two lines of 64 bytes.
type rcodeBlock struct{ counts [16]atomic.Uint64 }

func newRcodes() *rcodes { return &rcodes{blocks: make([]rcodeBlock, 2*runtime.GOMAXPROCS(0))} }

// block is one for a loop or a connection.
func (r *rcodes) block() *rcodeBlock {
	return &r.blocks[r.next.Add(1)%uint32(len(r.blocks))] // #nosec G115 -- a few
}

// Responses are how many responses were given since the start, by the code of
// their header (RFC 6895, section 2.3), of which there are 16.
func (s *Server) Responses() [16]uint64 {
	var out [16]uint64
	for i := range s.rcodes.blocks {
		for code := range out {
			out[code] += s.rcodes.blocks[i].counts[code].Load()
		}
	}
	return out
}
