package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, began, broken := 0, time.Now(), errors.New("broken")
		after := func(n int, err error) func() (bool, error) {
			asked = 0
			return func() (bool, error) { asked++; return err == nil && asked >= n, err }
		}
		if err := Until(t.Context(), time.Second, time.Minute, after(3, nil)); err != nil || asked != 3 || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %d questions in %s", err, asked, time.Since(began))
		}
		if err := Until(t.Context(), time.Second, time.Minute, after(1, broken)); !errors.Is(err, broken) || asked != 1 {
			t.Errorf("%v after %d questions", err, asked)
		}
		if err := Until(t.Context(), time.Second, time.Minute, after(100, nil)); !errors.Is(err, ErrLate) || asked < 60 {
			t.Errorf("%v after %d questions", err, asked)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := Until(ctx, time.Second, time.Minute, after(100, nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after its context: %v", err)
		}
	})
}

func TestFill(t *testing.T) {
	dir := t.TempDir()
	from := fstest.MapFS{"files/a.tmpl": {Data: []byte("port {{.Port}}\n")}, "files/b": {Data: []byte("b")}, "other/c": {Data: []byte("c")}}
	if err := Fill(dir, from, "files", map[string]any{"Port": 53}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "port 53\n", "b": "b"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 2 {
		t.Errorf("it wrote %v, %v", all, err)
	}
}
