package authority

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions/steering"
)

// ways are all ways to serve.
var ways = []string{FastAuto, FastPortable, FastNone}

// TestAnswersLeaveFromTheAddressAsked: a client takes an answer only from the
// address that it asked.
func TestAnswersLeaveFromTheAddressAsked(t *testing.T) {
	for _, way := range ways {
		c := exampleConfig()
		c.Listen, c.Fast, c.Sockets = []string{"0.0.0.0:0", "[::]:0", "127.0.0.9:0"}, way, 3
		s := startServer(t, c, Options{})
		port := func(i int) string {
			_, port, err := net.SplitHostPort(s.Addrs()[i].String())
			if err != nil {
				t.Fatal(err)
			}
			return port
		}
		const each = 20 // so that every socket gets some
		asked := 0
		for _, at := range []string{"127.0.0.1:" + port(0), "127.0.0.53:" + port(0), "127.1.2.3:" + port(0), "[::1]:" + port(2), "127.0.0.9:" + port(4)} {
			for range each {
				conn, err := dns.DialTimeout("udp", at, 5*time.Second) // connected: others' packets are not for it
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"www.example.test.", "alias.example.test."} { // on the fast path, and not
					m := new(dns.Msg)
					m.SetQuestion(name, dns.TypeA)
					if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
						t.Fatal(err)
					}
					if err := conn.WriteMsg(m); err != nil {
						t.Fatal(err)
					}
					r, err := conn.ReadMsg()
					if err != nil || r.Id != m.Id || len(r.Answer) < 2 {
						t.Fatalf("%s, %s %s: %v, %v", way, at, name, r, err)
					}
					asked++
				}
				conn.Close()
			}
		}
		fast, general := s.Answered()
		want := uint64(asked / 2)
		if way == FastNone {
			want = 0
		}
		if fast != want || fast+general != uint64(asked) {
			t.Errorf("%s: of %d queries %d were counted on the fast path and %d on the general one", way, asked, fast, general)
		}
	}
}

// TestSocketsAreNotSharedWithOthers: an address that a server has, with
// sockets that share it, is refused to another one.
func TestSocketsAreNotSharedWithOthers(t *testing.T) {
	c := exampleConfig()
	c.Sockets = 2
	c.Listen = []string{startServer(t, c, Options{}).Addrs()[0].String()}
	if err := newServer(t, c, Options{}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is in use by ") {
		t.Errorf("error %v", err)
	}
}

// TestStrayPackets: what is no query is dropped, and the answers of a batch
// reach those who asked.
func TestStrayPackets(t *testing.T) {
	for _, way := range ways {
		c := exampleConfig()
		c.Fast = way
		s := startServer(t, c, Options{})
		var asking sync.WaitGroup
		for client := range 8 {
			asking.Go(func() {
				conn, err := net.Dial("udp", s.Addrs()[0].String())
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				const window = 40
				sent := make(map[uint16]string)
				for i := range window {
					m := new(dns.Msg)
					m.SetQuestion(fmt.Sprintf("c%d.n%d.wild.example.test.", client, i), dns.TypeA)
					m.Id = uint16(i)
					sent[m.Id] = m.Question[0].Name
					packet, err := m.Pack()
					if err != nil {
						t.Error(err)
						return
					}
					for _, p := range [][]byte{{1, 2, 3}, packet, make([]byte, 3000), nil} {
						if len(p) == 3000 {
							p[2] = 0x80 // a response
						}
						if _, err := conn.Write(p); err != nil {
							t.Error(err)
							return
						}
					}
				}
				buf := make([]byte, 4096)
				for len(sent) > 0 {
					if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
						t.Error(err)
						return
					}
					n, err := conn.Read(buf)
					if err != nil {
						t.Errorf("%s: %d answers are missing: %v", way, len(sent), err)
						return
					}
					var r dns.Msg
					if err := r.Unpack(buf[:n]); err != nil || sent[r.Id] != r.Question[0].Name || len(r.Answer) != 1 || r.Answer[0].Header().Name != sent[r.Id] {
						t.Errorf("%s: got %v, %v; want an answer for %s", way, &r, err, sent[r.Id])
						return
					}
					delete(sent, r.Id)
				}
			})
		}
		asking.Wait()
	}
}

// TestUpdateUnderLoad: while tables are swapped, every query is answered, by
// one of the answers that were ordered, whole, and never by an older one than
// seen before.
func TestUpdateUnderLoad(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) { updateUnderLoad(t, way) })
	}
}

func updateUnderLoad(t *testing.T, way string) {
	c := exampleConfig()
	c.Fast, c.Sockets = way, 2
	s := startServer(t, c, Options{})
	order := func(i int) steering.Shard {
		return shard(t, 1, 1, uint64(i), fmt.Sprintf("app.example.test. A 30 10.0.0.%d 10.1.0.%d", i, i), "still.example.test. A 30 10.9.9.9")
	}
	s.Update([]steering.Shard{order(1)})
	last := make(chan struct{})
	var asking sync.WaitGroup
	const each = 4 // clients of each transport
	for i := range each * len(s.Addrs()) {
		a := s.Addrs()[i/each]
		asking.Go(func() {
			conn, err := dns.DialTimeout(a.Network(), a.String(), 10*time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			m := new(dns.Msg)
			m.SetQuestion("aPP.example.test.", dns.TypeA)
			var seen byte
			for done := false; !done; {
				select {
				case <-last:
					done = true
				default:
				}
				m.Id++
				if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Error(err)
					return
				}
				if err := conn.WriteMsg(m); err != nil {
					t.Error(err)
					return
				}
				r, err := conn.ReadMsg()
				if err != nil || r.Id != m.Id || len(r.Answer) != 2 {
					t.Errorf("%v, %v", r, err)
					return
				}
				x, y := r.Answer[0].(*dns.A).A.To4(), r.Answer[1].(*dns.A).A.To4()
				if x[3] != y[3] || x[3] < seen {
					t.Errorf("answers %s and %s after number %d", x, y, seen)
					return
				}
				seen = x[3]
			}
			if seen != 200 {
				t.Errorf("the last answer is number %d, want 200", seen)
			}
		})
	}
	for i := 2; i <= 200; i++ {
		s.Update([]steering.Shard{order(i)})
	}
	close(last)
	asking.Wait()
}
