//go:build realservers

package main

import (
	"debug/buildinfo"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// The licences that may be in the binary: all let it be given away, with their
// texts, under the Apache License.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// TestSBOM: it lists exactly the modules that the binary says are in it, each
// with a hash, a licence that is allowed, and a text in THIRD-PARTY.txt.
func TestSBOM(t *testing.T) {
	dir := prepared(t, "v1.0.0")
	f, err := os.Open(filepath.Join(dir, "sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(f, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	sum, _, err := hash(filepath.Join(dir, "veer"))
	if err != nil {
		t.Fatal(err)
	}
	if main := bom.Metadata.Component; main.Version != "v1.0.0" || (*main.Hashes)[0].Value != sum {
		t.Errorf("it is about %s, %s", main.Version, (*main.Hashes)[0].Value)
	}
	info, err := buildinfo.ReadFile(filepath.Join(dir, "veer"))
	if err != nil {
		t.Fatal(err)
	}
	notices, err := os.ReadFile(filepath.Join(dir, "THIRD-PARTY.txt"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]cdx.Component{}
	for _, c := range *bom.Components {
		listed[c.Name+" "+c.Version] = c
		for _, l := range *c.Licenses {
			if !slices.Contains(allowed, l.License.ID) {
				t.Errorf("%s is under %s, which is none of %s", c.Name, l.License.ID, allowed)
			}
		}
		if !strings.Contains(string(notices), "\n"+c.Name+" "+c.Version+" (") {
			t.Errorf("THIRD-PARTY.txt has nothing of %s", c.Name)
		}
	}
	if len(listed) != len(info.Deps)+1 || len(info.Deps) < 50 {
		t.Errorf("%d components, expected the %d modules of the binary and Go's library", len(listed), len(info.Deps))
	}
	for _, d := range info.Deps {
		c, ok := listed[d.Path+" "+d.Version]
		if !ok || c.Hashes == nil || c.PackageURL != "pkg:golang/"+d.Path+"@"+d.Version {
			t.Errorf("%s %s is listed as %+v", d.Path, d.Version, c)
		}
	}
	// Terms that nobody knows are an error, not an empty field.
	if ids := spdx([]licence{{"LICENSE", "All rights reserved. Ask us."}}); len(ids) > 0 {
		t.Errorf("a text of no known licence is taken for %s", ids)
	}
}
