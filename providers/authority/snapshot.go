package authority

import (
	"fmt"
	"slices"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// snapshotFile is the snapshot in the data folder.
var snapshotFile = kept{name: "authority.snapshot", what: "snapshot", head: "veer-authority-snapshot 1", most: 256 << 20}

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

// decodeSnapshot reads what was written, and refuses anything else.
func decodeSnapshot(content []byte) (snapshot, error) {
	var s snapshot
	if err := snapshotFile.decode(content, &s); err != nil {
		return snapshot{}, err
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

// loadSnapshot reads the snapshot in dir: see kept.load.
func loadSnapshot(dir string) (s snapshot, found bool, aside, err error) {
	found, aside, err = snapshotFile.load(dir, func(content []byte) (err error) {
		s, err = decodeSnapshot(content)
		return err
	})
	return s, found, aside, err
}

// sortShards orders shards by ID.
func sortShards(shards []savedShard) {
	slices.SortFunc(shards, func(a, b savedShard) int { return a.ID - b.ID })
}
