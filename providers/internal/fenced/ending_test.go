package fenced_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

var errOver = errors.New("the lease is over")

// ending is a context that finds out whether it has ended when it is asked, as
// the controller's does.
type ending struct {
	context.Context
	over func() bool
}

func (c ending) Err() error {
	if c.over() {
		return errOver
	}
	return nil
}

// swapsOf counts the requests of a write of many, or of the proof and the claim
// of a new zone, where the context ends after the first of them, or, unsound,
// never says so.
func swapsOf(t *testing.T, claim, unsound bool) (int, error) {
	r := newRig(t, fenced.Size{Records: 7})
	var changes []providers.Change
	at := uint64(1)
	if !claim {
		if _, err := r.Apply(context.Background(), r.read(), fence(at), nil); err != nil {
			t.Fatal(err)
		}
		at++
		for i := range 10 {
			s := set(fmt.Sprint("n", i), "192.0.2.1")
			changes = append(changes, providers.Change{After: &s})
		}
	}
	before := r.vendor.Swaps()
	ctx := ending{context.Background(), func() bool { return !unsound && r.vendor.Swaps() > before }}
	_, err := r.Apply(ctx, r.read(), fence(at), changes)
	return r.vendor.Swaps() - before, err
}

// TestNothingIsSentOnceTheContextHasEnded: it is asked right before each
// request, so that a controller whose lease ran out between two sends no more.
func TestNothingIsSentOnceTheContextHasEnded(t *testing.T) {
	for _, claim := range []bool{false, true} {
		if n, err := swapsOf(t, claim, false); n != 1 || !errors.Is(err, errOver) {
			t.Errorf("claim %v: %d requests, %v: expected the first alone", claim, n, err)
		}
		if n, err := swapsOf(t, claim, true); n < 2 || err != nil {
			t.Errorf("claim %v, with a context that does not tell: %d requests, %v: expected several, so that they are caught", claim, n, err)
		}
	}
}
