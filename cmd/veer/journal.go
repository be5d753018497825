package main

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

func (a *app) journalCommand() *cobra.Command {
	var limit int
	var replay, all, orders bool
	cmd := &cobra.Command{
		Use:   "journal [NAME]",
		Short: "List the decisions that were made, and decide them again",
		Long: `Journal lists the newest decisions that moved an answer, oldest first, one a
line: when, by which term and write, which service, what changed, what caused
it, which rule decided. With --all it lists the others too, as those about a
vote, a timer or a TTL.

With --replay every decision, whether it moved an answer or not, is made again
from its journalled input. The version
that made it must make it again byte for byte: a difference exits with 1. What
another version decides differently is printed, and exits with 0.

With --orders it lists what operators ordered and ended instead: when, what, who
and why, and which orders ran out.

-o json prints the whole entries: {term, seq, shard, config, version, time,
cause, input, decision, moves: [{service, seen, recovery, limit}]}; with
--replay {entry, same, own_version, differences}; with --orders {time, act, by,
why, order}.`,
		Example: "  veer journal\n  veer journal app.example.test --limit 5\n  veer journal --all\n  veer journal --orders\n  veer journal --replay",
		Args:    a.args("[NAME]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 10000 {
				return usagef("--limit %d: expected 1 to 10000", limit)
			}
			name := ""
			if len(args) > 0 {
				name = providers.CanonicalName(args[0])
			}
			if orders && (name != "" || replay || all) {
				return usagef("--orders lists all orders: expected no NAME, --all or --replay beside it")
			}
			client, err := a.daemon()
			if err != nil {
				return err
			}
			if orders {
				return a.listOrders(cmd.Context(), client, limit)
			}
			all = all || replay
			entries, err := client.Journal(cmd.Context(), name, limit, !all)
			if err != nil {
				return err
			}
			if replay {
				return a.replay(entries)
			}
			return a.print(nonNil(entries), func(w io.Writer) { writeJournal(w, entries, name, all) })
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "how many of the newest entries, at most 10000")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "list decisions that moved no answer too")
	cmd.Flags().BoolVar(&orders, "orders", false, "list what operators ordered and ended instead")
	cmd.Flags().BoolVar(&replay, "replay", false, "decide each entry again and compare")
	cmd.AddCommand(a.journalVerifyCommand(), a.journalHeadsCommand())
	return cmd
}

// nonNil makes an empty list [] in JSON, not null.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func writeJournal(w io.Writer, entries []steering.Entry, name string, all bool) {
	for _, e := range entries {
		for _, line := range entryLines(e, name) {
			fmt.Fprintln(w, line)
		}
	}
	switch {
	case len(entries) == 0 && all:
		fmt.Fprintln(w, "The journal has no decision about this.")
	case len(entries) == 0:
		fmt.Fprintln(w, "The journal has no decision that moved an answer; --all lists the others.")
	}
}

// entryLines is a line for each service whose answer the entry moved, or one
// for the entry when it moved none.
func entryLines(e steering.Entry, name string) []string {
	head := fmt.Sprintf("%s  %d.%d", stamp(e.Time), e.Term, e.Seq)
	var lines []string
	for _, moved := range e.Moved() {
		if name != "" && moved != name {
			continue
		}
		lines = append(lines, clean(fmt.Sprintf("%s  %s  %s -> %s  %s  [%s]",
			head, shown(moved), answerIn(e.Input.Prev, moved), answerIn(e.Decision.Next, moved), e.Cause, ruleOf(e, moved))))
	}
	if lines != nil {
		return lines
	}
	about := subjects(e)
	if name != "" {
		about = []string{name}
	}
	switch len(about) {
	case 0: // the last service of the shard is gone
		return []string{clean(fmt.Sprintf("%s  no service  %s  [none]", head, e.Cause))}
	case 1:
		return []string{clean(fmt.Sprintf("%s  %s  stays %s  %s  [%s]",
			head, shown(about[0]), answerIn(e.Decision.Next, about[0]), e.Cause, ruleOf(e, about[0])))}
	}
	return []string{clean(fmt.Sprintf("%s  %s  stay as they are  %s  [%s]", head, several(about), e.Cause, ruleOf(e, about[0])))}
}

// subjects are the services whose state the entry changed, timers aside, or
// all that it decided about when only timers did.
func subjects(e steering.Entry) []string {
	was := make(map[string]steering.ServiceState, len(e.Input.Prev.Services))
	for _, s := range e.Input.Prev.Services {
		was[s.Name] = timeless(s)
	}
	var changed, all []string
	for _, s := range e.Decision.Next.Services {
		all = append(all, s.Name)
		if !reflect.DeepEqual(was[s.Name], timeless(s)) {
			changed = append(changed, s.Name)
		}
	}
	if changed == nil {
		return all
	}
	return changed
}

// timeless is the state without what only time changes.
func timeless(s steering.ServiceState) steering.ServiceState {
	s.Pools = slices.Clone(s.Pools)
	for i := range s.Pools {
		p := &s.Pools[i]
		p.Hold, p.Flaps, p.Held = 0, nil, 0
		p.Endpoints = slices.Clone(p.Endpoints)
		for j := range p.Endpoints {
			p.Endpoints[j].Hold = 0
		}
	}
	return s
}

// namedServices is how many services a line names.
const namedServices = 3

func several(services []string) string {
	text := make([]string, 0, namedServices)
	for _, s := range services[:min(len(services), namedServices)] {
		text = append(text, shown(s))
	}
	if more := len(services) - namedServices; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(text, ", "), more)
	}
	return strings.Join(text, ", ")
}

func answerIn(state steering.State, service string) string {
	for _, s := range state.Services {
		if s.Name == service {
			return data(s.Answer)
		}
	}
	return "nothing"
}

// ruleOf is the first rule that the entry gives for the service.
func ruleOf(e steering.Entry, service string) steering.Rule {
	for _, r := range e.Decision.Why {
		if service == "" || r.Service == service {
			return r.Rule
		}
	}
	return "none"
}

// replayed is one entry decided again.
type replayed struct {
	Entry       steering.Entry `json:"entry"`
	Same        bool           `json:"same"`
	OwnVersion  bool           `json:"own_version"`
	Differences []string       `json:"differences"`
}

func (a *app) replay(entries []steering.Entry) error {
	results := make([]replayed, 0, len(entries))
	broken := 0
	for _, e := range entries {
		decision, same := e.Replay()
		r := replayed{Entry: e, Same: same, OwnVersion: e.Version == version, Differences: []string{}}
		if !same {
			var err error
			if r.Differences, err = differences(e.Decision, decision); err != nil {
				return err
			}
			if r.OwnVersion {
				broken++
			}
		}
		results = append(results, r)
	}
	if err := a.print(results, func(w io.Writer) { writeReplay(w, results) }); err != nil {
		return err
	}
	if broken > 0 {
		return quiet(exitFailed, "the same version decided differently")
	}
	return nil
}

func writeReplay(w io.Writer, results []replayed) {
	same := 0
	for _, r := range results {
		if r.Same {
			same++
			continue
		}
		fmt.Fprintf(w, "%s  %d.%d  shard %d  decided by %s, otherwise by %s:\n",
			stamp(r.Entry.Time), r.Entry.Term, r.Entry.Seq, r.Entry.Shard, clean(r.Entry.Version), version)
		for _, d := range r.Differences {
			fmt.Fprintln(w, "  "+clean(d))
		}
	}
	fmt.Fprintf(w, "%d of %s decided again alike.\n", same, entriesText(len(results)))
}

func entriesText(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// differences lists where two decisions differ, by JSON path.
func differences(was, is steering.Decision) ([]string, error) {
	before, err := leaves(was)
	if err != nil {
		return nil, err
	}
	after, err := leaves(is)
	if err != nil {
		return nil, err
	}
	var lines []string
	for path, old := range before {
		switch now, ok := after[path]; {
		case !ok:
			lines = append(lines, fmt.Sprintf("%s: was %s, is gone", path, old))
		case now != old:
			lines = append(lines, fmt.Sprintf("%s: was %s, is %s", path, old, now))
		}
	}
	for path, now := range after {
		if _, ok := before[path]; !ok {
			lines = append(lines, fmt.Sprintf("%s: is new: %s", path, now))
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// leaves maps the JSON path of every value that holds no other to its text.
func leaves(d steering.Decision) (map[string]string, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encoding a decision: %w", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("decoding a decision: %w", err)
	}
	found := map[string]string{}
	flatten("", tree, found)
	return found, nil
}

func flatten(path string, v any, found map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			flatten(strings.TrimPrefix(path+"."+key, "."), inner, found)
		}
	case []any:
		for i, inner := range v {
			flatten(fmt.Sprintf("%s[%d]", path, i), inner, found)
		}
	case string:
		found[path] = fmt.Sprintf("%q", v)
	default:
		found[path] = fmt.Sprint(v)
	}
}
