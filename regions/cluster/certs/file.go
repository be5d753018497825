package certs

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExists means that a file is there already, and was left as it is.
var ErrExists = errors.New("it exists already")

// ReadAuthority reads the CA that signs.
func ReadAuthority(certFile, keyFile string) (*Authority, error) {
	cert, err := read(certFile)
	if err != nil {
		return nil, err
	}
	key, err := read(keyFile)
	if err != nil {
		return nil, err
	}
	a, err := ParseAuthority(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the CA of %s and %s: %w", certFile, keyFile, err)
	}
	return a, nil
}

// ReadChain reads a certificate with those that lead from it to its CA.
func ReadChain(path string) ([]*x509.Certificate, error) { return readWith(path, ParseChain) }

// ReadCAs reads the certificates of CAs.
func ReadCAs(path string) ([]*x509.Certificate, error) { return readWith(path, ParseCAs) }

// ReadKey reads a private key.
func ReadKey(path string) (crypto.Signer, error) { return readWith(path, ParseKey) }

func readWith[T any](path string, parse func([]byte) (T, error)) (T, error) {
	var none T
	text, err := read(path)
	if err != nil {
		return none, err
	}
	out, err := parse(text)
	if err != nil {
		return none, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// read reads a file; of one that is too large, one byte more than the bound.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read a PEM file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: it is not a regular file: expected a PEM file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read a PEM file: %w", err)
	}
	defer f.Close() // only read from
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return text, nil
}

// WritePair writes a certificate (0644) and its key (0600), the key first, so
// that a certificate is never there without it. Without replace neither of the
// files may exist: ErrExists. A process that reads both while they are replaced
// may find that they do not fit, for a moment.
func WritePair(p Pair, certFile, keyFile string, replace bool) error {
	for _, path := range []string{certFile, keyFile} {
		_, err := os.Lstat(path)
		switch {
		case replace || errors.Is(err, fs.ErrNotExist):
		case err == nil:
			return fmt.Errorf("%s: %w", path, ErrExists)
		default:
			return fmt.Errorf("look for %s: %w", path, err)
		}
	}
	if err := writeFile(keyFile, p.Key, 0o600, replace); err != nil {
		return err
	}
	err := writeFile(certFile, p.Cert, 0o644, replace)
	if err != nil && !replace {
		err = errors.Join(err, os.Remove(keyFile)) // it was made here
	}
	return err
}

// writeFile puts a file there whole: it is written and on the disk before it
// gets its name. Without replace the name must be free at that moment.
func writeFile(path string, text []byte, mode fs.FileMode, replace bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".veer-*.new") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if gone := os.Remove(f.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if replace {
		err = os.Rename(f.Name(), path)
	} else if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
