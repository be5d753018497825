package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

// planFormat is the version of a saved plan.
const planFormat = 1

// planFile is a plan that `veer plan --out` saved. It holds no secret.
type planFile struct {
	Format int    `json:"veer_plan"`
	Owner  string `json:"owner"`
	// Made is when, for people only.
	Made   string       `json:"made"`
	Region regions.Name `json:"region"`
	Prune  bool         `json:"prune"`
	// Term and Ledger are the decisions that it was made from.
	Term   regions.Term     `json:"term"`
	Ledger []api.Decided    `json:"ledger"`
	Plan   controller.Saved `json:"plan"`
}

func planFileOf(p api.Plan, now time.Time) planFile {
	return planFile{
		Format: planFormat, Owner: p.Owner, Made: now.UTC().Format(time.RFC3339), Region: p.Region,
		Prune: p.Prune, Term: p.Term, Ledger: p.Ledger, Plan: p.Saved(),
	}
}

// save writes the file for this user alone, all of it or nothing.
func (f planFile) save(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	if len(text) >= api.MaxPlan {
		return fmt.Errorf("the plan has %d bytes, at most %d can be saved: apply it without a file", len(text), api.MaxPlan)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".veer-plan") // mode 0600
	if err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	_, err = temp.Write(append(text, '\n'))
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the plan: %w", err), os.Remove(temp.Name()))
	}
	return nil
}

// openPlan reads a saved plan.
func openPlan(path string) (planFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return planFile{}, fmt.Errorf("reading the plan: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return planFile{}, errors.Join(fmt.Errorf("reading the plan: %s is not a regular file", path), err)
	}
	text, err := io.ReadAll(io.LimitReader(f, api.MaxPlan+1))
	if err != nil {
		return planFile{}, fmt.Errorf("reading the plan: %w", err)
	}
	p, err := parsePlan(text)
	if err != nil {
		return planFile{}, fmt.Errorf("%s is not a plan that veer plan --out wrote: %w", path, err)
	}
	return p, nil
}

// parsePlan reads a saved plan strictly: what it takes can be carried out as
// it stands, or refused as stale.
func parsePlan(text []byte) (planFile, error) {
	if len(text) > api.MaxPlan {
		return planFile{}, fmt.Errorf("it is larger than %d bytes", api.MaxPlan)
	}
	var version struct {
		Format int `json:"veer_plan"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return planFile{}, err
	}
	if version.Format != planFormat {
		return planFile{}, fmt.Errorf("its format is %d, this version reads %d", version.Format, planFormat)
	}
	var p planFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return planFile{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return planFile{}, errors.New("it goes on after its end")
	}
	return p, p.check()
}

func (f planFile) check() error {
	if f.Owner == "" || f.Plan.Config == "" {
		return errors.New("it names no owner or no config")
	}
	seen := map[string]bool{}
	for _, z := range f.Plan.Zones {
		id := z.Provider + " " + providers.CanonicalName(z.Zone)
		if z.Provider == "" || z.Zone == "" || seen[id] || len(z.Changes) == 0 {
			return fmt.Errorf("zone %q of %q: expected both, once, with changes", z.Zone, z.Provider)
		}
		seen[id] = true
		next := providers.Fence{Owner: f.Owner}
		caps := providers.Caps{Weights: true, MaxTTL: 1<<31 - 1}
		if err := providers.CheckWrite(caps, f.Owner, providers.Snapshot{Zone: providers.CanonicalName(z.Zone)}, next, z.Changes); err != nil {
			return err
		}
	}
	return nil
}
