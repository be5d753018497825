package main

import "errors"

// dataFolder is the daemon's data folder.
func (a *app) dataFolder() (string, error) {
	if a.dataDir != "" {
		return a.dataDir, nil
	}
	if dir, ok := a.env("VEER_DATA_DIR"); ok && dir != "" {
		return dir, nil
	}
	return "", errors.New("give --data-dir")
}

func (a *app) authorityAddress() (string, error) { return "", usagef("give --server") }
