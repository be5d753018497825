package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// ReloadResult says in a word what came of a reload.
type ReloadResult string

// What can come of a reload. Of all but ReloadChanged nothing was changed.
const (
	ReloadChanged   ReloadResult = "changed"
	ReloadUnchanged ReloadResult = "unchanged"
	// ReloadInvalid: the config is not valid, Errors say why.
	ReloadInvalid ReloadResult = "invalid"
	// ReloadRefused: the config is valid, and can't be taken over: Restart or Why
	// say why.
	ReloadRefused ReloadResult = "refused"
)

// ReloadRequest asks for a reload.
type ReloadRequest struct {
	By string `json:"by"`
}

// Reload is what came of a reload, or with DryRun what would.
type Reload struct {
	Result ReloadResult `json:"result"`
	DryRun bool         `json:"dry_run,omitempty"`
	File   string       `json:"file"`
	// Config is the hash of the config in force now, Was that of before.
	Config string `json:"config"`
	Was    string `json:"was"`
	// Changes are what is other than before; of a secret only that it is.
	Changes []ConfigChange `json:"changes"`
	// Restart are those that a process cannot take over while it runs.
	Restart []ConfigChange `json:"restart,omitempty"`
	// Errors are those of `veer validate`.
	Errors []ConfigError `json:"errors,omitempty"`
	// Why, where it is not empty, says why it was refused.
	Why string `json:"why,omitempty"`
	// Notes say what is still to come, or to be done.
	Notes []string      `json:"notes,omitempty"`
	Took  time.Duration `json:"took"`
}

// ConfigChange is one thing in which a config differs from that of before.
type ConfigChange struct {
	What   string `json:"what"`
	Change string `json:"change"` // added, removed, changed
	Key    string `json:"key,omitempty"`
	Was    string `json:"was,omitempty"`
	Is     string `json:"is,omitempty"`
}

// ConfigError is one thing wrong with a config, and where.
type ConfigError struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Source   string `json:"source"`
	Path     string `json:"path,omitempty"`
	Problem  string `json:"problem"`
	Expected string `json:"expected,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

// Reload has the daemon read its config and all that it names again, or with
// dryRun only say what that would change.
func (c *Client) Reload(ctx context.Context, r ReloadRequest, dryRun bool) (Reload, error) {
	q := url.Values{}
	if dryRun {
		q.Set("dry_run", "true")
	}
	var out Reload
	return out, c.do(ctx, http.MethodPost, "/v1/reload", q, r, &out)
}
