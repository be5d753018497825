package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/controller"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether all is well, and who serves what",
		Long: `Status asks the local daemon for everything at a glance: who leads, which
vantages vote, what each service answers, which orders are in force, and how
many queries this daemon's DNS servers answer, by zone and rcode and by service
and region: a second, over the last 5 to 10 s, and since the start.

It exits with 0 when all is well and with 4 when there is any warning. -o json
prints {version, owner, region, roles, uptime, config, leader, vantages,
services, orders, apart, zones, warnings, prober, traffic}; with --watch, one
such object a line.`,
		Example: "  veer status\n  veer status --watch\n  veer status -o json | jq -r '.services[].name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.daemon()
			if err != nil {
				return err
			}
			if watch {
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
				defer stop()
				ticker := time.NewTicker(2 * time.Second)
				defer ticker.Stop()
				return a.watch(ctx, client, ticker.C)
			}
			return a.status(cmd.Context(), client)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "redraw every 2 s until interrupted")
	return cmd
}

func (a *app) status(ctx context.Context, client daemonClient) error {
	st, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if err := a.print(st, func(w io.Writer) { writeStatus(w, st, a.now(), paint{a.plain}) }); err != nil {
		return err
	}
	if len(st.Warnings) > 0 {
		return quiet(exitDegraded, "degraded")
	}
	return nil
}

// watch draws the status at every tick until ctx ends. An error is drawn too:
// the daemon may come back.
func (a *app) watch(ctx context.Context, client daemonClient, tick <-chan time.Time) error {
	for {
		st, err := client.Status(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := a.draw(st, err); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

func (a *app) draw(st api.Status, err error) error {
	var page bytes.Buffer
	switch {
	case err != nil:
		a.report(err)
		return nil
	case a.output == "json":
		if err := json.NewEncoder(&page).Encode(st); err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
	default:
		if !a.plain {
			page.WriteString("\x1b[H\x1b[2J") // home, clear
		}
		writeStatus(&page, st, a.now(), paint{a.plain})
		if a.plain {
			page.WriteByte('\n')
		}
	}
	_, err = a.out.Write(page.Bytes())
	return err
}

// writeStatus writes the page of `veer status`, at most 80 columns wide.
func writeStatus(w io.Writer, st api.Status, now time.Time, p paint) {
	headline(w, st, p)
	fmt.Fprintln(w)
	config := ""
	if st.Config != "" {
		config = "config " + st.Config + ", "
	}
	para(w, "daemon    ", fmt.Sprintf("%s in %s, owner %s, roles %s, %sup %s", st.Version, st.Region, st.Owner, names(st.Roles), config, short(st.Uptime)))
	para(w, "leader    ", leaderText(st.Leader))
	vantages(w, st.Voters, p)
	if len(st.Serves) > 0 {
		fmt.Fprintln(w)
		services(w, st.Serves, p)
	}
	if len(st.Zones) > 0 {
		fmt.Fprintln(w)
		zones(w, st.Zones, p)
	}
	if shown := busy(st.Traffic); len(shown) > 0 {
		fmt.Fprintln(w)
		traffic(w, shown, p)
	}
	if len(st.Orders) > 0 {
		fmt.Fprintln(w)
		orders(w, st.Orders, now)
	}
	if len(st.Warnings) > 0 {
		fmt.Fprintln(w)
		fmt.Fprintln(w, p.bold("WARNINGS"))
		for _, text := range st.Warnings {
			para(w, "- ", text)
		}
	}
}

func headline(w io.Writer, st api.Status, p paint) {
	if len(st.Warnings) == 0 {
		fresh := 0
		for _, v := range st.Voters {
			if v.Fresh && !v.Suspect {
				fresh++
			}
		}
		fmt.Fprintf(w, "%s  %s, %d of %s fresh\n", p.good("OK"), count(len(st.Serves), "service"), fresh, count(len(st.Voters), "vantage"))
		return
	}
	more := ""
	if n := len(st.Warnings) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	const label = "DEGRADED  "
	text := cut(clean(st.Warnings[0]), width-len(label)-len(more))
	fmt.Fprintf(w, "%s  %s%s\n", p.bad("DEGRADED"), text, more)
}

func leaderText(l api.Leader) string {
	switch {
	case l.Name == "":
		return fmt.Sprintf("none (last term %d): answers stay as they are", l.Term)
	case l.Itself:
		return fmt.Sprintf("%s (this daemon), term %d", l.Name, l.Term)
	}
	return fmt.Sprintf("%s, term %d", l.Name, l.Term)
}

func vantages(w io.Writer, list []api.Vantage, p paint) {
	t := table{limits: []int{10, 30, 8, 0}}
	t.mark = func(_, column int, cell string) string {
		if column != 2 {
			return cell
		}
		if strings.HasPrefix(cell, "fresh") {
			return p.good(cell)
		}
		return p.bad(cell)
	}
	for i, v := range list {
		label := ""
		if i == 0 {
			label = "vantages"
		}
		state := "STALE"
		text := "no fresh vote"
		if v.Fresh {
			state = "fresh"
			text = fmt.Sprintf("%s, %d down", count(v.Votes, "vote"), v.Down)
		}
		if v.Suspect {
			state = "SUSPECT"
		}
		if v.Why != "" {
			text += ": " + v.Why
		}
		t.add(label, string(v.Name), state, text)
	}
	t.write(w, "")
}

// services writes a row for each service, its pools below it.
func services(w io.Writer, list []api.Service, p paint) {
	t := table{limits: []int{34, 10, 18, 6, 0}}
	t.add("SERVICE", "POLICY", "SERVING", "TTL", "SINCE")
	t.mark = func(row, column int, cell string) string {
		switch {
		case row == 0:
			return p.bold(cell)
		case column == 2 && list[row-1].AllDown:
			return p.bad(cell)
		}
		return cell
	}
	t.below = func(w io.Writer, row int) {
		if row > 0 {
			for _, line := range wrap(poolsText(list[row-1].Pools), width-2) {
				fmt.Fprintln(w, "  "+line)
			}
		}
	}
	for _, s := range list {
		serving := names(s.Serving)
		if s.AllDown {
			serving = "ALL DOWN"
		}
		t.add(shown(s.Name), string(s.Kind), serving, fmt.Sprintf("%ds", s.TTL), short(s.Since))
	}
	t.write(w, "")
}

func poolsText(pools []api.Pool) string {
	parts := make([]string, len(pools))
	for i, pool := range pools {
		health := pool.Health.String()
		if pool.Health != checks.Up {
			health = strings.ToUpper(health)
		}
		parts[i] = fmt.Sprintf("%s %s %d/%d", pool.Region, health, pool.Up, pool.Total)
		if pool.Hold > 0 {
			parts[i] += " hold " + short(pool.Hold)
		}
		parts[i] = strings.ReplaceAll(parts[i], " ", nbsp)
	}
	return strings.Join(parts, ", ")
}

// zones writes a row for each zone of a written provider.
func zones(w io.Writer, list []controller.ZoneState, p paint) {
	t := table{limits: []int{34, 16, 10, 8, 0}}
	t.add("ZONE", "PROVIDER", "STATE", "SINCE", "WRITTEN")
	t.mark = func(row, column int, cell string) string {
		switch {
		case row == 0:
			return p.bold(cell)
		case column == 2 && list[row-1].State == controller.ZoneOK:
			return p.good(cell)
		case column == 2:
			return p.bad(cell)
		}
		return cell
	}
	for _, z := range list {
		t.add(shown(z.Zone), z.Provider, string(z.State), short(z.Since), writtenText(z))
	}
	t.write(w, "")
}

// writtenText says when a zone was written, and how fast its changes spread.
func writtenText(z controller.ZoneState) string {
	if z.Written == 0 {
		return "not in this term"
	}
	text := fmt.Sprintf("%s ago, %s", short(z.Written), count(z.Calls, "call"))
	if z.Propagation > 0 {
		text += ", spread in " + short(z.Propagation)
	}
	return text
}

func orders(w io.Writer, list []controller.Order, now time.Time) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y controller.Order) int { return cmp.Compare(x.ID, y.ID) })
	t := table{limits: []int{8, 30, 8, 0}}
	t.add("ORDER", "TARGET", "LEFT", "BY AND WHY")
	for _, o := range list {
		t.add(string(o.Act), targetText(o.Target), leftText(o, now), o.By+": "+o.Why)
	}
	t.write(w, "")
}

// leftText is how long an order still holds.
func leftText(o controller.Order, now time.Time) string {
	switch {
	case !o.Until.IsZero():
		return short(o.Until.Sub(now))
	case o.Left > 0:
		return short(o.Left)
	}
	return "forever"
}
