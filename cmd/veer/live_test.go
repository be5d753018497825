package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
)

const zonesConfig = `owner: lab
regions: [eu]
providers:
  pdns: {kind: powerdns, url: "http://127.0.0.1:1", api_key_file: key, zones: [{name: example.test}]}
monitors:
  web: {kind: tcp, port: 80}
services:
  - {name: app.example.test, monitor: web, pools: [{region: eu, endpoints: [192.0.2.1]}]}
host: {region: eu}
`

// zone answers a look.
type zone struct {
	have        providers.Snapshot
	read, prove error
}

func (z zone) Caps() providers.Caps { return providers.Caps{MinTTL: 1, MaxTTL: 86400} }
func (z zone) Read(context.Context, string) (providers.Snapshot, error) {
	return z.have, z.read
}
func (z zone) Apply(context.Context, providers.Snapshot, providers.Fence, []providers.Change) (providers.Receipt, error) {
	return providers.Receipt{}, errors.New("nothing is applied by a look")
}
func (z zone) Prove(context.Context, string) error { return z.prove }

// TestValidateLive holds what is said of a zone, and the exit codes.
func TestValidateLive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "veer.yaml")
	for name, text := range map[string]string{path: zonesConfig, filepath.Join(filepath.Dir(path), "key"): "hunter2"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	app := providers.RRSet{Name: "app.example.test.", Type: "A", TTL: 60, Data: []string{"198.51.100.1"}}
	fence := providers.Fence{Owner: "lab", Term: 3, Holder: "h", Write: 9}
	for name, c := range map[string]struct {
		zone zone
		open error
		exit int
		says []string
	}{
		"all is well": {
			zone: zone{have: providers.Snapshot{Fence: fence, Owned: []string{"app.example.test.", "gone.example.test."}, Records: []providers.RRSet{app}}},
			exit: exitDone,
			says: []string{"example.test at pdns (powerdns)", "last write veer-fence owner=lab term=3", "plain answers; TTL 1 to 2147483647 s", "1 owned, 0 free, 0 foreign", "gone.example.test is owned, and no service has it here"},
		},
		"a foreign record": {
			zone: zone{have: providers.Snapshot{Foreign: []providers.RRSet{app}}}, exit: exitRefused,
			says: []string{"no write of this owner yet", "app.example.test has records that Veer does not own (A 198.51.100.1)", "veer import app.example.test"},
		},
		"another owner": {
			zone: zone{have: providers.Snapshot{Owners: map[string]string{"app.example.test.": "blog"}}}, exit: exitRefused,
			says: []string{"app.example.test belongs to blog"},
		},
		"no proof":            {zone: zone{prove: providers.ErrUnproven}, exit: exitRefused, says: []string{"proof     REFUSED: the zone does not refuse a stale write"}},
		"a proof that failed": {zone: zone{prove: errors.New("timeout")}, exit: exitFailed, says: []string{"proof     FAILED: timeout"}},
		"a zone that is away": {zone: zone{read: errors.New("no route")}, exit: exitFailed, says: []string{"read      FAILED: no route"}},
		"no client":           {open: errors.New("the key cannot be read"), exit: exitFailed, says: []string{"read      FAILED: the key cannot be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{"text", "json"} {
				s := newSession(&fake{}, "", nil)
				s.open = func(*config.Config, config.Provider, zerolog.Logger) (providers.Provider, error) {
					return c.zone, c.open
				}
				if exit := s.veer(t, "validate", "--live", "-c", path, "-o", format); exit != c.exit {
					t.Errorf("exit %d, want %d: %s", exit, c.exit, s.stderr.String())
				}
				if strings.Contains(s.stdout.String()+s.stderr.String(), "hunter2") {
					t.Error("a secret was printed")
				}
				if format == "json" {
					var v struct{ Live []daemon.LiveZone }
					if err := json.Unmarshal(s.stdout.Bytes(), &v); err != nil || len(v.Live) != 1 || v.Live[0].Zone != "example.test." {
						t.Errorf("%v: %s", err, s.stdout.String())
					}
					continue
				}
				said := strings.Join(strings.Fields(s.stdout.String()), " ")
				for _, text := range c.says {
					if !strings.Contains(said, strings.Join(strings.Fields(text), " ")) {
						t.Errorf("it does not say %q:\n%s", text, s.stdout.String())
					}
				}
			}
		})
	}
}

// failing has a zone of a written provider that cannot be written.
func failing() api.Status {
	st := healthy()
	st.Zones = []controller.ZoneState{
		{Provider: "aws", Zone: "example.com.", State: controller.ZoneOK, Since: time.Hour, Written: 5 * time.Minute, Calls: 3, Propagation: 42 * time.Second},
		{Provider: "cf", Zone: "example.net.", State: controller.ZoneFailing, Since: 3 * time.Minute, Error: "503"},
	}
	st.Warnings = []string{"example.net at cf: it cannot be written for 3m0s: 503"}
	return st
}

// TestStatusZones shows the zones of written providers.
func TestStatusZones(t *testing.T) {
	s := newSession(&fake{status: failing()}, "", nil)
	if exit := s.veer(t, "status"); exit != exitDegraded {
		t.Errorf("exit %d: %s", exit, s.stderr.String())
	}
	golden(t, "status-zones.txt", s.stdout.String())
}
