package scheduletest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// mishap is a row of the table: what befalls one write of a controller, or the
// zone, and the one line by which the log tells it.
type mishap struct {
	name string
	// befall makes it; a nil decide means that nothing new is to be written.
	befall func(m *mishaps)
	quiet  bool // no new decision
	// says is what the line must match; one provider may not see what another
	// does, and then tells it in none.
	says func(m *mishaps) string
}

var table = []mishap{
	{"times out", func(m *mishaps) { m.line.Hold() }, false, func(*mishaps) string {
		return `"cannot write the zone, trying again"`
	}},
	{"throttles", func(m *mishaps) { m.world.Throttle(m.line) }, false, func(*mishaps) string {
		return `"the provider wants to be asked later"`
	}},
	{"loses the request", func(m *mishaps) { m.line.LoseRequest() }, false, func(*mishaps) string {
		return `"cannot write the zone, trying again"`
	}},
	{"loses the reply after applying", func(m *mishaps) { m.line.LoseReply() }, false, func(m *mishaps) string {
		return m.settles
	}},
	{"is changed by hand between read and write", func(m *mishaps) { m.line.Edit(m.edit) }, false, func(m *mishaps) string {
		if !m.client.Caps().Exact {
			return "" // it is overwritten unseen
		}
		return `conflict.*"cannot write the zone, trying again"`
	}},
	{"is changed by hand between writes", func(m *mishaps) { m.edit() }, true, func(*mishaps) string {
		return `"found":"203.0.113.1".*"a record was changed by somebody else, it is put back"`
	}},
	{"has a record removed by hand", func(m *mishaps) { m.remove() }, true, func(*mishaps) string {
		return `"found":"nothing".*"a record was changed by somebody else, it is put back"`
	}},
}

// Settled is the line by which the engine of fenced providers tells that a
// reply was lost.
const Settled = `"the reply was lost, the fence tells that the write was done"`

// Mishaps has each of the table befall a provider that a controller writes.
// Afterwards the records are as decided, and exactly one line of the log, of
// those above info, says what happened. settles matches the line of a lost
// reply; empty where the provider has no log of its own.
func Mishaps(t *testing.T, b build, settles string) {
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &mishaps{t: t, world: b(t, true), line: &providertest.Line{}, orders: newOrders(), settles: settles}
				m.run(row)
			})
		})
	}
}

// mishaps is one row's test.
type mishaps struct {
	t       *testing.T
	world   World
	line    *providertest.Line
	client  providers.Provider
	orders  *orders
	log     journal
	settles string
}

func (m *mishaps) name() string { return "s0." + m.world.Zone }

func (m *mishaps) run(row mishap) {
	l := &ledger{lineage: "one", shards: map[int]controller.Versioned{}, lose: func() bool { return false }}
	c := &contender{name: "A", holder: "holder-A", term: 1, ledger: l, elected: make(chan struct{}), deposed: make(chan struct{})}
	close(c.elected)
	m.client = m.world.Client(m.line, zerolog.New(&m.log))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	o := controller.Options{
		Name: "A", Owner: Owner, Policy: steering.Policy{Services: []steering.Service{{Name: m.name()}}},
		World: m.orders, Elector: c, Ledger: l, Decide: l.decide, ConfigHash: "c", Version: "v",
		Log: zerolog.New(&m.log), Reconcile: every(4 * time.Minute),
		Providers: []controller.Written{{Name: "p", Zone: m.world.Zone, Provider: m.client}},
	}
	m.orders.set(m.name(), 1)
	running.Go(func() { _ = controller.New(o).Run(ctx) })
	pass(ctx, 30*time.Second)
	m.holds(1)
	m.log.reset()
	row.befall(m)
	number := uint64(1)
	if !row.quiet {
		number = 2
		m.orders.set(m.name(), number)
	}
	pass(ctx, 10*time.Minute)
	m.holds(number)
	for _, err := range m.line.Deliver() {
		if err == nil {
			m.t.Error("a write that its controller had given up was done")
		}
	}
	m.holds(number)
	cancel()
	running.Wait()
	m.told(row.says(m))
}

func (m *mishaps) edit() {
	if err := m.world.Put(providers.RRSet{Name: m.name(), Type: "A", TTL: 60, Data: []string{"203.0.113.1"}}); err != nil {
		m.t.Error(err)
	}
}

func (m *mishaps) remove() {
	if err := m.world.Remove(providers.Key{Name: m.name(), Type: "A"}); err != nil {
		m.t.Error(err)
	}
}

// holds compares the zone with the decision.
func (m *mishaps) holds(number uint64) {
	m.t.Helper()
	zone, err := m.world.Look()
	if err != nil {
		m.t.Fatal(err)
	}
	var got []providers.RRSet
	for _, s := range zone.Sets {
		if providers.Steered(s.Type) {
			got = append(got, s)
		}
	}
	if want := answer(m.name(), decision{"one", number}); !same(got, want) {
		m.t.Errorf("the zone has %s, decided was %s; the log: %s", words(got), words(want), m.log.text())
	}
}

// told looks for the one line above info.
func (m *mishaps) told(says string) {
	m.t.Helper()
	var lines []string
	for line := range bytes.Lines([]byte(m.log.text())) {
		var parsed struct{ Level string }
		if err := json.Unmarshal(line, &parsed); err != nil {
			m.t.Fatalf("the log has the line %s: %v", line, err)
		}
		if parsed.Level == "warn" || parsed.Level == "error" {
			lines = append(lines, string(bytes.TrimSpace(line)))
		}
	}
	switch {
	case says == "" && len(lines) == 0:
		m.t.Log("no line tells it")
	case says != "" && len(lines) == 1 && regexp.MustCompile(says).MatchString(lines[0]):
		m.t.Logf("told by %s", lines[0])
	default:
		m.t.Errorf("the log has %d lines above info, want one like %q:\n%s", len(lines), says, fmt.Sprint(lines))
	}
}

// journal is a log in memory.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf.Reset()
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}
