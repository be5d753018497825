package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/veerdns/veer/providers"
)

// Saved is a plan that was shown, and is to be carried out as it is or not at
// all.
type Saved struct {
	// Config is the hash of the config that it was made with.
	Config string      `json:"config"`
	Zones  []SavedZone `json:"zones"`
}

// SavedZone is one zone as it was found, with what to change in it.
type SavedZone struct {
	Provider string          `json:"provider"`
	Zone     string          `json:"zone"`
	Fence    providers.Fence `json:"fence"`
	// Records is the Digest of what the zone held.
	Records string             `json:"records"`
	Changes []providers.Change `json:"changes"`
}

// Digest identifies what a zone holds, whose it is included, the fence aside.
func Digest(have providers.Snapshot) string {
	canonical := func(sets []providers.RRSet) []providers.RRSet {
		out := make([]providers.RRSet, 0, len(sets))
		for _, s := range sets {
			out = append(out, s.Canonical())
		}
		slices.SortFunc(out, providers.Compare)
		return out
	}
	text, err := json.Marshal(struct {
		Records, Foreign []providers.RRSet
		Owned            []string
		Owners           map[string]string
	}{canonical(have.Records), canonical(have.Foreign), slices.Sorted(slices.Values(have.Owned)), have.Owners})
	if err != nil {
		return "" // strings and numbers always can be written
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// of finds the saved plan of a zone.
func (s Saved) of(z ZoneID) (SavedZone, bool) {
	i := slices.IndexFunc(s.Zones, func(is SavedZone) bool {
		return is.Provider == z.Provider && providers.CanonicalName(is.Zone) == z.Zone
	})
	if i < 0 {
		return SavedZone{}, false
	}
	return s.Zones[i], true
}

// stale says what moved since the plan was saved; empty: nothing did.
func (s SavedZone) stale(have providers.Snapshot) string {
	switch {
	case have.Fence != s.Fence:
		return fmt.Sprintf("the zone was written since: its fence is %q and not %q", have.Fence, s.Fence)
	case Digest(have) != s.Records:
		return "the zone's records were changed since"
	}
	return ""
}

// differs says that other changes would be made now.
func (s SavedZone) differs(changes []providers.Change) string {
	if len(changes) == len(s.Changes) && (len(changes) == 0 || reflect.DeepEqual(shape(changes), shape(s.Changes))) {
		return ""
	}
	if len(changes) == len(s.Changes) {
		return "the decision moved: other changes would be made now than are in the plan"
	}
	return fmt.Sprintf("the decision moved: changes that would be made now are %d, and %d in the plan", len(changes), len(s.Changes))
}

// shape is the changes in canonical form.
func shape(changes []providers.Change) []providers.Change {
	out := make([]providers.Change, len(changes))
	for i, c := range changes {
		for from, to := range map[**providers.RRSet]**providers.RRSet{&c.Before: &out[i].Before, &c.After: &out[i].After} {
			if *from != nil {
				set := (*from).Canonical()
				*to = &set
			}
		}
	}
	return out
}

// unsaved compares the zone with the plan that the request carries. It reports
// whether nothing more is to be done in it.
func (w *writer) unsaved(have providers.Snapshot, may Request, done *ZoneOutcome) bool {
	if may.Plan == nil {
		return false
	}
	saved, ok := may.Plan.of(w.id())
	if !ok {
		return true
	}
	answers, _ := w.newest()
	changes := PlanZone(w.now.Written, have, answers, w.now.o.Policy).permitted(may, done)
	switch {
	case may.Plan.Config != w.now.o.ConfigHash:
		done.Stale = fmt.Sprintf("the config moved: its hash is %s here and %s in the plan", w.now.o.ConfigHash, may.Plan.Config)
	case saved.stale(have) != "":
		done.Stale = saved.stale(have)
	case done.Guard == "":
		done.Stale = saved.differs(changes)
	}
	return may.dry || done.Stale != "" || done.Guard != ""
}

// Stands reports whether nothing speaks against carrying a saved plan out.
func stands(zones []ZoneOutcome) bool {
	return !slices.ContainsFunc(zones, func(z ZoneOutcome) bool { return z.Stale != "" || z.Guard != "" || z.Err != nil })
}
