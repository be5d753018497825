package main

import (
	"strings"
	"testing"

	"github.com/veerdns/veer/regions/steering"
)

func shop() known {
	return known{
		"app.example.test.": {"eu-west": {"192.0.2.10", "2001:db8::10"}, "us-east": {"198.51.100.10"}},
		"api.example.test.": {"eu-west": {"lb.example.net."}},
		"twin.":             {"twin": {"192.0.2.99"}},
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]steering.Target{
		"eu-west":                                     {Region: "eu-west"},
		"app.example.test":                            {Service: "app.example.test."},
		"App.Example.Test.":                           {Service: "app.example.test."},
		"app.example.test/eu-west":                    {Service: "app.example.test.", Region: "eu-west"},
		"app.example.test/eu-west/192.0.2.10":         {Service: "app.example.test.", Region: "eu-west", Address: "192.0.2.10"},
		"app.example.test/eu-west/2001:DB8::A":        {},
		"app.example.test/eu-west/2001:DB8::10":       {Service: "app.example.test.", Region: "eu-west", Address: "2001:db8::10"},
		"app.example.test/eu-west/[2001:db8:0:0::10]": {Service: "app.example.test.", Region: "eu-west", Address: "2001:db8::10"},
		"api.example.test/eu-west/LB.example.net":     {Service: "api.example.test.", Region: "eu-west", Address: "lb.example.net."},
		"twin.":     {Service: "twin."},
		"twin/twin": {Service: "twin.", Region: "twin"},
	} {
		got, err := parseTarget(text, shop())
		if got != want || (err != nil) != (want == steering.Target{}) {
			t.Errorf("%s: %+v, %v; expected %+v", text, got, err, want)
		}
	}
}

func TestParseTargetErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "expected REGION, SERVICE",
		"/":                                     "expected REGION, SERVICE",
		"/eu-west":                              "expected REGION, SERVICE",
		"app.example.test/":                     "expected REGION, SERVICE",
		"twin":                                  "is a region and a service",
		"eu-wset":                               "did you mean eu-west?",
		"aapp.example.test":                     "did you mean app.example.test?",
		"zzz":                                   "known: eu-west, twin, us-east, api.example.test, app.example.test, twin",
		"app.example.tst/eu-west":               "did you mean app.example.test?",
		"app.example.test/us-wset":              "did you mean",
		"api.example.test/us-east":              "Known: eu-west",
		"app.example.test/eu-west/":             "no address",
		"app.example.test/eu-west/1.2.3.4":      "known: 192.0.2.10, 2001:db8::10",
		"app.example.test/eu-west/192.0.2.10/x": "no address",
	} {
		_, err := parseTarget(text, shop())
		if err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), strings.ToLower(want)) {
			t.Errorf("%q: %v; expected %q", text, err, want)
		}
	}
}

// Whatever is understood is known, and is understood again as it is written.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"", "/", "//", "eu-west", "us-east", "twin", "twin.", "twin/twin", "twin./twin/192.0.2.99",
		"app.example.test", "APP.example.TEST.", "app.example.test/eu-west", "app.example.test//",
		"app.example.test/eu-west/192.0.2.10", "app.example.test/eu-west/2001:db8::10",
		"app.example.test/eu-west/[2001:db8::10]", "app.example.test/eu-west/2001:db8:0::10%eth0",
		"api.example.test/eu-west/lb.example.net", "api.example.test/eu-west/LB.EXAMPLE.NET.", "api.example.test/us-east",
		"..", ". /", "é/ü", "eu-west/app.example.test", "\x00", "app.example.test/eu-west/::ffff:192.0.2.10",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k := shop()
		target, err := parseTarget(text, k)
		if err != nil {
			if (target != steering.Target{}) {
				t.Fatalf("%q: an error and a target %+v", text, target)
			}
			return
		}
		if target.Service == "" && !strings.Contains(strings.Join(k.regions(), " "), string(target.Region)) {
			t.Fatalf("%q: region %s is not known", text, target.Region)
		}
		if target.Service != "" {
			pools, ok := k[target.Service]
			if !ok {
				t.Fatalf("%q: service %s is not known", text, target.Service)
			}
			if _, ok := pools[target.Region]; target.Region != "" && !ok {
				t.Fatalf("%q: %s has no pool %s", text, target.Service, target.Region)
			}
		}
		written := targetText(target)
		if written == "twin" {
			return // as both a region and a service it needs its final dot
		}
		if again, err := parseTarget(written, k); err != nil || again != target {
			t.Fatalf("%q is %+v, written %q and read again as %+v, %v", text, target, written, again, err)
		}
	})
}

func TestNearest(t *testing.T) {
	all := []string{"eu-west", "us-east", "app.example.test"}
	for word, want := range map[string]string{"eu-wst": "eu-west", "US-EAST": "us-east", "x": "", "app.exmple.test": "app.example.test", "production": ""} {
		if got := nearest(word, all); got != want {
			t.Errorf("nearest(%q) = %q, expected %q", word, got, want)
		}
	}
}
