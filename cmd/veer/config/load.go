package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions"
)

// The environment's variables.
const (
	EnvConfig    = "VEER_CONFIG"
	EnvRegion    = "VEER_REGION"
	EnvDataDir   = "VEER_DATA_DIR"
	EnvEndpoints = "VEER_CLUSTER_ENDPOINTS"
	EnvUser      = "VEER_USER"
)

// hostFile stands beside the configuration.
const hostFile = "host.yaml"

// Flag is a setting of the command line. It overrides the variable Env, which
// overrides the files. Name is the flag as typed, e.g. "--region".
type Flag struct{ Name, Env, Value string }

// Find returns the path of the configuration: the flag's, VEER_CONFIG,
// ./veer.yaml or /etc/veer/veer.yaml, in that order. A path that was given is
// returned whether it exists or not; Load says so.
func Find(flag string, env func(string) (string, bool)) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if path, ok := env(EnvConfig); ok && path != "" {
		return path, nil
	}
	for _, path := range []string{"veer.yaml", "/etc/veer/veer.yaml"} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no configuration found: looked for -c, %s, ./veer.yaml and /etc/veer/veer.yaml; `veer init` writes a first one", EnvConfig)
}

// loader holds what one Load needs.
type loader struct {
	errs Errors
	env  func(string) (string, bool)
	c    *Config
	// root and src are the file's; from says where a host setting came from
	// when it was not the file.
	root *node
	src  *source
	from map[string]place
	// files are the zone files of each authority, by the provider's name.
	files map[string][]*authority.ZoneFile
}

// place is where a setting stands.
type place struct {
	src          *source
	line, column int
}

// Load reads the file, host.yaml beside it, the environment and the flags, and
// checks all of it. The error is Errors: every problem, sorted by file and
// position. It never holds a secret.
func Load(path string, env func(string) (string, bool), flags ...Flag) (*Config, error) {
	return loadBut(path, env, flags, func(Error) bool { return false })
}

// loadBut is Load, but for the errors that do not count.
func loadBut(path string, env func(string) (string, bool), flags []Flag, passes func(Error) bool) (*Config, error) {
	l := &loader{env: env, c: &Config{}, from: map[string]place{}}
	l.c.setDefaults()
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("find the folder of %s: %w", path, err)
	}
	l.c.dir = dir
	if text, ok := l.read(path, dir); ok {
		l.file(path, text)
	}
	l.hostFile(filepath.Join(filepath.Dir(path), hostFile))
	l.environment(flags)
	if l.root != nil {
		l.check()
	}
	l.errs = slices.DeleteFunc(l.errs, passes)
	if err := l.errs.finish(); err != nil {
		return nil, err
	}
	return l.c, nil
}

// read returns the text of a file. More than the limit is cut one byte above
// it, for scan to refuse.
func (l *loader) read(path, dir string) (string, bool) {
	text, err := readRegular(path)
	if err != nil {
		src := newSource(path, dir, "", &l.errs)
		src.bad(1, 1, Error{Problem: "cannot read it: " + reason(err), Expected: "a file that this user can read"})
		return "", false
	}
	return text, true
}

func readRegular(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // only read from
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return string(text), err
}

// reason is an error of the file system without the path.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func (l *loader) file(path, text string) {
	l.src = newSource(path, l.c.dir, text, &l.errs)
	l.root = parse(l.src, text)
	if l.root != nil {
		d := decoder{src: l.src, env: l.env}
		d.structs(l.root, "", addressable(l.c))
	}
	l.c.shared = l.c.Cluster.Defaults()
}

// hostFile reads host.yaml, if there is one: the keys of `host`, which it
// overrides.
func (l *loader) hostFile(path string) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	text, ok := l.read(path, l.c.dir)
	if !ok {
		return
	}
	src := newSource(path, l.c.dir, text, &l.errs)
	root := parse(src, text)
	if root == nil {
		return
	}
	if p := root.pair("host"); p != nil {
		src.bad(p.key.line, p.key.column, Error{Path: "host", Problem: "found the key host", Expected: "its keys alone, since this file is all about the host"})
		return
	}
	d := decoder{src: src, env: l.env}
	d.structs(root, "", addressable(&l.c.Host))
	for _, p := range root.pairs {
		path := "host." + p.key.text
		at := p.value
		if at.shape == mapping {
			at = p.key // of what is wrong in it as a whole
		}
		l.from[path] = place{src, at.line, at.column}
		for _, below := range p.value.pairs {
			l.from[join(path, below.key.text)] = place{src, below.value.line, below.value.column}
		}
	}
}

// environment applies the variables, then the flags that override them.
func (l *loader) environment(flags []Flag) {
	for _, name := range []string{EnvRegion, EnvDataDir, EnvEndpoints, EnvUser} {
		value, ok := l.env(name)
		src := newSource("environment", "", name+"="+value, &l.errs)
		for _, f := range flags {
			if f.Env == name && f.Value != "" {
				value, ok = f.Value, true
				src = newSource("command line", "", f.Name+"="+f.Value, &l.errs)
			}
		}
		if ok && value != "" {
			l.set(src, name, value)
		}
	}
}

// set applies one setting of the environment or the command line.
func (l *loader) set(src *source, name, value string) {
	at := place{src, 1, strings.Index(src.lines[0], "=") + 2}
	switch name {
	case EnvRegion:
		l.c.Host.Region = regions.Name(value)
		l.from["host.region"] = at
	case EnvDataDir:
		dir, err := filepath.Abs(value)
		if err != nil {
			src.bad(1, at.column, Error{Path: "host.data_dir", Problem: "cannot make it absolute: " + reason(err)})
			return
		}
		l.c.Host.DataDir = dir
		l.from["host.data_dir"] = at
	case EnvUser:
		l.c.Host.User = value
		l.from["host.user"] = at
	case EnvEndpoints:
		l.c.Cluster.Members, l.c.Cluster.Endpoints = nil, strings.Split(value, ",")
		l.from["cluster.endpoints"] = at
	}
}
