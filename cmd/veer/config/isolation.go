package config

import (
	"fmt"
	"reflect"
	"time"
)

// Isolation is what an authority answers while its process is cut off from the
// cluster. In the file it is a mode, or a mapping with the keys below.
type Isolation struct {
	// Mode is IsolationHold or IsolationLocal.
	Mode string `yaml:"mode"`
	// After is how long the process must have been cut off before its answers
	// are narrowed.
	After time.Duration `yaml:"after"`
}

// The modes of isolation.
const (
	// IsolationHold keeps the ledger's last answers.
	IsolationHold = "hold"
	// IsolationLocal narrows them to what the process's own vantage does not
	// see down.
	IsolationLocal = "local"
)

const (
	defaultIsolationAfter = time.Minute
	maxIsolationAfter     = 24 * time.Hour
)

func defaultIsolation() Isolation {
	return Isolation{Mode: IsolationHold, After: defaultIsolationAfter}
}

func (i *Isolation) setDefaults() { *i = defaultIsolation() }

// plainIsolation has the keys and no methods.
type plainIsolation Isolation

func (i *Isolation) fromNode(d decoder, n *node, path string) {
	modes := wordsOf("isolation.mode")
	expected := fmt.Sprintf("%s or %s", IsolationHold, IsolationLocal)
	switch {
	case n.shape == mapping:
		d.structs(n, path, reflect.ValueOf((*plainIsolation)(i)).Elem())
		if mode := n.get("mode"); mode != nil && i.Mode != IsolationHold && i.Mode != IsolationLocal {
			d.bad(mode, join(path, "mode"), Error{Problem: "found " + mode.describe(), Expected: expected, Hint: didYouMean(mode.text, modes)})
		}
	case n.shape != scalar || n.form() != formText:
		d.mismatch(n, path, expected+", or the keys mode and after", "")
	case n.text != IsolationHold && n.text != IsolationLocal:
		d.bad(n, path, Error{Problem: "found " + n.describe(), Expected: expected, Hint: didYouMean(n.text, modes)})
	default:
		i.Mode = n.text
	}
}

func (i Isolation) toNode(e encoder) *node {
	if i == (Isolation{}) {
		return nil
	}
	return e.against(reflect.ValueOf(plainIsolation(i)), reflect.ValueOf(plainIsolation(defaultIsolation())))
}

// isolation checks what follows from other keys: only what is longer than a
// vote lives is surely no election.
func (l *loader) isolation() {
	least := l.c.Cluster.VoteLease
	if after := l.c.Isolation.After; l.has("isolation.after") && l.clean("isolation", "cluster") && (after < least || after > maxIsolationAfter) {
		l.bad("isolation.after", "found "+showDuration(after),
			fmt.Sprintf("from %s (cluster.vote_lease: before, it may be an election) to %s", showDuration(least), showDuration(maxIsolationAfter)), "")
	}
	l.c.Isolation.After = max(l.c.Isolation.After, least)
}

// isolationWarnings say what `isolation: local` means.
func (c *Config) isolationWarnings() []string {
	if c.Isolation.Mode != IsolationLocal {
		return nil
	}
	for _, p := range c.Providers {
		if p.Authority == nil {
			continue
		}
		return []string{fmt.Sprintf("isolation: local: a server that is cut off from the cluster for %s leaves out the endpoints that its own vantage alone sees down; servers may then answer differently, on one vantage's word, until it hears the ledger again",
			showDuration(c.Isolation.After))}
	}
	return []string{"isolation: local does nothing: no provider is of the kind authority, and what others serve is never written by a part that is cut off"}
}
