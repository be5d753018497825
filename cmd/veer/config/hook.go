package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/prober"
	"github.com/veerdns/veer/regions/steering"
)

// Hook is somebody outside who may say how endpoints are, by requests to
// host.http.
type Hook struct {
	// Kind is alertmanager or signed.
	Kind string `yaml:"kind"`
	// Act is what comes of what it says: vote, as a vantage of the hook's name,
	// or drain.
	Act string `yaml:"act"`
	// TokenFile or TokenEnv is where the token of an alertmanager stands.
	TokenFile string `yaml:"token_file"`
	TokenEnv  string `yaml:"token_env"`
	// SecretFile or SecretEnv is where the secret of a signed hook stands.
	SecretFile string `yaml:"secret_file"`
	SecretEnv  string `yaml:"secret_env"`
	// Silence is how long what it votes counts without being repeated.
	Silence time.Duration `yaml:"silence"`
	// For is how long a drain lasts without being repeated.
	For time.Duration `yaml:"for"`
	// Services are those that a signed hook may speak of.
	Services []string `yaml:"services"`
	// Rules say what an alert means.
	Rules []HookRule `yaml:"rules"`
}

// HookRule maps an alert to what it is about.
type HookRule struct {
	// Match are the labels that an alert must have, with these values.
	Match map[string]string `yaml:"match"`
	// Service, Region and Address are what it is about; without a region or an
	// address, all of them.
	Service string       `yaml:"service"`
	Region  regions.Name `yaml:"region"`
	Address string       `yaml:"address"`
	// RegionLabel and AddressLabel are labels that tell them.
	RegionLabel  string `yaml:"region_label"`
	AddressLabel string `yaml:"address_label"`
	// Says is the health that the alert votes: down or degraded.
	Says string `yaml:"says"`
}

// The kinds of hooks, and what comes of them.
const (
	HookAlertmanager = "alertmanager"
	HookSigned       = "signed"
	HookVote         = "vote"
	HookDrain        = "drain"
)

const (
	maxHooks      = 16
	maxHookRules  = 100
	minSilence    = 10 * time.Second
	minHookDrain  = time.Minute
	maxHookDrain  = 7 * 24 * time.Hour
	maxHookLabels = 32
	// hookLook is how often a voting process looks at what a hook says.
	hookLook = time.Second
)

func (h *Hook) setDefaults() { h.Silence, h.For = 5*time.Minute, time.Hour }

func (r *HookRule) setDefaults() { r.Says = checks.Down.String() }

// toNode leaves out what has no meaning with the hook's act.
func (h Hook) toNode(e encoder) *node {
	out := e.structs(reflect.ValueOf(h))
	if h.Act == HookVote {
		out.drop("for")
		return out
	}
	out.drop("silence")
	if rules := out.get("rules"); rules != nil {
		for _, r := range rules.items {
			r.drop("says")
		}
	}
	return out
}

// Votes reports whether a vantage's votes are what a hook says.
func (c *Config) Votes(vantage regions.Name) bool {
	return c.Hooks[string(vantage)].Act == HookVote
}

// HookProbe is an endpoint on which a hook votes.
type HookProbe struct {
	Probe
	// Places are where the endpoint is, each a service, a region and an address.
	Places []steering.Target
}

// HookEndpoints lists what a voting hook may speak of, each endpoint once, in
// the config's order.
func (c *Config) HookEndpoints(name string) []HookProbe {
	h := c.Hooks[name]
	var out []HookProbe
	at := map[regions.EndpointID]int{}
	for _, s := range c.Services {
		for _, place := range s.places() {
			if !h.Concerns(place) {
				continue
			}
			id := endpointID(s.Monitor, place.Address)
			i, seen := at[id]
			if !seen {
				i, at[id] = len(out), len(out)
				m := prober.MonitorConfig{Kind: h.Kind, Interval: hookLook, Fall: 1, Rise: 1, OK: 1}.Defaults()
				out = append(out, HookProbe{Probe: Probe{Endpoint: id, Target: checks.Target{Name: string(id), Host: place.Address}, Monitor: Monitor{MonitorConfig: m}}})
			}
			out[i].Places = append(out[i].Places, place)
		}
	}
	return out
}

// Concerns reports whether a hook may speak of a place.
func (h Hook) Concerns(place steering.Target) bool {
	if h.Kind == HookSigned {
		return slices.Contains(h.Services, place.Service)
	}
	return slices.ContainsFunc(h.Rules, func(r HookRule) bool {
		return r.Service == place.Service && (r.Region == "" || r.Region == place.Region) && (r.Address == "" || r.Address == place.Address)
	})
}

// Target returns what an alert with these labels is about by the rule; ok is
// false where the rule is not about this alert. An address label may hold a port,
// as `instance` does.
func (r HookRule) Target(labels map[string]string) (t steering.Target, ok bool) {
	for name, want := range r.Match {
		if labels[name] != want {
			return t, false
		}
	}
	t = steering.Target{Service: r.Service, Region: r.Region, Address: r.Address}
	if r.RegionLabel != "" {
		t.Region = regions.Name(labels[r.RegionLabel])
	}
	if r.AddressLabel != "" {
		t.Address = hostOf(labels[r.AddressLabel])
	}
	missing := r.RegionLabel != "" && t.Region == "" || r.AddressLabel != "" && t.Address == ""
	return t, !missing
}

// hostOf is a label's address in canonical form, without a port or a scheme; ""
// where it is none.
func hostOf(text string) string {
	_, rest, schemed := strings.Cut(text, "://")
	if schemed {
		text, _, _ = strings.Cut(rest, "/")
	}
	if canon, _, problem := address(strings.Trim(text, "[]")); problem == "" {
		return canon
	}
	if i := strings.LastIndex(text, ":"); i > 0 {
		if canon, _, problem := address(strings.Trim(text[:i], "[]")); problem == "" {
			return canon
		}
	}
	return ""
}

// hooks checks the hooks, once the services are known.
func (l *loader) hooks() {
	if len(l.c.Hooks) > maxHooks {
		l.bad("hooks", fmt.Sprintf("found %d hooks", len(l.c.Hooks)), fmt.Sprintf("at most %d", maxHooks), "")
	}
	for _, name := range sortedKeys(l.c.Hooks) {
		h, path := l.c.Hooks[name], "hooks."+name
		if !isLabel(name) {
			l.bad(path, "found the name "+quote(name), labelRule, "")
		}
		if l.require(path, "kind", "alertmanager or signed") {
			l.oneOf(path+".kind", h.Kind, HookAlertmanager, HookSigned)
		}
		if l.require(path, "act", "vote or drain") {
			l.oneOf(path+".act", h.Act, HookVote, HookDrain)
		}
		l.hookSecret(h, path)
		l.hookTimes(h, path)
		l.hookVantage(name, h, path)
		switch h.Kind {
		case HookSigned:
			l.hookServices(&h, path)
		case HookAlertmanager:
			l.hookRules(&h, path)
		}
		l.c.Hooks[name] = h
	}
	if l.c.Schedule > 0 && len(l.c.Hooks) > 0 {
		l.bad("schedule", "there are hooks, which nobody hears between the passes of a scheduler", "daemons, and no schedule, or no hooks", "")
	}
}

// hookSecret wants the kind's secret, and no other.
func (l *loader) hookSecret(h Hook, path string) {
	own, other, kind := "token", "secret", HookAlertmanager
	if h.Kind == HookSigned {
		own, other, kind = other, own, HookSigned
	}
	if h.Kind != kind {
		return // reported
	}
	for _, form := range []string{"_file", "_env"} {
		if l.has(path + "." + other + form) {
			l.bad(path+"."+other+form, "a hook of kind "+h.Kind+" has no "+other, own+"_file or "+own+"_env", "")
		}
	}
	switch file, env := l.has(path+"."+own+"_file"), l.has(path+"."+own+"_env"); {
	case file && env:
		l.bad(path+"."+own+"_env", own+"_file and "+own+"_env are both set", "one of them", "")
	case !file && !env:
		l.bad(path+"."+own+"_file", "there is no "+own, own+"_file or "+own+"_env: nobody is believed without", "")
	}
}

func (l *loader) hookTimes(h Hook, path string) {
	switch h.Act {
	case HookVote:
		l.between(path+".silence", h.Silence, minSilence, maxTime)
		if l.has(path + ".for") {
			l.bad(path+".for", "a hook that votes has no for", "silence, which is how long a vote counts", "")
		}
	case HookDrain:
		l.between(path+".for", h.For, minHookDrain, maxHookDrain)
		if l.has(path + ".silence") {
			l.bad(path+".silence", "a hook that drains has no silence", "for, which is how long a drain lasts", "")
		}
	}
}

// hookVantage: a hook that votes is listed as a vantage, so that the denominator
// is what the config says, and no region has its name.
func (l *loader) hookVantage(name string, h Hook, path string) {
	listed := slices.Contains(l.c.Vantages, regions.Name(name))
	switch {
	case slices.Contains(l.c.Regions, regions.Name(name)):
		l.bad(path, quote(name)+" is a region", "another name: a region votes by its own probes", "")
	case h.Act == HookVote && !listed:
		l.bad(path+".act", "the hook votes, and "+quote(name)+" is none of the vantages", "its name among them: vantages: ["+strings.Join(append(text(l.c.Vantages), name), ", ")+"]", "")
	case h.Act == HookDrain && listed:
		l.bad(path+".act", "the hook drains, and "+quote(name)+" is a vantage, which never votes", "act: vote, or no vantage of this name", "")
	}
}

func (l *loader) hookServices(h *Hook, path string) {
	if l.has(path + ".rules") {
		l.bad(path+".rules", "a hook of kind signed has no rules", "services: it names what it speaks of", "")
	}
	if !l.require(path, "services", "the services that it may speak of, like [app.example.test]") {
		return
	}
	if len(h.Services) == 0 && l.clean(path+".services") {
		l.bad(path+".services", "found an empty list", "at least one service", "")
	}
	for i := range h.Services {
		l.hookService(&h.Services[i], path+".services["+strconv.Itoa(i)+"]")
	}
}

// hookService makes a service's name canonical; it must be there.
func (l *loader) hookService(name *string, path string) (s Service, ok bool) {
	*name = providers.CanonicalName(*name)
	var known []string
	for _, s := range l.c.Services {
		if s.Name == *name && s.Name != "" {
			return s, true
		}
		known = append(known, strings.TrimSuffix(s.Name, "."))
	}
	if l.clean("services") {
		l.unknown(path, "service", strings.TrimSuffix(*name, "."), known)
	}
	return s, false
}

func (l *loader) hookRules(h *Hook, path string) {
	if l.has(path + ".services") {
		l.bad(path+".services", "a hook of kind alertmanager has no services", "rules: each names a service", "")
	}
	if !l.require(path, "rules", "what alerts mean, like - {match: {alertname: InstanceDown}, service: app.example.test, address_label: instance}") {
		return
	}
	if n := len(h.Rules); (n < 1 || n > maxHookRules) && l.clean(path+".rules") {
		l.bad(path+".rules", fmt.Sprintf("found %d rules", n), fmt.Sprintf("1 to %d", maxHookRules), "")
	}
	for i := range h.Rules {
		l.hookRule(h, &h.Rules[i], path+".rules["+strconv.Itoa(i)+"]")
	}
}

func (l *loader) hookRule(h *Hook, r *HookRule, path string) {
	if len(r.Match) == 0 || len(r.Match) > maxHookLabels {
		l.bad(path+".match", fmt.Sprintf("found %d labels", len(r.Match)), fmt.Sprintf("1 to %d labels that an alert must have, with their values", maxHookLabels), "")
	}
	l.oneOf(path+".says", r.Says, checks.Down.String(), checks.Degraded.String())
	if h.Act == HookDrain && l.has(path+".says") {
		l.bad(path+".says", "a hook that drains says nothing else", "no says", "")
	}
	if r.Region != "" && r.RegionLabel != "" {
		l.bad(path+".region_label", "region and region_label are both set", "one of them", "")
	}
	if r.Address != "" && r.AddressLabel != "" {
		l.bad(path+".address_label", "address and address_label are both set", "one of them", "")
	}
	if !l.require(path, "service", "the service that the alert is about") {
		return
	}
	s, ok := l.hookService(&r.Service, path+".service")
	if !ok {
		return
	}
	if r.Address != "" {
		if canon, _, problem := s.address(r.Address); problem == "" {
			r.Address = canon
		}
	}
	if !slices.ContainsFunc(s.Pools, func(p Pool) bool {
		return (r.Region == "" || r.Region == p.Region) && (r.Address == "" || slices.Contains(p.Endpoints, r.Address))
	}) {
		l.bad(path, fmt.Sprintf("%s has no %s", strings.TrimSuffix(s.Name, "."), strings.Trim(string(r.Region)+"/"+r.Address, "/")), "a region and an address that the service has", "")
	}
	if h.Act == HookDrain && r.Region == "" && r.Address == "" && r.RegionLabel == "" && r.AddressLabel == "" {
		l.bad(path, "the rule drains all of a service, which leaves no answer and is refused", "region, address, region_label or address_label", "")
	}
}

// calledIn warns where a config expects calls that cannot come.
func (c *Config) calledIn() []string {
	var names []string
	for _, name := range sortedKeys(c.Monitors) {
		if c.Monitors[name].Heartbeat != nil {
			names = append(names, "monitor "+name)
		}
	}
	for _, name := range sortedKeys(c.Hooks) {
		names = append(names, "hook "+name)
	}
	var out []string
	if len(names) > 0 && c.Host.HTTP.Listen == "" {
		out = append(out, "this host has no host.http.listen, so that no call can come in here: "+strings.Join(names, ", "))
	}
	for _, name := range sortedKeys(c.Hooks) {
		if c.Hooks[name].Act != HookVote {
			continue
		}
		var mute []string
		for _, s := range c.Services {
			if !slices.ContainsFunc(s.places(), c.Hooks[name].Concerns) {
				mute = append(mute, s.Name)
			}
		}
		if len(mute) > 0 {
			out = append(out, fmt.Sprintf("the vantage %s is a hook that says nothing of some services, where its vote is missing all the time: %s", name, strings.Join(mute, ", ")))
		}
	}
	return out
}

// places are where a service's endpoints are.
func (s Service) places() []steering.Target {
	var out []steering.Target
	for _, p := range s.Pools {
		for _, a := range p.Endpoints {
			out = append(out, steering.Target{Service: s.Name, Region: p.Region, Address: a})
		}
	}
	return out
}
