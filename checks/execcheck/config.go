package execcheck

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// DefaultMaxOutput is how much of a command's output is kept when max_output
// is not set, in bytes.
const DefaultMaxOutput = 4 << 10

// The highest values that Check accepts.
const (
	maxMaxOutput = 1 << 20
	maxArgs      = 256
)

// Config is the command an exec check runs.
type Config struct {
	// Command is the program and its arguments. No shell reads them. In each
	// argument after the first, {host}, {port} and {target} stand for the
	// target's. A program without a slash is looked up in PATH.
	Command []string `yaml:"command"`
	// Env is added to the command's environment, which otherwise holds only
	// PATH, the variables of PassEnv and VEER_TARGET, VEER_HOST, VEER_PORT and
	// VEER_TIMEOUT (the seconds left).
	Env map[string]string `yaml:"env,omitempty"`
	// PassEnv names variables of Veer's own environment to hand on: the way
	// for secrets.
	PassEnv []string `yaml:"pass_env,omitempty"`
	// Dir is the folder the command runs in; "" is Veer's own.
	Dir string `yaml:"dir,omitempty"`
	// MaxOutput is how many bytes of the output are kept; what follows is
	// read and dropped. 0 is DefaultMaxOutput.
	MaxOutput int `yaml:"max_output,omitempty"`
}

// Check reports every problem of the config by the field's key path. Whether
// the command exists is not looked at: that may differ per host.
func (c Config) Check(bad func(field, format string, args ...any)) {
	switch {
	case len(c.Command) == 0 || c.Command[0] == "":
		bad("command", `no command; expected a list such as ["/usr/lib/nagios/plugins/check_ssh", "{host}"]`)
	case len(c.Command) == 1 && strings.Contains(c.Command[0], " "):
		bad("command[0]", "%q holds a space, and no shell splits it; expected a list of the program and its arguments", c.Command[0])
	case len(c.Command) > maxArgs:
		bad("command", "%d arguments; expected at most %d", len(c.Command), maxArgs)
	}
	for i, arg := range c.Command {
		if strings.Contains(arg, "\x00") {
			bad("command["+strconv.Itoa(i)+"]", "%q holds a zero byte", arg)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		checkVariable(name, "env."+name, bad)
		if strings.Contains(c.Env[name], "\x00") {
			bad("env."+name, "the value holds a zero byte")
		}
	}
	for i, name := range c.PassEnv {
		checkVariable(name, "pass_env["+strconv.Itoa(i)+"]", bad)
	}
	if c.MaxOutput < 0 || c.MaxOutput > maxMaxOutput {
		bad("max_output", "%d bytes is out of range; expected 1 to %d, or 0 for %d", c.MaxOutput, maxMaxOutput, DefaultMaxOutput)
	}
}

func checkVariable(name, field string, bad func(field, format string, args ...any)) {
	switch {
	case name == "" || strings.ContainsAny(name, "=\x00"):
		bad(field, "%q is not the name of an environment variable", name)
	case strings.HasPrefix(name, "VEER_"):
		bad(field, "%q is set by Veer itself; expected a name without VEER_", name)
	}
}
