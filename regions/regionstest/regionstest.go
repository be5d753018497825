// Package regionstest searches properties for counter-examples: in the code
// that must hold them, where there may be none, and in deliberately broken
// twins of it, where one must be found. It is for tests only.
package regionstest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Find draws one case from rt and returns an error that describes it when the
// property does not hold for it: the input and what came out, since the text
// is all that is kept of the case.
type Find = func(rt *rapid.T) error

// polish is how many further counter-examples Search looks at for one that
// reads more easily.
const polish = 50

// Search draws up to runs cases, the same ones every time, and returns a
// counter-example: the shortest text of the first found and a few more. A
// panic of find is one, too. Name begins the text.
func Search(t *testing.T, runs int, name string, find Find) (counterexample string, found bool) {
	t.Helper()
	left := polish
	for seed := 0; seed < runs && left > 0; seed++ {
		text, failed := try(seed, find)
		if !failed {
			continue
		}
		left--
		if text = name + ": " + text; !found || len(text) < len(counterexample) {
			counterexample, found = text, true
		}
	}
	return counterexample, found
}

// try runs find on the case of one seed.
func try(seed int, find Find) (text string, failed bool) {
	defer func() {
		if p := recover(); p != nil {
			text, failed = fmt.Sprintf("panic: %v", p), true
		}
	}()
	err := rapid.Custom(func(rt *rapid.T) error {
		// A draw of its own, since rapid does not accept a Custom without one.
		rapid.Bool().Draw(rt, "started")
		return find(rt)
	}).Example(seed)
	if err == nil {
		return "", false
	}
	return err.Error(), true
}

// Holds checks the property with rapid, as many cases as its flags say.
func Holds(t *testing.T, find Find) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		if err := find(rt); err != nil {
			rt.Fatal(err)
		}
	})
}

// Caught runs a broken twin through a property as a subtest called name,
// prints the counter-example, and fails when there is none in runs cases.
func Caught(t *testing.T, runs int, name string, find Find) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		counterexample, found := Search(t, runs, name, find)
		if !found {
			t.Fatalf("%s: the property holds for this broken twin in %d cases: it proves nothing", name, runs)
		}
		t.Log(counterexample)
	})
}
