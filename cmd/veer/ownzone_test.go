package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/cmd/internal/pages"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// ownZone is the tutorial that follows another path than the others.
const ownZone = "your-own-zone"

// TestOwnZone follows docs/tutorials/your-own-zone.md: its commands, in their
// order, on a zone that has records, with the credential that the page says. What
// they print is what the page shows, and nothing in the zone is another.
func TestOwnZone(t *testing.T) {
	path, err := filepath.Abs(filepath.Join(tutorials, ownZone+".md"))
	if err != nil {
		t.Fatal(err)
	}
	page, files := readPages(t)["docs/tutorials/"+ownZone+".md"], readTutorial(t, ownZone)
	for _, problem := range notQuoted(page, files) {
		t.Error(problem)
	}
	dir, err := os.MkdirTemp("", "v") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Chdir(dir)
	zone := ownedZone(t)
	server := httptest.NewServer(zone)
	defer server.Close()
	kind := "kind: route53\n"
	write(t, "veer.yaml", strings.Replace(files["veer.yaml"], kind, kind+"    endpoint: "+server.URL+"\n    sts_endpoint: "+server.URL+"\n    credentials_file: "+route53test.CredentialsFile(t)+"\n", 1))
	before := zone.All(ownZoneID)

	seen := 0
	_, fences := pages.Split(page)
	for _, f := range fences {
		for _, step := range f.Steps() {
			seen++
			printed := look(t, step.Command)
			if strings.HasPrefix(step.Command, "veer iam-policy") {
				if err := zone.SetPolicy([]byte(printed)); err != nil {
					t.Fatal(err)
				}
			}
			switch {
			case pages.Same(printed) == pages.Same(step.Output):
			case *update:
				page = strings.Replace(page, "$ "+step.Command+"\n"+step.Output, "$ "+step.Command+"\n"+strings.Trim(printed, "\n")+"\n", 1)
			default:
				t.Errorf("%s prints another text than the page shows (-page +printed), write it with -update:\n%s", step.Command, cmp.Diff(pages.Same(step.Output), pages.Same(printed)))
			}
		}
	}
	if *update {
		write(t, path, page)
	}
	if seen < 5 {
		t.Errorf("the page shows only %d commands", seen)
	}
	if diff := cmp.Diff(before, zone.All(ownZoneID)); diff != "" {
		t.Errorf("the zone is another:\n%s", diff)
	}
	// Only the credential kept it so: with the whole policy the last one writes.
	if err := zone.SetPolicy([]byte(look(t, "veer iam-policy"))); err != nil {
		t.Fatal(err)
	}
	tried := zone.Calls()["ChangeResourceRecordSets"]
	if look(t, "veer validate --live"); zone.Calls()["ChangeResourceRecordSets"] <= tried {
		t.Error("the check proves nothing: with the whole policy nothing is written either")
	}
}

const ownZoneID = "Z0123456789ABCDEFGHIJ"

// ownedZone is somebody's zone.
func ownedZone(t *testing.T) *route53test.Server {
	t.Helper()
	zone, err := route53test.New(route53test.Options{
		Zones:   []route53test.Zone{{ID: ownZoneID, Name: "example.com."}},
		Without: []route53test.Rule{route53test.ThrottleAccount, route53test.ThrottleAction},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"app.example.com.": "192.0.2.10", "www.example.com.": "203.0.113.80"} {
		set := route53test.Set{Name: name, Type: "A", TTL: new(int64(300)), ResourceRecords: route53test.Values(address)}
		if err := zone.Put(ownZoneID, set); err != nil {
			t.Fatal(err)
		}
	}
	return zone
}

// look runs a command of the page at a terminal whose answer to a question is
// no, and returns what stands on the screen.
func look(t *testing.T, command string) string {
	t.Helper()
	words, err := split(command)
	if err != nil || len(words) < 2 || words[0] != "veer" {
		t.Fatalf("%s: %v", command, err)
	}
	s := newSession(nil, "n\n", nil)
	s.dial = dialDaemon
	s.asks = true
	s.err = s.out
	s.run(t.Context(), words[1:])
	return strings.ReplaceAll(s.stdout.String(), "[y/N] ", "[y/N] n\n")
}
