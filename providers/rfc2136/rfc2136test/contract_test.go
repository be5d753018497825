package rfc2136test_test

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

const owner = "shop"

// contractNames are the names that the contract uses: what `read: queries`
// must be told.
func contractNames(zone string) []string {
	var names []string
	for _, label := range []string{"app", "b", "c", "alias", "ghost", "new", "theirs", "*.wild", `a\.b`, "blog",
		"keep", "low", "high", "beyond", "one", "other", "*", "*.below"} {
		names = append(names, label+"."+zone)
	}
	return names
}

// fresh makes worlds of the double.
func fresh(signed bool, change func(*rfc2136.Config, *rfc2136.Options)) func(t *testing.T) providertest.World {
	return func(t *testing.T) providertest.World {
		line := &providertest.Line{}
		w := rfc2136test.NewWorld(t, "example.test", signed, line)
		return rfc2136test.Contract(owner, line, w.Admin, func(owner string) providers.Provider {
			c, o := w.Config(t), rfc2136.Options{Owner: owner, Log: zerolog.Nop(), Dial: w.Wire.Dial}
			change(&c, &o)
			p, err := rfc2136.New(c, o)
			if err != nil {
				t.Fatal(err)
			}
			return p
		})
	}
}

func TestContract(t *testing.T) {
	providertest.RunBubble(t, fresh(true, func(*rfc2136.Config, *rfc2136.Options) {}))
}

func TestContractByQueries(t *testing.T) {
	providertest.RunBubble(t, func(t *testing.T) providertest.World {
		names := contractNames("example.test.")
		if strings.HasSuffix(t.Name(), "the_fence_is_read_before_the_records") {
			names = names[:3] // it reads as often as a Read has requests
		}
		w := fresh(true, func(c *rfc2136.Config, o *rfc2136.Options) { c.Read, o.Names = rfc2136.ReadQueries, names })(t)
		w.Lacks["Parts"] = "it takes hundreds of names, each asked for in each Read"
		return w
	})
}
