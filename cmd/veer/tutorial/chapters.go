package tutorial

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/steering"
)

func chapters() []chapter {
	return []chapter{healthyStart(), endpointDies(), regionLost(), forTheAuditor(), canary(), lyingCheck(), maintenance(), frozen(), fenced()}
}

func healthyStart() chapter {
	return chapter{name: "start", title: "A healthy start", begins: "eu-west", steps: []step{
		look("Look before you touch anything. On any host that has Veer, this is the first command at 3 a.m.:", "veer status", "veer", "status"),
		look("That is what Veer says. What users are told is another question; ask the name server:", "veer query "+app, "veer", "query"),
		{
			text:   says("Each region has addresses of its own: eu-west 127.0.0.11 and .21, us-east 127.0.0.12 and .22, ap-south 127.0.0.13. Which region serves " + app + " now? Type its name."),
			do:     types("eu-west"),
			answer: func(_ *game, st api.Status) string { return servingOf(st) },
			after:  says("All traffic goes to the first pool of the list that is up. The others stand by."),
		},
	}}
}

func servingOf(st api.Status) string {
	for _, s := range st.Serves {
		if strings.TrimSuffix(s.Name, ".") == app && len(s.Serving) == 1 {
			return string(s.Serving[0])
		}
	}
	return ""
}

func endpointDies() chapter {
	return chapter{name: "endpoint", title: "One endpoint dies", begins: "eu-west", steps: []step{
		{
			text:  says("Break something small. One of the two web servers of eu-west goes:\n  down 127.0.0.21"),
			do:    types("down 127.0.0.21"),
			tried: inMode(down, "127.0.0.21"),
			done:  func(g *game, _ api.Status) bool { return answer(g.app) == "127.0.0.11" },
			after: measured("one endpoint died", app, "It is left out, and the region goes on with the other.", false),
		},
		look("Read what the vantages say of it:", "veer explain "+app, "veer", "explain"),
		{
			text:   says("All three vantages probed it. How many of them had to call it down before that counted? Look at \"needed\"."),
			do:     func(g *game) []string { return []string{strconv.Itoa(g.needed())} },
			answer: func(g *game, _ api.Status) string { return strconv.Itoa(g.needed()) },
			after:  says("One vantage alone moves nothing: it may be the one with the bad link."),
		},
		{
			text:  says("Repair it:\n  fix 127.0.0.21"),
			do:    types("fix 127.0.0.21"),
			tried: inMode(well, "127.0.0.21"),
			done:  serves("eu-west", app),
			after: measured("the endpoint is back in the answer", app, "Leaving is quick, returning is careful: it had to pass two probes, and to stay up for rejoin: 1s.", false),
		},
	}}
}

// needed is how many vantages have to agree.
func (g *game) needed() int { return len(places())/2 + 1 }

func regionLost() chapter {
	return chapter{name: "region", title: "A region is lost", begins: "eu-west", steps: []step{
		{
			text: says("Now the big one. The power fails in eu-west: its web servers, its Veer, its vote, and its member of the cluster are gone at once. If it led, the others elect first.\n  lose eu-west"),
			do:   types("lose eu-west"),
			tried: func(g *game, _ api.Status) string {
				if g.scene.veers["eu-west"] != nil {
					return "eu-west still has power"
				}
				return ""
			},
			done:  serves("us-east", app, beta),
			after: measured("a region was lost with all that is in it", app, "Users are in us-east.", true),
		},
		look("Read the state. It exits with 4, degraded, so that a script sees it, too:", "veer status", "veer", "status"),
		{
			text:  says("The power is back. Start everything in eu-west again:\n  fix eu-west"),
			do:    types("fix eu-west"),
			tried: mended,
			done:  all((*game).calm, serves("us-east", app, beta)),
			after: says("eu-west is well again, and votes. Users stay in us-east: failback is manual here, so somebody looks first."),
		},
	}}
}

func forTheAuditor() chapter {
	return chapter{name: "audit", title: "Explain it to the auditor", begins: "us-east", steps: []step{
		look("\"Why were users moved, when, and by whom?\" The journal has every decision with all its inputs; this lists those that moved an answer:", "veer journal "+app, "veer", "journal"),
		{
			text: func(g *game) string {
				return "\"And what was known at that moment?\" Ask for the moment of the last move:\n  " + g.explainAt()
			},
			do:    func(g *game) []string { return []string{g.explainAt()} },
			tried: func(g *game, _ api.Status) string { return g.explained() },
		},
		{
			text:   says("Which region had users left when that was over? Type its name."),
			do:     types("eu-west"),
			answer: func(*game, api.Status) string { return "eu-west" },
		},
		{
			text:  says("\"Would the same version decide the same again?\" The inputs are in the journal, so it can be asked:\n  veer journal --replay"),
			do:    types("veer journal --replay"),
			tried: ranCommand("veer", "journal", "--replay"),
			after: says("Decided again, alike: the decision follows from the inputs, and from nothing else."),
		},
	}}
}

// explainAt is the command that explains the last move.
func (g *game) explainAt() string {
	if g.memory.moved == "" {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if entries, err := g.scene.client.Journal(ctx, app, 1, true); err == nil && len(entries) > 0 {
			g.memory.moved = entries[0].Time
		}
	}
	return "veer explain " + app + " --at " + g.memory.moved
}

func (g *game) explained() string {
	for _, c := range g.ran {
		if len(c.words) > 1 && c.words[1] == "explain" && c.exit == 0 && slices.ContainsFunc(c.words, func(w string) bool { return strings.HasPrefix(w, "--at") }) {
			return ""
		}
	}
	return "veer explain with --at is to be run"
}

func canary() chapter {
	small := steering.Target{Service: beta + ".", Region: "eu-west"}
	return chapter{name: "canary", title: "Failback as a canary, and its abort", begins: "us-east",
		prepare: func(g *game) error { return g.scene.become("eu-west", spoiled) },
		steps: []step{
			{
				ready: isUp("eu-west"),
				text:  says("eu-west is up, says every check. Nobody sends all users to a region that was just repaired: " + beta + " is a small service of the same servers. It goes first.\n  veer failback " + beta + "/eu-west --reason \"canary\" --for 10m"),
				do:    types("veer failback " + beta + "/eu-west --reason \"canary\" --for 10m --yes"),
				tried: ordered(steering.FailbackAct, small),
				done:  all(serves("eu-west", beta), serves("us-east", app)),
				after: measured("an order moved the canary", beta, app+" is where it was.", false),
			},
			{
				text:  says("Now look with a user's eyes:\n  fetch " + beta),
				do:    types("fetch " + beta),
				tried: ranCommand("fetch", beta),
				after: says("The health check is well, and the pages are broken: a check sees what it asks for, and no more."),
			},
			{
				text:  says("Abort. Take the canary out of eu-west:\n  veer drain " + beta + "/eu-west --reason \"canary sees errors\" --for 1h"),
				do:    types("veer drain " + beta + "/eu-west --reason \"canary sees errors\" --for 1h --yes"),
				tried: ordered(steering.Drain, small),
				done:  serves("us-east", app, beta),
				after: measured("an order took the canary back", beta, "The users of "+app+" never saw it.", false),
			},
			{
				text:  says("The release is rolled back. Then let the canary in again; the order to fail back still holds:\n  fix eu-west\n  veer undrain " + beta + "/eu-west --reason \"release rolled back\""),
				do:    types("fix eu-west", "veer undrain "+beta+"/eu-west --reason \"release rolled back\" --yes"),
				tried: bothOf(mended, notOrdered(steering.Drain, small)),
				done:  all(serves("eu-west", beta), serves("us-east", app)),
			},
			{
				ready: isUp("eu-west"),
				text:  says("Look at it as a user again (fetch " + beta + "), and when it is well, bring everybody home:\n  veer failback " + app + "/eu-west --reason \"canary is well\" --for 10m"),
				do:    types("fetch "+beta, "veer failback "+app+"/eu-west --reason \"canary is well\" --for 10m --yes"),
				tried: ordered(steering.FailbackAct, steering.Target{Service: app + ".", Region: "eu-west"}),
				done:  serves("eu-west", app, beta),
				after: measured("traffic went home by an order", app, "", false),
			},
		}}
}

func bothOf(a, b func(*game, api.Status) string) func(*game, api.Status) string {
	return func(g *game, st api.Status) string {
		if missing := a(g, st); missing != "" {
			return missing
		}
		return b(g, st)
	}
}

func lyingCheck() chapter {
	return chapter{name: "lies", title: "Checks that lie, and silence", begins: "eu-west", steps: []step{
		{
			text: says("A firewall in ap-south goes wrong: every probe of its Veer fails, while users are well.\n  blind ap-south"),
			do:   types("blind ap-south"),
			tried: func(g *game, _ api.Status) string {
				if !g.scene.blinded["ap-south"] {
					return "ap-south is to be blinded"
				}
				return ""
			},
			done: func(g *game, st api.Status) bool {
				for _, v := range st.Voters {
					if v.Name == "ap-south" {
						return (v.Suspect || v.Down == len(g.scene.webs)) && serves("eu-west", app)(g, st)
					}
				}
				return false
			},
			after: says("Its probes say that the whole world is down, and nothing moves: it is one of three, and where the two others see what it does not, it doubts itself."),
		},
		look("See how it is told:", "veer status", "veer", "status"),
		{
			text:  says("Mend the firewall:\n  fix ap-south"),
			do:    types("fix ap-south"),
			tried: mended,
			done:  all((*game).calm, serves("eu-west", app, beta)),
		},
		{
			text: says("Worse: somebody deploys a health check that asks a database, everywhere, and the database is gone. Pages are served as ever, and every vantage sees every endpoint down.\n  lie all"),
			do:   types("lie all"),
			tried: func(g *game, _ api.Status) string {
				for _, w := range g.scene.webs {
					if w.mode() != lying {
						return "not every health check lies"
					}
				}
				return ""
			},
			done: func(_ *game, st api.Status) bool {
				return !slices.ContainsFunc(st.Serves, func(s api.Service) bool { return !s.AllDown })
			},
			after: says("All down, in the eyes of all. The answer is not empty: it stays the last one that had an endpoint which was up (all_down: last_good). Traffic may have moved between the first check that failed and the last; from 10 endpoints on, panic: holds it before that."),
		},
		{
			text:  says("Fetch a page, to see that users are well (fetch " + app + "). Then roll the check back:\n  fix all"),
			do:    types("fetch "+app, "fix all"),
			tried: mended,
			done:  (*game).calm,
		},
		{
			text: says("Silence next. Two of three regions say nothing, neither up nor down:\n  pause us-east\n  pause ap-south"),
			do:   types("pause us-east", "pause ap-south"),
			tried: func(g *game, _ api.Status) string {
				if !g.scene.paused["us-east"] || !g.scene.paused["ap-south"] {
					return "us-east and ap-south are to be paused"
				}
				return ""
			},
			done:  func(_ *game, st api.Status) bool { return fresh(st) < 2 && st.Leader.Name == "" },
			after: says("Nobody has a majority, so nobody decides. Unknown is not down: answers stay, and the name server goes on with the last ones."),
		},
		look("See that users are still answered:", "veer query "+app, "veer", "query"),
		{
			text:  says("Let them go on:\n  fix all"),
			do:    types("fix all"),
			tried: mended,
			done:  (*game).calm,
			after: says("The votes are fresh again, somebody leads, and nothing moved."),
		},
	}}
}

func fresh(st api.Status) int {
	n := 0
	for _, v := range st.Voters {
		if v.Fresh {
			n++
		}
	}
	return n
}

func maintenance() chapter {
	west := steering.Target{Region: "eu-west"}
	return chapter{name: "drain", title: "Drain for maintenance", begins: "eu-west", steps: []step{
		{
			text:  says("All hosts of eu-west get a new kernel. Take the region out yourself, with a reason for colleagues and an end that nobody can forget:\n  veer drain eu-west --reason \"kernel upgrade\" --for 30m"),
			do:    types("veer drain eu-west --reason \"kernel upgrade\" --for 30m --yes"),
			tried: ordered(steering.Drain, west),
			done:  serves("us-east", app, beta),
			after: measured("a drain moved all traffic", app, "It was in force when the command returned.", false),
		},
		{
			text: says("Now be careless. Drain the whole service:\n  veer drain " + app + " --reason \"all at once\" --for 30m"),
			do:   types("veer drain " + app + " --reason \"all at once\" --for 30m --yes"),
			tried: func(g *game, _ api.Status) string {
				if slices.ContainsFunc(g.ran, func(c command) bool { return len(c.words) > 1 && c.words[1] == "drain" && c.exit == 3 }) {
					return ""
				}
				return "the drain of a whole service is to be refused, with exit code 3"
			},
			after: says("Refused, with exit code 3: it would leave no answer, and no answer of Veer is ever empty."),
		},
		{
			text:  says("The upgrade is done. End the drain:\n  veer undrain eu-west --reason \"upgrade done\""),
			do:    types("veer undrain eu-west --reason \"upgrade done\" --yes"),
			tried: notOrdered(steering.Drain, west),
		},
		{
			ready: isUp("eu-west"),
			text:  says("Failback is manual here, so traffic waits for your word:\n  veer failback eu-west --reason \"upgrade done\" --for 10m"),
			do:    types("veer failback eu-west --reason \"upgrade done\" --for 10m --yes"),
			tried: ordered(steering.FailbackAct, west),
			done:  serves("eu-west", app, beta),
			after: says("Home. veer journal --orders lists who ordered what, and why."),
		},
	}}
}

func frozen() chapter {
	still := steering.Target{Service: app + "."}
	return chapter{name: "freeze", title: "Freeze", begins: "eu-west", steps: []step{
		{
			text:  says("A release night: whatever the checks say, " + app + " is to stay where it is.\n  veer freeze " + app + " --reason \"release night\" --for 1h"),
			do:    types("veer freeze " + app + " --reason \"release night\" --for 1h --yes"),
			tried: ordered(steering.Freeze, still),
		},
		{
			text:  says("Take the web servers of eu-west down, as a release may:\n  down eu-west"),
			do:    types("down eu-west"),
			tried: inMode(down, "127.0.0.11", "127.0.0.21"),
			done:  all(poolIs("eu-west", checks.Down), serves("us-east", beta), serves("eu-west", app)),
			after: says(beta + " has left. " + app + " is frozen, and its users see a dead region: a freeze wins over everything, also over what you would have wished."),
		},
		{
			text:  says("Somebody is on the phone. End the freeze:\n  veer unfreeze " + app + " --reason \"it really is down\""),
			do:    types("veer unfreeze " + app + " --reason \"it really is down\" --yes"),
			tried: notOrdered(steering.Freeze, still),
			done:  serves("us-east", app, beta),
			after: measured("an unfreeze let traffic go", app, "What is down is left at once; no hold delays the way out.", false),
		},
	}}
}

func fenced() chapter {
	return chapter{name: "fence", title: "A stale controller is fenced", begins: "eu-west", steps: []step{
		{
			text: says("One of the three Veers leads: it alone decides. Freeze it, as a virtual machine that is moved; it does not notice that time goes on.\n  pause leader"),
			do:   types("pause leader"),
			tried: func(g *game, _ api.Status) string {
				if !g.scene.paused[g.memory.leader.Name] {
					return "the Veer that leads is to be paused"
				}
				return ""
			},
			done: func(g *game, st api.Status) bool {
				return st.Leader.Name != "" && st.Leader.Name != g.memory.leader.Name && st.Leader.Term > g.memory.leader.Term
			},
			after: func(g *game) string {
				took := g.measure("another controller leads", time.Since(g.acted), 0)
				return fmt.Sprintf("%s led in term %d. Another one leads %s later, in a term of its own.", g.memory.leader.Name, g.memory.leader.Term, took)
			},
		},
		look("See who:", "veer status", "veer", "status"),
		{
			text:   says("Which region leads now? Type its name."),
			do:     func(g *game) []string { return []string{g.leads()} },
			answer: func(_ *game, st api.Status) string { return st.Leader.Name },
		},
		{
			text:  says("Now the old one goes on, and believes that it leads. Everything that it writes carries its old term.\n  fix all"),
			do:    types("fix all"),
			tried: mended,
			done: func(g *game, st api.Status) bool {
				_, ended := g.logged(g.memory.leader.Name, "leading no more", g.memory.leader.Term)
				return ended && g.calm(st) && g.wroteNothing()
			},
			after: func(g *game) string {
				why, _ := g.logged(g.memory.leader.Name, "leading no more", g.memory.leader.Term)
				return fmt.Sprintf("Its log says: %s. The journal has no decision of that term since it was paused: each write holds only while its term does.",
					strings.TrimSuffix(fmt.Sprintf("leading no more, term %d: %s", g.memory.leader.Term, why), ": "))
			},
		},
	}}
}

// wroteNothing: the journal has no decision of the paused leader's term since
// it was paused. All clocks here are this machine's.
func (g *game) wroteNothing() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	entries, err := g.scene.client.Journal(ctx, "", 0, false)
	return err == nil && !slices.ContainsFunc(entries, func(e steering.Entry) bool {
		at, err := time.Parse(time.RFC3339, e.Time)
		return e.Term <= g.memory.leader.Term && (err != nil || at.After(g.memory.paused))
	})
}

// leads says who leads, once somebody does.
func (g *game) leads() (name string) {
	if err := g.await(context.Background(), "somebody to lead", func(st api.Status) bool {
		name = st.Leader.Name
		return name != ""
	}); err != nil {
		return err.Error()
	}
	return name
}
