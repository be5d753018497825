package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/veerdns/veer/cmd/veer/api"
)

// busy are the lines of which anything was asked.
func busy(list []api.Traffic) []api.Traffic {
	return slices.DeleteFunc(slices.Clone(list), func(t api.Traffic) bool { return t.Queries == 0 })
}

// traffic writes who gets traffic where: a row for each zone and rcode, and for
// each service and answer.
func traffic(w io.Writer, list []api.Traffic, p paint) {
	t := table{limits: []int{34, 24, 10, 0}}
	t.add("TRAFFIC", "ANSWER", "A SECOND", "QUERIES")
	t.mark = func(row, _ int, cell string) string {
		if row == 0 {
			return p.bold(cell)
		}
		return cell
	}
	for _, one := range list {
		t.add(shown(cmp.Or(one.Service, one.Zone)), one.Answer, fmt.Sprintf("%.1f", one.PerSecond), fmt.Sprint(one.Queries))
	}
	t.write(w, "")
}
