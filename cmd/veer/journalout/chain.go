// Package journalout writes the journal out of the ledger, for those who keep
// it longer and apart from Veer: as JSON lines into files, and to a syslog
// server. Each output of each host is a chain: a line holds the hash of the one
// before, over the bytes as they stand, so that a line that was edited, removed,
// added or moved is found by Verify. The ledger holds the head of each chain, so
// that an end that was cut off is found as well.
//
// The chain is made where lines are written, not where decisions are committed:
// decisions about different services are agreed on side by side, and one that
// had to know the hash of another would have to wait for it.
//
// An Output is safe for concurrent use. It never waits for its reader to be
// mended: Append fails, and who calls it opens the output again, from the place
// where that goes on. What was not written meanwhile is still in the ledger.
package journalout

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The kinds of lines.
const (
	KindBegin    = "begin"    // of a chain: where it comes from
	KindDecision = "decision" // an entry of the journal
	KindNote     = "note"     // what an operator did
	KindGap      = "gap"      // records may be missing before the next line, and why
)

// The outputs.
const (
	OutputFile   = "file"
	OutputSyslog = "syslog"
)

// Version is that of the lines.
const Version = 1

// MaxLine bounds a line: the ledger bounds an entry to 32 MiB.
const MaxLine = 40 << 20

// Head is the end of a chain.
type Head struct {
	Chain string `json:"chain"`
	// N is the number of its last line; the first is 0.
	N    uint64 `json:"n"`
	Hash string `json:"hash"`
}

// Line is one line. Its last field is the hash of all bytes before it.
type Line struct {
	Version int    `json:"veer"`
	Chain   string `json:"chain"`
	N       uint64 `json:"n"`
	// Prev is the hash of the line before; that of the first one is 64 zeros.
	Prev string `json:"prev"`
	Kind string `json:"kind"`
	// Place is where the export goes on after this line.
	Place  json.RawMessage `json:"place"`
	Record json.RawMessage `json:"record"`
	Hash   string          `json:"hash"`
}

// Beginning is the record of a chain's first line.
type Beginning struct {
	Owner  string `json:"owner"`
	Region string `json:"region"`
	Output string `json:"output"`
	Time   string `json:"time"`
	// Before is the head of the output's chain before this one, as the ledger
	// or the writer has it; absent: nobody knows of one. Why says why that one
	// does not go on.
	Before *Head  `json:"before,omitempty"`
	Why    string `json:"why,omitempty"`
}

// zeros stand for the hash before the first line.
var zeros = strings.Repeat("0", 2*sha256.Size)

const (
	hashField = `,"hash":"`
	hashTail  = len(hashField) + 2*sha256.Size + len(`"}`)
)

// NewChain returns the head before the first line of a new chain.
func NewChain() Head {
	var id [8]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	return Head{Chain: hex.EncodeToString(id[:]), Hash: zeros}
}

// next makes the line after a head: its bytes, without a line feed, and how far
// the chain is then. The first line is made from the head of NewChain.
func next(h Head, kind string, place, record any) ([]byte, State, error) {
	l := Line{Version: Version, Chain: h.Chain, Prev: h.Hash, Kind: kind}
	if h.Hash != zeros {
		l.N = h.N + 1
	}
	var err error
	if l.Place, err = json.Marshal(place); err == nil {
		l.Record, err = json.Marshal(record)
	}
	if err != nil {
		return nil, State{}, fmt.Errorf("make a line of the journal: %w", err)
	}
	whole, err := json.Marshal(l)
	if err != nil {
		return nil, State{}, fmt.Errorf("make a line of the journal: %w", err)
	}
	body := bytes.TrimSuffix(whole, []byte(hashField+`"}`))
	hash := hashOf(body)
	line := append(body, hashField+hash+`"}`...)
	if len(line) > MaxLine {
		return nil, State{}, fmt.Errorf("a line of %d bytes: at most %d are written", len(line), MaxLine)
	}
	l.Hash = hash
	return line, l.state(), nil
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// ErrLine means that a line is not what its writer wrote.
var ErrLine = errors.New("not a line as it was written")

// ParseLine reads a line, which is hostile until then, and checks its hash. The
// line feed is not part of it.
func ParseLine(line []byte) (Line, error) {
	var l Line
	switch {
	case len(line) > MaxLine:
		return l, fmt.Errorf("%w: more than %d bytes", ErrLine, MaxLine)
	case len(line) <= hashTail || !bytes.HasPrefix(line[len(line)-hashTail:], []byte(hashField)):
		return l, fmt.Errorf("%w: found %.40q…; expected JSON that ends in %s…\"}", ErrLine, line, hashField)
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return l, fmt.Errorf("%w: %w", ErrLine, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return l, fmt.Errorf("%w: more follows the JSON object", ErrLine)
	}
	if is := hashOf(line[:len(line)-hashTail]); is != string(line[len(line)-hashTail+len(hashField):len(line)-2]) {
		return l, fmt.Errorf("%w: the line's bytes have the hash %s; expected %s, as it says itself: the line was edited", ErrLine, is, cutText(l.Hash, 64))
	}
	switch {
	case l.Hash != string(line[len(line)-hashTail+len(hashField):len(line)-2]):
		return l, fmt.Errorf("%w: it has two hashes; expected one, at its end", ErrLine)
	case l.Version != Version:
		return l, fmt.Errorf("%w: it is of version %d; expected %d", ErrLine, l.Version, Version)
	case l.Chain == "" || len(l.Chain) > 64 || len(l.Prev) != len(zeros) || l.Place == nil || l.Record == nil:
		return l, fmt.Errorf("%w: expected a chain, the hash before, a place and a record", ErrLine)
	case (l.N == 0) != (l.Prev == zeros) || (l.N == 0) != (l.Kind == KindBegin):
		return l, fmt.Errorf("%w: line %d of kind %s; expected that line 0, and no other, begins the chain", ErrLine, l.N, cutText(l.Kind, 20))
	}
	switch l.Kind {
	case KindBegin, KindDecision, KindNote, KindGap:
		return l, nil
	}
	return l, fmt.Errorf("%w: kind %s; expected begin, decision, note or gap", ErrLine, cutText(l.Kind, 20))
}

// head is the head of the chain when l is its last line.
func (l Line) head() Head { return Head{Chain: l.Chain, N: l.N, Hash: l.Hash} }

// state is how far the chain is when l is its last line.
func (l Line) state() State {
	s := State{Head: l.head(), Place: l.Place}
	if string(s.Place) == "null" { // that of a chain's first line
		s.Place = nil
	}
	return s
}

// beginningOf reads the record of a chain's first line.
func beginningOf(l Line) (Beginning, error) {
	var b Beginning
	if l.Kind != KindBegin {
		return b, fmt.Errorf("%w: expected the beginning of a chain", ErrLine)
	}
	if err := json.Unmarshal(l.Record, &b); err != nil {
		return b, fmt.Errorf("%w: %w", ErrLine, err)
	}
	return b, nil
}

// Output is where lines go.
type Output interface {
	// Place is where to go on from: what the last line says; nil: from the
	// beginning of what there is.
	Place() json.RawMessage
	// Append writes one line. The end of ctx ends the waiting for who takes it.
	// After an error the output is to be closed.
	Append(ctx context.Context, kind string, place, record any) error
	// Settle makes durable what was appended, as far as that can be known, and
	// returns how far that is. After an error the output is to be closed.
	Settle() (State, error)
	Close() error
}

// State is how far an output is.
type State struct {
	Head  Head            `json:"head"`
	Place json.RawMessage `json:"place,omitempty"`
}

// Origin is what a chain says of where it comes from.
type Origin struct {
	Owner, Region string
	// Kept is the head that the ledger has of this output; nil: none.
	Kept *Head
}

// beginning is the record of the first line of a chain that comes after before,
// if there was one, because of why.
func (o Origin) beginning(output string, before *Head, why string) Beginning {
	b := Beginning{Owner: o.Owner, Region: o.Region, Output: output, Time: time.Now().UTC().Format(time.RFC3339), Before: before}
	if before != nil {
		b.Why = why
	}
	return b
}

func cutText(text string, most int) string {
	if len(text) > most {
		return fmt.Sprintf("%.*q…", most, text)
	}
	return text
}
