package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

func (a *app) explainCommand() *cobra.Command {
	var at, client string
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Say why a service answers what it answers, and what is next",
		Long: `Explain says which endpoints a service answers with and at which TTL, which rule
decided, what each vantage voted and why, what happens next and when, and the
worst-case recovery time term by term.

With --client it says where that client is and what it is answered, by the
database of this host's DNS server. The address is that of a client whose
resolver tells it, or of the resolver. For a service with policy latency WHY has
the round trips that the client's vantage measures.

Of a service of type ALIAS it says what each of its hosts leads to by the DNS
server here, how long ago that was looked up, and why it can't be any more.

-o json prints {service, rules, next, budget, term, seq, shard, time, cause,
client, aliases}, client with --client only: {address, location, network,
answer}, and aliases with type ALIAS only: [{host, addresses, age, stale,
failed, problem}].`,
		Example: "  veer explain app.example.test\n  veer explain app.example.test --client 203.0.113.7\n  veer explain app.example.test --at 2026-11-20T03:00:00Z",
		Args:    a.args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if at != "" {
				if _, err := time.Parse(time.RFC3339, at); err != nil {
					return usagef("--at %q: expected RFC 3339, as in 2026-11-20T03:00:00Z", at)
				}
			}
			if _, err := netip.ParseAddr(client); client != "" && err != nil {
				return usagef("--client %q: expected an IP address, as in 203.0.113.7", client)
			}
			daemon, err := a.daemon()
			if err != nil {
				return err
			}
			e, err := daemon.ExplainFor(cmd.Context(), args[0], at, client)
			if err != nil {
				return err
			}
			return a.print(e, func(w io.Writer) { writeExplain(w, e, paint{a.plain}) })
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "explain what was decided at this time (RFC 3339), from the journal")
	cmd.Flags().StringVar(&client, "client", "", "say what the client with this IP address is answered")
	return cmd
}

func writeExplain(w io.Writer, e api.Explain, p paint) {
	s := e.Service
	fmt.Fprintln(w, p.bold(elide(shown(s.Name), width)))
	para(w, "policy    ", string(s.Kind))
	if c := e.Client; c != nil {
		para(w, "client    ", clientText(*c))
	}
	para(w, "answers   ", data(s.Answer))
	for _, a := range e.Aliases {
		para(w, "host      ", aliasText(a))
	}
	if len(s.Here) > 0 {
		para(w, "here      ", data(s.Here)+", by this server alone")
	}
	serving := names(s.Serving)
	if s.AllDown {
		serving = "ALL DOWN"
	}
	para(w, "serving   ", fmt.Sprintf("%s for %s", serving, short(s.Since)))
	para(w, "TTL       ", ttlText(s))
	para(w, "decided   ", fmt.Sprintf("%s by term %d, write %d of shard %d: %s", stamp(e.Time), e.Term, e.Seq, e.Shard, e.Cause))

	fmt.Fprintln(w, "\n"+p.bold("WHY"))
	reasons(w, e.Rules)
	fmt.Fprintln(w, "\n"+p.bold("VOTES"))
	for _, pool := range s.Pools {
		poolVotes(w, pool, p)
	}
	fmt.Fprintln(w, "\n"+p.bold("NEXT"))
	if len(e.Next) == 0 {
		fmt.Fprintln(w, "  Nothing is due; the next change of a verdict or an order decides.")
	}
	for _, n := range e.Next {
		para(w, fmt.Sprintf("  in %-8s ", short(n.In)), n.What)
	}
	fmt.Fprintln(w, "\n"+p.bold("WORST-CASE RECOVERY"))
	budget(w, e.Budget, "  ")
}

// aliasText says what a host leads to, since when, and what is wrong with it.
func aliasText(a api.Alias) string {
	text := "never looked up"
	if len(a.Addresses) > 0 {
		text = fmt.Sprintf("is %s, told %s ago", strings.Join(a.Addresses, " "), short(a.Age))
	}
	if a.Stale {
		text += ", STALE"
	}
	if a.Problem != "" {
		text += fmt.Sprintf("; failed %d times: %s", a.Failed, a.Problem)
	}
	return shown(a.Host) + " " + text
}

// clientText says where a client is and what it is answered.
func clientText(c api.Located) string {
	if c.Location == "" {
		return fmt.Sprintf("%s is answered %s, as all clients are", c.Address, data(c.Answer))
	}
	answer := slices.Clone(c.Answer)
	for i := range answer {
		answer[i].Location = ""
	}
	return fmt.Sprintf("%s is in %s, as all of %s, and is answered %s", c.Address, c.Location, c.Network, data(answer))
}

func ttlText(s api.Service) string {
	if s.TTL == s.Steady {
		return fmt.Sprintf("%d s, the steady TTL", s.TTL)
	}
	return fmt.Sprintf("%d s now (steady %d s): the answer may change soon", s.TTL, s.Steady)
}

func reasons(w io.Writer, list []steering.Reason) {
	if len(list) == 0 {
		fmt.Fprintln(w, "  no rule spoke")
		return
	}
	t := table{limits: []int{14, 30, 0}}
	for _, r := range list {
		region := string(r.Region)
		if r.Location != "" {
			region = strings.TrimPrefix(region+" for "+r.Location, " ")
		}
		if region == "" {
			region = "-"
		}
		t.add(string(r.Rule), region, r.Text)
	}
	t.write(w, "  ")
}

func poolVotes(w io.Writer, pool api.Pool, p paint) {
	state := "not serving"
	if pool.Serving {
		state = "serving"
	}
	line := fmt.Sprintf("%s: %s, %d of %d up, %s", elide(string(pool.Region), 30), pool.Health, pool.Up, pool.Total, state)
	if pool.Hold > 0 {
		line += ", held for " + short(pool.Hold)
	}
	para(w, "  ", line)
	for _, e := range pool.Endpoints {
		fmt.Fprintf(w, "    %s %s\n", elide(e.Address, 40), verdictText(e.Verdict, p))
		t := table{limits: []int{20, 9, 8, 0}}
		for _, v := range e.Votes {
			why := v.Why
			if why == "" {
				why = "no reason given"
			}
			if d := v.Distance(); d > 0 {
				why = fmt.Sprintf("round trip %s; %s", d, why)
			}
			t.add(string(v.Vantage), v.Health.String(), short(v.Age), why)
		}
		for _, name := range silent(e) {
			t.add(string(name), "-", "-", "no vote that counts")
		}
		t.write(w, "      ")
	}
}

// silent are the vantages that the verdict misses and that have no vote shown.
func silent(e api.Endpoint) []regions.Name {
	var list []regions.Name
	for _, name := range e.Verdict.Missing {
		voted := false
		for _, v := range e.Votes {
			voted = voted || v.Vantage == name
		}
		if !voted {
			list = append(list, name)
		}
	}
	return list
}

func verdictText(v regions.Verdict, p paint) string {
	all := len(v.For) + len(v.Against) + len(v.Missing)
	text := fmt.Sprintf("%s: %d of %d for it, %d against, %d missing, %d needed",
		strings.ToUpper(v.Health.String()), len(v.For), all, len(v.Against), len(v.Missing), v.Need)
	switch v.Health {
	case checks.Up:
		return p.good(text)
	case checks.Down:
		return p.bad(text)
	}
	return p.warn(text)
}

// budget writes a worst case term by term; terms of nothing are left out.
func budget(w io.Writer, b steering.Budget, indent string) {
	t := table{limits: []int{20, 10, 0}}
	for _, term := range b.Terms {
		if term.Took > 0 {
			t.add(term.Name, term.Took.String(), term.How)
		}
	}
	limit := "no rto: is set"
	switch {
	case b.Limit > 0 && b.Holds():
		limit = fmt.Sprintf("within rto: %s", b.Limit)
	case b.Limit > 0:
		limit = fmt.Sprintf("OVER rto: %s", b.Limit)
	}
	t.add("total", b.Total.String(), limit)
	t.write(w, indent)
}
