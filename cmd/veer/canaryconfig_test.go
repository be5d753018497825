package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/canary"
	"github.com/veerdns/veer/cmd/veer/daemon"
)

// forms are how the config names a secret: x_file and x_env.
var forms = []string{"file", "env"}

// each repeats a part of a config for both forms.
func each(text string) string {
	var b strings.Builder
	for _, form := range forms {
		b.WriteString(strings.ReplaceAll(text, "FORM", form))
	}
	return b.String()
}

// canaryConfig names every secret that a config can: see TestNoSecretIsLeftOut.
// What stands in <> is filled in. Times are short, so that all is tried at once.
var canaryConfig = `owner: shop
cluster: {members: {eu-west: {peer: "https://127.0.0.1:<peer>", client: "https://127.0.0.1:<client>"}}}
regions: [eu-west, us-east]
vantages: [eu-west]
providers:
  here:
    kind: authority
    listen: ["127.0.0.1:0"]
    zones: [{name: example.test, file: example.test.zone}]
    cookies: {secret_file: <cookie-file>}
    tls: {listen: ["127.0.0.1:0"], cert_file: eu-west.pem, key_file: <key-dot>}
  there: {kind: authority, listen: ["127.0.0.1:0"], zones: [{name: example.test, file: example.test.zone}], cookies: {secret_env: <cookie-env>}}
  aws-file: {kind: route53, credentials_file: <aws-file>, endpoint: "http://127.0.0.1:<vendor>/aws-file", zones: [{name: example.test, id: Z0123456789ABCDEFGHIJ}]}
  aws-env: {kind: route53, endpoint: "http://127.0.0.1:<vendor>/aws-session-env", zones: [{name: example.test, id: Z0123456789ABCDEFGHIJ}]}
  aws-role: {kind: route53, role_arn: "arn:aws:iam::123456789012:role/veer", web_identity_token_file: <aws-identity>, endpoint: "http://127.0.0.1:1", sts_endpoint: "http://127.0.0.1:<vendor>/aws-identity", zones: [{name: example.test, id: Z0123456789ABCDEFGHIJ}]}
` + each(`  cloudflare-FORM: {kind: cloudflare, token_FORM: <cloudflare-FORM>, base_url: "http://127.0.0.1:<vendor>/cloudflare-FORM", zones: [{name: FORM.example.test}]}
  powerdns-FORM: {kind: powerdns, api_key_FORM: <powerdns-FORM>, url: "http://127.0.0.1:<vendor>/powerdns-FORM", zones: [{name: FORM.example.test}]}
  bind-FORM: {kind: rfc2136, servers: ["127.0.0.1:<names>"], tsig: {name: veer., secret_FORM: <tsig-FORM>}, zones: [{name: FORM.example.test}]}
`) + `monitors:
  web: {kind: tcp, port: <web>, <often>}
  <word-label>: {kind: heartbeat, within: 5s, token_file: <heartbeat-file>}
  grpcs: {kind: grpcs, port: <syslog>, tls: {ca_file: ca.pem, cert_file: eu-west.pem, key_file: <key-check>}, <often>}
  tls: {kind: tls, port: <syslog>, ca_file: ca.pem, cert_file: eu-west.pem, key_file: <key-check>, <often>}
  sql-file: {kind: sql, driver: postgres, port: <sql-file-port>, user: u, password_file: <sql-file>, tls: {mode: off}, <often>}
  sql-env: {kind: sql, driver: mysql, port: <sql-env-port>, user: u, password_env: <sql-env>, tls: {mode: off}, <often>}
  exec: {kind: exec, command: [/bin/sh, -c, 'printf "%s %s %s" "$WORD" "$<exec-env>" "$(printf %s "$<exec-env>" | od -An -v -tx1 | tr -d " \n")"; exit 2'], env: {WORD: <word-exec>}, pass_env: [<exec-env>], <often>}
` + each(`  http-bearer-FORM: {kind: http, port: <http>, path: /http-bearer-FORM, bearer: {token_FORM: <http-bearer-FORM>}, body: {contains: never}, <often>}
  http-basic-FORM: {kind: http, port: <http>, path: /http-basic-FORM, basic: {user: u, password_FORM: <http-basic-FORM>}, body: {contains: never}, <often>}
  prom-bearer-FORM: {kind: prom, url: "http://127.0.0.1:<prom>/prom-bearer-FORM", query: up, port: 1, bearer: {token_FORM: <prom-bearer-FORM>}, max: 1, <often>}
  prom-basic-FORM: {kind: prom, url: "http://127.0.0.1:<prom>/prom-basic-FORM", query: up, port: 1, basic: {user: u, password_FORM: <prom-basic-FORM>}, max: 1, <often>}
  grpc-FORM: {kind: grpc, port: <grpc>, metadata: {x-name: {value: FORM}, x-key: {value_FORM: <grpc-key-FORM>}}, bearer: {token_FORM: <grpc-token-FORM>}, <often>}
  heartbeat-FORM: {kind: heartbeat, within: 5s, token_FORM: <heartbeat-FORM>}
`) + `services:
  - name: app.example.test
    monitor: web
    pools: [{region: eu-west, endpoints: [127.0.0.21]}, {region: us-east, endpoints: [127.0.0.22]}]
    ttl: {min: 60s, max: 60s}
  - {name: app.file.example.test, monitor: web, pools: [{region: eu-west, endpoints: [127.0.0.21]}], ttl: {min: 60s, max: 60s}}
  - {name: app.env.example.test, monitor: web, pools: [{region: eu-west, endpoints: [127.0.0.21]}], ttl: {min: 60s, max: 60s}}
<services>hooks:
` + each(`  alerts-FORM: {kind: alertmanager, act: drain, token_FORM: <alerts-FORM>, for: 10m, rules: [{match: {alertname: Down}, service: app.example.test, region: eu-west}]}
  signed-FORM: {kind: signed, act: drain, secret_FORM: <signed-FORM>, for: 10m, services: [app.example.test]}
`) + `notifications:
  group: 1s
  receivers:
` + each(`    webhook-FORM: {kind: webhook, url_FORM: <webhook-url-FORM>, secret_FORM: <webhook-key-FORM>}
    slack-FORM: {kind: slack, url_FORM: <slack-FORM>}
    pagerduty-FORM: {kind: pagerduty, url: "http://127.0.0.1:<receiver>/pagerduty-FORM", key_FORM: <pagerduty-FORM>, events: [override, zone]}
    email-FORM: {kind: email, server: "127.0.0.1:<smtp-FORM>", tls: none, username: u, password_FORM: <email-FORM>, from: veer@example.org, to: [oncall@example.org]}
`) + `journal:
  file: {path: journal.jsonl}
  syslog: {server: "127.0.0.21:<syslog>", ca_file: ca.pem, cert_file: eu-west.pem, key_file: <key-syslog>}
host:
  region: eu-west
  data_dir: data
  tls: {ca_file: ca.pem, cert_file: eu-west.pem, key_file: <key-cluster>}
  http: {listen: "127.0.0.1:0", cert_file: eu-west.pem, key_file: <key-http>, token_file: <metrics-file>, pprof: true}
`

// canaryEtcd has the keys that those of canaryConfig exclude: of an etcd that
// exists, which refuses the password.
var canaryEtcd = `owner: shop
cluster: {endpoints: ["http://127.0.0.21:<grpc>"], user: u, password_FORM: <etcd-FORM>}
regions: [eu-west, us-east]
providers:
  here: {kind: authority, listen: ["127.0.0.1:0"], zones: [{name: example.test, file: example.test.zone}]}
monitors:
  web: {kind: tcp, port: <web>, <often>}
services:
  - {name: app.example.test, monitor: web, pools: [{region: eu-west, endpoints: [127.0.0.21]}], ttl: {min: 5s, max: 5s}}
host:
  region: eu-west
  data_dir: data-FORM
  http: {listen: "127.0.0.1:0", token_env: <metrics-env>}
`

var gap = regexp.MustCompile(`<([a-z0-9-]+)>`)

// fill fills a config in.
func (a *aviary) fill(text string) string {
	return gap.ReplaceAllStringFunc(text, func(name string) string {
		place, ok := a.places[strings.Trim(name, "<>")]
		if !ok {
			a.t.Fatalf("nothing is known of %s", name)
		}
		return place
	})
}

// newAviary makes the secrets, the servers and the configs.
func newAviary(t *testing.T) *aviary {
	dir, err := os.MkdirTemp("", "v") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	a := &aviary{t: t, dir: dir, secrets: map[string]string{}, words: map[string]string{}, whole: map[string]string{}, taken: map[string]*strings.Builder{}, places: map[string]string{}}
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "example.test.zone"), zoneText)
	a.servers()
	a.makeSecrets()
	a.certificates()
	a.places["syslog"] = a.syslog(filepath.Join(dir, "eu-west.pem"), filepath.Join(dir, "eu-west.key"))
	var services strings.Builder
	for _, m := range regexp.MustCompile(`(?m)^  (<?[a-z0-9-]+>?): .*(?:interval|within|<often>)`).FindAllStringSubmatch(canaryConfig, -1) {
		if m[1] != "web" {
			a.services = append(a.services, a.fill(m[1])+".example.test")
			fmt.Fprintf(&services, "  - {name: %s.example.test, providers: [here], monitor: %[1]s, pools: [{region: eu-west, endpoints: [%s]}], ttl: {min: 60s, max: 60s}}\n", a.fill(m[1]), strings.Join(addresses, ", "))
		}
	}
	a.places["services"] = services.String()
	write(t, filepath.Join(dir, "whole.yaml"), a.fill(canaryConfig))
	// The ledger begins before there is a provider that answers nothing but errors.
	write(t, filepath.Join(dir, "veer.yaml"), regexp.MustCompile(`(?m)^  .*kind: (cloudflare|powerdns|rfc2136|route53).*\n`).ReplaceAllString(a.fill(canaryConfig), ""))
	for _, form := range forms {
		write(t, filepath.Join(dir, "etcd-"+form+".yaml"), a.fill(strings.ReplaceAll(canaryEtcd, "FORM", form)))
	}
	return a
}

const zoneText = "$TTL 60\n@ IN SOA ns1 hostmaster 1 7200 1800 259200 60\n@ IN NS ns1\nns1 IN A 127.0.0.1\n"

// servers starts what is there to be asked and told.
func (a *aviary) servers() {
	free := func() string {
		l, port := a.listen("127.0.0.1")
		_ = l[0].Close()
		return port
	}
	a.places["peer"], a.places["client"] = free(), free()
	a.places["often"] = "interval: 1s, timeout: 800ms, fall: 1, rise: 1"
	a.places["web"] = a.serve(func(http.ResponseWriter, *http.Request) {}, addresses...)
	a.places["http"] = a.serve(a.endpoint, addresses...)
	a.places["prom"] = a.serve(a.prometheus, "127.0.0.1")
	a.places["vendor"] = a.serve(a.vendor, "127.0.0.1")
	a.places["receiver"] = a.serve(a.receiver, "127.0.0.1")
	a.places["grpc"] = a.calls()
	a.places["names"] = a.names()
	a.places["sql-file-port"] = a.talk(a.postgres("sql-file"), addresses...)
	a.places["sql-env-port"] = a.talk(a.mysql("sql-env"), addresses...)
	for _, form := range forms {
		a.places["smtp-"+form] = a.talk(a.smtp("email-"+form), "127.0.0.1")
	}
	for _, name := range append(strings.Fields(each("cloudflare-FORM powerdns-FORM http-bearer-FORM http-basic-FORM prom-bearer-FORM prom-basic-FORM grpc-FORM sql-FORM etcd-FORM ")), "aws-file", "aws-session-env", "aws-identity", "goroutine", "order", "line") {
		a.word(name)
	}
	a.places["word-exec"] = a.word("exec-env")
	a.places["word-label"] = "m" + canary.New(canary.Digits, 24)
	a.words["label"] = a.places["word-label"]
}

// makeSecrets makes all but the keys of certificates.
func (a *aviary) makeSecrets() {
	const aws = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = %s\naws_session_token = "
	a.secret("aws-key-file", canary.Letters, 40, "%s")
	a.secret("aws-file", canary.Letters+"+/", 80, fmt.Sprintf(aws, a.secrets["aws-key-file"])+"%s\n")
	a.secret("aws-identity", canary.Letters+"-_.", 60, "%s")
	for name, variable := range map[string]string{"aws-key-env": "AWS_SECRET_ACCESS_KEY", "aws-session-env": "AWS_SESSION_TOKEN"} {
		a.secret(name, canary.Letters+"+/", 60, "%s")
		a.t.Setenv(variable, a.secrets[name])
	}
	a.t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	a.secret("exec-env", canary.Header, 24, "%s")
	for _, form := range forms {
		for _, name := range []string{"cloudflare", "powerdns", "http-bearer", "http-basic", "prom-bearer", "prom-basic", "grpc-key", "grpc-token", "heartbeat", "sql", "alerts", "email", "etcd", "metrics"} {
			a.secret(name+"-"+form, canary.Header, 24, "%s")
		}
		a.secret("cookie-"+form, canary.Digits, 32, "%s")
		a.secret("pagerduty-"+form, canary.Letters, 32, "%s")
		for _, name := range []string{"slack", "webhook-url"} {
			a.secret(name+"-"+form, canary.Letters, 32, "http://127.0.0.1:"+a.places["receiver"]+"/"+name+"-"+form+"/%s")
		}
		a.key("tsig-"+form, "%s")
		a.key("signed-"+form, "whsec_%s")
		a.key("webhook-key-"+form, "whsec_%s")
	}
}

// certificates makes a CA and a certificate of it, whose key stands in a file
// for each of the config's places.
func (a *aviary) certificates() {
	if _, err := daemon.InitCA(a.dir, "shop", time.Now(), daemon.CALife, false); err != nil {
		a.t.Fatal(err)
	}
	if _, err := daemon.IssueCert(a.dir, "shop", "eu-west", append(addresses, "127.0.0.1"), time.Now(), daemon.CertLife, false); err != nil {
		a.t.Fatal(err)
	}
	for name, file := range map[string]string{"key-ca": "ca.key", "key": "eu-west.key"} {
		block, _ := pem.Decode([]byte(readable(a.t, filepath.Join(a.dir, file))))
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			a.t.Fatal(err)
		}
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			raw, err := key.Bytes()
			if err != nil {
				a.t.Fatal(err)
			}
			a.secrets[name] = string(raw)
		case ed25519.PrivateKey:
			a.secrets[name] = string(key.Seed())
		default:
			a.t.Fatalf("%s is a %T", file, key)
		}
	}
	for _, name := range []string{"dot", "check", "syslog", "cluster", "http"} {
		a.put("key-"+name, readable(a.t, filepath.Join(a.dir, "eu-west.key")))
	}
}
