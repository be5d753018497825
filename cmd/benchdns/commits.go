//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// commit is what Veer's log says of a change of the ledger.
type commit struct {
	at   time.Duration // when the leader had etcd's reply, by the generator's clock
	took time.Duration // since the decision began
	to   string        // the new addresses
	why  string
}

// logFollower reads what is added to a log. The log's lines carry the time of
// the machine's wall clock to the microsecond. It is compared with this
// process' wall clock and monotonic clock, both read at the moment at which the
// line is found, so that a wall clock that is slewed makes no difference and one
// that is set is noticed.
type logFollower struct {
	file  *os.File
	began time.Time
	now   func() time.Time
	read  int64
	rest  []byte
	buf   [1 << 14]byte
}

// followLog reads the log from its start; began is the generator's.
func followLog(path string, began time.Time) (*logFollower, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("follow the server's log: %w", err)
	}
	return &logFollower{file: f, began: began, now: time.Now}, nil
}

func (l *logFollower) close() { _ = l.file.Close() } // nothing is lost with it

// skip passes over what is there.
func (l *logFollower) skip() error {
	st, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("follow the server's log: %w", err)
	}
	l.read, l.rest = st.Size(), nil
	return nil
}

// lines returns the commits that were added. Where nothing was, it allocates
// nothing.
func (l *logFollower) lines() ([]commit, error) {
	n, err := l.file.ReadAt(l.buf[:], l.read)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("follow the server's log: %w", err)
	}
	if n == 0 {
		return nil, nil
	}
	l.read += int64(n)
	l.rest = append(l.rest, l.buf[:n]...)
	var out []commit
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return out, nil
		}
		if bytes.Contains(line, []byte(`"answer moved`)) {
			c, err := l.parse(line)
			if err != nil {
				return out, err
			}
			out = append(out, c)
		}
		l.rest = rest
	}
}

// tardy is how late a line can be found; more says that the clock was set.
const tardy = 2 * time.Second

func (l *logFollower) parse(line []byte) (commit, error) {
	var said struct {
		Time      time.Time `json:"time"`
		To, Cause string
		Committed *float64 `json:"committed_ms"`
	}
	if err := json.Unmarshal(line, &said); err != nil || said.Time.IsZero() || said.Committed == nil {
		return commit{}, fmt.Errorf("found %q; expected a line of JSON with time and committed_ms: %w", line, err)
	}
	now := l.now()
	ago := now.Round(0).Sub(said.Time) // by the wall clock
	if ago < -time.Millisecond || ago > tardy {
		return commit{}, fmt.Errorf("a line of the log is %s old when it is found; expected 0 to %s: was the clock set?", ago, tardy)
	}
	return commit{at: now.Sub(l.began) - ago, took: time.Duration(*said.Committed * 1e6), to: said.To, why: said.Cause}, nil
}

// drops is how many packets the system threw away at the UDP sockets of some
// ports, since the sockets' buffers were full.
func drops(ports ...uint16) (int, error) {
	text, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return 0, err
	}
	return dropsIn(string(text), ports)
}

func dropsIn(table string, ports []uint16) (int, error) {
	sum, sockets := 0, 0
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 13 || f[0] == "sl" {
			continue
		}
		_, port, _ := strings.Cut(f[1], ":")
		for _, p := range ports {
			if port != fmt.Sprintf("%04X", p) {
				continue
			}
			n, err := strconv.Atoi(f[len(f)-1])
			if err != nil {
				return 0, fmt.Errorf("read /proc/net/udp: %w", err)
			}
			sum, sockets = sum+n, sockets+1
		}
	}
	if sockets < len(ports) {
		return 0, fmt.Errorf("found %d sockets of the UDP ports %v in /proc/net/udp; expected one of each at least", sockets, ports)
	}
	return sum, nil
}

// The moving name's addresses: of the pool that traffic comes back to, and of
// the other one.
var (
	homeAddresses = []string{"127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"}
	awayAddresses = []string{"127.0.2.1", "127.0.2.2", "127.0.2.3", "127.0.2.4"}
)

func joined(addresses []string) string { return strings.Join(addresses, " ") }

func rawAddresses(addresses []string) [][]byte {
	var out [][]byte
	for _, a := range addresses {
		out = append(out, netip.MustParseAddr(a).AsSlice())
	}
	return out
}

// endpoints are what Veer probes: those of home can fail.
type endpoints struct {
	port       int
	home, away []net.Listener
}

func newEndpoints(r *rand.Rand, home, away []string) (*endpoints, error) {
	port, err := lab.FreePort(r, append(append([]string{}, home...), away...)...)
	if err != nil {
		return nil, err
	}
	e := &endpoints{port: port}
	if e.away, err = listenOn(away, port); err == nil {
		err = e.set(true)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// set makes home work, or fail. Connections are made by the system and never
// accepted: a probe wants no more.
func (e *endpoints) set(works bool) error {
	err := closeAll(e.home)
	e.home = nil
	if works && err == nil {
		e.home, err = listenOn(homeAddresses, e.port)
	}
	return err
}

func (e *endpoints) close() { _ = errors.Join(closeAll(e.home), closeAll(e.away)) } // nothing is lost with them

func closeAll(all []net.Listener) error {
	var err error
	for _, l := range all {
		err = errors.Join(err, l.Close())
	}
	return err
}

func listenOn(addresses []string, port int) ([]net.Listener, error) {
	var out []net.Listener
	for _, a := range addresses {
		l, err := net.Listen("tcp4", net.JoinHostPort(a, strconv.Itoa(port)))
		if err != nil {
			return nil, errors.Join(err, closeAll(out))
		}
		out = append(out, l)
	}
	return out, nil
}
