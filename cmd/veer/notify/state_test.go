package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/regions/steering"
)

// reload takes the desk through the ledger, as a change of leader does.
func (s *story) reload() {
	s.t.Helper()
	raw, err := json.Marshal(s.desk.State())
	if err != nil {
		s.t.Fatal(err)
	}
	var state State
	if err := json.Unmarshal(raw, &state); err != nil {
		s.t.Fatal(err)
	}
	if err := state.Check(); err != nil {
		s.t.Fatal(err)
	}
	o := deskOptions()
	o.ID = fmt.Sprintf("s%d", s.now.Unix())
	s.desk = NewDesk(o, state, s.now)
}

// TestChangesOfLeader: whenever leaders change, each region's loss is begun once
// and ended once, under one key, however services come and go.
func TestChangesOfLeader(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStory(t)
		all := s.begun(6)
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			name := rapid.SampledFrom(all).Draw(rt, "service")
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				if slices.Contains(s.was[name].Serving, "eu-west") {
					s.serve(name, steering.RuleDepart, false, "us-east")
				}
			case 1:
				s.serve(name, steering.RuleReturn, false, "eu-west")
			case 2:
				s.reload()
			case 3:
				s.pass(time.Duration(rapid.IntRange(1, 30).Draw(rt, "seconds")) * time.Second)
			}
		}
		for _, name := range all {
			s.serve(name, steering.RuleReturn, false, "eu-west")
		}
		s.pass(time.Minute)
		open := ""
		ids := map[string]bool{}
		for _, m := range s.said {
			if ids[m.ID] {
				rt.Fatalf("two messages have the ID %s: %s", m.ID, list(s.said))
			}
			ids[m.ID] = true
			switch {
			case m.Event == Moved && m.Phase == Begin && open == "":
				open = m.Key
			case m.Event == Moved && m.Phase == End && open == m.Key:
				open = ""
			case m.Phase == Begin || m.Phase == End || open == "":
				rt.Fatalf("%s %s of %s while %q is open: %s", m.Event, m.Phase, m.Key, open, list(s.said))
			}
		}
		if open != "" || len(s.desk.s.Stories) > 0 {
			rt.Fatalf("%q is not ended: %s", open, list(s.said))
		}
	})
}

// FuzzState: what the ledger may hold is refused, or a desk goes on from it.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"stories":[{"id":"a","event":"moved","about":"eu","all":1,"parts":{"x":{"out":true}},"news":true}],"parcels":[{"message":{"id":"m","event":"moved"},"to":["all"]}],"last":3}`))
	f.Add([]byte(`{"stories":[null]}`))
	f.Add([]byte(`{"stories":[{"id":"a","event":"moved","news":true,"all":1}]}`))
	f.Add([]byte(`{"stories":[{"id":"a","event":"moved","news":true,"all":1,"parts":{"x":{"out":true,"told":true}}}]}`))
	f.Add([]byte(`{"stories":[{"id":"a","event":"zone","once":true,"all":1,"parts":{"x":{}},"news":true}]}`))
	f.Add([]byte(`{"failed":{"example.com at aws":1},"last":0}`))
	f.Add([]byte(`{"failed":{"example.com at aws":-1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s State
		if json.Unmarshal(raw, &s) != nil || s.Check() != nil {
			return
		}
		now := time.Unix(1_800_000_000, 0)
		d := NewDesk(deskOptions(), s, now)
		d.See(steering.State{Services: []steering.ServiceState{{Name: "x"}}}, now)
		d.PassedZones([]ZoneFact{{Zone: "example.com at aws"}}, now)
		d.Flush(now.Add(time.Hour))
		if err := d.State().Check(); err != nil {
			t.Error(err)
		}
	})
}
