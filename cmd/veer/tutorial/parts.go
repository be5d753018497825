package tutorial

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// The parts of which steps are made.

func says(text string) func(*game) string { return func(*game) string { return text } }

func types(lines ...string) func(*game) []string { return func(*game) []string { return lines } }

// look is a step that is over when a command was run.
func look(text, line string, words ...string) step {
	return step{text: says(text + "\n  " + line), do: types(line), tried: ranCommand(words...)}
}

// ranCommand: a command that begins with these words was run, and said how
// things are: exit code 4 is that they are not well.
func ranCommand(words ...string) func(*game, api.Status) string {
	return func(g *game, _ api.Status) string {
		for _, c := range g.ran {
			if len(c.words) >= len(words) && slices.Equal(c.words[:len(words)], words) && (c.exit == 0 || c.exit == 4) {
				return ""
			}
		}
		return strings.Join(words, " ") + " is to be run"
	}
}

// inMode: the web servers of a target behave so.
func inMode(m mode, addresses ...string) func(*game, api.Status) string {
	return func(g *game, _ api.Status) string {
		for _, a := range addresses {
			if g.scene.webs[a].mode() != m {
				return "the web server on " + a + " is still " + string(g.scene.webs[a].mode()) + ", and is to be " + string(m)
			}
		}
		return ""
	}
}

// mended: nothing is broken.
func mended(g *game, _ api.Status) string {
	if g.scene.broken() {
		return "something is still broken; fix all mends it"
	}
	return ""
}

// ordered: there is such an order.
func ordered(act steering.Act, target steering.Target) func(*game, api.Status) string {
	return func(_ *game, st api.Status) string {
		if hasOrder(st, act, target) {
			return ""
		}
		return fmt.Sprintf("there is no order to %s %s", act, targetText(target))
	}
}

func notOrdered(act steering.Act, target steering.Target) func(*game, api.Status) string {
	return func(_ *game, st api.Status) string {
		if !hasOrder(st, act, target) {
			return ""
		}
		return fmt.Sprintf("the order to %s %s still holds", act, targetText(target))
	}
}

func hasOrder(st api.Status, act steering.Act, target steering.Target) bool {
	for _, o := range st.Orders {
		if o.Act == act && o.Target == target {
			return true
		}
	}
	return false
}

func targetText(t steering.Target) string {
	return strings.Trim(strings.TrimSuffix(t.Service, ".")+"/"+string(t.Region), "/")
}

// addressesOf are what a whole region answers, as a poller tells it.
func addressesOf(region regions.Name) string {
	p, _ := placeOf(string(region))
	return strings.Join(p.Addresses, ",")
}

// answer is what the DNS server says now.
func answer(p *lab.Poller) string {
	all, _ := p.Changes(0)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1].Answer
}

// serves: users are answered so.
func serves(region regions.Name, names ...string) func(*game, api.Status) bool {
	return func(g *game, _ api.Status) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return answer(g.poller(name)) != addressesOf(region) })
	}
}

func (g *game) poller(name string) *lab.Poller {
	if name == beta {
		return g.beta
	}
	return g.app
}

// took is the time from what was typed last to the first other answer.
func (g *game) took(name string) (time.Duration, bool) {
	all, _ := g.poller(name).Changes(0)
	for _, c := range all {
		if c.At.After(g.acted) && !g.acted.IsZero() {
			return c.At.Sub(g.acted), true
		}
	}
	return 0, false
}

// measured says how long an answer took to change, and keeps it.
func measured(what, name, text string, limited bool) func(*game) string {
	return func(g *game) string {
		took, ok := g.took(name)
		if !ok {
			return text
		}
		limit, promise := time.Duration(0), ""
		if limited {
			limit = g.limit
			promise = fmt.Sprintf(" The promise is rto: %s, and the worst case that veer validate computes %s, of which %s are the TTL, for which resolvers may keep the old answer.", g.limit, g.worst, g.ttl)
		}
		return fmt.Sprintf("The answer changed %s after it.%s %s", g.measure(what, took, limit), promise, text)
	}
}

func poolOf(st api.Status, name string, region regions.Name) api.Pool {
	for _, s := range st.Serves {
		for _, p := range s.Pools {
			if strings.TrimSuffix(s.Name, ".") == name && p.Region == region {
				return p
			}
		}
	}
	return api.Pool{}
}

// isUp: traffic may return to the region.
func isUp(region regions.Name) func(*game, api.Status) bool {
	return func(_ *game, st api.Status) bool {
		return poolOf(st, app, region).Health == checks.Up && poolOf(st, beta, region).Health == checks.Up
	}
}

// poolIs: the regions agree on it.
func poolIs(region regions.Name, h checks.Health) func(*game, api.Status) bool {
	return func(_ *game, st api.Status) bool { return poolOf(st, app, region).Health == h }
}

func all(conditions ...func(*game, api.Status) bool) func(*game, api.Status) bool {
	return func(g *game, st api.Status) bool {
		return !slices.ContainsFunc(conditions, func(ok func(*game, api.Status) bool) bool { return !ok(g, st) })
	}
}

// logged finds a message of a term in a daemon's log, and why it was written.
func (g *game) logged(host, message string, term regions.Term) (why string, ok bool) {
	f, err := os.Open(g.scene.log(host))
	if err != nil {
		return "", false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var l struct {
			Message, Why string
			Term         regions.Term
		}
		if json.Unmarshal(lines.Bytes(), &l) == nil && l.Message == message && l.Term == term {
			return l.Why, true
		}
	}
	return "", false
}
