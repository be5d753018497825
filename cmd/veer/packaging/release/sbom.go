package main

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeSBOM writes what the binary is made of, as CycloneDX 1.6 has it
// (https://cyclonedx.org/docs/1.6/json/): the modules that the binary itself
// names, not those of go.mod. Its time and number come from commit and binary,
// so that it is the same each time.
func writeSBOM(o options, t target, binary string, mods []module, to string) (err error) {
	sum, _, err := hash(binary)
	if err != nil {
		return err
	}
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(sum)
	main := cdx.Component{
		BOMRef: "veer", Type: cdx.ComponentTypeApplication, Name: "veer", Version: o.version,
		Description: "Veer for " + t.String(),
		PackageURL:  "pkg:golang/github.com/veerdns/veer@" + o.version + "?goos=" + t.os + "&goarch=" + t.arch + "#cmd/veer",
		Hashes:      &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}},
		Licenses:    licenceIDs([]string{"Apache-2.0"}),
	}
	bom.Metadata = &cdx.Metadata{Timestamp: o.date.Format(time.RFC3339), Component: &main}
	var components []cdx.Component
	var refs []string
	for _, m := range mods {
		c, err := component(m)
		if err != nil {
			return err
		}
		components, refs = append(components, c), append(refs, c.BOMRef)
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	// All that is in it is listed; which of them needs which is not.
	bom.Compositions = &[]cdx.Composition{{Aggregate: cdx.CompositionAggregateComplete, Assemblies: &[]cdx.BOMReference{cdx.BOMReference(main.BOMRef)}}}
	f, err := os.Create(to) // #nosec G304 -- the folder was just made
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
}

// component is a module, with the hash of its files that go.sum has.
func component(m module) (cdx.Component, error) {
	purl := "pkg:golang/" + m.path + "@" + m.version
	c := cdx.Component{
		BOMRef: purl, PackageURL: purl, Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version,
		Scope: cdx.ScopeRequired, Licenses: licenceIDs(m.ids),
	}
	if m.sum == "" { // Go's own library
		return c, nil
	}
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:"))
	if err != nil {
		return c, fmt.Errorf("%s: the hash %q of go.sum: %w", m.path, m.sum, err)
	}
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	return c, nil
}

func licenceIDs(ids []string) *cdx.Licenses {
	var out cdx.Licenses
	for _, id := range ids {
		out = append(out, cdx.LicenseChoice{License: &cdx.License{ID: id}})
	}
	return &out
}

// serial makes of a hash a UUID of version 8 (RFC 9562, section 5.8).
func serial(sum string) string {
	u := []byte(sum[:32])
	u[12], u[16] = '8', 'a'
	return fmt.Sprintf("urn:uuid:%s-%s-%s-%s-%s", u[:8], u[8:12], u[12:16], u[16:20], u[20:])
}
