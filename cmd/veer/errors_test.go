package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	errorsPage   = "docs/errors.md"
	remediesFile = "testdata/remedies.txt"
)

// TestErrorsPage: docs/errors.md has every error that Load and the commands
// give, as the code has it, and each says what belongs there or what to do;
// -update writes it. What an error does not say itself, testdata/remedies.txt
// does.
func TestErrorsPage(t *testing.T) {
	found := findErrors(t, repository)
	for area, least := range map[string]int{areaCommands: 40, areaDaemon: 40, "cmd/veer/config/check_service.go": 5, "providers/authority": 20} {
		if n := len(found[area]); n < least {
			t.Errorf("the check proves nothing: in %s it finds only %d errors", area, n)
		}
	}
	text, problems := errorsText(found, readRemedies(t))
	for _, p := range problems {
		t.Error(p)
	}
	path := filepath.Join(repository, errorsPage)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(is) != text {
		t.Error("docs/errors.md is not what the code says; write it with: go test ./cmd/veer -run TestErrorsPage -update")
	}
	// The check sees what it must.
	found[areaCommands] = append(found[areaCommands], fault{says: "planted", code: "1"})
	found["cmd/veer/config/planted.go"] = []fault{{says: "planted"}}
	if _, more := errorsText(found, readRemedies(t)); len(more) != len(problems)+3 {
		t.Errorf("the check proves nothing: of three planted faults it finds %q", more)
	}
}

func readRemedies(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(remediesFile)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		says, todo, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " => ")
		if !ok {
			t.Fatalf("%s: %q has no \" => \"", remediesFile, line)
		}
		out[says] = todo
	}
	return out
}

// titles are the chapters of the page, by where their errors are from.
func titles() map[string]string {
	return map[string]string{
		"tree.go": "The file as YAML", "decode.go": "Keys and values", "load.go": "Files and the environment", "check.go": "Owner, regions, monitors, host",
		"check_overlaid.go": "Names that hide each other", "check_pool.go": "Pools and endpoints", "check_service.go": "Services", "check_written.go": "Zones that others serve",
		"alias.go": "Host names", "composite.go": "Monitors of several", "cookies.go": "Cookies", "geo.go": "Locations", "heartbeat.go": "Heartbeats", "hook.go": "Hooks", "http.go": "The HTTP listener", "https.go": "HTTPS records",
		"isolation.go": "Isolation", "latency.go": "Latency", "limits.go": "Panic and velocity", "monitor.go": "Kinds of monitors", "notifications.go": "Notifications", "policy.go": "Policies", "named.go": "Providers and receivers",
		"reconcile.go": "Reconcile", "reference.go": "References", "scalar.go": "Values", "service.go": "Damping", "source.go": "Secrets", "user.go": "The user", "window.go": "Windows",
		"zonefile.go": "Zone files", "names.go": "Names and addresses", "outside.go": "Files that a config names", "budget.go": "The recovery time", "certs.go": "Certificates", "dot.go": "DNS over TLS", "loss.go": "The loss of a region", "warn.go": "Warnings",

		"cmd/veer/journalout": "The journal's outputs", "cmd/veer/notify": "Receivers of notifications",
		"checks/callcheck": "Monitors of kind heartbeat", "checks/compositecheck": "Monitors of kind composite", "checks/dnscheck": "Monitors of kind dns", "checks/execcheck": "Monitors of kind exec",
		"checks/grpccheck": "Monitors of kind grpc and grpcs", "checks/httpcheck": "Monitors of kind http and https", "checks/icmpcheck": "Monitors of kind icmp",
		"checks/promcheck": "Monitors of kind prom", "checks/sqlcheck": "Monitors of kind sql", "checks/tcpcheck": "Monitors of kind tcp", "checks/tlscheck": "Monitors of kind tls",
		"checks/internal/secret": "Secrets of monitors", "regions/prober": "Monitors of every kind", "regions/cluster": "The cluster",
		"providers/authority": "Providers of kind authority, and their zone files", "providers/cloudflare": "Providers of kind cloudflare", "providers/powerdns": "Providers of kind powerdns",
		"providers/rfc2136": "Providers of kind rfc2136", "providers/route53": "Providers of kind route53",
	}
}

// errorsText is the page, and what is missing for it.
func errorsText(found map[string][]fault, remedies map[string]string) (text string, problems []string) {
	used := map[string]bool{}
	row := func(area string, f fault) string {
		todo := f.todo
		if todo == "" || todo == "…" {
			if todo = remedies[f.says]; todo == "" {
				problems = append(problems, fmt.Sprintf("%s: %q does not say what to do: give it a hint, or add what it means and what to do to cmd/veer/%s", area, f.says, remediesFile))
			}
			used[f.says] = true
		}
		first := f.code
		if first == "" && f.key != "" {
			first = "`" + f.key + "`"
		}
		return fmt.Sprintf("| %s | %s | %s |\n", first, cell(f.says), cell(todo))
	}
	table := func(b *strings.Builder, area string, faults []fault) {
		rows := map[string]bool{}
		for _, f := range faults {
			rows[row(area, f)] = true
		}
		for _, r := range slices.Sorted(maps.Keys(rows)) {
			b.WriteString(r)
		}
	}
	var b strings.Builder
	b.WriteString(errorsIntro)
	b.WriteString("\n## What commands say\n\n| exit | what it says | what it means, or what to do |\n|---|---|---|\n")
	table(&b, areaCommands, append(slices.Clone(found[areaCommands]), found[areaDaemon]...))
	b.WriteString("\n## What is wrong with a config\n\nEvery one ends a command with exit code 2, and a daemon that runs keeps the config that it has.\n")
	for _, area := range slices.SortedFunc(maps.Keys(found), func(a, b string) int { return cmp.Or(cmp.Compare(kindOf(a), kindOf(b)), cmp.Compare(a, b)) }) {
		name := area
		switch kindOf(area) {
		case 0:
			continue
		case 1:
			name = filepath.Base(area)
		}
		title := titles()[name]
		if title == "" {
			problems = append(problems, area+": its errors have no title: give it one in titles")
		}
		fmt.Fprintf(&b, "\n### %s\n\n| key | what it says | what belongs there, or what to do |\n|---|---|---|\n", title)
		table(&b, area, found[area])
	}
	for _, says := range slices.Sorted(maps.Keys(remedies)) {
		if !used[says] {
			problems = append(problems, fmt.Sprintf("cmd/veer/%s has %q, which no error says without saying what to do", remediesFile, says))
		}
	}
	return b.String(), problems
}

func kindOf(area string) int {
	switch {
	case area == areaCommands || area == areaDaemon:
		return 0
	case strings.HasPrefix(area, "cmd/veer/config/"):
		return 1
	}
	return 2
}

func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "*", `\*`, "_", `\_`).Replace(text)
}

const errorsIntro = "# Errors\n\n" +
	"Every error that a config and the commands can give, written from the code by `go test ./cmd/veer -run TestErrorsPage -update`; CI holds it to the code. " +
	"`…` stands for a name or a value, `N` for a number. What follows a colon in an error that is not here is its cause, in the words of the system or of the server that was asked.\n\n" +
	"- A command ends with **1** when it failed, **2** when its command line or the config is wrong (an error below with both can be either), **3** when Veer could but will not, **4** when `veer status` finds something degraded. With `-o json` the error is `{\"error\", \"hint\", \"refused\"}` on standard error.\n" +
	"- An error of a config has the file, the line, the column and the key, then what was found, what was expected and what to do. With `-o json`: [configuration](configuration.md#rules-of-the-file).\n" +
	"- What zones' states mean: [written zones](written-zones.md#when-something-is-wrong). What providers' errors mean: [Route 53](providers/route53.md), [Cloudflare](providers/cloudflare.md), [RFC 2136](providers/rfc2136.md), [PowerDNS](providers/powerdns.md). Why an answer is what it is, by the names of the rules: [how a decision is made](how-a-decision-is-made.md). What alerts mean: [runbook](runbook.md).\n"
