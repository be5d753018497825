package providertest

import (
	"fmt"
	"testing"

	"github.com/veerdns/veer/providers"
)

func testStaleTerm(_ testing.TB, b bench) {
	old := b.read()
	b.must(b.write(b.read(), b.fence(2, 1), b.a("app", 30, "192.0.2.2")))
	b.wants(b.write(old, b.fence(1, 5), b.a("app", 30, "192.0.2.1")), providers.ErrFenced)
	// Even on a fresh read.
	b.wants(b.write(b.read(), b.fence(1, 5), b.a("app", 30, "192.0.2.1")), providers.ErrFenced)
	b.holds(b.fence(2, 1), b.a("app", 30, "192.0.2.2"))
}

func testOtherHolder(_ testing.TB, b bench) {
	b.must(b.write(b.read(), b.fence(2, 1), b.a("app", 30, "192.0.2.2")))
	other := b.fence(2, 2)
	other.Holder = "h2"
	b.wants(b.write(b.read(), other, b.a("app", 30, "192.0.2.1")), providers.ErrFenced)
	b.holds(b.fence(2, 1), b.a("app", 30, "192.0.2.2"))
}

func testWriteNumber(_ testing.TB, b bench) {
	b.must(b.write(b.read(), b.fence(1, 4), b.a("app", 30, "192.0.2.2")))
	for _, f := range []providers.Fence{b.fence(1, 4), b.fence(1, 3), b.fence(2, 4)} {
		b.wants(b.write(b.read(), f, b.a("app", 30, "192.0.2.1")), providers.ErrFenced)
	}
	b.holds(b.fence(1, 4), b.a("app", 30, "192.0.2.2"))
}

func testOvertaken(_ testing.TB, b bench) {
	from := b.read()
	b.must(b.write(from, b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	b.wants(b.write(from, b.fence(1, 2), b.a("app", 30, "192.0.2.2")), providers.ErrConflict)
	// So does a newer term that has not read again.
	b.wants(b.write(from, b.fence(2, 2), b.a("app", 30, "192.0.2.2")), providers.ErrConflict)
	b.holds(b.fence(1, 1), b.a("app", 30, "192.0.2.1"))
}

func testClaim(_ testing.TB, b bench) {
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	from := b.read()
	claim := providers.Fence{Owner: b.Owner, Term: 2, Holder: "h2", Write: 2 * spread}
	_, err := b.Provider.Apply(b.t.Context(), from, claim, nil)
	b.must(err)
	b.holds(claim, b.a("app", 30, "192.0.2.1"))
	b.wants(b.write(from, b.fence(1, 2), b.a("app", 30, "192.0.2.2")), providers.ErrFenced)
}

// testBetween has another controller write before each request of a Read: the
// snapshot may be old as a whole, or new as a whole, or have the old fence, by
// which nothing more can be written. A new fence beside old records would let
// an old answer back in.
func testBetween(t testing.TB, b bench) {
	next := b.fence(1, 1)
	was := b.a("app", 60, "192.0.2.1")
	b.must(b.write(b.read(), next, was))
	for n := 1; ; n++ {
		next = b.fence(1, uint64(n)+1)
		is, done := b.a("app", 60, fmt.Sprintf("192.0.2.%d", n+1)), false
		from := b.read()
		b.Line.Before(n, func() {
			b.must(b.write(from, next, is))
			done = true
		})
		got, err := b.Provider.Read(t.Context(), b.Zone)
		b.Line.Before(0, nil)
		if !done { // a Read is not so many requests
			if n == 1 {
				t.Fatal("the Read made no request by World.Line")
			}
			return
		}
		b.must(err)
		if isOf(got.Fence, next) && (len(got.Records) != 1 || !got.Records[0].Equal(is)) {
			t.Fatalf("with a write before request %d, Read returned the new fence %s beside %v; want %v", n, got.Fence, got.Records, is)
		}
		b.holds(next, is)
	}
}
