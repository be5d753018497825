package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
)

// listOrders prints what operators did with orders.
func (a *app) listOrders(ctx context.Context, client daemonClient, limit int) error {
	notes, err := client.Notes(ctx, limit)
	if err != nil {
		return err
	}
	return a.print(nonNil(notes), func(w io.Writer) {
		for _, n := range notes {
			for _, line := range noteLines(n) {
				fmt.Fprintln(w, line)
			}
		}
		if len(notes) == 0 {
			fmt.Fprintln(w, "No order was given yet.")
		}
	})
}

// noteLines is one note: when, what, about which order; below it who and why.
func noteLines(n api.Note) []string {
	about := ""
	switch n.Act {
	case "ordered", "ended", "expired":
		about = "  an order that cannot be read"
	}
	if n.Order != nil {
		about = fmt.Sprintf("  %s %s", n.Order.Act, targetText(n.Order.Target))
	}
	head := fmt.Sprintf("%s  %s%s", n.Time.UTC().Format(time.RFC3339), n.Act, about)
	who := "    by " + n.By
	switch {
	case n.Act == "ordered" && n.Order != nil && !n.Order.Until.IsZero():
		who += " until " + n.Order.Until.UTC().Format(time.RFC3339)
	case n.Act == "ordered":
		who += " until it is ended"
	}
	if n.Why != "" {
		who += ": " + n.Why
	}
	return []string{clean(head), clean(who)}
}
