//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

//go:embed configs
var configs embed.FS

// kind is a server that is compared.
type kind struct {
	name   string // also of its folder in configs, in lower case
	binary string
	pack   string // Debian's; "": it is none of Debian's
	args   []string
	// zoneFile is where the zone goes, steered its line of the steered name.
	zoneFile, steered string
	// steers: it steers the name itself, so that what that costs can be seen.
	steers bool
	limits bool // it has rate limiting, which is to be on
	// bounded: a bound compares Veer's CPU with its.
	bounded bool
}

// The names of the servers that bounds speak of.
const (
	nameVeer  = "Veer"
	nameNSD   = "NSD"
	nameKnot  = "Knot"
	nameGdnsd = "gdnsd"
	nameCore  = "CoreDNS"
)

const spareAddress = "127.0.0.2"

// kinds are all servers; {} in the arguments is the server's folder.
func kinds(veer, coredns string) []kind {
	static := steeredName + " A " + steeredAddress + "\n"
	file := zone + ".zone"
	out := []kind{
		{name: nameVeer, binary: veer, args: []string{"run", "-c", "{}/veer.yaml", "--region", "r1", "--data-dir", "{}/data", "-o", "json"}, zoneFile: file, steers: true, limits: true, bounded: true},
		{name: nameNSD, binary: "nsd", pack: "nsd", args: []string{"-d", "-c", "{}/nsd.conf"}, zoneFile: file, steered: static, limits: true, bounded: true},
		{name: nameKnot, binary: "knotd", pack: "knot", args: []string{"-c", "{}/knot.conf"}, zoneFile: file, steered: static, limits: true},
		{name: nameGdnsd, binary: "gdnsd", pack: "gdnsd", args: []string{"-c", "{}", "start"}, zoneFile: "zones/" + zone, steered: steeredName + " DYNA simplefo!app\n", steers: true, bounded: true},
	}
	if coredns != "" {
		out = append(out, kind{name: nameCore, binary: coredns, args: []string{"-conf", "{}/Corefile"}, zoneFile: file, steered: static})
	}
	return out
}

// subject is a server that runs.
type subject struct {
	kind    kind
	address netip.AddrPort
	process *lab.Process
	account *account
}

// values fill a configuration's {{...}} parts.
type values struct {
	Dir, Zone, Name, Steered, Spare string
	Port, Backend                   int
	Home, Away                      []string // of a failover
}

// start starts a server on its CPU and waits until it answers everything
// rightly.
func (b *bench) start(ctx context.Context, k kind, round int) (*subject, error) {
	path, err := find(k.binary, k.pack)
	if err != nil {
		return nil, err
	}
	v := values{Dir: filepath.Join(b.dir, fmt.Sprintf("%s%d", strings.ToLower(k.name), round)), Zone: zone, Name: steeredName, Steered: steeredAddress, Spare: spareAddress, Backend: b.backend, Home: homeAddresses, Away: awayAddresses}
	if v.Port, err = lab.FreePort(b.random, "127.0.0.1"); err != nil {
		return nil, err
	}
	if err := prepare(k, v); err != nil {
		return nil, fmt.Errorf("write the configuration of %s: %w", k.name, err)
	}
	spec := lab.Spec{Name: k.name, Path: path, Log: v.Dir + ".log"}
	for _, a := range k.args {
		spec.Args = append(spec.Args, strings.ReplaceAll(a, "{}", v.Dir))
	}
	// A child runs where the thread that starts it may run.
	if err := pinThread(b.o.serverCPU); err != nil {
		return nil, err
	}
	p, err := lab.Start(spec)
	if err := errors.Join(err, pinThread(b.o.loadCPU)); err != nil {
		if p != nil {
			p.Kill()
		}
		return nil, err
	}
	s := &subject{kind: k, address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(v.Port)), process: p} // #nosec G115 -- a port
	if err := b.settle(ctx, s); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// prepare writes the configuration and the zone.
func prepare(k kind, v values) error {
	for _, dir := range []string{"run", "state", "zones", "db"} {
		if err := os.MkdirAll(filepath.Join(v.Dir, dir), 0o700); err != nil {
			return err
		}
	}
	from := "configs/" + strings.ToLower(k.name)
	files, err := fs.ReadDir(configs, from)
	if err != nil {
		return err
	}
	for _, f := range files {
		t, err := template.ParseFS(configs, from+"/"+f.Name())
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, v); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(v.Dir, f.Name()), out.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(v.Dir, k.zoneFile), []byte(zoneText(k.steered)), 0o600)
}

const startLimit = 30 * time.Second

// settle waits until every answer of a short load is right, and then lets the
// server come to rest.
func (b *bench) settle(ctx context.Context, s *subject) error {
	g, err := newGenerator(s.address)
	if err != nil {
		return err
	}
	defer g.wire.close()
	none := func() error { return nil }
	for end := time.Now().Add(startLimit); ; {
		t, err := g.run(load{mix: b.whole, sources: b.sources, rate: 2000, burst: 1, span: 200 * time.Millisecond}, none)
		if err != nil {
			return err
		}
		select {
		case <-s.process.Done():
			return fmt.Errorf("%s ended by itself: %v; its last lines:\n%s", s.kind.name, s.process.Err(), lab.Tail(s.process.Log, 10))
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if t.right > 0 && t.right == t.answered() && t.lost == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not answer rightly within %s: of %d queries %d were answered rightly, %d wrongly (%s), %d cut, %d not; last lines of its log:\n%s",
				s.kind.name, startLimit, t.sent, t.right, t.wrong, t.firstWrong, t.truncated, t.lost, lab.Tail(s.process.Log, 10))
		}
	}
	if err := lab.Pause(ctx, b.o.rest); err != nil {
		return err
	}
	s.account, err = newAccount(s.process.PID(), b.o.serverCPU)
	return err
}

func (s *subject) stop() { s.process.Stop(10 * time.Second) }

// paths finds in a log of Veer, after its end, how many queries over UDP took
// the fast path and how many the general one.
func paths(log string) (fast, general uint64, err error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "queries over UDP that were answered") {
			continue
		}
		var said struct{ Fast, General *uint64 }
		if err := json.Unmarshal([]byte(line), &said); err != nil || said.Fast == nil || said.General == nil {
			return 0, 0, fmt.Errorf("found %q; expected a line of JSON with fast and general: %w", line, err)
		}
		fast, general = fast+*said.Fast, general+*said.General
	}
	if fast+general == 0 {
		return 0, 0, fmt.Errorf("%s does not say how queries were answered; its last lines:\n%s", filepath.Base(log), lab.Tail(log, 5))
	}
	return fast, general, nil
}

// find looks for a server's binary, which may not be in a user's PATH.
func find(binary, pack string) (string, error) {
	if path, err := exec.LookPath(binary); err == nil {
		return filepath.Abs(path)
	}
	if path, err := exec.LookPath(filepath.Join("/usr/sbin", binary)); err == nil {
		return path, nil
	}
	if pack == "" {
		return "", fmt.Errorf("%s is not there", binary)
	}
	return "", fmt.Errorf("%s is not installed; install it with: apt-get install %s", binary, pack)
}

// listen opens what Veer probes: the endpoints of the steered name. A
// connection is accepted and closed.
func listen(r *rand.Rand) (port int, stop func(), err error) {
	if port, err = lab.FreePort(r, steeredAddress, spareAddress); err != nil {
		return 0, nil, err
	}
	var all []net.Listener
	ended := make(chan struct{}, 2)
	stop = func() {
		for _, l := range all {
			_ = l.Close() // nothing is lost with it
			<-ended
		}
	}
	for _, a := range []string{steeredAddress, spareAddress} {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", a, port))
		if err != nil {
			stop()
			return 0, nil, err
		}
		all = append(all, l)
		go func() {
			defer func() { ended <- struct{}{} }()
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_ = conn.Close() // the probe has seen it
			}
		}()
	}
	return port, stop, nil
}
