package main

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

const definition = "../image/Containerfile"

// container is what an image says of how it is run.
type container struct {
	uid, gid uint32
	env      []string
	command  []string
}

// parseDefinition reads an image's definition as BuildKit does, and takes only
// what is built from nothing in one stage.
func parseDefinition(text []byte) ([]instructions.Command, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	if len(stages) != 1 || stages[0].BaseName != "scratch" {
		return nil, fmt.Errorf("%d stages, the first from %s: expected one from scratch", len(stages), stages[0].BaseName)
	}
	return stages[0].Commands, nil
}

// assemble does what the definition says: it copies from the folder context into
// root. An instruction that it does not know is an error.
func assemble(text []byte, context, root string) (container, error) {
	var c container
	commands, err := parseDefinition(text)
	if err != nil {
		return c, err
	}
	vars := map[string]string{}
	expand := func(s string) string { return os.Expand(s, func(key string) string { return vars[key] }) }
	for _, command := range commands {
		switch is := command.(type) {
		case *instructions.ArgCommand:
			for _, arg := range is.Args {
				vars[arg.Key] = *arg.Value
			}
		case *instructions.EnvCommand:
			for _, v := range is.Env {
				c.env = append(c.env, v.Key+"="+v.Value)
			}
		case *instructions.UserCommand:
			if c.uid, c.gid, err = ids(is.User); err != nil {
				return c, err
			}
		case *instructions.EntrypointCommand:
			c.command = append(is.CmdLine, c.command...)
		case *instructions.CmdCommand:
			c.command = append(c.command, is.CmdLine...)
		case *instructions.CopyCommand:
			if err := copyInto(is, filepath.Join(context, expand(is.SourcePaths[0])), filepath.Join(root, is.DestPath)); err != nil {
				return c, err
			}
		case *instructions.VolumeCommand, *instructions.ExposeCommand, *instructions.StopSignalCommand:
		default:
			return c, fmt.Errorf("%s: the test does not know this instruction", command)
		}
	}
	return c, nil
}

// copyInto is COPY of a file to a file, or of all in a folder to a folder.
func copyInto(c *instructions.CopyCommand, from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		if err := copyFile(from, to); err != nil {
			return err
		}
	} else {
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			return err
		}
	}
	if c.Chmod != "" {
		mode, err := strconv.ParseUint(c.Chmod, 8, 32)
		if err != nil {
			return err
		}
		if err := os.Chmod(to, os.FileMode(mode)); err != nil {
			return err
		}
	}
	if c.Chown == "" {
		return nil
	}
	uid, gid, err := ids(c.Chown)
	if err != nil {
		return err
	}
	return os.Chown(to, int(uid), int(gid))
}

// ids reads UID:GID.
func ids(s string) (uid, gid uint32, err error) {
	u, g, _ := strings.Cut(s, ":")
	a, err := strconv.ParseUint(u, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	b, err := strconv.ParseUint(g, 10, 32)
	return uint32(a), uint32(b), err
}

func TestDefinitionParses(t *testing.T) {
	text, err := os.ReadFile(definition)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseDefinition(text); err != nil {
		t.Fatal(err)
	}
	// The check sees what it must.
	for _, planted := range [][2]string{
		{"COPY root/ /", "COPPY root/ /"}, {"COPY root/ /", "COPY root/"}, {"--chown=", "--chwon="}, {"FROM scratch", "FROM debian"},
		{"EXPOSE 53/udp 53/tcp", "EXPOSE"},
	} {
		bad := strings.Replace(string(text), planted[0], planted[1], 1)
		if bad == string(text) {
			t.Errorf("%q is not in the definition", planted[0])
		}
		if _, err := parseDefinition([]byte(bad)); err == nil {
			t.Errorf("the check proves nothing: it takes %q", planted[1])
		}
	}
}

func TestAuthorities(t *testing.T) {
	text, err := authorities()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if n := bytes.Count(text, []byte("BEGIN CERTIFICATE")); n < 80 || !pool.AppendCertsFromPEM(text) {
		t.Errorf("%d authorities", n)
	}
}
