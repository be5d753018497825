package config

import (
	"os"
	"path/filepath"
	"strings"
)

// outside looks at what a text names outside of the file: a path is made
// absolute, a file must be readable, a variable must be set. It returns the
// text to keep, and reports what is missing.
func (d decoder) outside(n *node, path string) string {
	key := path[strings.LastIndex(path, ".")+1:]
	switch {
	case n.text == "":
	case key == "file" || strings.HasSuffix(key, "_file"):
		file := d.absolute(n.text)
		if problem := unreadable(file, strings.HasSuffix(key, "_file")); problem != "" {
			d.bad(n, path, Error{
				Problem:  "cannot read " + quote(n.text) + ": " + problem,
				Expected: "a file that this user can read; a relative path is relative to the folder of this file",
			})
		}
		return file
	case key == "data_dir" || key == "dir" || strings.HasSuffix(path, ".query_log.path") || strings.HasSuffix(path, ".dnstap.socket") || path == "journal.file.path":
		return d.absolute(n.text)
	case strings.HasSuffix(key, "_env") && !strings.HasSuffix(key, "pass_env"):
		if value, ok := d.env(n.text); !ok || value == "" {
			d.bad(n, path, Error{
				Problem:  "the environment variable " + quote(n.text) + " is not set",
				Expected: "the name of a variable that holds the secret",
			})
		}
	}
	return n.text
}

func (d decoder) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(d.src.dir, path)
}

// unreadable says why a file cannot be used, or "". A file of a secret or a
// certificate must not be empty.
func unreadable(path string, filled bool) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return reason(err)
	case info.IsDir():
		return "it is a folder"
	case !info.Mode().IsRegular():
		return "it is not a regular file"
	case filled && info.Size() == 0:
		return "it is empty"
	}
	f, err := os.Open(path)
	if err != nil {
		return reason(err)
	}
	if err := f.Close(); err != nil {
		return reason(err)
	}
	return ""
}
