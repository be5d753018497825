package config

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
)

// three is a config of three regions with a member and a pool in two each.
func three() *Config {
	c := &Config{
		Regions:  []regions.Name{"a", "b", "c"},
		Vantages: []regions.Name{"a", "b", "c"},
		Monitors: map[string]Monitor{"web": {}},
		Services: []Service{{
			Name: "app.example.test.", Monitor: "web", Quorum: Quorum{"majority", 2},
			Pools: []Pool{{Region: "a", Endpoints: []string{"192.0.2.1"}}, {Region: "b", Endpoints: []string{"192.0.2.2"}}},
		}},
	}
	c.shared = cluster.Config{Members: map[string]cluster.Member{"a": {}, "b": {}, "c": {}}}
	return c
}

func TestRegionLoss(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		holds  string // the regions whose loss holds
		why    string // of the first that does not
	}{
		{"three of everything", func(*Config) {}, "a b c", ""},
		{"two vantages and no witness", func(c *Config) { c.Vantages = c.Vantages[:2] }, "c", "1 vantage is left, and the quorum needs 2 votes: add a vantage elsewhere (a witness)"},
		{"min_voters of three", func(c *Config) { c.Services[0].Quorum.MinVoters = 3 }, "", "2 vantages are left, and min_voters is 3: add a vantage elsewhere (a witness)"},
		{"one etcd member somewhere", func(c *Config) { c.shared.Members = nil }, "", "the only etcd member is lost with it, so that nothing decides until it is back: list three under cluster.members"},
		{"one etcd member here", func(c *Config) { c.shared.Members, c.Host.Region = nil, "c" }, "a b", "the only etcd member is lost with it, so that nothing decides until it is back: list three under cluster.members"},
		{"one member listed", func(c *Config) { c.shared.Members = map[string]cluster.Member{"a": {}} }, "b c", "the only etcd member is lost with it, so that nothing decides until it is back: list three under cluster.members"},
		{"etcd elsewhere", func(c *Config) {
			c.shared = cluster.Config{Endpoints: []string{"https://etcd:2379"}}
		}, "a b c", ""},
		{"one pool", func(c *Config) { c.Services[0].Pools = c.Services[0].Pools[:1] }, "b c", "all of its endpoints are there: add a pool in another region"},
		{"the same address twice", func(c *Config) { c.Services[0].Pools[1].Endpoints = []string{"192.0.2.1"} }, "c", "every other pool has the same addresses as the pool there"},
		{"over budget", func(c *Config) { c.Services[0].RTO = 1 }, "", "the worst case 12.7s is over rto 1ns"},
	} {
		c := three()
		tt.change(c)
		var holds []string
		why := ""
		for _, loss := range c.RegionLoss() {
			switch {
			case loss.Holds:
				holds = append(holds, string(loss.Region))
			case why == "":
				why = loss.Why
			}
		}
		if got := strings.Join(holds, " "); got != tt.holds || why != tt.why {
			t.Errorf("%s: holds for %q, else %q; expected %q and %q", tt.name, got, why, tt.holds, tt.why)
		}
	}
}

// TestRegionLossByVote compares the arithmetic with what Tally says when every
// vantage that is left votes down, and etcd's majority with a count.
func TestRegionLossByVote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []regions.Name{"a", "b", "c", "d", "e"}
		c := three()
		c.Regions = all
		c.Vantages = rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 5, rapid.ID).Draw(t, "vantages")
		n := len(c.Vantages)
		c.Services[0].Quorum = Quorum{
			Need:      rapid.SampledFrom([]string{"majority", "all", "any", "34%", "100%"}).Draw(t, "need"),
			MinVoters: rapid.IntRange(1, n).Draw(t, "min_voters"),
		}
		members := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 5, rapid.ID).Draw(t, "members")
		c.shared.Members = map[string]cluster.Member{}
		for _, m := range members {
			c.shared.Members[string(m)] = cluster.Member{}
		}
		for _, loss := range c.RegionLoss() {
			q, _ := c.quorum(c.Services[0])
			var votes []regions.Vote
			for _, v := range c.Vantages {
				if v != loss.Region {
					votes = append(votes, regions.Vote{Vantage: v, Endpoint: "x", Health: checks.Down})
				}
			}
			decides := q.Tally("x", votes).Health == checks.Down
			left := len(members)
			if slices.Contains(members, loss.Region) {
				left--
			}
			if want := decides && left*2 > len(members); loss.Holds != want {
				t.Fatalf("loss of %s: holds %v, expected %v: %s", loss.Region, loss.Holds, want, loss.Why)
			}
		}
	})
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(*Config)
	}{
		{"none", "", func(*Config) {}},
		{"minority decides", "quorum.need is 1 of 3 vantages, not more than half: two parts of a split network may decide differently: app.example.test.", func(c *Config) {
			c.Services[0].Quorum = Quorum{"any", 1}
		}},
		{"no room", "without a the other pools can carry 50 of a demand of 90: there is no room for all of it: app.example.test.", func(c *Config) {
			s := &c.Services[0]
			s.Demand, s.Policy, s.Pools[0].Capacity, s.Pools[1].Capacity = 90, "failover", 100, 50
		}},
		{"IPv6 in one region", "there is no IPv6 address in b, so that the name has none while traffic is there: app.example.test.", func(c *Config) {
			c.Services[0].Pools[0].Endpoints = []string{"192.0.2.1", "2001:db8::1"}
		}},
		{"an address in two regions", "no traffic moves by itself when b is lost (every other pool has the same addresses as the pool there): app.example.test.\n192.0.2.1 is an endpoint in several regions (a, b): losing one of them does not move its traffic", func(c *Config) {
			c.Services[0].Pools[1].Endpoints = []string{"192.0.2.2", "192.0.2.1"}
		}},
		{"two services, one sentence", "no traffic moves by itself when a is lost (all of its endpoints are there: add a pool in another region): app.example.test., www.example.test.", func(c *Config) {
			c.Services[0].Pools = c.Services[0].Pools[:1]
			second := c.Services[0]
			second.Name = "www.example.test."
			c.Services = append(c.Services, second)
		}},
	} {
		c := three()
		tt.change(c)
		if got := strings.Join(c.Warnings(), "\n"); got != tt.want {
			t.Errorf("%s:\n%s\nexpected\n%s", tt.name, got, tt.want)
		}
	}
}
