package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
)

// archive writes NAME.tar.gz: the binary, and what explains it, in one folder.
func archive(o options, made, name string) (err error) {
	f, err := os.Create(filepath.Join(o.out, name+".tar.gz")) // #nosec G304 -- the folder was asked for
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	for _, entry := range []struct {
		name, from string
		mode       int64
	}{
		{"veer", filepath.Join(made, "veer"), 0o755},
		{"LICENSE", filepath.Join(o.root, "LICENSE"), 0o644},
		{"THIRD-PARTY.txt", filepath.Join(made, "THIRD-PARTY.txt"), 0o644},
		{"README.md", filepath.Join(o.root, "README.md"), 0o644},
		{"CHANGELOG.md", filepath.Join(o.root, "CHANGELOG.md"), 0o644},
		{"veer.service", filepath.Join(o.root, "cmd/veer/packaging/veer.service"), 0o644},
		{"sbom.cdx.json", filepath.Join(made, "sbom.cdx.json"), 0o644},
	} {
		data, err := os.ReadFile(entry.from)
		if err != nil {
			return err
		}
		// Owner, time and order are no accident of this machine.
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name + "/" + entry.name, Size: int64(len(data)), Mode: entry.mode, ModTime: o.date, Uname: "root", Gname: "root", Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), z.Close())
}
