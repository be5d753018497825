package daemon_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/cloudflare/cloudflaretest"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/providers/route53/route53test"
)

const liveConfig = `owner: lab
regions: [eu]
providers:
  aws: {kind: route53, zones: [{name: example.test, id: ZONE}], region: us-east-1, credentials_file: aws}
  cf: {kind: cloudflare, token_file: cf, zones: [{name: example.test}, {name: example.net}]}
monitors:
  web: {kind: tcp, port: 80}
services:
  - {name: free.example.test, monitor: web, pools: [{region: eu, endpoints: [192.0.2.1]}]}
  - {name: foreign.example.test, monitor: web, pools: [{region: eu, endpoints: [192.0.2.1]}]}
  - {name: other.example.test, monitor: web, pools: [{region: eu, endpoints: [192.0.2.1]}]}
  - {name: owned.example.test, monitor: web, pools: [{region: eu, endpoints: [192.0.2.1]}]}
  - {name: aws.example.test, providers: [aws], monitor: web, pools: [{region: eu, endpoints: [192.0.2.1]}]}
`

// clouds are emulated APIs, and a config of them.
type clouds struct {
	c      *config.Config
	aws    *route53test.Server
	cf     *cloudflaretest.Server
	cfZone string
}

func newClouds(t *testing.T) *clouds {
	t.Helper()
	// The machine's own AWS configuration is kept out.
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	credentials, err := os.ReadFile(route53test.CredentialsFile(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"veer.yaml": strings.Replace(liveConfig, "ZONE", route53test.ZoneID, 1), "aws": string(credentials), "cf": cloudflaretest.Token,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v := &clouds{cf: cloudflaretest.New()}
	v.cfZone = v.cf.AddZone("example.test", "free")
	if v.aws, err = route53test.New(route53test.Options{Zones: []route53test.Zone{{ID: route53test.ZoneID, Name: "example.test"}}}); err != nil {
		t.Fatal(err)
	}
	v.c, err = config.Load(filepath.Join(dir, "veer.yaml"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// open makes the real clients, whose requests go to the emulated APIs.
func (v *clouds) open(c *config.Config, p config.Provider, log zerolog.Logger) (providers.Provider, error) {
	if p.Route53 != nil {
		return route53.New(*p.Route53, route53.Options{Owner: c.Owner, Log: log, Transport: v.aws})
	}
	return cloudflare.New(*p.Cloudflare, cloudflare.Options{Owner: c.Owner, Log: log, Transport: v.cf})
}

func (v *clouds) look(t *testing.T) map[string]daemon.LiveZone {
	t.Helper()
	out := map[string]daemon.LiveZone{}
	for _, z := range daemon.Live(t.Context(), v.c, v.open, zerolog.Nop()) {
		out[z.Provider+" "+z.Zone] = z
	}
	if len(out) != 3 {
		t.Fatalf("%d zones", len(out))
	}
	text, err := json.Marshal(out)
	if err != nil || strings.Contains(string(text), cloudflaretest.Token) || strings.Contains(string(text), route53test.SecretKey) {
		t.Errorf("a secret is in %s (%v)", text, err)
	}
	return out
}

// TestLive looks at two vendors' zones: what is owned by whom, what is proven,
// and what is not there. Nothing is left behind.
func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newClouds(t)
		for name, owner := range map[string]string{"foreign": "", "other": "blog", "owned": "lab", "held": "lab"} {
			set := providers.RRSet{Name: name + ".example.test.", Type: "A", TTL: 60, Data: []string{"198.51.100.1"}}
			if err := v.cf.Put(v.cfZone, owner, set); err != nil {
				t.Fatal(err)
			}
		}
		before := len(v.cf.All(v.cfZone))
		zones := v.look(t)

		aws := zones["aws example.test."]
		if !aws.Read || !aws.Proven || aws.Failed() || aws.Refuses() || !aws.Can.Weights || len(aws.Names) != 5 || aws.Names[0].Name != "aws.example.test." {
			t.Errorf("%+v", aws)
		}
		cf := zones["cf example.test."]
		if !cf.Read || !cf.Proven || cf.Failed() || !cf.Refuses() || cf.Can.Weights || cf.Can.MinTTL != 60 || len(cf.Held) != 1 || cf.Held[0] != "held.example.test." {
			t.Errorf("%+v", cf)
		}
		states := map[string]string{}
		for _, n := range cf.Names {
			states[n.Name] = n.State + n.Owner
		}
		for name, want := range map[string]string{
			"free": daemon.NameFree, "foreign": daemon.NameForeign, "other": daemon.NameOther + "blog", "owned": daemon.NameOwned,
		} {
			if got := states[name+".example.test."]; got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if net := zones["cf example.net."]; net.Read || !net.Failed() || net.Error == "" {
			t.Errorf("a zone that is not there: %+v", net)
		}
		if after := len(v.cf.All(v.cfZone)); after != before {
			t.Errorf("%d records were left behind", after-before)
		}
	})
}

// TestLiveRefusals: a token without the permission to write, credentials that
// the vendor does not know, a zone that does not keep a stale write out, and a
// client that cannot be made are told apart.
func TestLiveRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newClouds(t)
		v.cf.Without(cloudflaretest.Missing, cloudflaretest.Identical)
		if err := v.aws.SetPolicy([]byte(`{"Version": "2012-10-17", "Statement": []}`)); err != nil {
			t.Fatal(err)
		}
		zones := v.look(t)
		if aws := zones["aws example.test."]; aws.Read || !aws.Failed() || !strings.Contains(aws.Error, "AccessDenied") {
			t.Errorf("%+v", aws)
		}
		if cf := zones["cf example.test."]; !cf.Read || cf.Proven || !cf.Unproven || cf.Failed() || !cf.Refuses() {
			t.Errorf("%+v", cf)
		}
		if err := os.Remove(v.c.Providers[1].Cloudflare.TokenFile); err != nil {
			t.Fatal(err)
		}
		if cf := v.look(t)["cf example.test."]; cf.Read || !cf.Failed() {
			t.Errorf("without a token: %+v", cf)
		}
	})
}
