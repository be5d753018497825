//go:build !(netns && linux && amd64)

package main

import (
	"reflect"
	"testing"
)

// TestNoFaultCanBePlanted: only a build with the tag netns looks at what a
// laboratory asks for.
func TestNoFaultCanBePlanted(t *testing.T) {
	h, err := hooks(func(name string) (string, bool) {
		t.Errorf("%s was asked for", name)
		return "ledger guard off", true
	})
	if err != nil || !reflect.ValueOf(h).IsZero() {
		t.Errorf("got %+v, %v", h, err)
	}
}
