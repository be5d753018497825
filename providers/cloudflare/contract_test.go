package cloudflare_test

import (
	"testing"

	"github.com/veerdns/veer/providers/cloudflare/cloudflaretest"
	"github.com/veerdns/veer/providers/providertest"
)

func TestContract(t *testing.T) {
	providertest.RunBubble(t, func(t *testing.T) providertest.World {
		return cloudflaretest.NewWorld(t, "example.test").Contract(t, "shop")
	})
}
