package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
)

func TestReload(t *testing.T) {
	changes := []api.ConfigChange{
		{What: "monitor web", Change: "changed", Key: "path", Was: "/healthz", Is: "/ready"},
		{What: "service new.example.test", Change: "added"},
		{What: "provider cf", Change: "changed", Key: "content of token_file"},
	}
	for _, c := range []struct {
		name           string
		args           []string
		reload         api.Reload
		code           int
		asked          string
		stdout, stderr []string
	}{
		{"changed", nil, api.Reload{Result: api.ReloadChanged, File: "veer.yaml", Was: "0a", Config: "0b", Changes: changes, Took: 20 * time.Millisecond, Notes: []string{"another config runs in us-east"}},
			exitDone, `reload by "" dry false`, []string{"reloaded  veer.yaml in 20ms, config 0a -> 0b\n- monitor web: path: /healthz -> /ready\n- service new.example.test: added\n- provider cf: content of token_file: changed\nnote  another config runs in us-east"}, nil},
		{"dry", []string{"--dry-run", "--by", "alice"}, api.Reload{Result: api.ReloadChanged, DryRun: true, Was: "0a", Config: "0a", Changes: changes[:1]},
			exitDone, `reload by "alice" dry true`, []string{"would change  nothing was changed yet; from config 0a:\n- monitor web"}, nil},
		{"unchanged", nil, api.Reload{Result: api.ReloadUnchanged, File: "veer.yaml", Config: "0a"}, exitDone, `reload by "" dry false`, []string{"unchanged  veer.yaml"}, nil},
		{"invalid", nil, api.Reload{Result: api.ReloadInvalid, Errors: []api.ConfigError{{File: "veer.yaml", Line: 3, Column: 5, Source: "  a: b", Path: "a", Problem: "the key is unknown", Expected: "another"}}},
			exitUsage, `reload by "" dry false`, nil, []string{"veer.yaml:3:5: a: the key is unknown", "expected another", "Nothing was changed"}},
		{"restart", nil, api.Reload{Result: api.ReloadRefused, Why: "a part", Restart: []api.ConfigChange{{What: "host", Change: "changed", Key: "data_dir", Was: "/a", Is: "/b"}}},
			exitRefused, `reload by "" dry false`, []string{"refused  nothing was changed; restart to change:\n- host: data_dir: /a -> /b"}, nil},
		{"refused", nil, api.Reload{Result: api.ReloadRefused, Why: "provider cf: no token"}, exitRefused, `reload by "" dry false`, []string{"refused  nothing was changed:\nprovider cf: no token"}, nil},
	} {
		d := &fake{reload: c.reload}
		s := newSession(d, "", nil)
		code := s.veer(t, append([]string{"reload"}, c.args...)...)
		if code != c.code || len(d.asked) != 1 || d.asked[0] != c.asked {
			t.Errorf("%s: exit code %d, asked %q", c.name, code, d.asked)
		}
		for _, want := range c.stdout {
			if !strings.Contains(s.stdout.String(), want) {
				t.Errorf("%s: it prints\n%s\nwant\n%s", c.name, s.stdout.String(), want)
			}
		}
		for _, want := range c.stderr {
			if !strings.Contains(s.stderr.String(), want) {
				t.Errorf("%s: the error is\n%s\nwant\n%s", c.name, s.stderr.String(), want)
			}
		}
		s = newSession(&fake{reload: c.reload}, "", nil)
		code = s.veer(t, append([]string{"reload", "-o", "json"}, c.args...)...)
		var out api.Reload
		if err := json.Unmarshal(s.stdout.Bytes(), &out); err != nil || code != c.code || out.Result != c.reload.Result || len(out.Errors) != len(c.reload.Errors) {
			t.Errorf("%s: -o json ends with %d and prints %s (%v)", c.name, code, s.stdout.String(), err)
		}
	}
}
