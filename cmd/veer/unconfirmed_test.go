package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
)

func TestWhatWaitsForAConfirmationIsShown(t *testing.T) {
	set := func(data ...string) []providers.RRSet {
		return []providers.RRSet{{Name: "app.example.test.", Type: "A", TTL: 60, Data: data}}
	}
	var out bytes.Buffer
	writeUnconfirmed(&out, nil, paint{true})
	if out.Len() > 0 {
		t.Errorf("nothing waits, and %q is shown", out.String())
	}
	writeUnconfirmed(&out, []api.Unconfirmed{
		{Service: "app.example.test.", Config: "d1", Before: set("192.0.2.1"), After: set("192.0.2.8", "192.0.2.9")},
	}, paint{true})
	const want = "held until config d1 is confirmed\n  ~ app.example.test 192.0.2.1 -> 192.0.2.8, 192.0.2.9\n\n"
	if out.String() != want {
		t.Errorf("shown %q, expected %q", out.String(), want)
	}
}

// The flag belongs to a decision, a file to one that was made.
func TestAcceptConfigAndAFileExclude(t *testing.T) {
	_, _, _, err := (&app{}).toApply(t.Context(), &applying{file: "changes.json", request: controller.Request{AcceptConfig: "d1"}})
	if err == nil || exitOf(err).code != exitUsage || !strings.Contains(err.Error(), "exclude each other") {
		t.Errorf("found %v, expected a refusal of both together", err)
	}
}
