package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// written checks a provider that is written to: the names of its zones first,
// which its own Check takes as canonical.
func (l *loader) written(p Provider, path string) {
	for i, name := range p.zoneNames() {
		at := fmt.Sprintf("%s.zones[%d].name", path, i)
		if *name == "" {
			continue
		}
		canon, err := canonical(*name)
		if err != nil {
			l.bad(at, err.Error(), "a DNS name, like example.com", "")
			*name = "invalid.invalid."
			continue
		}
		*name = canon
		// The longest name that Veer makes in a zone (providers.ScratchName).
		if fence := providers.ScratchName(l.c.Owner, canon); isLabel(l.c.Owner) && len(fence) > maxName {
			l.bad(at, fmt.Sprintf("with the owner %s, Veer's own records there have names of %d characters", l.c.Owner, len(fence)-1), fmt.Sprintf("at most %d (RFC 1035, section 2.3.4)", maxName-1), "choose a shorter owner")
		}
	}
	if n, _ := l.find(path); n != nil {
		l.zeros(l.root.get("providers").get(p.Name), path)
	}
	p.Written().Check(l.under(path))
}

// maxName is the length of the longest name with its final dot: 255 octets are
// those of its labels, one for the length of each, and one for the root (RFC
// 1035, section 2.3.4).
const maxName = 254

// zeros refuses a written 0 where 0 would silently mean the default.
func (l *loader) zeros(n *node, path string) {
	if n == nil {
		return
	}
	for _, p := range n.pairs {
		l.zeros(p.value, join(path, p.key.text))
	}
	for i, item := range n.items {
		l.zeros(item, path+"["+strconv.Itoa(i)+"]")
	}
	if n.shape != scalar || n.quoted || !l.clean(path) {
		return
	}
	d, err := time.ParseDuration(n.text)
	if n.form() == formInt && strings.Trim(n.text, "0") == "" || err == nil && d == 0 && n.form() != formInt {
		l.bad(path, "found "+n.text, "more than 0; leave the key out for its default", "")
	}
}

// sharedZones refuses two providers that would write one zone of one server:
// each would take the other's fence for another controller's.
func (l *loader) sharedZones() {
	first := map[string]string{}
	for _, p := range l.c.Providers {
		for i, zone := range p.places() {
			at := fmt.Sprintf("providers.%s.zones[%d]", p.Name, i)
			for _, place := range zone {
				if other, twice := first[place]; twice && other != p.Name {
					l.bad(at, fmt.Sprintf("the provider %s writes the same zone", other), "each zone in one provider", "")
					break
				}
				first[place] = p.Name
			}
		}
		l.itself(p)
	}
}

// places name, for each of the provider's zones, where it is: two zones that
// have a place in common are one.
func (p Provider) places() [][]string {
	var out [][]string
	add := func(format string, args ...any) { out = append(out, []string{fmt.Sprintf(p.Kind+" "+format, args...)}) }
	switch {
	case p.Route53 != nil:
		c := p.Route53
		for _, z := range c.Zones {
			if z.ID != "" {
				add("%s %s", c.Endpoint, z.ID)
			} else {
				add("%s %s %s %s %v %s", c.Endpoint, c.Profile, c.RoleARN, z.Name, z.Private, z.VPC)
			}
		}
	case p.Cloudflare != nil:
		for _, z := range p.Cloudflare.Zones {
			add("%s %s", p.Cloudflare.BaseURL, z.Name)
			if z.ID != "" {
				out[len(out)-1] = append(out[len(out)-1], "cloudflare id "+z.ID)
			}
		}
	case p.RFC2136 != nil:
		for _, z := range p.RFC2136.Zones {
			var servers []string
			for _, s := range p.RFC2136.Servers {
				servers = append(servers, "rfc2136 "+s+" "+z.Name)
			}
			out = append(out, servers)
		}
	case p.PowerDNS != nil:
		for _, z := range p.PowerDNS.Zones {
			add("%s %s %s", strings.TrimSuffix(p.PowerDNS.URL, "/"), p.PowerDNS.Server, z.Name)
		}
	}
	return out
}

// itself refuses updates that would go to Veer's own server, which takes none.
func (l *loader) itself(p Provider) {
	if p.RFC2136 == nil {
		return
	}
	for i, server := range p.RFC2136.Servers {
		for _, own := range l.c.Providers {
			if own.Authority != nil && slices.ContainsFunc(own.Authority.Listen, func(listen string) bool { return reaches(server, listen) }) {
				l.bad(fmt.Sprintf("providers.%s.servers[%d]", p.Name, i), fmt.Sprintf("%s is where the provider %s serves, Veer's own server, which takes no updates", quote(server), own.Name), "the primary of the zone", "")
			}
		}
	}
}

// reaches reports whether who connects to server from this host meets what
// listens there.
func reaches(server, listen string) bool {
	host, port, err := net.SplitHostPort(server)
	at, own, errListen := net.SplitHostPort(listen)
	if err != nil || errListen != nil || port != own {
		return false
	}
	to, ip := net.ParseIP(host), net.ParseIP(at)
	if to == nil || ip == nil {
		return false
	}
	return to.Equal(ip) || ip.IsUnspecified() && to.IsLoopback()
}

// expressible refuses a service that one of its providers has no records for,
// and names those that have.
func (l *loader) expressible(s *Service, path string) {
	if s.Name != "" && len(providers.OwnerName(s.Name)) > maxName && slices.ContainsFunc(s.Providers, l.isWritten) {
		l.bad(path+".name", fmt.Sprintf("the record that says who owns it, %s…, has a name of %d characters", quote(providers.OwnerName(s.Name)[:40]), len(providers.OwnerName(s.Name))-1),
			fmt.Sprintf("at most %d (RFC 1035, section 2.3.4), so a name of at most %d", maxName-1, maxName-1-len(providers.OwnerName("."))+1), "")
	}
	if s.Policy != steering.Weighted {
		return
	}
	weights := func(c providers.Caps) bool { return c.Weights }
	without := l.without(s, weights)
	if len(without) == 0 {
		return
	}
	expected := "policy failover or multivalue"
	if able := l.able(s, weights); able != "" {
		expected += ", or only providers that can; of yours " + able
	}
	l.bad(path+".policy", "policy weighted needs weights, which the records of "+strings.Join(without, " and ")+" do not have", expected, "")
}

// without are the service's providers that can't; none where one of them is
// unknown, which is said already.
func (l *loader) without(s *Service, can func(providers.Caps) bool) []string {
	var out []string
	for _, name := range s.Providers {
		p, ok := l.c.Providers.find(name)
		if !ok {
			return nil
		}
		if !can(p.Caps()) {
			out = append(out, name)
		}
	}
	return out
}

func (l *loader) isWritten(name string) bool {
	p, _ := l.c.Providers.find(name)
	return p.Written() != nil
}

// able says which of all providers could answer for the service: "onprem and
// aws can", or nothing where none can.
func (l *loader) able(s *Service, can func(providers.Caps) bool) string {
	var names []string
	for _, p := range l.c.Providers {
		if p.Zone(s.Name) != "" && can(p.Caps()) {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, " and ") + " can"
}

// leastTTL is the least TTL that all of the service's providers take, and the
// provider that takes none below.
func (l *loader) leastTTL(s *Service) (time.Duration, string) {
	var least time.Duration
	by := ""
	for _, name := range s.Providers {
		if p, ok := l.c.Providers.find(name); ok {
			if low := time.Duration(p.Caps().MinTTL) * time.Second; low > least {
				least, by = low, name
			}
		}
	}
	return least, by
}
