package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
)

// The exit codes.
const (
	exitDone     = 0 // done, or healthy
	exitFailed   = 1
	exitUsage    = 2 // usage, or an invalid config
	exitRefused  = 3
	exitDegraded = 4
)

// exitError is an error with the exit code it ends the command with.
type exitError struct {
	code int
	err  error
	// hint says what to do; empty: the error does.
	hint string
	// said: the output has said it all, print no error.
	said bool
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage marks err as one of the command line.
func usage(err error) error {
	return &exitError{code: exitUsage, err: err, hint: "Add --help to see how the command is used."}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// quiet ends the command with code after its output has said why.
func quiet(code int, why string) error {
	return &exitError{code: code, err: errors.New(why), said: true}
}

// exitOf finds what an error means for the exit code.
func exitOf(err error) *exitError {
	var exit *exitError
	var problem *api.Problem
	switch {
	case errors.As(err, &exit):
		return exit
	case errors.As(err, &problem):
		exit = &exitError{code: exitFailed, err: errors.New(problem.What), hint: problem.Hint}
		switch {
		case problem.Refused || problem.Code == http.StatusConflict:
			exit.code = exitRefused
		case problem.Code == http.StatusBadRequest || problem.Code == http.StatusNotFound:
			exit.code = exitUsage
		}
		return exit
	case errors.Is(err, api.ErrNoDaemon):
		return &exitError{code: exitFailed, err: err,
			hint: "Start one with `veer run`, or name the folder of one that runs with --data-dir."}
	}
	return &exitError{code: exitFailed, err: err}
}

// report prints err, as JSON with -o json, and returns the exit code.
func (a *app) report(err error) int {
	exit := exitOf(err)
	if exit.said {
		return exit.code
	}
	if a.output == "json" {
		p := api.Problem{What: exit.Error(), Hint: exit.hint, Refused: exit.code == exitRefused}
		if text, failed := json.Marshal(p); failed == nil {
			fmt.Fprintf(a.err, "%s\n", text)
			return exit.code
		}
	}
	var errs config.Errors // they begin with the file's name, for editors
	if errors.As(err, &errs) {
		fmt.Fprintln(a.err, exit)
	} else {
		fmt.Fprintf(a.err, "veer: %s\n", exit)
	}
	if exit.hint != "" {
		fmt.Fprintln(a.err, exit.hint)
	}
	return exit.code
}
