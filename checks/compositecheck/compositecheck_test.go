package compositecheck_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/compositecheck"
	"github.com/veerdns/veer/checks/tcpcheck"
)

// says is a part that gives one result; it waits for the others first.
type says struct {
	result checks.Result
	others *sync.WaitGroup
	asked  *checks.Target
}

func (s says) Probe(ctx context.Context, t checks.Target) checks.Result {
	if s.others != nil {
		s.others.Done()
		s.others.Wait()
	}
	if s.asked != nil {
		*s.asked = t
	}
	return s.result
}

var words = map[byte]checks.Health{'U': checks.Up, 'G': checks.Degraded, 'D': checks.Down, '?': checks.Unknown}

// composite makes parts a, b, c ... that say the healths of a word such as
// "UD?", the n-th after n milliseconds.
func composite(t *testing.T, need, healths string) *compositecheck.Prober {
	t.Helper()
	c := compositecheck.Config{Need: need}
	var parts []compositecheck.Part
	for i := range len(healths) {
		name, latency := string(rune('a'+i)), time.Duration(i+1)*time.Millisecond
		c.Monitors = append(c.Monitors, name)
		parts = append(parts, compositecheck.Part{Name: name, Prober: says{result: checks.Result{
			Health: words[healths[i]], Latency: latency, Reason: "check " + name + " said so",
			Evidence: checks.Evidence{Address: "192.0.2.1:" + fmt.Sprint(i+1)},
		}}})
	}
	p, err := compositecheck.New(c, parts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReasons(t *testing.T) {
	for _, c := range []struct {
		need, healths string
		health        checks.Health
		reason        string
		latency       int
	}{
		{"all", "UU", checks.Up, "has 2 of 2 parts up; expected all: a is up, b is up", 2},
		{"", "UD", checks.Down, "has 1 of 2 parts up, 1 down; expected all: b is down (check b said so), a is up", 2},
		{"any", "DU", checks.Up, "has 1 of 2 parts up, 1 down; expected any: b is up, a is down (check a said so)", 2},
		{"any", "D?", checks.Unknown, "expected any: b is unknown (check b said so), a is down (check a said so)", 2},
		{"all", "D?", checks.Down, "expected all: a is down (check a said so), b is unknown (check b said so)", 1},
		{"2", "UGD", checks.Degraded, "has 1 of 3 parts up, 1 degraded, 1 down; expected 2 of 3: b is degraded (check b said so), c is down (check c said so), a is up", 3},
		{"2", "U?D", checks.Unknown, "expected 2 of 3: b is unknown", 2},
		{"1", "?UD", checks.Up, "expected any: b is up, a is unknown", 2},
	} {
		t.Run(c.need+c.healths, func(t *testing.T) {
			r := checktest.Probe(t, composite(t, c.need, c.healths), checks.Target{Name: "x@h.test", Host: "h.test"}, time.Minute)
			checktest.Expect(t, r, c.health, c.reason)
			if want := time.Duration(c.latency) * time.Millisecond; r.Latency != want {
				t.Errorf("the latency is %s, expected %s", r.Latency, want)
			}
		})
	}
}

// TestManyReasons requires that 16 parts with long reasons are all named.
func TestManyReasons(t *testing.T) {
	r := checktest.Probe(t, composite(t, "any", strings.Repeat("D", 16)), checks.Target{Host: strings.Repeat("h", 300)}, time.Minute)
	checktest.Expect(t, r, checks.Down, "has 0 of 16 parts up, 16 down")
}

// TestAtTheSameTime has parts that end only once all of them have begun, and
// looks at the target that each got.
func TestAtTheSameTime(t *testing.T) {
	var others sync.WaitGroup
	others.Add(3)
	var asked [3]checks.Target
	c := compositecheck.Config{Monitors: []string{"web", "db", "slow"}, Need: "2"}
	up := checks.Result{Health: checks.Up, Latency: 2 * time.Second, Reason: "was answered well"}
	p, err := compositecheck.New(c, []compositecheck.Part{
		{Name: "web", Prober: says{up, &others, &asked[0]}, Port: 80},
		{Name: "db", Prober: says{up, &others, &asked[1]}},
		{Name: "slow", Prober: says{up, &others, &asked[2]}, Port: 81, Slow: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := checktest.Probe(t, p, checks.Target{Name: "all@192.0.2.1", Host: "192.0.2.1", Port: 99}, time.Minute)
	checktest.Expect(t, r, checks.Up, "web is up, db is up, slow is degraded (was answered well, slower than 1s)")
	for i, want := range []checks.Target{{Name: "web@192.0.2.1", Host: "192.0.2.1", Port: 80}, {Name: "db@192.0.2.1", Host: "192.0.2.1"}, {Name: "slow@192.0.2.1", Host: "192.0.2.1", Port: 81}} {
		if asked[i] != want {
			t.Errorf("part %d was asked of %+v, expected %+v", i, asked[i], want)
		}
	}
}

// twice probes an endpoint by two TCP checks at the target's own port, which
// no config does, so that the contract of every check can be asked of it.
type twice struct{ connects, echoes *tcpcheck.Prober }

func (p twice) Probe(ctx context.Context, t checks.Target) checks.Result {
	whole, err := compositecheck.New(compositecheck.Config{Monitors: []string{"connects", "echoes"}}, []compositecheck.Part{
		{Name: "connects", Prober: p.connects, Port: t.Port}, {Name: "echoes", Prober: p.echoes, Port: t.Port},
	})
	if err != nil {
		return checks.Result{Reason: err.Error()}
	}
	return whole.Probe(ctx, t)
}

func (p twice) UseResolver(r tcpcheck.Resolver) {
	p.connects.UseResolver(r)
	p.echoes.UseResolver(r)
}

func TestContract(t *testing.T) {
	part := func(t *testing.T, c tcpcheck.Config) *tcpcheck.Prober {
		p, err := tcpcheck.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	checktest.Run(t, checktest.Kit{
		Network: "tcp",
		New: func(t *testing.T) checks.Prober {
			return twice{part(t, tcpcheck.Config{Expect: "P", Send: "P"}), part(t, tcpcheck.Config{Send: "PING\r\n", Expect: "PING"})}
		},
		Serve: func(t *testing.T, host string) checks.Target {
			listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go func() {
						_, _ = io.Copy(conn, conn)
						_ = conn.Close()
					}()
				}
			}()
			return checktest.Target(listener.Addr())
		},
	})
}

func TestBadConfig(t *testing.T) {
	for field, c := range map[string]compositecheck.Config{
		"monitors":    {Monitors: []string{"a"}},
		"monitors[1]": {Monitors: []string{"a", "a"}},
		"need":        {Monitors: []string{"a", "b"}, Need: "3"},
	} {
		var fields []string
		c.Check(func(field, _ string, _ ...any) { fields = append(fields, field) })
		if len(fields) != 1 || fields[0] != field {
			t.Errorf("problems at %q, expected one at %s", fields, field)
		}
		if _, err := compositecheck.New(c, nil); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New says %v, expected an error naming %s", err, field)
		}
	}
	for _, need := range []string{"0", "-1", "+1", "01", "1.0", "majority", "60%"} {
		c := compositecheck.Config{Monitors: []string{"a", "b"}, Need: need}
		if _, err := compositecheck.New(c, nil); err == nil || !strings.Contains(err.Error(), "need") {
			t.Errorf("New says %v of need %q", err, need)
		}
	}
	if _, err := compositecheck.New(compositecheck.Config{Monitors: []string{"a", "b"}}, []compositecheck.Part{{Name: "a"}, {Name: "b"}}); err == nil {
		t.Error("parts without probers are accepted")
	}
}
