package callcheck

import "time"

// Config is a monitor of kind heartbeat.
type Config struct {
	// Within is how long a call-in counts.
	Within time.Duration `yaml:"within"`
	// TokenFile or TokenEnv is where the token stands that each call-in must
	// carry.
	TokenFile string `yaml:"token_file,omitempty"`
	TokenEnv  string `yaml:"token_env,omitempty"`
}

// The bounds of Within.
const (
	minWithin = 5 * time.Second
	maxWithin = 7 * 24 * time.Hour
)

// Check reports every problem of the config by the field's key. It reads no
// file and no environment variable.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if c.Within < minWithin || c.Within > maxWithin {
		bad("within", "%s; expected how long a call-in counts, %s to %s: three times as long as it takes from one to the next", c.Within, minWithin, maxWithin)
	}
	switch {
	case c.TokenFile == "" && c.TokenEnv == "":
		bad("token_file", "no token; expected token_file or token_env: whoever has none could keep an endpoint up that is down")
	case c.TokenFile != "" && c.TokenEnv != "":
		bad("token_env", "token_file and token_env are both set; expected one of them")
	}
}
