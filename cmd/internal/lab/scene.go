package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// SocketLimit is the longest path of a unix socket that works everywhere.
const SocketLimit = 100

// ErrLate says that something did not come to be in time.
var ErrLate = errors.New("waited too long")

// Until asks, every so often, until it is so: for what only asking tells. An
// error of the question ends it, and so does ctx, and after patience ErrLate.
func Until(ctx context.Context, every, patience time.Duration, so func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		if ok, err := so(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-late.C:
			return fmt.Errorf("%w (%s)", ErrLate, patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Fill writes the templates of a folder into dir, filled in with the values. The
// end .tmpl of a name is left out.
func Fill(dir string, templates fs.FS, folder string, values any) error {
	t, err := template.ParseFS(templates, folder+"/*")
	if err != nil {
		return err
	}
	for _, one := range t.Templates() {
		var out bytes.Buffer
		if err := one.Execute(&out, values); err != nil {
			return fmt.Errorf("write %s: %w", one.Name(), err)
		}
		if err := os.WriteFile(filepath.Join(dir, strings.TrimSuffix(one.Name(), ".tmpl")), out.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}
