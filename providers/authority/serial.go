package authority

// after reports whether serial a is greater than b (RFC 1982, section 3.2).
// Two that are 2^31 apart are in no order; then it is false.
func after(a, b uint32) bool { return int32(a-b) > 0 } // #nosec G115 -- the wrap is the point

// serial is what a zone's SOA says, and why.
//
// All servers of a cluster derive the same serial: that of the zone file, plus
// the sum of the sequence numbers of all ledger shards, which only grow. Only
// where that would not grow (the file was changed without raising its serial,
// or the ledger was rebuilt) does a server add an offset of its own.
type serial struct {
	// Serial was served last; Offset is what was added to the derived one.
	Serial uint32 `json:"serial"`
	Offset uint32 `json:"offset"`
	// Hash is of the zone's data that comes from no shard.
	Hash string `json:"hash"`
}

// next returns the serial after a change: the file's serial, the shards' sum
// and the hash as they are now. The zero serial has served nothing.
func (s serial) next(file uint32, sum uint64, hash string, changed bool) serial {
	derived := file + uint32(sum) // #nosec G115 -- modulo 2^32 (RFC 1982, section 3.1)
	n := serial{Serial: derived + s.Offset, Offset: s.Offset, Hash: hash}
	if s.Hash == "" {
		return n
	}
	switch {
	case after(n.Serial, s.Serial):
	case changed || hash != s.Hash:
		n.Serial = s.Serial + 1
	default:
		n.Serial = s.Serial
	}
	n.Offset = n.Serial - derived
	return n
}

// heldBack is the Hash of a serial that did not grow with the last change.
const heldBack = "held back"

// held is next for a server that can't keep a serial that it raises by itself:
// it would be given to other data after a restart that forgot it. So the serial
// grows when the derived one does, which needs no memory, and otherwise waits:
// the first that can be kept is raised for what was held back.
func (s serial) held(file uint32, sum uint64, hash string, changed bool) serial {
	n := serial{Serial: file + uint32(sum) + s.Offset, Offset: s.Offset, Hash: hash} // #nosec G115 -- as in next
	if s.Hash == "" || after(n.Serial, s.Serial) {
		return n
	}
	n.Serial = s.Serial
	if changed || hash != s.Hash {
		n.Hash = heldBack
	}
	return n
}
