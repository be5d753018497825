package cluster

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

const (
	// packAbove is the size from which a value is stored compressed.
	packAbove = 4 << 10
	// maxValue bounds a value once unpacked.
	maxValue = 32 << 20
	// maxTerm is the highest term that is believed: no number of elections
	// reaches it.
	maxTerm = 1<<62 - 1
	// maxTTL is the largest TTL of RFC 2181, section 8.
	maxTTL = 1<<31 - 1
)

// value is what a key may hold: JSON that says itself whether it makes sense.
type value interface{ check() error }

// pack encodes v as JSON, compressed when it is large.
func pack(v value) ([]byte, error) { return new(presses).pack(v) }

// squeeze compresses what is large.
func squeeze(plain []byte) ([]byte, error) { return new(presses).squeeze(plain) }

// presses are compressors to be used again, for the values that are written
// often: a new one clears 700 KB first.
type presses struct{ free sync.Pool }

func (p *presses) pack(v value) ([]byte, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return p.squeeze(plain)
}

func (p *presses) squeeze(plain []byte) ([]byte, error) {
	if len(plain) <= packAbove {
		return plain, nil
	}
	var buf bytes.Buffer
	z, _ := p.free.Get().(*gzip.Writer)
	if z == nil {
		var err error
		if z, err = gzip.NewWriterLevel(&buf, gzip.BestSpeed); err != nil {
			return nil, err
		}
	}
	defer p.free.Put(z)
	z.Reset(&buf)
	_, err := z.Write(plain)
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// unpack decodes and checks raw, which is hostile until then. Fields that it
// does not know are a newer version's and pass.
func unpack[V value](raw []byte) (V, error) {
	var v V
	plain, err := inflate(raw)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(plain, &v); err != nil {
		return v, err
	}
	return v, v.check()
}

func inflate(raw []byte) ([]byte, error) {
	if len(raw) < 2 || raw[0] != 0x1f || raw[1] != 0x8b { // RFC 1952, section 2.3.1
		return raw, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxValue+1))
	if err == nil && len(plain) > maxValue {
		err = fmt.Errorf("more than %d bytes when unpacked", maxValue)
	}
	return plain, err
}

// claim is who holds a seat or stands for election. Home is the data folder
// whose lock the process held, empty without one; among several members, that
// lock in this boot of its machine.
type claim struct {
	Name   string `json:"name"`
	Holder string `json:"holder"`
	Home   string `json:"home,omitempty"`
	// Pass: it is one pass of a scheduler, whose lease outlives it.
	Pass bool `json:"pass,omitempty"`
	// Process is random per process.
	Process string `json:"process,omitempty"`
	// Sign is a leader's promise: it acts no later than so long after it has
	// sent this, unless it has sent it again.
	Sign time.Duration `json:"sign,omitempty"`
	// Clock is the leader's clock since boot when it sent this; 0: it has none
	// that goes on in a sleep. It only ever is compared with an earlier one of
	// the same leader.
	Clock time.Duration `json:"clock,omitempty"`
}

func (c claim) check() error {
	if c.Holder == "" {
		return errors.New("no holder")
	}
	if c.Sign < 0 || c.Sign > maxLease {
		return fmt.Errorf("a sign of life that is good for %s, expected at most %s", c.Sign, maxLease)
	}
	return nil
}

// termRecord is the value of the term key.
type termRecord struct {
	Term   regions.Term `json:"term"`
	Holder string       `json:"holder"`
	Name   string       `json:"name"`
	// Ended is the highest term of a takeover that has ended.
	Ended regions.Term `json:"ended,omitempty"`
}

func (t termRecord) check() error {
	if t.Term < 1 || t.Holder == "" {
		return errors.New("expected a term above 0 and a holder")
	}
	return nil
}

// head is what a vantage says of itself.
type head struct {
	Suspect bool   `json:"suspect,omitempty"`
	Why     string `json:"why,omitempty"`
	// Config is the hash of its config.
	Config string `json:"config,omitempty"`
}

func (h head) check() error {
	if len(h.Config) > 64 {
		return fmt.Errorf("a hash of a config of %d bytes: expected at most 64", len(h.Config))
	}
	return nil
}

// chunk is a part of a ballot.
type chunk struct {
	Votes []cast `json:"votes"`
}

// cast is a vote without the vantage, which is in the key.
type cast struct {
	Endpoint regions.EndpointID `json:"endpoint"`
	Health   checks.Health      `json:"health"`
	Round    uint64             `json:"round"`
	Why      string             `json:"why,omitempty"`

	RoundTrip time.Duration `json:"round_trip,omitempty"`
}

func (c chunk) check() error {
	seen := make(map[regions.EndpointID]bool, len(c.Votes))
	for _, v := range c.Votes {
		if v.Endpoint == "" || seen[v.Endpoint] {
			return fmt.Errorf("endpoint %q: expected a name, once", v.Endpoint)
		}
		seen[v.Endpoint] = true
	}
	return nil
}

// suspicion is the value of a suspicion; its key says all.
type suspicion struct {
	Round uint64 `json:"round"`
}

func (suspicion) check() error { return nil }

// order is an override.
type order struct{ controller.Order }

func (o order) check() error {
	if err := checkName("order", o.ID); err != nil {
		return err
	}
	switch o.Act {
	case steering.Freeze, steering.Force, steering.Drain, steering.FailbackAct:
		return nil
	}
	return fmt.Errorf("order %s: act %q: expected freeze, force, drain or failback", o.ID, o.Act)
}

// shard is a shard with the commit that wrote it, by which its writer knows it
// again.
type shard struct {
	steering.Shard
	Holder string `json:"holder"`
	Commit uint64 `json:"commit"`
}

func (s shard) check() error {
	switch {
	case s.ID < 0 || s.ID >= steering.Shards:
		return fmt.Errorf("shard %d: expected from 0 to %d", s.ID, steering.Shards-1)
	case s.Term < 1 || s.Seq < 1:
		return fmt.Errorf("term %d, seq %d: expected both above 0", s.Term, s.Seq)
	}
	for _, a := range s.Answers {
		if a.Name == "" || a.Type == "" || len(a.Data) == 0 || a.TTL > maxTTL {
			return fmt.Errorf("answer %q %q: expected a name, a type, data and a TTL up to %d", a.Name, a.Type, maxTTL)
		}
	}
	return nil
}

// entry is an entry of the journal.
type entry struct{ steering.Entry }

func (e entry) check() error {
	if e.Term < 1 || e.Shard < 0 || e.Shard >= steering.Shards {
		return fmt.Errorf("term %d, shard %d: expected a term above 0 and a shard from 0 to %d", e.Term, e.Shard, steering.Shards-1)
	}
	return nil
}

// Note is what an operator did, beside the decisions in the journal.
type Note struct {
	// Time is when, by the wall clock of the daemon that was told.
	Time time.Time `json:"time"`
	// Act is what: "ordered", "ended", "expired", or a word of the caller.
	Act string `json:"act"`
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
	// Order is the override that it was about.
	Order *controller.Order `json:"order,omitempty"`
}

func (n Note) check() error {
	if n.Act == "" {
		return errors.New("note: no act")
	}
	return nil
}
