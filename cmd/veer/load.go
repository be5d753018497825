package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
)

// load reads the config that the flags and the environment name, and returns
// its path with it.
func (a *app) load(flags ...config.Flag) (*config.Config, string, error) {
	path, err := config.Find(a.config, a.env)
	if err != nil {
		return nil, "", &exitError{code: exitUsage, err: err}
	}
	return a.loadFrom(path, flags...)
}

// loadFrom is load of one file.
func (a *app) loadFrom(path string, flags ...config.Flag) (*config.Config, string, error) {
	flags = append(slices.Clip(flags), config.Flag{Name: "--data-dir", Env: config.EnvDataDir, Value: a.dataDir})
	c, err := config.Load(path, a.env, flags...)
	var errs config.Errors
	if errors.As(err, &errs) {
		return nil, path, &exitError{code: exitUsage, err: err}
	}
	return c, path, err
}

// daemon returns the client of the daemon that the flags, the environment or
// the config name; the config is read only when nothing else tells.
func (a *app) daemon() (daemonClient, error) {
	if a.socket != "" {
		return a.dial(a.socket), nil
	}
	dir := a.dataDir
	if env, ok := a.env(config.EnvDataDir); dir == "" && ok {
		dir = env
	}
	if dir == "" {
		c, _, err := a.load()
		if err != nil {
			return nil, within(err, "finding the daemon's socket (--socket and --data-dir name it too)")
		}
		dir = c.Host.DataDir
	}
	return a.dial(filepath.Join(dir, api.SocketName)), nil
}

// authorityAddress is the first address that the config's authorities listen
// on.
func (a *app) authorityAddress() (string, error) {
	c, path, err := a.load()
	if err != nil {
		return "", within(err, "finding the authority's address (--server names it too)")
	}
	for _, p := range c.Providers {
		if p.Authority != nil && len(p.Authority.Listen) > 0 {
			return p.Authority.Listen[0], nil
		}
	}
	return "", usagef("%s has no provider of kind authority: say whom to ask with --server", path)
}

// within adds what was being done, but to the errors in a config, which stand
// for themselves.
func within(err error, doing string) error {
	var errs config.Errors
	if errors.As(err, &errs) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}
