package daemon

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// explainTo adds what one client is answered, and leaves out the rules that
// are about others.
func (d *daemon) explainTo(e *api.Explain, client netip.Addr) *api.Problem {
	client = client.Unmap().WithZone("")
	out := api.Located{Address: client.String(), Answer: e.Service.Answer}
	e.Client = &out
	if !e.Service.Kind.Located() {
		return nil
	}
	location, bits, ok := d.locate(e.Service.Name, client)
	if !ok {
		return &api.Problem{Code: http.StatusConflict, What: "this daemon has no DNS server for " + short(e.Service.Name) + ", and so cannot tell where a client is",
			Hint: "ask a daemon with the role authority"}
	}
	network, err := client.Prefix(bits)
	if err != nil {
		return &api.Problem{Code: http.StatusInternalServerError, What: "the network of " + client.String() + ": " + err.Error()}
	}
	at := func(sets []providers.RRSet, location string) []providers.RRSet {
		return slices.DeleteFunc(slices.Clone(sets), func(s providers.RRSet) bool { return s.Location != location })
	}
	out.Location, out.Network, out.Answer = location, network.String(), at(e.Service.Answer, location)
	if len(out.Answer) == 0 { // the ledger's config does not know the location
		out.Location, out.Answer = steering.DefaultLocation, at(e.Service.Answer, steering.DefaultLocation)
	}
	e.Rules = slices.DeleteFunc(slices.Clone(e.Rules), func(r steering.Reason) bool { return r.Location != "" && r.Location != out.Location })
	return nil
}

func (d *daemon) locate(service string, client netip.Addr) (location string, bits int, ok bool) {
	for _, s := range d.servers {
		if len(s.Ledger(service)) == 0 {
			continue
		}
		if location, bits, ok = s.Locate(service, client); ok {
			return location, bits, true
		}
	}
	return "", 0, false
}
