package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

func (a *app) journalCommand() *cobra.Command {
	var limit int
	var replay bool
	cmd := &cobra.Command{
		Use:   "journal [NAME]",
		Short: "List the decisions that were made, and decide them again",
		Long: `Journal lists the newest decisions, oldest first, one a line: when, by which
term and write, which service, what changed, what caused it, which rule decided.

With --replay each decision is made again from its journalled input. The version
that made it must make it again byte for byte: a difference exits with 1. What
another version decides differently is printed, and exits with 0.

-o json prints the whole entries: {term, seq, shard, config, version, time,
cause, input, decision}; with --replay {entry, same, own_version, differences}.`,
		Example: "  veer journal\n  veer journal app.example.test --limit 5\n  veer journal --replay",
		Args:    a.args("[NAME]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 10000 {
				return usagef("--limit %d: expected 1 to 10000", limit)
			}
			name := ""
			if len(args) > 0 {
				name = providers.CanonicalName(args[0])
			}
			client, err := a.daemon()
			if err != nil {
				return err
			}
			entries, err := client.Journal(cmd.Context(), name, limit)
			if err != nil {
				return err
			}
			if replay {
				return a.replay(entries)
			}
			return a.print(nonNil(entries), func(w io.Writer) { writeJournal(w, entries, name) })
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "how many of the newest entries, at most 10000")
	cmd.Flags().BoolVar(&replay, "replay", false, "decide each entry again and compare")
	return cmd
}

// nonNil makes an empty list [] in JSON, not null.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func writeJournal(w io.Writer, entries []steering.Entry, name string) {
	for _, e := range entries {
		for _, line := range entryLines(e, name) {
			fmt.Fprintln(w, line)
		}
	}
	if len(entries) == 0 {
		fmt.Fprintln(w, "The journal has no entry for this.")
	}
}

// entryLines is a line for each service whose answer the entry moved, or one
// for the entry when it moved none.
func entryLines(e steering.Entry, name string) []string {
	head := fmt.Sprintf("%s  %d.%d", stamp(e.Time), e.Term, e.Seq)
	var lines []string
	for _, s := range e.Decision.Next.Services {
		if name != "" && s.Name != name {
			continue
		}
		before := answerBefore(e, s.Name)
		if before == data(s.Answer) {
			continue
		}
		lines = append(lines, clean(fmt.Sprintf("%s  %s  %s -> %s  %s  [%s]",
			head, shown(s.Name), before, data(s.Answer), e.Cause, ruleOf(e, s.Name))))
	}
	if lines == nil {
		subject := "all"
		if name != "" {
			subject = shown(name)
		}
		lines = []string{clean(fmt.Sprintf("%s  %s  unchanged  %s  [%s]", head, subject, e.Cause, ruleOf(e, name)))}
	}
	return lines
}

func answerBefore(e steering.Entry, service string) string {
	for _, s := range e.Input.Prev.Services {
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
