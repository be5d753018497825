package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// keptMost bounds a file of this process's own in data_dir.
const keptMost = 64 << 20

// kept is what such a file holds: JSON that says itself whether it makes sense.
type kept interface{ check() error }

// errNotKept means that a file holds something else than was kept in it.
var errNotKept = errors.New("it holds not what this version keeps in it")

// keepFile writes v such that, whenever the machine stops, the file holds what
// it held before or v, whole.
func keepFile(path string, v kept) error {
	if err := v.check(); err != nil {
		return fmt.Errorf("keeping %s: %w", filepath.Base(path), err)
	}
	content, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keeping %s: %w", filepath.Base(path), err)
	}
	temp, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // #nosec G304 -- the data folder is the operator's
	if err != nil {
		return fmt.Errorf("keeping %s: %w", filepath.Base(path), err)
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err == nil {
		err = flushFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("keeping %s: %w", filepath.Base(path), err)
	}
	return nil
}

// dropFile removes a kept file for good; that there is none is no error.
func dropFile(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = flushFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", filepath.Base(path), err)
	}
	return nil
}

// flushFolder makes what was renamed or removed in dir durable.
func flushFolder(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the data folder is the operator's
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readKept reads a kept file. Where there is none, found is false. One that
// holds something else is moved aside, to a name ending in .bad.
func readKept[T kept](path string) (v T, found bool, err error) {
	f, err := os.Open(path) // #nosec G304 -- the data folder is the operator's
	if errors.Is(err, fs.ErrNotExist) {
		return v, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	content, err := io.ReadAll(io.LimitReader(f, keptMost+1))
	err = errors.Join(err, f.Close())
	if err != nil {
		return v, false, fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	v, err = parseKept[T](content)
	if err == nil {
		return v, true, nil
	}
	if aside := os.Rename(path, path+".bad"); aside != nil {
		err = errors.Join(err, aside)
	}
	return *new(T), false, fmt.Errorf("%s is ignored, and kept as %s.bad: %w", path, filepath.Base(path), err)
}

// parseKept reads a file's content, which is hostile until then.
func parseKept[T kept](content []byte) (v T, err error) {
	if len(content) > keptMost {
		return v, fmt.Errorf("%w: more than %d bytes", errNotKept, keptMost)
	}
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return v, fmt.Errorf("%w: %w", errNotKept, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("%w: more follows the JSON value", errNotKept)
	}
	if err := v.check(); err != nil {
		return v, fmt.Errorf("%w: %w", errNotKept, err)
	}
	return v, nil
}

// maxOrdersHere bounds the orders that are kept on this host.
const maxOrdersHere = 1000

// checkOrders refuses orders that nobody can have given here.
func checkOrders(orders []controller.Order, acts ...steering.Act) error {
	if len(orders) > maxOrdersHere {
		return fmt.Errorf("%d orders: expected at most %d", len(orders), maxOrdersHere)
	}
	seen := map[string]bool{}
	for _, o := range orders {
		switch {
		case o.ID == "" || len(o.ID) > maxBy || seen[o.ID]:
			return fmt.Errorf("order %.60q: expected an ID, once", o.ID)
		case !slices.Contains(acts, o.Act):
			return fmt.Errorf("order %s: act %.60q: expected one of %v", o.ID, o.Act, acts)
		case o.Target == (steering.Target{}):
			return fmt.Errorf("order %s: it has no target", o.ID)
		case o.Target.Service != providers.CanonicalName(o.Target.Service) && o.Target.Service != "":
			return fmt.Errorf("order %s: service %.60q is not in canonical form", o.ID, o.Target.Service)
		case o.Why == "" || len(o.Why) > maxWhy || len(o.By) > maxBy || o.Left != 0:
			return fmt.Errorf("order %s: expected who and why", o.ID)
		}
		seen[o.ID] = true
	}
	return nil
}
