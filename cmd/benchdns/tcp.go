//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// tcpConnections is how many connections dnsperf holds open.
const tcpConnections = 20

// overTCP is what dnsperf found.
type overTCP struct {
	perSecond float64
	answered  uint64
	cpu       time.Duration
}

func (o overTCP) perMillion() float64 { return o.cpu.Seconds() / float64(o.answered) * 1e6 }

// tcp asks the same questions over TCP by dnsperf, whose process inherits the
// generator's CPU.
func (b *bench) tcp(ctx context.Context, s *subject) (overTCP, error) {
	path, err := find("dnsperf", "dnsperf")
	if err != nil {
		return overTCP{}, err
	}
	seconds := max(1, int(b.o.span.Round(time.Second).Seconds()))
	before, err := s.account.cpu()
	if err != nil {
		return overTCP{}, err
	}
	out, err := exec.CommandContext(ctx, path, "-m", "tcp", "-s", s.address.Addr().String(), "-p", strconv.Itoa(int(s.address.Port())),
		"-d", b.queries, "-c", strconv.Itoa(tcpConnections), "-T", "1", "-l", strconv.Itoa(seconds)).CombinedOutput()
	if err != nil {
		return overTCP{}, fmt.Errorf("dnsperf: %w; it said:\n%s", err, out)
	}
	after, err := s.account.cpu()
	if err != nil {
		return overTCP{}, err
	}
	result, err := readDNSPerf(string(out))
	result.cpu = after - before
	return result, err
}

// readDNSPerf reads dnsperf's statistics, and refuses those of a run that was
// not answered as the mix must be.
func readDNSPerf(text string) (overTCP, error) {
	number := func(pattern string) (float64, error) {
		found := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if found == nil {
			return 0, fmt.Errorf("dnsperf's output has no %q:\n%s", pattern, text)
		}
		return strconv.ParseFloat(found[1], 64)
	}
	rate, errRate := number(`Queries per second:\s+([0-9.]+)`)
	completed, errCompleted := number(`Queries completed:\s+([0-9]+)`)
	lost, errLost := number(`Queries lost:\s+([0-9]+)`)
	fine, errFine := number(`NOERROR ([0-9]+)`)
	missing, errMissing := number(`NXDOMAIN ([0-9]+)`)
	if err := errors.Join(errRate, errCompleted, errLost, errFine, errMissing); err != nil {
		return overTCP{}, err
	}
	if lost > 0 || completed == 0 || fine+missing != completed || missing < 0.08*completed || missing > 0.12*completed {
		return overTCP{}, fmt.Errorf("over TCP %.0f queries were answered, %.0f with an address and %.0f with NXDOMAIN, and %.0f lost; expected none lost, %d %% NXDOMAIN and nothing else",
			completed, fine, missing, lost, percentMissing)
	}
	return overTCP{perSecond: rate, answered: uint64(completed)}, nil
}
