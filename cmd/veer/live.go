package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers"
)

// writeLive writes what the zones answered.
func writeLive(w io.Writer, zones []daemon.LiveZone, p paint) {
	for _, z := range zones {
		fmt.Fprintf(w, "\n%s\n", p.bold(elide(fmt.Sprintf("%s at %s (%s)", shown(z.Zone), z.Provider, z.Kind), width)))
		if z.Read {
			para(w, "  read      ", fmt.Sprintf("ok in %s; %s", short(z.ReadTook), fenceText(z.Fence)))
		} else {
			para(w, "  read      ", "FAILED: "+z.Error)
		}
		switch {
		case z.Proven && z.ProofTook > 0:
			para(w, "  proof     ", fmt.Sprintf("ok in %s: the zone refuses a stale write", short(z.ProofTook)))
		case z.Unproven:
			para(w, "  proof     ", "REFUSED: "+z.Error)
		case z.Read && !z.Proven:
			para(w, "  proof     ", "FAILED: "+z.Error)
		}
		para(w, "  can       ", capsText(z.Can))
		writeNames(w, z)
	}
}

func fenceText(fence string) string {
	if fence == "" {
		return "no write of this owner yet"
	}
	return "last write " + fence
}

func capsText(c daemon.LiveCaps) string {
	parts := []string{"plain answers"}
	if c.Weights {
		parts = append(parts, "weights")
	}
	if c.Alias {
		parts = append(parts, "aliases")
	}
	text := fmt.Sprintf("%s; TTL %d to %d s", strings.Join(parts, ", "), c.MinTTL, c.MaxTTL)
	if c.BatchRecords > 0 {
		text += fmt.Sprintf("; %d records a request", c.BatchRecords)
	}
	return text
}

// writeNames counts the services' names, and tells those that would be refused.
func writeNames(w io.Writer, z daemon.LiveZone) {
	if !z.Read {
		return
	}
	count := map[string]int{}
	for _, n := range z.Names {
		count[n.State]++
	}
	para(w, "  names     ", fmt.Sprintf("%d owned, %d free, %d foreign, %d of other owners",
		count[daemon.NameOwned], count[daemon.NameFree], count[daemon.NameForeign], count[daemon.NameOther]))
	for _, n := range z.Names {
		switch n.State {
		case daemon.NameForeign:
			para(w, "  foreign   ", fmt.Sprintf("%s has records that Veer does not own (%s): veer import %s takes them over",
				shown(n.Name), recordsText(n.Records), shown(n.Name)))
		case daemon.NameOther:
			para(w, "  foreign   ", fmt.Sprintf("%s belongs to %s", shown(n.Name), n.Owner))
		}
	}
	for _, name := range z.Held {
		para(w, "  held      ", shown(name)+" is owned, and no service has it here: veer apply --prune deletes it")
	}
}

func recordsText(sets []providers.RRSet) string {
	var parts []string
	for _, s := range sets {
		parts = append(parts, s.Type+" "+strings.Join(s.Data, " "))
	}
	return strings.Join(parts, ", ")
}
