package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/pages"
	"github.com/veerdns/veer/cmd/veer/config"
)

// TestShownOutputIsHeld: each output that a page shows below a command is held
// by a test which runs the command.
func TestShownOutputIsHeld(t *testing.T) {
	held := func(page, command string) bool {
		switch {
		case page == "README.md" || page == "docs/getting-started.md":
			return true // TestNewcomer, in cmd/quickstart
		case page == "docs/tutorials/postgresql.md":
			return true // TestPostgresTutorial, with the tag realservers
		case strings.HasPrefix(page, "docs/tutorials/"):
			return command == "veer validate" || page == "docs/tutorials/"+ownZone+".md" // TestTutorials, TestOwnZone
		}
		return page == "docs/runbook.md" && slices.Contains(runbookShows(), command)
	}
	if found := notHeld(readPages(t), held); len(found) > 0 {
		t.Errorf("no test holds what these pages show: %q", found)
	}
	planted := map[string]string{"docs/faq.md": "```\n$ veer status\nOK\n$ veer plan\n```\n"}
	if found := notHeld(planted, held); !slices.Equal(found, []string{"docs/faq.md: veer status"}) {
		t.Errorf("the check proves nothing: it finds %q", found)
	}
}

func notHeld(all map[string]string, held func(page, command string) bool) []string {
	var out []string
	for page, text := range all {
		_, fences := pages.Split(text)
		for _, f := range fences {
			for _, s := range f.Steps() {
				if s.Output != "" && !held(page, s.Command) {
					out = append(out, page+": "+s.Command)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// shows fails where a page has no block that is alike to a text.
func shows(t *testing.T, all map[string]string, page, text string) {
	t.Helper()
	_, fences := pages.Split(all[page])
	if !slices.ContainsFunc(fences, func(f pages.Fence) bool { return strings.Contains(pages.Same(f.Text()), pages.Same(text)) }) {
		t.Errorf("%s does not show:\n%s", page, text)
	}
}

// The certificate of the runbook is what certs show prints of one that ends.
func TestRunbookShowsACertificate(t *testing.T) {
	r := newRing(t)
	r.now = time.Date(2026, 1, 10, 12, 5, 0, 0, time.UTC)
	r.write("veer.yaml", strings.NewReplacer("owner: lab", "owner: shop-prod", "eu: {", "eu-west: {", "[eu,", "[eu-west,", "region: eu,", "region: eu-west,").Replace(securedConfig))
	r.host("eu-west", "eu-west")
	r.veer(exitDone, "", "certs", "init")
	r.veer(exitDone, "", "certs", "issue", "eu-west", "--days", "334")
	r.now = noon()
	r.veer(exitDegraded, "SOON", "certs", "show")
	_, text, _ := strings.Cut(r.last.stdout.String(), "\n"+r.path(""))
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "/"), "\n\n")
	shows(t, readPages(t), "docs/runbook.md", text)
}

// The error of the reference is what Load says.
func TestReferenceShowsAnError(t *testing.T) {
	all := readPages(t)
	t.Chdir(t.TempDir())
	write(t, config.StarterZoneFile, config.StarterZone())
	write(t, "veer.yaml", regexp.MustCompile("policy: failover.*").ReplaceAllString(config.Starter(), "policy: fail-over"))
	s := newSession(nil, "", nil)
	if code := s.run(t.Context(), []string{"validate", "-c", "veer.yaml"}); code != exitUsage {
		t.Fatalf("exit code %d: %s", code, s.stdout.String()+s.stderr.String())
	}
	shows(t, all, "docs/configuration.md", s.stderr.String())
}
