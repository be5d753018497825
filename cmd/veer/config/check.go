package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/checks/sqlcheck"
	"github.com/veerdns/veer/regions"
)

// check looks at what a single value cannot show, and fills in what follows
// from other keys.
func (l *loader) check() {
	l.owner()
	l.names("regions", l.c.Regions, maxRegions)
	l.require("", "regions", "the names of the regions, like [eu-west, us-east]")
	l.names("vantages", l.c.Vantages, maxRegions)
	if len(l.c.Vantages) == 0 {
		l.c.Vantages = slices.Clone(l.c.Regions)
	}
	l.c.shared.Check(l.under("cluster"))
	l.c.Cluster.Check(l.under("cluster"))
	l.c.Cluster = l.c.Cluster.Defaults()
	l.members()
	for i, text := range l.c.References {
		if _, err := reference(text); err != nil {
			l.bad("references["+strconv.Itoa(i)+"]", err.Error(), "one of "+referenceForms, "")
		}
	}
	l.providers()
	l.monitors()
	l.schedule()
	l.isolation()
	l.limits()
	l.services()
	l.notifications()
	l.journal()
	l.host()
}

// members are of the regions and vantages: a member of a misspelt place would
// be waited for in vain.
func (l *loader) members() {
	var places []string
	for _, name := range append(slices.Clone(l.c.Regions), l.c.Vantages...) {
		if !slices.Contains(places, string(name)) {
			places = append(places, string(name))
		}
	}
	for name := range l.c.shared.Members {
		if len(places) > 0 && !slices.Contains(places, name) {
			l.unknown("cluster.members."+name, "region or vantage", name, places)
		}
	}
}

// schedule is in whole seconds, since it times leases of etcd.
func (l *loader) schedule() {
	const most = time.Hour
	if s := l.c.Schedule; l.has("schedule") && l.clean("schedule") && (s < time.Second || s > most || s%time.Second != 0) {
		l.bad("schedule", "found "+showDuration(s), "whole seconds from 1s to "+showDuration(most), "")
	}
}

// find returns where a path stands: its value, or, where it is absent, the
// nearest key above it.
func (l *loader) find(path string) (at *node, exact bool) {
	at, key := l.root, l.root
	for path != "" {
		next, rest := step(at, path)
		if next == nil {
			return key, false
		}
		at, path = next.value, rest
		if key = next.value; next.key != nil && (at.shape != scalar || at.form() == formNothing) {
			key = next.key
		}
	}
	return key, true
}

// step goes one key or index down a path. Keys may hold dots, so the longest
// that is there is taken.
func step(n *node, path string) (*pair, string) {
	path = strings.TrimPrefix(path, ".")
	if index, rest, ok := strings.Cut(strings.TrimPrefix(path, "["), "]"); ok && strings.HasPrefix(path, "[") {
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(n.items) {
			return nil, ""
		}
		return &pair{nil, n.items[i]}, rest
	}
	var best *pair
	for i, p := range n.pairs {
		rest, ok := strings.CutPrefix(path, p.key.text)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && (best == nil || len(p.key.text) > len(best.key.text)) {
			best = &n.pairs[i]
		}
	}
	if best == nil {
		return nil, ""
	}
	return best, path[len(best.key.text):]
}

// bad reports a problem at a path, or at the setting that overrode it.
func (l *loader) bad(path, problem, expected, hint string) {
	e := Error{Path: path, Problem: problem, Expected: expected, Hint: hint}
	for prefix, p := range l.from {
		if path == prefix || strings.HasPrefix(path, prefix+"[") {
			p.src.bad(p.line, p.column, e)
			return
		}
	}
	n, exact := l.find(path)
	if !exact && l.guessed(path) {
		return
	}
	l.src.bad(n.line, n.column, e)
}

// guessed reports whether an absent key is the nearest word of an unknown one
// beside it, which says enough.
func (l *loader) guessed(path string) bool {
	dot := strings.LastIndex(path, ".")
	return slices.ContainsFunc(l.errs, func(e Error) bool {
		return e.Hint == "did you mean "+path[dot+1:]+"?" && strings.LastIndex(e.Path, ".") == dot && strings.HasPrefix(e.Path, path[:dot+1])
	})
}

// under adapts bad to the Check methods of other packages, whose messages
// read "found, expected".
func (l *loader) under(path string) func(field, format string, args ...any) {
	return func(field, format string, args ...any) {
		e := Error{Problem: fmt.Sprintf(format, args...)}
		for _, cut := range []string{"; expected ", ", expected ", ": expected "} {
			if problem, expected, ok := strings.Cut(e.Problem, cut); ok {
				e.Problem, e.Expected = problem, expected
				break
			}
		}
		if !strings.Contains(e.Problem, " ") {
			e.Problem = "found " + e.Problem
		}
		if problem, todo, ok := strings.Cut(e.Problem, "; "); ok {
			e.Problem, e.Hint = problem, todo
		}
		if e.Expected == "" && e.Hint == "" {
			e.Hint = "docs/configuration.md explains the key " + field
		}
		l.bad(join(path, field), e.Problem, e.Expected, e.Hint)
	}
}

// has reports whether the file has a key.
func (l *loader) has(path string) bool {
	_, exact := l.find(path)
	return exact
}

// require reports an absent key; it returns whether it is there.
func (l *loader) require(path, key, expected string) bool {
	if l.has(join(path, key)) {
		return true
	}
	l.bad(join(path, key), "the key "+key+" is missing", expected, "")
	return false
}

// clean reports whether nothing below any of the paths is wrong.
func (l *loader) clean(paths ...string) bool {
	return !slices.ContainsFunc(l.errs, func(e Error) bool {
		return slices.ContainsFunc(paths, func(p string) bool {
			rest, ok := strings.CutPrefix(e.Path, p)
			return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
		})
	})
}

// unknown reports a reference to something that the file does not have.
func (l *loader) unknown(path, what, name string, known []string) {
	l.bad(path, fmt.Sprintf("there is no %s %s", what, quote(name)), "one of "+strings.Join(known, ", "), didYouMean(name, known))
}

const labelRule = "lower-case letters, digits and -, at most 63 of them"

func (l *loader) owner() {
	if l.require("", "owner", "the name of this Veer in every zone, like shop-prod") && !isLabel(l.c.Owner) {
		l.bad("owner", "found "+quote(l.c.Owner), labelRule, "")
	}
}

func (l *loader) names(path string, names []regions.Name, most int) {
	if l.has(path) && len(names) == 0 {
		l.bad(path, "found an empty list", "at least one name", "")
	}
	if len(names) > most {
		l.bad(path, fmt.Sprintf("found %d names", len(names)), fmt.Sprintf("at most %d", most), "")
	}
	for i, name := range names {
		at := path + "[" + strconv.Itoa(i) + "]"
		if !isLabel(string(name)) {
			l.bad(at, "found "+quote(string(name)), labelRule, "")
		}
		if slices.Contains(names[:i], name) {
			l.bad(at, quote(string(name))+" is listed twice", "each name once", "")
		}
	}
}

func (l *loader) providers() {
	kinds := "of a kind like authority, route53 or cloudflare"
	if l.require("", "providers", "where the answers go, at least one "+kinds) && len(l.c.Providers) == 0 {
		l.bad("providers", "found no provider", "at least one, "+kinds, "")
	}
	for _, p := range l.c.Providers {
		path := "providers." + p.Name
		if !isLabel(p.Name) {
			l.bad(path, "found the name "+quote(p.Name), labelRule, "")
		}
		if p.Written() != nil {
			l.written(p, path)
		}
		if p.Authority == nil {
			continue
		}
		p.Authority.Check(l.under(path))
		l.resolvers(p, path)
		l.zoneFiles(p, path)
		l.geoFile(p.Authority, path+".geo_file")
		l.cookieSecrets(p.Authority, path+".cookies")
	}
	l.sharedZones()
}

// oneLine makes another package's message fit into one of ours.
func oneLine(text string) string {
	const limit = 600
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

func (l *loader) monitors() {
	l.require("", "monitors", "how to probe, like web: {kind: http, path: /healthz}")
	for name, m := range l.c.Monitors {
		path := "monitors." + name
		if !isLabel(name) {
			l.bad(path, "found the name "+quote(name), labelRule, "")
		}
		own := m.own()
		if own == nil {
			continue // reported when it was read
		}
		l.positive(path, m)
		m.MonitorConfig.Check(l.under(path))
		m.MonitorConfig = m.MonitorConfig.Defaults()
		own.Check(l.under(path))
		if (m.Kind == KindTCP || m.Kind == KindGRPC) && m.Port == 0 && !l.has(path+".port") {
			l.bad(path+".port", "the key port is missing", "the port to connect to: "+m.Kind+" has no usual one", "")
		}
		if m.ICMP != nil && m.Port != 0 {
			l.bad(path+".port", "kind icmp has no ports", "no port", "")
		}
		if m.Watch && !slices.Contains([]string{KindHTTP, KindHTTPS, KindTCP, KindTLS, KindGRPC, KindGRPCS}, m.Kind) {
			l.bad(path+".watch", "kind "+m.Kind+" has no connection to watch", "watch with http, https, tcp, tls, grpc or grpcs only", "")
		}
		if m.SQL != nil {
			l.sql(path, *m.SQL)
		}
		if m.Prom != nil && m.Port == 0 && m.Prom.UsesPort() && l.clean(path) {
			l.bad(path+".query", "the query holds the endpoint's port, and the monitor has none", "the key port, or a query with {{host}} alone", "")
		}
		if m.Exec != nil {
			for key := range m.Exec.Env {
				if secretWord(key) {
					l.bad(path+".env."+key, quote(key)+" would hold a secret", "a secret in Veer's own environment, handed on by name", "give pass_env: ["+key+"] instead")
				}
			}
		}
		l.c.Monitors[name] = m
	}
	l.composites()
}

// sql refuses a written 0 where 0 stands for nothing asked.
func (l *loader) sql(path string, c sqlcheck.Config) {
	for key, zero := range map[string]bool{"max_lag": c.MaxLag == 0, "rows": c.Rows == 0} {
		if zero && l.has(path+"."+key) && l.clean(path+"."+key) {
			l.bad(path+"."+key, "found 0", "more than 0; leave the key out where it does not matter", "")
		}
	}
}

// positive refuses a written 0 where 0 would silently mean the default.
func (l *loader) positive(path string, m Monitor) {
	for key, zero := range map[string]bool{
		"interval": m.Interval == 0, "timeout": m.Timeout == 0, "recheck": m.Recheck == 0,
		"fall": m.Fall == 0, "rise": m.Rise == 0, "ok": m.OK == 0, "port": m.Port == 0,
	} {
		if zero && l.has(path+"."+key) && l.clean(path+"."+key) {
			l.bad(path+"."+key, "found 0", "more than 0; leave the key out for its default", "")
		}
	}
}

func (l *loader) host() {
	h := &l.c.Host
	places := append(slices.Clone(l.c.Regions), l.c.Vantages...)
	if h.Region == "" && len(l.c.Regions) == 1 && len(l.c.Vantages) == 1 {
		h.Region = l.c.Regions[0]
	}
	if h.Region != "" && len(places) > 0 && !slices.Contains(places, h.Region) {
		slices.Sort(places)
		l.unknown("host.region", "region or vantage", string(h.Region), text(slices.Compact(places)))
	}
	if (h.TLS.CertFile == "") != (h.TLS.KeyFile == "") {
		l.bad("host.tls", "cert_file and key_file are not both set", "both or none", "")
	}
	if h.DataDir == "" {
		h.DataDir = l.stateFolder()
	}
	l.http()
	l.user()
}

// stateFolder is where data is kept by default: /var/lib/veer for root, else
// the user's state folder (XDG Base Directory Specification).
func (l *loader) stateFolder() string {
	if os.Geteuid() == 0 {
		return "/var/lib/veer"
	}
	if dir, ok := l.env("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "veer")
	}
	if home, ok := l.env("HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "veer")
	}
	return ""
}

func text(names []regions.Name) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}

// between reports a duration outside of its bounds.
func (l *loader) between(path string, d, low, high time.Duration) {
	if (d < low || d > high) && l.clean(path) {
		l.bad(path, "found "+showDuration(d), showDuration(low)+" to "+showDuration(high), "")
	}
}
