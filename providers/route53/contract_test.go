package route53_test

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// TestMain keeps the machine's own AWS configuration out.
func TestMain(m *testing.M) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name) //nolint:errcheck // the name is the system's own
		}
	}
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

const zone = "example.test."

// sharing is a config of one of two clients that share an account's limits, as
// the contract has them.
func sharing(t testing.TB) route53.Config {
	c := route53test.Config(t, zone)
	c.Rate, c.Burst = 5, 25
	return c
}

// newServer makes a server with the zone.
func newServer(t testing.TB, edit func(*route53test.Options)) *route53test.Server {
	t.Helper()
	o := route53test.Options{Zones: []route53test.Zone{{ID: route53test.ZoneID, Name: zone}}}
	if edit != nil {
		edit(&o)
	}
	server, err := route53test.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// TestContractMultivalue: the contract holds for multivalue answers; for simple
// records, see TestContractUnderPolicy.
func TestContractMultivalue(t *testing.T) {
	providertest.RunBubble(t, func(t *testing.T) providertest.World {
		c := sharing(t)
		c.Multivalue = true
		return newServer(t, nil).Contract(t, c, "shop")
	})
}

// TestContractFindsFaults: with a rule of the API that the fence rests on
// switched off, the contract fails.
func TestContractFindsFaults(t *testing.T) {
	for _, rule := range []route53test.Rule{route53test.ExactDelete, route53test.Atomic, route53test.CreateOver} {
		var failed map[string]string
		synctest.Test(t, func(t *testing.T) {
			failed = providertest.Failures(t, func(t *testing.T) providertest.World {
				server := newServer(t, func(o *route53test.Options) { o.Without = []route53test.Rule{rule} })
				return server.Contract(t, sharing(t), "shop")
			})
		})
		if len(failed) == 0 {
			t.Errorf("the contract finds nothing without the rule: %s", rule)
		}
		for name, said := range failed {
			t.Logf("%s: found by %q: %.200s", rule, name, said)
			break
		}
	}
}
