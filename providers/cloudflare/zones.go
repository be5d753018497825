package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/veerdns/veer/providers"
)

// zones knows the zones' ids: from the config, or looked up.
type zones struct {
	mu  sync.Mutex
	ids map[string]string
	// given are those that the config has.
	given map[string]bool
}

func newZones(c Config) *zones {
	z := &zones{ids: map[string]string{}, given: map[string]bool{}}
	for i, name := range c.ZoneNames() {
		if id := c.Zones[i].ID; id != "" {
			z.ids[name], z.given[name] = id, true
		}
	}
	return z
}

func (z *zones) get(name string) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.ids[name]
}

func (z *zones) set(name, id string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if !z.given[name] {
		z.ids[name] = id
	}
}

// unknownZone is the API's code for an id in a path that it does not know.
const unknownZone = 7003

// forget makes an id that was looked up be looked up again where the API does
// not know it any more.
func (a *api) forget(zone string, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		return
	}
	for _, code := range e.Codes {
		if code == unknownZone {
			a.zones.set(zone, "")
		}
	}
}

// found is a zone as the API lists it
// (https://developers.cloudflare.com/api/resources/zones/methods/list/).
type found struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Status  string `json:"status"`
	Account struct {
		Name string `json:"name"`
	} `json:"account"`
}

// zoneID returns the zone's id. It is looked up once.
func (a *api) zoneID(ctx context.Context, zone string) (string, error) {
	if id := a.zones.get(zone); id != "" {
		return id, nil
	}
	name, err := toAPI(zone)
	if err != nil {
		return "", err
	}
	var got struct {
		Result []found `json:"result"`
	}
	if err := a.client.get(ctx, "/zones", url.Values{"name": {name}, "per_page": {"50"}}, scopeZones, &got); err != nil {
		return "", fmt.Errorf("looking up the id of zone %s: %w", zone, err)
	}
	var matches []found
	for _, z := range got.Result {
		if providers.CanonicalName(z.Name) == zone {
			matches = append(matches, z)
		}
	}
	switch {
	case len(matches) == 0:
		return "", fmt.Errorf("no zone %s is seen with this token: look at its zone resources and at the permission %s", zone, scopeZones)
	case len(matches) > 1:
		var which []string
		for _, z := range matches {
			which = append(which, fmt.Sprintf("%.40q (%.20s, account %.60q)", z.ID, z.Status, z.Account.Name))
		}
		return "", fmt.Errorf("%d zones are named %s: give the id of one in the config: %s", len(matches), zone, strings.Join(which, ", "))
	case !isID(matches[0].ID):
		return "", fmt.Errorf("the id of zone %s is %.100q; expected 32 hexadecimal digits", zone, matches[0].ID)
	}
	a.zones.set(zone, matches[0].ID)
	return matches[0].ID, nil
}
