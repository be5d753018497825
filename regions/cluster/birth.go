package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// birthName is a file of the member's folder while its cluster is made: it
// lies in etcd's own folder, so that it is lost with the data.
const birthName = "birth.json"

// maxBirth bounds the file and a reply; seven members are below 2 kB.
const maxBirth = 64 << 10

// birth is what a member with an empty folder tells the others, and keeps.
// Members of a new cluster agree on a set of marks, one a folder, before any
// of them starts etcd. The names of the cluster and of its members are made
// from the set: a folder that was lost has another mark, and can never be
// taken for the one before it.
type birth struct {
	Owner string `json:"owner"`
	Name  string `json:"name"`
	// Members are the peer URLs by name, as this member's config has them.
	Members map[string]string `json:"members"`
	// Mark is random, of this folder.
	Mark string `json:"mark"`
	// Set are the marks that all had told when this member agreed.
	Set map[string]string `json:"set,omitempty"`
}

// parseBirth reads what another member or the file says.
func parseBirth(text []byte) (birth, error) {
	if len(text) > maxBirth {
		return birth{}, fmt.Errorf("found more than %d bytes", maxBirth)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var b birth
	if err := dec.Decode(&b); err != nil {
		return birth{}, fmt.Errorf("expected a JSON object of a member's birth: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return birth{}, errors.New("expected nothing after the JSON object")
	}
	if checkName("owner", b.Owner) != nil || checkName("name", b.Name) != nil {
		return birth{}, errors.New("expected an owner and a name")
	}
	if !isMark(b.Mark) || len(b.Members) == 0 || len(b.Members) > maxMembers {
		return birth{}, fmt.Errorf("expected a mark and 1 to %d members", maxMembers)
	}
	if len(b.Set) > 0 && !slices.Equal(sortedKeys(b.Set), sortedKeys(b.Members)) {
		return birth{}, errors.New("expected a set with the mark of each member")
	}
	for name, mark := range b.Set {
		if !isMark(mark) || name == b.Name && mark != b.Mark {
			return birth{}, errors.New("expected a set of marks, its own among them")
		}
	}
	return b, nil
}

func isMark(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// same reports whether two births are of one cluster to be.
func (b birth) same(other birth) bool {
	return b.Owner == other.Owner && maps.Equal(b.Members, other.Members)
}

// token is etcd's cluster token: with the peer URLs it makes the names of the
// cluster and of its members.
func (b birth) token() string {
	parts := []string{"veer", b.Owner}
	for _, name := range sortedKeys(b.Set) {
		parts = append(parts, b.Set[name])
	}
	return strings.Join(parts, "-")
}

// ids are what the cluster and this member will be called.
func (b birth) ids() (cluster, self types.ID, err error) {
	urls := types.URLsMap{}
	for name, peer := range b.Members {
		if urls[name], err = types.NewURLs([]string{peer}); err != nil {
			return 0, 0, fmt.Errorf("read the peer URL of %s: %w", name, err)
		}
	}
	c, err := membership.NewClusterFromURLsMap(zap.NewNop(), b.token(), urls)
	if err != nil {
		return 0, 0, fmt.Errorf("name the cluster: %w", err)
	}
	return c.ID(), c.MemberByName(b.Name).ID, nil
}

// born reports whether the folder holds a member: a log that says something.
func born(inner string) bool { return wal.Exist(filepath.Join(inner, "member", "wal")) }

// readBirth reads the file of an earlier start with the same config, or makes
// a new mark: the file is only of worth for the cluster that it was made for.
func readBirth(inner string, want birth) (birth, error) {
	text, err := os.ReadFile(birthPath(inner))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return birth{}, fmt.Errorf("read what was agreed at the first start: %w", err)
	}
	if err == nil {
		if was, err := parseBirth(text); err == nil && was.Name == want.Name && was.same(want) {
			return was, nil
		}
	}
	want.Mark = newHolder()
	return want, nil
}

func birthPath(inner string) string { return filepath.Join(inner, "member", birthName) }

// write keeps b, and returns when the disk has it.
func (b birth) write(inner string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep what was agreed at the first start: %w", err)
		}
	}()
	path := birthPath(inner)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// removeBirth ends the time in which the member may be made by the set.
func removeBirth(inner string) error {
	if err := os.Remove(birthPath(inner)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove what was agreed at the first start: %w", err)
	}
	return nil
}

// clearUnborn removes all of etcd's own in a folder in which no member was born yet:
// a start that was killed may have left half of it, which etcd cannot open.
func clearUnborn(inner string) error {
	for _, part := range []string{"wal", "snap"} {
		if err := os.RemoveAll(filepath.Join(inner, "member", part)); err != nil {
			return fmt.Errorf("remove what a killed start left: %w", err)
		}
	}
	return nil
}
