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
	"slices"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// snapshotName is the snapshot's file in the data folder.
const snapshotName = "authority.snapshot"

// maxSnapshot bounds a snapshot in bytes.
const maxSnapshot = 256 << 20

// snapshotHead begins a snapshot: the version, then the checksum and the
// length of the JSON that follows the line.
const snapshotHead = "veer-authority-snapshot 1 sha256=%x bytes=%d\n"

// snapshot is what a server must know to serve the last answers again.
type snapshot struct {
	Shards []savedShard `json:"shards"` // by ID, each once
	Zones  []savedZone  `json:"zones"`  // by name, each once
}

// savedShard is the part of a shard that is served.
type savedShard struct {
	ID      int               `json:"id"`
	Term    regions.Term      `json:"term"`
	Seq     uint64            `json:"seq"`
	Answers []steering.Answer `json:"answers"`
	// Refused are answers of this version that could not be served, of names that
	// have in Answers what they had before.
	Refused []steering.Answer `json:"refused,omitempty"`
}

type savedZone struct {
	Name string `json:"name"`
	serial
}

// encode writes the snapshot as a file's content.
func (s snapshot) encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the snapshot: %w", err)
	}
	head := fmt.Sprintf(snapshotHead, sha256.Sum256(body), len(body))
	return append([]byte(head), body...), nil
}

// errCorrupt means that a snapshot is not one, or not whole.
var errCorrupt = errors.New("not a whole snapshot of this version")

// decodeSnapshot reads what encode wrote, and refuses anything else.
func decodeSnapshot(content []byte) (snapshot, error) {
	head, body, ok := bytes.Cut(content, []byte("\n"))
	if want := fmt.Sprintf(snapshotHead, sha256.Sum256(body), len(body)); !ok || string(head)+"\n" != want {
		return snapshot{}, fmt.Errorf("%w: it begins %.90q; expected %.90q", errCorrupt, head, want)
	}
	var s snapshot
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return snapshot{}, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return snapshot{}, fmt.Errorf("%w: more follows the JSON value", errCorrupt)
	}
	for i, shard := range s.Shards {
		if shard.ID < 0 || shard.ID >= steering.Shards || i > 0 && shard.ID <= s.Shards[i-1].ID {
			return snapshot{}, fmt.Errorf("%w: shard %d is out of range or of order", errCorrupt, shard.ID)
		}
	}
	for i, z := range s.Zones {
		if z.Name != providers.CanonicalName(z.Name) || i > 0 && z.Name <= s.Zones[i-1].Name {
			return snapshot{}, fmt.Errorf("%w: zone %q is not canonical or out of order", errCorrupt, z.Name)
		}
	}
	return s, nil
}

// zone returns what was saved of the zone, or the zero serial.
func (s snapshot) zone(name string) serial {
	for _, z := range s.Zones {
		if z.Name == name {
			return z.serial
		}
	}
	return serial{}
}

// loadSnapshot reads the snapshot in dir. found is false where there is none.
// A corrupt one is moved aside to a name ending in .bad, and aside tells why.
func loadSnapshot(dir string) (s snapshot, found bool, aside, err error) {
	path := filepath.Join(dir, snapshotName)
	f, err := os.Open(path) // #nosec G304 -- the data folder is the operator's
	if errors.Is(err, os.ErrNotExist) {
		return snapshot{}, false, nil, nil
	}
	if err != nil {
		return snapshot{}, false, nil, fmt.Errorf("open the snapshot: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(f, maxSnapshot+1))
	if err != nil {
		return snapshot{}, false, nil, fmt.Errorf("read the snapshot %s: %w", path, err)
	}
	s, bad := decodeSnapshot(content)
	if bad == nil {
		return s, true, nil, nil
	}
	if err := os.Rename(path, path+".bad"); err != nil {
		return snapshot{}, false, nil, fmt.Errorf("move the corrupt snapshot aside: %w", err)
	}
	return snapshot{}, false, fmt.Errorf("snapshot %s is ignored and kept as %s.bad: %w", path, snapshotName, bad), nil
}

// save writes the snapshot into dir such that, whenever the machine stops,
// the file is the former or the new one, whole.
func (s snapshot) save(dir string) error {
	content, err := s.encode()
	if err != nil {
		return err
	}
	if err := replaceFile(dir, snapshotName, content); err != nil {
		return fmt.Errorf("save the snapshot: %w", err)
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

// sortShards orders shards by ID.
func sortShards(shards []savedShard) {
	slices.SortFunc(shards, func(a, b savedShard) int { return a.ID - b.ID })
}
