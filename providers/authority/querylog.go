package authority

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
)

// QueryLog says which queries are logged, one line of JSON each.
type QueryLog struct {
	// Sample logs one of so many queries. 0: none.
	Sample int `yaml:"sample"`
	// Path is of the file that takes the lines; it need not exist, and is opened
	// again by Server.Reopen, for rotation. Empty: they go to the process's log.
	Path string `yaml:"path"`
	// PrefixV4 and PrefixV6 are how many bits of a client's address are logged.
	// 0 is all of them.
	PrefixV4 int `yaml:"prefix_v4"`
	PrefixV6 int `yaml:"prefix_v6"`
}

const maxSample = 1_000_000_000

func (q QueryLog) check(bad func(field, format string, args ...any)) {
	if q.Sample < 0 || q.Sample > maxSample {
		bad("query_log.sample", "%d is out of range; expected 1 (every query) to %d (one of so many)", q.Sample, maxSample)
	}
	if q.Sample == 0 && q != (QueryLog{}) {
		bad("query_log.sample", "it is missing, so that nothing is logged; expected 1 (every query) to %d (one of so many), like 1000", maxSample)
	}
	if q.PrefixV4 < 0 || q.PrefixV4 > 32 {
		bad("query_log.prefix_v4", "%d is out of range; expected 1 to 32 bits (default: the whole address)", q.PrefixV4)
	}
	if q.PrefixV6 < 0 || q.PrefixV6 > 128 {
		bad("query_log.prefix_v6", "%d is out of range; expected 1 to 128 bits (default: the whole address)", q.PrefixV6)
	}
}

// client is a client as the log has it: its address, or the network of it.
func (q QueryLog) client(a netip.Addr) string {
	bits := q.PrefixV6
	if a.Is4() {
		bits = q.PrefixV4
	}
	if bits == 0 {
		return a.String()
	}
	p, err := a.Prefix(bits)
	if err != nil { // no address
		return ""
	}
	return p.String()
}

// queryLog writes the lines. It serves the goroutine of run, but for anew.
type queryLog struct {
	config QueryLog
	own    zerolog.Logger // the process's
	anew   chan struct{}
	msg    dns.Msg

	file    *os.File
	out     *bufio.Writer
	lines   zerolog.Logger
	retry   time.Time // not before it is opened again
	trouble bool      // that it can't be written was said
}

// reopenEvery is how soon a file that could not be written is tried again.
const reopenEvery = 10 * time.Second

func newQueryLog(c QueryLog, log zerolog.Logger) *queryLog {
	q := &queryLog{config: c, own: log, anew: make(chan struct{}, 1)}
	if c.Path == "" {
		q.lines = log
	}
	return q
}

// Reopen has the query log open its file again, which a rotation has moved.
func (s *Server) Reopen() {
	if s.queries == nil {
		return
	}
	select {
	case s.queries.anew <- struct{}{}:
	default: // it will
	}
}

// run writes what t takes until ctx ends.
func (q *queryLog) run(ctx context.Context, t *tap) {
	defer q.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.anew:
			q.close()
			q.retry = time.Time{}
			q.open()
		case o := <-t.full:
			if !q.write(o) {
				t.dropped.Add(1)
			}
			t.release(o)
			if len(t.full) == 0 {
				q.flush()
			}
		}
	}
}

// write writes one line, and returns false for one that could not be.
func (q *queryLog) write(o *observation) bool {
	if !q.open() || q.msg.Unpack(o.answer) != nil {
		return false
	}
	e := q.lines.Log()
	if q.config.Path == "" {
		e = q.lines.Info()
	} else {
		e.Str("at", o.at.UTC().Format("2006-01-02T15:04:05.000000Z07:00"))
	}
	e.Str("client", q.config.client(o.from.addr)).Str("transport", transportName(o.from.over))
	if len(q.msg.Question) == 1 {
		question := q.msg.Question[0]
		e.Str("name", question.Name).Str("type", dns.Type(question.Qtype).String())
	}
	rcode, ok := dns.RcodeToString[q.msg.Rcode]
	if !ok {
		rcode = fmt.Sprint(q.msg.Rcode)
	}
	e.Str("rcode", rcode)
	if len(q.msg.Answer) > 0 {
		e.Strs("answer", answerText(q.msg.Answer))
	}
	if o.zone != "" {
		e.Str("zone", o.zone.String())
	}
	if o.region != "" {
		e.Str("region", o.region)
	}
	e.Msg("query")
	return true
}

// maxLogged is how many records of an answer a line has.
const maxLogged = 8

// answerText are the records' data.
func answerText(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs[:min(len(rrs), maxLogged)] {
		out = append(out, rr.String()[len(rr.Header().String()):])
	}
	return out
}

// open opens the file, if there is one to open, and reports whether a line can
// be written. What is no regular file is refused: a pipe may hold the opening
// up for good.
func (q *queryLog) open() bool {
	if q.config.Path == "" || q.file != nil {
		return true
	}
	if time.Now().Before(q.retry) {
		return false
	}
	info, err := os.Stat(q.config.Path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		err = errors.New("it is no regular file")
	case err == nil || errors.Is(err, fs.ErrNotExist):
		q.file, err = os.OpenFile(q.config.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	}
	if err != nil {
		q.lost(err)
		return false
	}
	q.trouble = false
	q.out = bufio.NewWriterSize(q.file, 1<<16)
	q.lines = zerolog.New(q.out)
	return true
}

// lost notes that lines can't be written for a while, and says so once.
func (q *queryLog) lost(err error) {
	q.retry = time.Now().Add(reopenEvery)
	if !q.trouble {
		q.own.Error().Err(err).Str("file", q.config.Path).Msg("the query log cannot be written; queries are answered as ever, and their lines are dropped")
	}
	q.trouble = true
}

func (q *queryLog) flush() {
	if q.out == nil {
		return
	}
	if err := q.out.Flush(); err != nil {
		q.file.Close() //nolint:errcheck // the first error says more
		q.file, q.out = nil, nil
		q.lost(err)
	}
}

func (q *queryLog) close() {
	q.flush()
	if q.file != nil {
		if err := q.file.Close(); err != nil {
			q.lost(err)
		}
		q.file, q.out = nil, nil
	}
}
