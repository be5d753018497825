package cluster

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// rootsMeet reports whether one of two sets of keys lies within the other.
func rootsMeet(a, b keys) bool {
	return a != b && (strings.HasPrefix(string(a), string(b)) || strings.HasPrefix(string(b), string(a)))
}

// genRoot draws words that are likely to meet.
func genRoot(t *rapid.T, valid func(prefix string) string) keys {
	word := rapid.SampledFrom([]string{"veer", "a", "leader", "journal", "veer2"})
	prefix := "/" + strings.Join(rapid.SliceOfN(word, 1, 4).Draw(t, "prefix"), "/")
	if valid(prefix) != "" {
		prefix = ""
	}
	return keysBelow(prefix, word.Draw(t, "owner"))
}

// TestRootsNeverMeet: whatever prefixes and owners two Veers have, neither's
// keys are among the other's. Without the rule that veer ends a prefix, and
// stands nowhere before, the test finds two that meet.
func TestRootsNeverMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genRoot(t, prefixProblem), genRoot(t, prefixProblem)
		if rootsMeet(a, b) {
			t.Fatalf("%s and %s meet", a, b)
		}
	})
	met := false
	for i := range 2000 {
		anything := func(string) string { return "" }
		a := rapid.Custom(func(t *rapid.T) keys { return genRoot(t, anything) })
		if met = rootsMeet(a.Example(2*i), a.Example(2*i+1)); met {
			break
		}
	}
	if !met {
		t.Error("without the rule none met: the test shows nothing")
	}
}

func TestPrefixAndUser(t *testing.T) {
	https := []string{"https://etcd-1:2379"}
	for _, c := range []struct {
		conf Config
		want string // "" is valid
	}{
		{Config{}, ""},
		{Config{Prefix: "/veer"}, ""},
		{Config{Prefix: "/team-a/Shop_1.x/veer"}, ""},
		{Config{Prefix: "veer"}, "prefix: \"veer\": expected a path"},
		{Config{Prefix: "/"}, "of which the last one, and no other, is veer"},
		{Config{Prefix: "/team-a"}, "of which the last one, and no other, is veer"},
		{Config{Prefix: "/veer/"}, "of which the last one"},
		{Config{Prefix: "//veer"}, "of which the last one"},
		{Config{Prefix: "/veer/a/veer"}, "of which the last one"},
		{Config{Prefix: "/a b/veer"}, "of which the last one"},
		{Config{Prefix: "/" + strings.Repeat("a", 200) + "/veer"}, "at most 200 bytes"},
		{Config{Endpoints: https, User: "u", PasswordFile: "f"}, ""},
		{Config{Endpoints: https, User: "u", PasswordEnv: "E"}, ""},
		{Config{Endpoints: []string{"http://127.0.0.1:2379", "http://localhost:2379", "http://[::1]:2379"}, User: "u", PasswordEnv: "E"}, ""},
		{Config{Endpoints: https, User: "u"}, "user: a user without a password"},
		{Config{Endpoints: https, User: "u", PasswordFile: "f", PasswordEnv: "E"}, "password_env: password_file and password_env are both set"},
		{Config{Endpoints: https, PasswordFile: "f"}, "password_file: a password without a user"},
		{Config{Endpoints: https, PasswordEnv: "E"}, "password_env: a password without a user"},
		{Config{Endpoints: []string{"http://etcd-1:2379"}, User: "u", PasswordFile: "f"}, "endpoints[0]: \"http://etcd-1:2379\" would show the password on its way"},
		{Config{Members: map[string]Member{"a": {Peer: "https://10.0.0.1:1"}}, User: "u", PasswordFile: "f"}, "user: members and user are both set"},
	} {
		var found []string
		c.conf.Check(func(field, format string, args ...any) {
			found = append(found, field+": "+fmt.Sprintf(format, args...))
		})
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%+v: %q", c.conf, found)
		case c.want != "" && (len(found) != 1 || !strings.Contains(found[0], c.want)):
			t.Errorf("%+v: %q, want %q", c.conf, found, c.want)
		}
	}
}
