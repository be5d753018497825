package authority

import "hash/maphash"

// index is an immutable map of names to nodes. with makes another one that
// shares all of it but the parts that change: what one name costs does not
// grow with the number of the others.
type index struct {
	seed  maphash.Seed
	pages []*page // a power of 2
	size  int
}

// A page is a row of buckets, found by the low bits of a name's hash.
type page [pageSize][]entry

type entry struct {
	hash uint64
	name key
	node *node
}

const (
	pageSize = 64
	// perBucket is how many names a bucket holds on average before the index
	// is made anew with more of them.
	perBucket = 4
)

func newIndex(seed maphash.Seed) *index {
	return &index{seed: seed, pages: []*page{new(page)}}
}

func (x *index) bucket(hash uint64) []entry {
	return x.pages[hash/pageSize&uint64(len(x.pages)-1)][hash%pageSize]
}

// get returns the name's node, or nil.
func (x *index) get(name key) *node {
	hash := maphash.String(x.seed, string(name))
	for _, e := range x.bucket(hash) {
		if e.hash == hash && e.name == name {
			return e.node
		}
	}
	return nil
}

// find is get for a name in a buffer.
func (x *index) find(name []byte) *node {
	hash := maphash.Bytes(x.seed, name)
	for _, e := range x.bucket(hash) {
		if e.hash == hash && string(e.name) == string(name) {
			return e.node
		}
	}
	return nil
}

// with returns the index with changes: a nil node removes its name.
func (x *index) with(changes map[key]*node) *index {
	next := &index{seed: x.seed, pages: append([]*page(nil), x.pages...), size: x.size}
	for name, n := range changes {
		next.set(x, entry{maphash.String(x.seed, string(name)), name, n})
	}
	for next.size > perBucket*pageSize*len(next.pages) {
		next = next.grown()
	}
	return next
}

// set changes one name. was is the index that the pages may be shared with.
func (x *index) set(was *index, e entry) {
	at := e.hash / pageSize & uint64(len(x.pages)-1)
	if at < uint64(len(was.pages)) && x.pages[at] == was.pages[at] {
		own := *was.pages[at]
		x.pages[at] = &own
	}
	old := x.pages[at][e.hash%pageSize]
	bucket := make([]entry, 0, len(old)+1)
	for _, o := range old {
		if o.hash != e.hash || o.name != e.name {
			bucket = append(bucket, o)
		}
	}
	if e.node != nil {
		bucket = append(bucket, e)
	}
	x.pages[at][e.hash%pageSize] = bucket
	x.size += len(bucket) - len(old)
}

// grown is the index with twice the buckets.
func (x *index) grown() *index {
	next := &index{seed: x.seed, pages: make([]*page, 2*len(x.pages)), size: x.size}
	for i := range next.pages {
		next.pages[i] = new(page)
	}
	for _, p := range x.pages {
		for _, bucket := range p {
			for _, e := range bucket {
				b := &next.pages[e.hash/pageSize&uint64(len(next.pages)-1)][e.hash%pageSize]
				*b = append(*b, e)
			}
		}
	}
	return next
}
