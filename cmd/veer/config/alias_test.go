package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/veerdns/veer/regions/steering"
)

// aliasHead has an authority that looks hosts up, one that can't, and two
// providers that are written.
const aliasHead = `owner: shop
regions: [eu, us]
providers:
  onprem: {kind: authority, listen: ["127.0.0.1:5300"], alias: {resolver: ["192.0.2.53:53"]}, zones: [{name: example.test, file: example.test.zone}]}
  other: {kind: authority, listen: ["127.0.0.1:5301"], zones: [{name: other.test, file: any.zone}]}
  aws: {kind: route53, zones: [{name: example.test, id: Z0123456789ABCDEFGHIJ}], aliases: {lb.example.com: {zone_id: Z32O12XQLNTSW2}}}
  cf: {kind: cloudflare, token_file: token, zones: [{name: example.net}]}
monitors:
  web: {kind: tcp, port: 80}
services:
`

const aliasPools = "    pools: [{region: eu, endpoints: [192.0.2.1, lb-1.example.com, lb-2.example.com]}, {region: us, endpoints: [LB.example.com]}]\n"

func aliasService(name, more string) string {
	return service(name, "    type: ALIAS\n    providers: [onprem]\n"+more)
}

// TestAliasRefuses holds which services may be of type ALIAS.
func TestAliasRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		services string
		want     []string
	}{
		"at the top, beside addresses and each other": {aliasService("example.test", aliasPools), nil},
		"weighted":               {aliasService("app.example.test", "    policy: weighted\n"+aliasPools), nil},
		"multivalue":             {aliasService("app.example.test", "    policy: multivalue\n"+aliasPools), nil},
		"geo":                    {aliasService("app.example.test", "    policy: geo\n    locations: [{name: office, networks: [203.0.113.0/24], pools: [us]}]\n"+aliasPools), nil},
		"with an HTTPS record":   {aliasService("app.example.test", "    https: {alpn: [h2]}\n"+aliasPools), nil},
		"a fallback of any kind": {aliasService("app.example.test", "    all_down: fallback\n    fallback: [192.0.2.9, \"2001:db8::9\", sorry.example.com]\n"+aliasPools), nil},
		"to a service of addresses": {
			aliasService("example.test", "    pools: [{region: eu, endpoints: [app.example.test]}]\n") + service("app.example.test", "    providers: [onprem]\n"+twoPools), nil},
		"no host name": {
			aliasService("app.example.test", twoPools),
			[]string{"services[0].type: the service has no host name to look up | a host name among its endpoints, or no type"}},
		"the service itself": {
			aliasService("app.example.test", "    pools: [{region: eu, endpoints: [app.example.test, lb.example.com]}]\n"),
			[]string{`services[0].pools[0].endpoints[0]: "app.example.test" is the service itself | a host name that the service can point to`}},
		"a fallback to the service itself": {
			aliasService("app.example.test", "    all_down: fallback\n    fallback: [app.example.test]\n"+aliasPools),
			[]string{`services[0].fallback[0]: "app.example.test" is the service itself | another host name, or an IP address`}},
		"a circle": {
			aliasService("a.example.test", "    pools: [{region: eu, endpoints: [b.example.test]}]\n") +
				service("b.example.test", "    providers: [onprem]\n    pools: [{region: eu, endpoints: [lb.example.com]}, {region: us, endpoints: [c.example.test]}]\n") +
				aliasService("c.example.test", "    all_down: fallback\n    fallback: [A.example.test]\n"+aliasPools),
			[]string{
				"services[0].pools: the service leads back to itself, by b.example.test. and c.example.test. | host names that lead to other addresses",
				"services[2].pools: the service leads back to itself, by a.example.test. and b.example.test. | host names that lead to other addresses",
			}},
		"a provider that is written": {
			service("app.example.test", "    type: ALIAS\n"+aliasPools),
			[]string{"services[0].type: type ALIAS needs host names to be looked up, which aws cannot | only providers of kind authority, or one host name in each pool and no type, which makes a CNAME (an alias record at Route 53, with aliases); of yours onprem can"}},
		"where none can": {
			service("app.example.net", "    type: ALIAS\n"+aliasPools),
			[]string{"services[0].type: type ALIAS needs host names to be looked up, which cf cannot | only providers of kind authority, or one host name in each pool and no type, which makes a CNAME (an alias record at Route 53, with aliases)"}},
		"no resolver": {
			service("app.other.test", "    type: ALIAS\n"+aliasPools),
			[]string{`services[0].type: the provider other has no resolver to look host names up | providers.other.alias: {resolver: ["192.0.2.53:53"]}, with a recursive resolver of yours`}},
		"a CNAME at the name": {
			aliasService("alias.example.test", aliasPools), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(folder(t, aliasHead+c.services), noEnv)
			wantErrors(t, err, c.want)
		})
	}
}

// TestAliasResolverIsNoAuthority: not that of another provider of this Veer
// either.
func TestAliasResolverIsNoAuthority(t *testing.T) {
	_, err := Load(folder(t, strings.Replace(aliasHead, "192.0.2.53:53", "127.0.0.1:5301", 1)+aliasService("app.example.test", aliasPools)), noEnv)
	if err == nil || !strings.Contains(err.Error(), "is where the provider other serves") {
		t.Errorf("error %v", err)
	}
}

// TestAliasPolicy: the hosts are probed by the name that the file has, decided
// as they are, and handed to the authority to be looked up ahead.
func TestAliasPolicy(t *testing.T) {
	c := load(t, aliasHead+aliasService("app.example.test", "    all_down: fallback\n    fallback: [sorry.example.com]\n"+aliasPools)+service("www.example.test", "    providers: [onprem]\n    pools: [{region: eu, endpoints: [cname.example.com]}]\n"))
	if got, want := c.AliasHosts("onprem"), []string{"lb-1.example.com.", "lb-2.example.com.", "lb.example.com.", "sorry.example.com."}; !slices.Equal(got, want) {
		t.Errorf("hosts %v, want %v", got, want)
	}
	if got := c.AliasHosts("other"); len(got) != 0 {
		t.Errorf("hosts %v of a provider without such services", got)
	}
	p := c.Policy()
	if !p.Services[0].Flatten || p.Services[1].Flatten {
		t.Errorf("%+v", p.Services)
	}
	var addresses []string
	for _, e := range c.Endpoints() {
		addresses = append(addresses, e.Target.Host)
	}
	for _, want := range []string{"192.0.2.1", "lb-1.example.com", "lb.example.com"} {
		if !slices.ContainsFunc(addresses, func(a string) bool { return strings.TrimSuffix(a, ".") == want }) {
			t.Errorf("%s is not probed: %v", want, addresses)
		}
	}
	if d := steering.Decide(steering.Input{Policy: p}); len(d.Answers) == 0 || d.Answers[0].Type != "A" || d.Answers[1].Type != "ALIAS" {
		t.Errorf("%+v", d.Answers)
	}
}
