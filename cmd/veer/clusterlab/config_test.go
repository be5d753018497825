//go:build netns

package clusterlab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/veerdns/veer/providers/route53/route53test"
)

// configText is the same in every region.
const configText = `owner: lab
cluster:
  members:
    eu-west:  {peer: "https://10.77.1.10:2380", client: "https://10.77.1.10:2379"}
    us-east:  {peer: "https://10.77.2.10:2380", client: "https://10.77.2.10:2379"}
    ap-south: {peer: "https://10.77.3.10:2380", client: "https://10.77.3.10:2379"}
  rtt: 80ms
regions: [eu-west, us-east, ap-south]
velocity: off # twenty failovers of each kind are more shifts than it allows an hour
providers:
  here: {kind: authority, listen: ["0.0.0.0:53"], zones: [{name: example.test, file: example.test.zone}], rate_limit: {enabled: false}}
  aws:
    kind: route53
    region: us-east-1
    endpoint: http://10.77.20.10:8053
    sts_endpoint: http://10.77.20.10:8053
    credentials_file: credentials
    queue: 1s
    propagation: 1s
    timeout: 3s
    rate: 1000
    burst: 1000
    zones: [{name: example.com, id: Z0WORLD}]
  bind:
    kind: rfc2136
    servers: ["10.77.20.11:53"]
    tsig: {name: veer., algorithm: hmac-sha256, secret_file: tsig}
    propagation: 1s
    zones: [{name: example.org}]
monitors:
  web: %s
services:
  - name: app.example.test
    monitor: web
    pools:
      - {region: eu-west, endpoints: [10.77.11.10]}
      - {region: us-east, endpoints: [10.77.12.10]}
      - {region: ap-south, endpoints: [10.77.13.10]}
    ttl: {min: 1s, max: 2s}
    rto: 15s
    failback: {mode: auto, hold: 1s}
    damping: off
  - name: app.example.com
    monitor: web
    pools:
      - {region: eu-west, endpoints: [10.77.11.10]}
      - {region: us-east, endpoints: [10.77.12.10]}
      - {region: ap-south, endpoints: [10.77.13.10]}
    ttl: {min: 1s, max: 2s}
    rto: 20s
    failback: {mode: auto, hold: 1s}
    damping: off
  - name: app.example.org
    monitor: web
    pools:
      - {region: eu-west, endpoints: [10.77.11.10]}
      - {region: us-east, endpoints: [10.77.12.10]}
      - {region: ap-south, endpoints: [10.77.13.10]}
    ttl: {min: 1s, max: 2s}
    rto: 20s
    failback: {mode: auto, hold: 1s}
    damping: off
`

// quick is the monitor of most scenarios.
const quick = "{kind: http, path: /, port: 8080, interval: 1s, timeout: 500ms, fall: 2, rise: 2, recheck: 100ms}"

const zoneText = `$TTL 60
@   IN SOA ns1 hostmaster 1 7200 1800 259200 60
@   IN NS  ns1
ns1 IN A   10.77.1.10
`

const hostText = `region: %s
data_dir: d
tls: {ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem}
`

func (w *world) configure(monitor string, edits []string) {
	config := strings.NewReplacer(edits...).Replace(fmt.Sprintf(configText, monitor))
	if monitor != quick { // its budget is another
		config = strings.NewReplacer("    rto: 15s\n", "", "    rto: 20s\n", "").Replace(config)
	}
	credentials := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", route53test.AccessKey, route53test.SecretKey)
	for _, r := range w.regions {
		for file, text := range map[string]string{
			"veer.yaml": config, "host.yaml": fmt.Sprintf(hostText, r.name),
			"example.test.zone": zoneText, "credentials": credentials, "tsig": bindKey.Secret,
		} {
			if err := os.WriteFile(filepath.Join(r.dir, file), []byte(text), 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}
