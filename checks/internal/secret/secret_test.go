package secret_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veerdns/veer/checks/internal/secret"
)

func TestRead(t *testing.T) {
	long := strings.Repeat("x", secret.Max)
	for name, c := range map[string]struct {
		content, want, wrong string
	}{
		"plain":        {"hunter2", "hunter2", ""},
		"a line":       {"hunter2\n", "hunter2", ""},
		"a DOS line":   {"hunter2\r\n", "hunter2", ""},
		"spaces kept":  {" hunter2 \n", " hunter2 ", ""},
		"empty":        {"", "", "empty"},
		"an empty one": {"\n", "", "empty"},
		"two lines":    {"hunter2\nmore\n", "", "control character"},
		"longest":      {long + "\n", long, ""},
		"too long":     {long + "x", "", "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "place")
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := secret.Place{File: file}.Read()
			switch {
			case c.wrong == "" && (err != nil || got != c.want):
				t.Errorf("%q, %v", got, err)
			case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), file)):
				t.Errorf("%v, expected %q and the file's name", err, c.wrong)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
	t.Setenv("VEER_TEST_SECRET", "hunter2")
	if got, err := (secret.Place{Env: "VEER_TEST_SECRET"}).Read(); got != "hunter2" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := (secret.Place{Env: "VEER_TEST_UNSET"}).Read(); err == nil || !strings.Contains(err.Error(), "VEER_TEST_UNSET is empty or not set") {
		t.Errorf("%v", err)
	}
}
