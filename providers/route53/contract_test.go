package route53_test

import (
	"os"
	"strings"
	"testing"

	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// TestMain keeps the machine's own AWS configuration out.
func TestMain(m *testing.M) {
	for _, entry := range os.Environ() {
		if len(entry) > 4 && entry[:4] == "AWS_" {
			name, _, _ := strings.Cut(entry, "=")
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Exit(m.Run())
}

func TestContract(t *testing.T) {
	providertest.RunBubble(t, func(t *testing.T) providertest.World {
		server, err := route53test.New(route53test.Options{Zones: []route53test.Zone{{ID: route53test.ZoneID, Name: zone}}})
		if err != nil {
			t.Fatal(err)
		}
		return server.Contract(t, route53test.Config(t, zone), "shop")
	})
}

const zone = "example.test."
