package main

import (
	"strings"
	"testing"
)

// Each is newer than the one before it, for dpkg and for rpm.
var versions = []struct{ described, packaged string }{
	{"0123abc", "0~20231114221320.0123abc"},
	{"0123abc-dirty", "0~20231114221320.0123abc+dirty"},
	{"v0.9.0-rc.1", "0.9.0~rc.1"},
	{"v0.9.0-rc.2", "0.9.0~rc.2"},
	{"v0.9.0-rc.2-3-g4567def", "0.9.0~rc.2+3.4567def"},
	{"v0.9.0", "0.9.0"},
	{"v0.9.0-4-g89abcde", "0.9.0+4.89abcde"},
	{"v0.9.0-12-gf012345", "0.9.0+12.f012345"},
	{"v0.9.0-12-gf012345-dirty", "0.9.0+12.f012345+dirty"},
	{"v0.10.0", "0.10.0"},
}

func TestPackageVersion(t *testing.T) {
	for _, v := range versions {
		got, err := packageVersion(v.described, commitTime)
		if err != nil || got != v.packaged {
			t.Errorf("%s: got %q, %v; expected %q", v.described, got, err, v.packaged)
		}
	}
	for _, bad := range []string{"", "dev", "v1.2", "1.2.3", "v1.2.3 ", "v1.2.3\nx", "v1.2.3-", "v1.2.3;rm"} {
		if got, err := packageVersion(bad, commitTime); err == nil {
			t.Errorf("%q was taken, as %q", bad, got)
		}
	}
}

func TestParse(t *testing.T) {
	good := []string{"-version", "v1.0.0", "-date", "2026-01-02T03:04:05+01:00"}
	o, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.targets) != len(allTargets) || !o.makes("rpm") || o.date.Hour() != 2 {
		t.Errorf("got %+v", o)
	}
	for what, args := range map[string][]string{
		"-date":    {"-version", "v1.0.0", "-date", "unknown"},
		"-version": {"-date", "2026-01-02T03:04:05Z"},
		"-targets": append(good, "-targets", "linux/amd64,plan9/amd64"),
		"-kinds":   append(good, "-kinds", "msi"),
		"flags":    append(good, "more"),
	} {
		if _, err := parse(args); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%q: got %v, expected an error about %s", args, err, what)
		}
	}
}
