// Package secret reads what a check must know and nobody else may: a value
// that stands in a file or in an environment variable, never in the config.
// Its errors name the place, never the value. It is safe for concurrent use.
package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Max bounds what is read of a secret, in bytes.
const Max = 8 << 10

// Place is where a secret stands; at most one of its fields is set.
type Place struct {
	File string // the path of a file
	Env  string // the name of an environment variable
}

// Set reports whether there is a place.
func (p Place) Set() bool { return p != Place{} }

// Read returns the secret: one line of text. A file is read anew each time,
// so that a rotated secret needs no restart; one trailing line end is dropped.
func (p Place) Read() (string, error) {
	value, place := os.Getenv(p.Env), "environment variable "+p.Env
	if p.File != "" {
		place = "file " + p.File
		var err error
		if value, err = readFile(p.File); err != nil {
			return "", fmt.Errorf("reading the secret: %w", err)
		}
	}
	switch {
	case value == "":
		return "", fmt.Errorf("the secret of %s is empty or not set", place)
	case len(value) > Max:
		return "", fmt.Errorf("the secret of %s is longer than %d bytes", place, Max)
	case strings.ContainsFunc(value, isControl):
		return "", errors.New("the secret of " + place + " holds a control character; expected one line of text")
	}
	return value, nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, Max+2))
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), nil
}
