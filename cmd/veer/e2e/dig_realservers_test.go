//go:build realservers

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// reply is what one run of dig said.
type reply struct {
	status string // NOERROR and so on; empty: no reply
	data   string // the A records, sorted, with commas between them
	text   string // all of it
}

// dig asks the authority for a name's address.
func (s *stack) dig(name string) reply {
	//nolint:errcheck // no reply is an error too; what dig printed says it
	out, _ := exec.CommandContext(s.t.Context(), "dig", "@127.0.0.1", "-p", strconv.Itoa(s.dns), name, "A",
		"+norecurse", "+tries=1", "+timeout=5", "+noall", "+comments", "+answer").CombinedOutput()
	r := reply{text: string(out)}
	var data []string
	for line := range strings.Lines(r.text) {
		if _, after, ok := strings.Cut(line, "status: "); ok && strings.HasPrefix(line, ";; ->>HEADER<<-") {
			r.status, _, _ = strings.Cut(after, ",")
		}
		if f := strings.Fields(line); len(f) == 5 && !strings.HasPrefix(line, ";") && f[3] == "A" {
			data = append(data, f[4])
		}
	}
	slices.Sort(data)
	r.data = strings.Join(data, ",")
	return r
}

// answers waits until dig sees the address; until then every reply has one.
func (s *stack) answers(want string) {
	s.t.Helper()
	s.poll("dig sees "+want, func() (bool, string) {
		r := s.dig(appName)
		if r.status != "NOERROR" || r.data == "" {
			s.t.Fatalf("while waiting for %s, dig saw no answer:\n%s", want, r.text)
		}
		return r.data == want, r.data
	})
}

// still fails unless dig sees the address now.
func (s *stack) still(want, after string) {
	s.t.Helper()
	if r := s.dig(appName); r.status != "NOERROR" || r.data != want {
		s.t.Fatalf("%s, dig sees %q, want %s:\n%s", after, r.data, want, r.text)
	}
}

// stream asks all the time: every 10 ms over one socket, and beside that with
// dig again and again.
type stream struct {
	s      *stack
	poller *lab.Poller
	cancel context.CancelFunc
	ended  sync.WaitGroup
	err    error
	// digs are the runs of dig, bad those without an address.
	digs, bad int
	first     string // what the first of those said
}

func (s *stack) stream() *stream {
	s.t.Helper()
	p, err := lab.NewPoller(at("127.0.0.1", s.dns), appName, 10*time.Millisecond, 5*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	st := &stream{s: s, poller: p, cancel: cancel}
	st.ended.Go(func() { st.err = p.Run(ctx) })
	st.ended.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			r := s.dig(appName)
			if st.digs++; r.status != "NOERROR" || r.data == "" {
				if st.bad++; st.first == "" {
					st.first = r.text
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	s.t.Cleanup(func() { cancel(); st.ended.Wait() })
	return st
}

// end stops asking, and fails the test unless every query was answered with
// an address, and these were the answers, in this order.
func (st *stream) end(want ...string) row {
	t := st.s.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := st.poller.Wait(ctx, time.Now(), want[len(want)-1]); err != nil {
		t.Error(err)
	}
	st.cancel()
	st.ended.Wait()
	if st.err != nil {
		t.Fatal(st.err)
	}
	c := st.poller.Counts()
	changes, _ := st.poller.Changes(0)
	var seen []string
	for _, change := range changes {
		seen = append(seen, change.Answer)
	}
	if c.Sent == 0 || c.Answered != c.Sent {
		t.Errorf("of %d queries %d were answered, %d not, %d empty, %d failed", c.Sent, c.Answered, c.Unanswered, c.Empty, c.Failed)
	}
	if st.digs == 0 || st.bad != 0 {
		t.Errorf("of %d runs of dig %d saw no address; the first said:\n%s", st.digs, st.bad, st.first)
	}
	if !slices.Equal(seen, want) {
		t.Errorf("the answers were %v, want %v", seen, want)
	}
	return row{strings.ReplaceAll(strings.Join(seen, " "), "127.0.0", ""), c, st.digs, st.bad}
}

// row is a line of the table of what was seen.
type row struct {
	answers   string
	counts    lab.Counts
	digs, bad int
}

const tableHead = "case                         answers (127.0.0.x)  queries  unanswered  empty  failed  digs  bad"

func (r row) line(name string) string {
	return fmt.Sprintf("%-28s %-20s %7d  %10d  %5d  %6d  %4d  %3d", name, r.answers,
		r.counts.Sent, r.counts.Unanswered, r.counts.Empty, r.counts.Failed, r.digs, r.bad)
}
