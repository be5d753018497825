package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// story is a desk with its clock and what it has said.
type story struct {
	t    testing.TB
	desk *Desk
	now  time.Time
	was  map[string]steering.ServiceState
	said []Message
}

func newStory(t testing.TB) *story {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	return &story{t: t, desk: NewDesk(deskOptions(), State{}, now), now: now, was: map[string]steering.ServiceState{}}
}

func deskOptions() Options {
	return Options{Owner: "lab", Group: 10 * time.Second, ID: "s", Wants: map[string][]Event{"all": Events()}}
}

// pass lets time go by, and takes what is due.
func (s *story) pass(d time.Duration) []Message {
	s.t.Helper()
	var out []Message
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(time.Second)
		if drops := s.desk.Flush(s.now); len(drops) > 0 {
			s.t.Errorf("dropped %+v", drops)
		}
		for _, p := range s.desk.s.Parcels {
			out = append(out, p.Message)
		}
		s.desk.s.Parcels = nil
	}
	s.said = append(s.said, out...)
	return out
}

// serve has a service served from regions, for a reason.
func (s *story) serve(name string, rule steering.Rule, allDown bool, serving ...regions.Name) {
	e := steering.Entry{Time: s.now.Format(time.RFC3339Nano), Shard: steering.ShardOf(name)}
	was, known := s.was[name]
	if known {
		e.Input.Prev.Services = []steering.ServiceState{was}
	}
	is := steering.ServiceState{Name: name, Serving: serving, AllDown: allDown}
	for _, r := range []regions.Name{"ap-south", "eu-west", "us-east"} {
		is.Pools = append(is.Pools, steering.PoolState{Region: r})
	}
	e.Decision.Next.Services = []steering.ServiceState{is}
	e.Decision.Why = []steering.Reason{{Service: name, Region: "eu-west", Rule: rule, Text: "the reason"}}
	if rule == steering.RuleDepart {
		e.Moves = []steering.Move{{Service: name, Seen: 4 * time.Second, Recovery: 22 * time.Second, Limit: 90 * time.Second}}
	}
	s.was[name] = is
	s.desk.Take(e, s.now)
}

// each is serve for several.
func (s *story) each(names []string, rule steering.Rule, allDown bool, serving ...regions.Name) {
	for _, name := range names {
		s.serve(name, rule, allDown, serving...)
	}
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("s%02d.example.test.", i)
	}
	return out
}

// begun serves some services from eu-west.
func (s *story) begun(n int) []string {
	all := names(n)
	s.each(all, steering.RuleFirst, false, "eu-west")
	if got := s.pass(time.Minute); len(got) > 0 {
		s.t.Errorf("a first answer is told: %+v", got)
	}
	return all
}

// only is the one message that there must be.
func only(t testing.TB, got []Message, event Event, phase Phase, summary string) Message {
	t.Helper()
	if len(got) != 1 || got[0].Event != event || got[0].Phase != phase || !strings.Contains(got[0].Summary, summary) {
		t.Fatalf("told %s, expected one %s %s with %q", list(got), event, phase, summary)
	}
	return got[0]
}

func list(got []Message) string {
	var out []string
	for _, m := range got {
		out = append(out, fmt.Sprintf("%s %s %q", m.Event, m.Phase, m.Summary))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// TestARegionsLossIsOneMessage: thirty services leave within a few seconds; one
// message says so, and one that all are back, with the times.
func TestARegionsLossIsOneMessage(t *testing.T) {
	s := newStory(t)
	all := s.begun(30)
	for i, name := range all {
		if i%5 == 4 {
			s.now = s.now.Add(time.Second)
		}
		s.serve(name, steering.RuleDepart, false, "us-east")
	}
	m := only(t, s.pass(time.Minute), Moved, Begin, "eu-west: 30 services moved away (us-east 30)")
	if m.Count != 30 || len(m.Services) != maxListed || m.Region != "eu-west" || m.Times.Recovery != 22*time.Second || m.Times.Limit != 90*time.Second || m.Times.Late != 0 {
		t.Errorf("the message %+v, %+v", m, m.Times)
	}
	s.pass(20 * time.Minute)
	for i, name := range all {
		if i == 20 { // within the time in which others are waited for
			s.now = s.now.Add(5 * time.Second)
		}
		s.serve(name, steering.RuleReturn, false, "eu-west")
	}
	end := only(t, s.pass(time.Minute), Moved, End, "eu-west: over, all 30 services are back after 21m")
	if end.Key != m.Key || end.ID == m.ID || end.Times.Back.IsZero() || end.Times.Recovery != 22*time.Second || end.Times.Began.Sub(m.Times.Began) != 0 {
		t.Errorf("the end %+v, %+v", end, end.Times)
	}
	for _, want := range []string{"First sign: 2026-11-29 12:00:56 UTC", "Measured recovery: 22s of 1m30s allowed (s00.example.test)", "Back: "} {
		if !strings.Contains(end.Text(), want) {
			t.Errorf("the end lacks %q:\n%s", want, end.Text())
		}
	}
	if len(s.desk.s.Stories) != 0 {
		t.Errorf("a story is left: %+v", s.desk.s.Stories[0])
	}
}

// TestOneServiceMoves: its name is in the summary; what moves by an operator's
// order, or returns, is no outage.
func TestOneServiceMoves(t *testing.T) {
	s := newStory(t)
	s.begun(2)
	s.serve("s00.example.test.", steering.RuleDrain, false, "us-east")
	if got := s.pass(time.Minute); len(got) > 0 {
		t.Errorf("a drain is told as an outage: %s", list(got))
	}
	s.serve("s01.example.test.", steering.RuleDepart, false, "us-east")
	only(t, s.pass(time.Minute), Moved, Begin, "eu-west: s01.example.test moved away to us-east")
	s.serve("s01.example.test.", steering.RuleReturn, false, "eu-west")
	only(t, s.pass(time.Minute), Moved, End, "eu-west: over, s01.example.test is back")
}

// TestReturnInSteps: more that leave, the return of some, and that they leave
// again are told, each in one message.
func TestReturnInSteps(t *testing.T) {
	s := newStory(t)
	all := s.begun(12)
	s.each(all[:10], steering.RuleDepart, false, "us-east")
	only(t, s.pass(time.Minute), Moved, Begin, "10 services")
	s.each(all[10:], steering.RuleDepart, false, "ap-south")
	only(t, s.pass(time.Minute), Moved, Update, "2 services more moved away (ap-south 2), 12 in all")
	s.each(all[:3], steering.RuleReturn, false, "eu-west")
	only(t, s.pass(time.Minute), Failback, Once, "failback began, 3 of 12 services are back")
	s.each(all[3:6], steering.RuleReturn, false, "eu-west")
	if got := s.pass(time.Minute); len(got) > 0 {
		t.Errorf("each step is told: %s", list(got))
	}
	s.each(all[:2], steering.RuleDepart, false, "us-east")
	only(t, s.pass(time.Minute), Failback, Once, "failback aborted, 2 services moved away again")
	s.each(all, steering.RuleReturn, false, "eu-west")
	only(t, s.pass(time.Minute), Moved, End, "all 12 services are back")
}

// TestWaitsForAnOperator: manual failback is told once for all.
func TestWaitsForAnOperator(t *testing.T) {
	s := newStory(t)
	all := s.begun(4)
	s.each(all, steering.RuleDepart, false, "us-east")
	s.pass(time.Minute)
	for range 2 {
		s.each(all, steering.RuleManual, false, "us-east")
	}
	only(t, s.pass(time.Hour), Failback, Once, "4 services wait for veer failback eu-west")
}

// TestAllDown: it begins, and ends, for several services at once.
func TestAllDown(t *testing.T) {
	s := newStory(t)
	all := s.begun(3)
	s.each(all, steering.RuleAllDown, true, "eu-west")
	if m := only(t, s.pass(time.Minute), AllDown, Begin, "3 services: no pool is up"); m.Severity != Critical {
		t.Errorf("severity %s", m.Severity)
	}
	s.each(all, steering.RuleReturn, false, "eu-west")
	only(t, s.pass(time.Minute), AllDown, End, "3 services: a pool is up again")
}

// TestRefused: what is held back is told once, until it is not.
func TestRefused(t *testing.T) {
	s := newStory(t)
	all := s.begun(2)
	for range 3 {
		s.each(all, steering.RuleCapacity, false, "eu-west")
		s.pass(time.Minute)
	}
	only(t, s.said, Refused, Once, "refused (capacity): s00.example.test: the reason, and 1 more")
	s.serve(all[0], steering.RuleKeep, false, "eu-west")
	s.serve(all[0], steering.RuleCapacity, false, "eu-west")
	only(t, s.pass(time.Minute), Refused, Once, "s00.example.test")
}

// TestNotes: an order says who and why; those of one hand in the same moment are
// one message; certificates and takeovers are their own events.
func TestNotes(t *testing.T) {
	s := newStory(t)
	for i := range 3 {
		s.desk.Note(Act{Act: "ordered", By: "alice", Why: "maintenance\nFrom: x", Order: fmt.Sprintf("drain of eu-west/%d for 2h0m0s", i)}, s.now)
	}
	m := only(t, s.pass(time.Minute), Override, Once, "alice ordered: drain of eu-west/0 for 2h0m0s, and 2 more")
	if m.By != "alice" || m.Why != "maintenance From: x" || len(m.Details) != 3 {
		t.Errorf("%+v", m)
	}
	for act, event := range map[string]Event{"expired": Override, "takeover of term 7 ended": Takeover, "pruned": Operator, ActCertificate: Certificate, ActFenced: Zone} {
		a := Act{Act: act, By: "eu-west", Why: "it is so"}
		if act == "expired" {
			a.Order = "freeze of app.example.test"
		}
		s.desk.Note(a, s.now)
		only(t, s.pass(time.Minute), event, Once, "")
	}
}

// TestZones: a zone that waits for somebody is told soon, one that fails when
// that lasts, and the end only when it holds; a new desk does not end it at once.
func TestZones(t *testing.T) {
	s := newStory(t)
	stand := func(d time.Duration, f ZoneFact) []Message {
		var out []Message
		for range d / time.Second {
			s.desk.Zones([]ZoneFact{f}, s.now)
			out = append(out, s.pass(time.Second)...)
		}
		return out
	}
	const zone = "example.com at aws"
	fails := ZoneFact{Zone: zone, State: "failing", Why: "status 503"}
	ok := ZoneFact{Zone: zone, State: "ok", OK: true}
	if got := stand(time.Minute, fails); len(got) > 0 {
		t.Errorf("a short failure is told: %s", list(got))
	}
	stand(time.Second, ok)
	begin := only(t, stand(5*time.Minute, fails), Zone, Begin, "example.com at aws is failing: status 503")
	if got := stand(30*time.Second, ok); len(got) > 0 {
		t.Errorf("it is over at once: %s", list(got))
	}
	if end := only(t, stand(5*time.Minute, ok), Zone, End, "as the ledger says again"); end.Key != begin.Key {
		t.Errorf("keys %s and %s", begin.Key, end.Key)
	}
	only(t, stand(15*time.Second, ZoneFact{Zone: zone, State: "read-only", Held: true, Why: "not proven"}), Zone, Begin, "read-only")
}

// TestPassedZones: of a scheduler's passes, in each of which another desk goes on,
// one that finds a zone held is enough, and of failures it takes two in a row; the
// first pass that writes it is the end.
func TestPassedZones(t *testing.T) {
	s := newStory(t)
	const zone = "example.com at aws"
	fails := ZoneFact{Zone: zone, State: "failing", Why: "status 503"}
	ok := ZoneFact{Zone: zone, State: "ok", OK: true}
	held := ZoneFact{Zone: zone, State: "refused", Held: true, Why: "AccessDenied"}
	pass := func(facts ...ZoneFact) []Message {
		s.reload()
		s.desk.PassedZones(facts, s.now)
		return s.pass(time.Minute)
	}
	for i, facts := range [][]ZoneFact{{fails}, {ok}, {fails}, {}} { // none: nothing is known, so nothing is written
		if got := pass(facts...); len(got) > 0 {
			t.Errorf("pass %d tells %s", i, list(got))
		}
	}
	begin := only(t, pass(fails), Zone, Begin, "example.com at aws is failing: status 503")
	if got := pass(held); len(got) > 0 {
		t.Errorf("it is told again: %s", list(got))
	}
	if end := only(t, pass(ok), Zone, End, "as the ledger says again"); end.Key != begin.Key {
		t.Errorf("keys %s and %s", begin.Key, end.Key)
	}
	only(t, pass(held), Zone, Begin, "example.com at aws is refused: AccessDenied")
}

// TestMissedDecisions: what the ledger says ends a story of which decisions were
// not read, and so does a service that is steered no more.
func TestMissedDecisions(t *testing.T) {
	s := newStory(t)
	all := s.begun(2)
	s.each(all, steering.RuleDepart, false, "us-east")
	s.pass(time.Minute)
	s.desk.See(steering.State{Services: []steering.ServiceState{{Name: all[0], Serving: []regions.Name{"eu-west"}, Pools: []steering.PoolState{{Region: "eu-west"}}}}}, s.now)
	s.desk.Take(steering.Entry{Input: steering.Input{Prev: steering.State{Services: []steering.ServiceState{{Name: all[1]}}}}}, s.now)
	only(t, s.pass(time.Minute), Moved, End, "all 2 services are back")
}

// TestParcelsAreBounded: the oldest of too many messages is dropped, and said.
func TestParcelsAreBounded(t *testing.T) {
	s := newStory(t)
	var drops []Drop
	for i := range maxParcels + 3 {
		drops = append(drops, s.desk.Post(Message{ID: fmt.Sprint(i), Event: Operator})...)
	}
	if len(drops) != 3 || drops[0].Message.ID != "0" || drops[0].Receiver != "all" || len(s.desk.s.Parcels) != maxParcels {
		t.Errorf("%d parcels, dropped %+v", len(s.desk.s.Parcels), drops)
	}
}
