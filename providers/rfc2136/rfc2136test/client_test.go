package rfc2136test_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

const zone = "example.test."

// world is a world of two servers' addresses, and a log.
type world struct {
	*rfc2136test.World
	line *providertest.Line
	mu   sync.Mutex
	text bytes.Buffer
	// dials are the addresses that were dialled; down is one that is not there.
	dials []string
	down  string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	line := &providertest.Line{}
	return &world{World: rfc2136test.NewWorld(t, zone, true, line), line: line}
}

func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *world) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dials = append(w.dials, address)
	down := w.down == address
	w.mu.Unlock()
	if down {
		return nil, errors.New("nobody is there")
	}
	return w.Wire.Dial(ctx, network, address)
}

const one, two = "192.0.2.1:53", "192.0.2.2:53"

func (w *world) provider(t *testing.T, change func(*rfc2136.Config, *rfc2136.Options)) *rfc2136.Provider {
	t.Helper()
	c := w.Config(t)
	c.Servers = []string{one, two}
	o := rfc2136.Options{Owner: owner, Log: zerolog.New(w), Dial: w.dial}
	if change != nil {
		change(&c, &o)
	}
	p, err := rfc2136.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var app = providers.RRSet{Name: "app." + zone, Type: "A", TTL: 60, Data: []string{"192.0.2.7"}}

// write makes app, and returns what Apply does.
func write(t *testing.T, p *rfc2136.Provider, number uint64, sets ...providers.RRSet) (providers.Receipt, error) {
	t.Helper()
	from, err := p.Read(t.Context(), zone)
	if err != nil {
		t.Fatal(err)
	}
	next := providers.Fence{Owner: owner, Term: 1, Holder: "h", Write: number}
	return p.Apply(t.Context(), from, next, providers.Diff(from.Records, sets))
}

func TestTheServerThatAnswersIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.down = one
		p := w.provider(t, nil)
		if _, err := write(t, p, 1, app); err != nil {
			t.Fatal(err)
		}
		asked := 0
		for _, d := range w.dials {
			if d == one {
				asked++
			}
		}
		if asked == 0 || asked > 2 { // over UDP and TCP
			t.Errorf("the server that is down was dialled %d times; want once each over UDP and TCP", asked)
		}
		if strings.Count(w.log(), "another of the servers answers now") != 1 {
			t.Errorf("the log has not one line about it:\n%s", w.log())
		}
	})
}

func TestNobodyIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.provider(t, func(c *rfc2136.Config, _ *rfc2136.Options) { c.Servers = c.Servers[:1] })
		if _, err := write(t, p, 1, app); err != nil {
			t.Fatal(err)
		}
		from, err := p.Read(t.Context(), zone)
		if err != nil {
			t.Fatal(err)
		}
		w.down = one
		var busy *providers.BusyError
		_, err = p.Apply(t.Context(), from, from.Fence.Next(), nil)
		if !errors.As(err, &busy) {
			t.Errorf("with no server there, Apply gives %v; want a BusyError", err)
		}
		if _, err := p.Read(t.Context(), zone); err == nil || !strings.Contains(err.Error(), "could not be reached") {
			t.Errorf("with no server there, Read gives %v", err)
		}
	})
}

// TestAnUncertainWriteIsNotRepeated: the next server is not sent what the first
// may have done.
func TestAnUncertainWriteIsNotRepeated(t *testing.T) {
	for name, lose := range map[string]func(*providertest.Line){"the request": (*providertest.Line).LoseRequest, "the reply": (*providertest.Line).LoseReply} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.provider(t, nil)
				if err := p.Prove(t.Context(), zone); err != nil {
					t.Fatal(err)
				}
				was := w.Server.Count("UPDATE")
				lose(w.line)
				_, err := write(t, p, 1, app)
				made := w.Server.Count("UPDATE") - was
				if name == "the reply" && (err != nil || made != 1 || !strings.Contains(w.log(), "the reply was lost")) {
					t.Errorf("%v, and %d updates arrived; want one, that the fence told of:\n%s", err, made, w.log())
				}
				if name == "the request" && (err == nil || made != 0) {
					t.Errorf("%v, and %d updates arrived; want an error and none", err, made)
				}
			})
		})
	}
}

// TestTheNextMayTakeIt: a server that refuses is followed by one that does not.
func TestTheNextMayTakeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		forbidding := rfc2136test.NewWorld(t, "other.test", true, &providertest.Line{}) // NOTAUTH for this zone
		p := w.provider(t, func(_ *rfc2136.Config, o *rfc2136.Options) {
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == one {
					return forbidding.Wire.Dial(ctx, network, address)
				}
				return w.Wire.Dial(ctx, network, address)
			}
		})
		if _, err := write(t, p, 1, app); err != nil {
			t.Fatal(err)
		}
		// With no other, it is said that nothing was written, and why.
		alone := w.provider(t, func(c *rfc2136.Config, o *rfc2136.Options) { c.Servers, o.Dial = c.Servers[:1], forbidding.Wire.Dial })
		if err := alone.Prove(t.Context(), zone); err == nil || !strings.Contains(err.Error(), "REFUSED") {
			t.Errorf("a server without the zone gives %v", err)
		}
	})
}

// TestThePrimaryIsAway: that a secondary takes no updates says nothing while the
// server that does cannot be reached: it is tried again soon.
func TestThePrimaryIsAway(t *testing.T) {
	for _, primary := range []string{one, two} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			secondary := rfc2136test.NewWorld(t, "other.test", true, &providertest.Line{})
			takes := true // the primary takes updates
			p := w.provider(t, func(_ *rfc2136.Config, o *rfc2136.Options) {
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					if takes == (address == primary) {
						return w.dial(ctx, network, address)
					}
					return secondary.Wire.Dial(ctx, network, address)
				}
			})
			if _, err := write(t, p, 1, app); err != nil {
				t.Fatal(err)
			}
			from, err := p.Read(t.Context(), zone)
			if err != nil {
				t.Fatal(err)
			}
			w.down = primary
			var busy *providers.BusyError
			if _, err = p.Apply(t.Context(), from, from.Fence.Next(), nil); !errors.As(err, &busy) || errors.Is(err, providers.ErrRejected) {
				t.Errorf("Apply gives %v; want a BusyError", err)
			}
			// What the primary refuses is refused, whoever else is away.
			takes, w.down = false, map[string]string{one: two, two: one}[primary]
			if _, err = p.Apply(t.Context(), from, from.Fence.Next(), nil); !errors.Is(err, providers.ErrRejected) {
				t.Errorf("with the primary refusing, Apply gives %v", err)
			}
		})
	}
}

// TestAStrangersRecordBesideAFirstOne: what somebody makes at a name between the
// read and the write of its first record, of another type, does not become
// Veer's.
func TestAStrangersRecordBesideAFirstOne(t *testing.T) {
	theirs := providers.RRSet{Name: app.Name, Type: "AAAA", TTL: 60, Data: []string{"2001:db8::9"}}
	alias := providers.RRSet{Name: app.Name, Type: "CNAME", TTL: 60, Data: []string{"lb.example.org."}}
	for _, want := range [][]providers.RRSet{{app}, {app, theirs}, {alias}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider(t, nil)
			from, err := p.Read(t.Context(), zone)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Admin.Put("", theirs); err != nil {
				t.Fatal(err)
			}
			next := providers.Fence{Owner: owner, Term: 1, Holder: "h", Write: 1}
			if _, err := p.Apply(t.Context(), from, next, providers.Diff(nil, want)); !errors.Is(err, providers.ErrConflict) {
				t.Errorf("%v gives %v; want a conflict", want, err)
			}
			snap, err := p.Read(t.Context(), zone)
			if err != nil || len(snap.Records) != 0 || len(snap.Owned) != 0 || len(snap.Foreign) != 1 {
				t.Errorf("%v: %v, %+v; want the stranger's record alone", want, err, snap)
			}
		})
	}
}

func TestFaultsOfTheServer(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults rfc2136test.Faults
		is     error
		says   string
	}{
		{"prerequisites are ignored", rfc2136test.Faults{IgnorePrerequisites: true}, providers.ErrUnproven, "was accepted"},
		{"answers are not authoritative", rfc2136test.Faults{NotAuthoritative: true}, nil, "not authoritative"},
		{"no transfer", rfc2136test.Faults{NoTransfer: true}, nil, "REFUSED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.Server.Set(c.faults)
				p := w.provider(t, nil)
				err := p.Prove(t.Context(), zone)
				if err == nil {
					_, err = p.Read(t.Context(), zone)
				}
				if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v; want %q", err, c.says)
				}
			})
		})
	}
}

// TestAnUpdateInPart: where the server moves the fence and leaves the rest out,
// the receipt has the fence and the error tells to read again.
func TestAnUpdateInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := w.Wire.Key
		key.May = func(_ string, typ uint16) bool { return typ == dns.TypeTXT }
		policy := rfc2136test.NewServer([]string{zone}, key)
		t.Cleanup(policy.Wait)
		policy.Set(rfc2136test.Faults{DropForbidden: true})
		p := w.provider(t, func(_ *rfc2136.Config, o *rfc2136.Options) { o.Dial = policy.Dial })
		r, err := write(t, p, 1, app)
		if !errors.Is(err, providers.ErrConflict) || r.Fence.Write != 1 {
			t.Errorf("%+v, %v; want the fence of the write, and a conflict", r, err)
		}
		if !strings.Contains(w.log(), "its records are not as it has them") {
			t.Errorf("the log does not tell:\n%s", w.log())
		}
		policy.Set(rfc2136test.Faults{})
		if _, err := write(t, p, 2, app); !errors.Is(err, providers.ErrRejected) {
			t.Errorf("%v; want it rejected", err)
		}
	})
}

// TestRace shows that the race of the real servers' tests finds a server that
// does not keep a stale update out.
func TestRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := w.Wire.Key
		race := rfc2136test.Race{Dial: w.Server.Dial, Key: key, Zone: zone, Name: "race." + zone}
		if _, err := race.Run(20, 6); err != nil {
			t.Error(err)
		}
		w.Server.Set(rfc2136test.Faults{IgnorePrerequisites: true})
		race.Name = "race2." + zone
		if _, err := race.Run(20, 6); err == nil || !strings.Contains(err.Error(), "two updates") {
			t.Errorf("a server that ignores prerequisites gives %v", err)
		}
	})
}

// TestFollow: the time is that of the slowest secondary.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const fast, slow = "192.0.2.11:53", "192.0.2.12:53"
		secondaries := map[string]*rfc2136test.Server{fast: rfc2136test.NewServer([]string{zone}), slow: rfc2136test.NewServer([]string{zone})}
		t.Cleanup(func() { secondaries[fast].Wait(); secondaries[slow].Wait() })
		p := w.provider(t, func(c *rfc2136.Config, o *rfc2136.Options) {
			c.Secondaries = []string{fast, slow}
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if s := secondaries[address]; s != nil {
					return s.Dial(ctx, network, address)
				}
				return w.dial(ctx, network, address)
			}
		})
		r, err := write(t, p, 1, app)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second) // of the bubble's clock
			secondaries[fast].Copy(w.Server)
			time.Sleep(9 * time.Second)
			secondaries[slow].Copy(w.Server)
		}()
		took, err := p.Follow(t.Context(), r)
		if err != nil || took < 10*time.Second || took > 12*time.Second {
			t.Errorf("it took %s, %v; want 10 s and less than one wait of 2 s", took, err)
		}
		if _, err := p.Follow(t.Context(), providers.Receipt{Change: "what?"}); err == nil {
			t.Error("a change that nobody made was followed")
		}
		if r, err = write(t, p, 2); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Follow(ctx, r); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fast) {
			t.Errorf("of secondaries that never have it, Follow says %v", err)
		}
	})
}
