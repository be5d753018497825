//go:build netns

package clusterlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// bindKey signs updates and transfers.
var bindKey = rfc2136test.Key{Name: "veer.", Algorithm: "hmac-sha256.", Secret: "dmVlcidzIHNlY3JldCBvZiAzMiBieXRlcywgbm8gbGVzcw=="}

const bindText = `options {
	directory "%[1]s";
	pid-file none;
	session-keyfile "%[1]s/session.key";
	listen-on port 53 { 10.77.20.10; };
	listen-on-v6 { none; };
	notify no;
	recursion no;
	dnssec-validation no;
	allow-query { any; };
};
controls { };
key "veer." { algorithm hmac-sha256; secret "%[2]s"; };
zone "example.org." {
	type primary;
	file "%[1]s/zone";
	allow-transfer { key veer.; };
	update-policy { grant veer. zonesub ANY; };
};
`

const bindZone = `$TTL 60
@     IN SOA ns hostmaster 1 60 60 600 5
@     IN NS  ns
ns    IN A   10.77.20.10
other IN A   192.0.2.7
`

// startBIND runs Debian's named on the providers' host.
func (w *world) startBIND() {
	w.t.Helper()
	dir := filepath.Join(w.dir, "bind")
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	for file, text := range map[string]string{"named.conf": fmt.Sprintf(bindText, dir, bindKey.Secret), "zone": bindZone} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	p, err := w.outside.Start(lab.Spec{
		Name: "named", Path: "named", Dir: dir, Log: filepath.Join(dir, "log"),
		Args: []string{"-g", "-4", "-n", "1", "-c", filepath.Join(dir, "named.conf")},
	})
	if err != nil {
		w.t.Fatalf("%v; is the package bind9 installed?", err)
	}
	w.bind = p
	w.await("BIND answers", func() (bool, string) {
		select {
		case <-p.Done():
			w.t.Fatalf("named ended: %v\n%s", p.Err(), lab.Tail(p.Log, 5))
		default:
		}
		_, err := w.readBIND()
		return err == nil, fmt.Sprint(err)
	})
}

// readBIND transfers the zone.
func (w *world) readBIND() (effect, error) {
	admin := rfc2136test.Admin{
		Dial: func(_ context.Context, network, address string) (net.Conn, error) {
			return w.outside.Dial(network, address)
		},
		Address: w.outside.Address().String() + ":53", Key: bindKey, Zone: "example.org.",
	}
	all, err := admin.Records()
	if err != nil {
		return effect{}, err
	}
	out := effect{at: time.Now(), from: "BIND"}
	foreign := false
	for _, rr := range all {
		name := strings.ToLower(rr.Header().Name)
		switch r := rr.(type) {
		case *dns.TXT:
			if strings.HasPrefix(name, "_veer-fence.") {
				out.fence = fenceOf(strings.Join(r.Txt, ""))
			}
		case *dns.A:
			switch name {
			case "app.example.org.":
				out.app = append(out.app, r.A.String())
			case "other.example.org.":
				foreign = r.A.String() == "192.0.2.7"
			}
		}
	}
	slices.Sort(out.app)
	if !foreign {
		return out, errForeign
	}
	return out, nil
}

var errForeign = errors.New("a record that is not Veer's was changed")

// newer reports whether the fence may come after the other one.
func newer(is, was providers.Fence) bool {
	return is.Term > was.Term && is.Write > was.Write || is.Term == was.Term && is.Holder == was.Holder && is.Write >= was.Write
}
