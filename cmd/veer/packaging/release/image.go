package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// image makes the folder that the image is built from: its definition, the
// binaries by architecture, and the root that all share.
func image(o options, made string) error {
	to := filepath.Join(o.out, "image")
	source := filepath.Join(o.root, "cmd/veer/packaging/image")
	for _, sub := range []string{"root/etc/veer", "root/etc/ssl/certs", "data"} {
		if err := os.MkdirAll(filepath.Join(to, sub), 0o755); err != nil { // #nosec G301 -- for everybody
			return err
		}
	}
	files := map[string]string{
		filepath.Join(source, "Containerfile"): "Containerfile",
		filepath.Join(source, "passwd"):        "root/etc/passwd",
		filepath.Join(source, "group"):         "root/etc/group",
	}
	linux := 0
	for _, t := range o.targets {
		if t.os == "linux" {
			linux++
			files[filepath.Join(made, t.os+"-"+t.arch, "veer")] = filepath.Join("linux-"+t.arch, "veer")
			files[filepath.Join(made, t.os+"-"+t.arch, "THIRD-PARTY.txt")] = filepath.Join("linux-"+t.arch, "THIRD-PARTY.txt")
		}
	}
	if linux == 0 {
		return errors.New("no target is of linux")
	}
	for from, name := range files {
		if err := copyFile(from, filepath.Join(to, name)); err != nil {
			return err
		}
	}
	roots, err := authorities()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "root/etc/ssl/certs/ca-certificates.crt"), roots, 0o644) // #nosec G306 -- for everybody
}

// authorities are the certificate authorities that Mozilla trusts, as the Go
// project publishes them. Those that are trusted with conditions, which a file of
// certificates cannot say, are left out.
func authorities() ([]byte, error) {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if _, err := x509.ParseCertificate(root.Certificate); err != nil {
			return nil, err
		}
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
