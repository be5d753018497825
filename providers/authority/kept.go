package authority

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// kept is a file of the data folder that is written whole or not at all: a line
// with its version, its checksum and its length, and then one JSON value.
type kept struct {
	name string // in the folder
	what string // for people
	head string // of its version
	most int64  // bytes
}

// errCorrupt means that such a file is not one, or not whole.
var errCorrupt = errors.New("not a whole file of this version")

func (k kept) line(body []byte) string {
	return fmt.Sprintf("%s sha256=%x bytes=%d\n", k.head, sha256.Sum256(body), len(body))
}

// encode writes a value as the file's content.
func (k kept) encode(value any) ([]byte, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode the %s: %w", k.what, err)
	}
	return k.seal(body), nil
}

// seal puts the line in front of the JSON.
func (k kept) seal(body []byte) []byte { return append([]byte(k.line(body)), body...) }

// decode reads what encode wrote, and refuses anything else.
func (k kept) decode(content []byte, value any) error {
	head, body, ok := bytes.Cut(content, []byte("\n"))
	if want := k.line(body); !ok || string(head)+"\n" != want {
		return fmt.Errorf("%w: it begins %.90q; expected %.90q", errCorrupt, head, want)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(value); err != nil {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more follows the JSON value", errCorrupt)
	}
	return nil
}

// load reads the file in dir by decode. found is false where there is none. A
// corrupt one is moved aside to a name ending in .bad, and aside tells why.
func (k kept) load(dir string, decode func(content []byte) error) (found bool, aside, err error) {
	path := filepath.Join(dir, k.name)
	f, err := os.Open(path) // #nosec G304 -- the data folder is the operator's
	if errors.Is(err, os.ErrNotExist) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("open the %s: %w", k.what, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(f, k.most+1))
	if err != nil {
		return false, nil, fmt.Errorf("read the %s %s: %w", k.what, path, err)
	}
	bad := decode(content)
	if bad == nil {
		return true, nil, nil
	}
	if err := os.Rename(path, path+".bad"); err != nil {
		return false, nil, fmt.Errorf("move the corrupt %s aside: %w", k.what, err)
	}
	return false, fmt.Errorf("the %s %s is ignored and kept as %s.bad: %w", k.what, path, k.name, bad), nil
}

// save writes a value into dir such that, whenever the machine stops, the file
// is the former or the new one, whole.
func (k kept) save(dir string, value any) error {
	content, err := k.encode(value)
	if err != nil {
		return err
	}
	if err := replaceFile(dir, k.name, content); err != nil {
		return fmt.Errorf("save the %s: %w", k.what, err)
	}
	return nil
}

// replaceFile writes a file in dir such that, whenever the machine stops, it is
// the former or the new one, whole.
func replaceFile(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	temp, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // #nosec G304 -- the data folder is the operator's
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return err
	}
	return flushFolder(dir)
}

// flushFolder makes a rename in dir durable.
func flushFolder(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the data folder is the operator's
	if err != nil {
		return fmt.Errorf("flush the folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("flush the folder: %w", err)
	}
	return nil
}
