package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/veerdns/veer/regions"
)

// MaxBackup bounds a backup's file.
const MaxBackup = 256 << 20

// Backup tells what a backup's file has.
type Backup struct {
	// File is where it is; empty where it is not in a file.
	File  string       `json:"file,omitempty"`
	Owner string       `json:"owner"`
	Term  regions.Term `json:"term"`
	// Made is when, by the clock of whoever made it, Version the Veer.
	Made    time.Time `json:"made"`
	Version string    `json:"version"`
	// Agreed: a majority of the members stood behind it.
	Agreed    bool `json:"agreed"`
	Shards    int  `json:"shards"`
	Orders    int  `json:"orders"`
	Decisions int  `json:"decisions"`
	Notes     int  `json:"notes"`
	// LeftOut is how many of the oldest decisions had no room; Unread are keys
	// whose values could not be read.
	LeftOut int      `json:"left_out"`
	Unread  []string `json:"unread"`
}

// RestoreRequest is what a restore is told beside the file.
type RestoreRequest struct {
	By, Why string
	// Over replaces a ledger that exists, and deposes who leads.
	Over bool
}

// Restored tells what became of a restore.
type Restored struct {
	Backup Backup `json:"backup"`
	// Term is the highest that was found: in the backup, in the ledger that was
	// there, in fences and in what is served. The next leader's is above.
	Term regions.Term `json:"term"`
	// Unread are zones whose fence could not be read.
	Unread []string `json:"unread"`
}

// Backup returns a backup's file as the daemon makes it now.
func (c *Client) Backup(ctx context.Context) ([]byte, error) {
	return c.exchange(ctx, http.MethodGet, "/v1/backup", nil, nil)
}

// Restore has the daemon restore a backup's file.
func (c *Client) Restore(ctx context.Context, file []byte, r RestoreRequest) (Restored, error) {
	q := url.Values{"by": {r.By}, "reason": {r.Why}, "over": {strconv.FormatBool(r.Over)}}
	var out Restored
	text, err := c.exchange(ctx, http.MethodPost, "/v1/restore", q, file)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	return out, err
}

// exchange is do for bodies that may be as large as a backup.
func (c *Client) exchange(ctx context.Context, method, path string, q url.Values, body []byte) ([]byte, error) {
	target := "http://veer" + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making the request %s %s: %w", method, path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxBackup+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the daemon's reply to %s %s: %w", method, path, err)
	case len(b) > MaxBackup:
		return nil, fmt.Errorf("the daemon's reply to %s %s is larger than %d bytes", method, path, MaxBackup)
	case resp.StatusCode/100 != 2:
		p := &Problem{Code: resp.StatusCode}
		if err := json.Unmarshal(b, p); err != nil || p.What == "" {
			p.What = fmt.Sprintf("the daemon answered %s %s with status %d", method, path, resp.StatusCode)
		}
		return nil, p
	}
	return b, nil
}
