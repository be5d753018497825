package notify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// State is what a desk goes on from, of this process or of another one that
// led. It is JSON in the ledger.
type State struct {
	Stories []*Story `json:"stories,omitempty"`
	// Said are refusals that the last decision about the service still had.
	Said map[string]bool `json:"said,omitempty"`
	// Parcels are messages that not every receiver has.
	Parcels []*Parcel `json:"parcels,omitempty"`
	// Failed counts, by zone, the last passes in a row that could not write it.
	Failed map[string]int `json:"failed,omitempty"`
	// Last is the number of the newest story.
	Last uint64 `json:"last"`
}

// Bounds of a State: the ledger takes a megabyte.
const (
	maxStories = 100
	maxSaid    = 2000
	maxParcels = 200
	maxFailed  = 1000
	// maxStored is how many parts of a story are kept by name; of a larger one
	// only as many are waited for.
	maxStored = 1000
)

// Check refuses what no desk can have left.
func (s State) Check() error {
	if len(s.Stories) > 2*maxStories || len(s.Parcels) > 2*maxParcels || len(s.Said) > 2*maxSaid || len(s.Failed) > maxFailed {
		return fmt.Errorf("%d stories, %d parcels, %d refusals, %d zones: more than a desk keeps", len(s.Stories), len(s.Parcels), len(s.Said), len(s.Failed))
	}
	for _, st := range s.Stories {
		if st == nil || st.ID == "" || !slices.Contains(Events(), st.Event) || len(st.Parts) > maxStored {
			return errors.New("a story without an ID or with an unknown event")
		}
		if st.All < 1 || st.More < 0 || st.All != len(st.Parts)+st.More {
			return fmt.Errorf("story %s has %d parts and %d more of %d", st.ID, len(st.Parts), st.More, st.All)
		}
		for _, p := range st.Parts {
			if p == nil || p.Told && st.Told == 0 {
				return fmt.Errorf("story %s has an empty part, or one that was told before the story was", st.ID)
			}
		}
	}
	for _, p := range s.Parcels {
		if p == nil || p.Message.ID == "" {
			return errors.New("a parcel without a message")
		}
	}
	for zone, times := range s.Failed {
		if times < 1 || times > passPatience {
			return fmt.Errorf("zone %q failed %d times: passes count from 1 to %d", zone, times, passPatience)
		}
	}
	return nil
}

// Story is one thing that goes on, of which a receiver hears the beginning and
// the end.
type Story struct {
	ID    string `json:"id"`
	Event Event  `json:"event"`
	// About is the region, the zone, or who: with Event it names the story that
	// the next thing of its kind belongs to.
	About string `json:"about,omitempty"`
	// Once: it has no end.
	Once bool `json:"once,omitempty"`
	// Parts are the services, or what else it is about, by name.
	Parts map[string]*Part `json:"parts"`
	// More counts the parts that are not kept.
	More int `json:"more,omitempty"`
	// Began is when the first sign was, Moved and Back when the last part went
	// and returned.
	Began time.Time `json:"began,omitzero"`
	Moved time.Time `json:"moved,omitzero"`
	Back  time.Time `json:"back,omitzero"`
	Text  string    `json:"text,omitempty"`
	By    string    `json:"by,omitempty"`
	Why   string    `json:"why,omitempty"`
	// Told is how many messages there were of it; Returning: one said that it
	// returns; Waiting: one said that it waits for an operator.
	Told      int  `json:"told,omitempty"`
	Returning bool `json:"returning,omitempty"`
	Waiting   bool `json:"waiting,omitempty"`
	// News: there is something to tell, at due.
	News bool `json:"news,omitempty"`
	// All is how many parts there ever were.
	All int `json:"all,omitempty"`

	due time.Time // of this process's clock
}

// Part is one service of a story.
type Part struct {
	Out bool   `json:"out,omitempty"`
	To  string `json:"to,omitempty"`
	// Told: a message has counted it as out. Again: it was back, and is out.
	Told  bool `json:"told,omitempty"`
	Again bool `json:"again,omitempty"`
	// Waits: what it left is up, and an operator has to let it return.
	Waits    bool          `json:"waits,omitempty"`
	Recovery time.Duration `json:"recovery,omitempty"`
	Limit    time.Duration `json:"limit,omitempty"`
}

// Parcel is a message with those who have not got it yet.
type Parcel struct {
	Message Message  `json:"message"`
	To      []string `json:"to"`

	kept bool // the ledger has it
}

// Options are what a Desk needs.
type Options struct {
	Owner string
	// Group is how long a story's first part waits for others.
	Group time.Duration
	// Wants are the events of each receiver.
	Wants map[string][]Event
	// ID makes a story's ID unique among all leaders: it begins with it.
	ID string
}

// Desk makes messages of what happens. It is not safe for concurrent use.
type Desk struct {
	o     Options
	s     State
	zones map[string]zoneSeen
}

// NewDesk goes on from a state. What was not told yet is told when its time to
// wait for more has passed once more.
func NewDesk(o Options, s State, now time.Time) *Desk {
	if s.Said == nil {
		s.Said = map[string]bool{}
	}
	if s.Failed == nil {
		s.Failed = map[string]int{}
	}
	d := &Desk{o: o, s: s, zones: map[string]zoneSeen{}}
	for _, st := range s.Stories {
		if st.Parts == nil {
			st.Parts = map[string]*Part{}
		}
		if st.News {
			st.due = now.Add(o.Group)
		}
	}
	for _, p := range s.Parcels {
		p.kept = true
		p.To = slices.DeleteFunc(p.To, func(r string) bool { _, known := o.Wants[r]; return !known })
	}
	d.s.Parcels = slices.DeleteFunc(s.Parcels, func(p *Parcel) bool { return len(p.To) == 0 })
	return d
}

// find returns the open story of an event about something, or nil.
func (d *Desk) find(e Event, about string) *Story {
	for _, st := range d.s.Stories {
		if st.Event == e && st.About == about {
			return st
		}
	}
	return nil
}

// open returns the story of an event about something, and begins it where there
// is none. At is when the first sign was.
func (d *Desk) open(e Event, about string, at, now time.Time) *Story {
	if st := d.find(e, about); st != nil {
		st.news(now.Add(d.o.Group))
		return st
	}
	d.s.Last++
	st := &Story{ID: fmt.Sprintf("%s-%d", d.o.ID, d.s.Last), Event: e, About: about, Parts: map[string]*Part{}, Began: at}
	d.s.Stories = append(d.s.Stories, st)
	if len(d.s.Stories) > maxStories {
		d.s.Stories = slices.Delete(d.s.Stories, 0, 1)
	}
	st.news(now.Add(d.o.Group))
	return st
}

// news makes a message due; one that is due already stays so.
func (st *Story) news(at time.Time) {
	if !st.News {
		st.News, st.due = true, at
	}
}

// part returns the part of a name, which is out from now on; nil: there are too
// many.
func (st *Story) part(name string) *Part {
	p := st.Parts[name]
	if p == nil {
		st.All++
		if len(st.Parts) >= maxStored {
			st.More++
			return nil
		}
		p = &Part{}
		st.Parts[name] = p
	} else if !p.Out && p.Told {
		p.Again = true
	}
	p.Out, p.Waits = true, false
	return p
}

// back notes that a part is over. It reports whether it was not.
func (st *Story) back(name string, at, now time.Time, group time.Duration) bool {
	p := st.Parts[name]
	if p == nil || !p.Out {
		return false
	}
	p.Out, p.Waits = false, false
	st.Back = at
	if st.out() == 0 {
		st.News, st.due = true, now // it is over: nothing more to wait for
	} else {
		st.news(now.Add(group))
	}
	return true
}

// out counts the parts that are not over.
func (st *Story) out() int {
	n := 0
	for _, p := range st.Parts {
		if p.Out {
			n++
		}
	}
	return n
}

// names are the parts of which keep says so, sorted.
func (st *Story) names(keep func(*Part) bool) []string {
	var out []string
	for name, p := range st.Parts {
		if keep(p) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Due is when Flush has something to do; zero: nothing is known to come.
func (d *Desk) Due() time.Time {
	var due time.Time
	for _, st := range d.s.Stories {
		if st.News && (due.IsZero() || st.due.Before(due)) {
			due = st.due
		}
	}
	return due
}

// Flush makes the messages that are due, and parcels of them for those who want
// them. It returns what had to be dropped for them: the oldest.
func (d *Desk) Flush(now time.Time) (dropped []Drop) {
	for _, st := range slices.Clone(d.s.Stories) {
		if !st.News || st.due.After(now) {
			continue
		}
		st.News = false
		for _, m := range d.tell(st, now) {
			dropped = append(dropped, d.Post(m)...)
		}
		if st.Once || st.out() == 0 && st.Told > 0 {
			d.s.Stories = slices.DeleteFunc(d.s.Stories, func(o *Story) bool { return o == st })
		}
	}
	return dropped
}

// Drop is a message that a receiver never got.
type Drop struct {
	Receiver string
	Message  Message
	Why      string
}

// Post puts a message up for those who want it.
func (d *Desk) Post(m Message) []Drop {
	var to []string
	for _, r := range slices.Sorted(maps.Keys(d.o.Wants)) {
		if slices.Contains(d.o.Wants[r], m.Event) {
			to = append(to, r)
		}
	}
	if len(to) == 0 {
		return nil
	}
	d.s.Parcels = append(d.s.Parcels, &Parcel{Message: m, To: to})
	if len(d.s.Parcels) <= maxParcels {
		return nil
	}
	oldest := d.s.Parcels[0]
	d.s.Parcels = slices.Delete(d.s.Parcels, 0, 1)
	var dropped []Drop
	for _, r := range oldest.To {
		dropped = append(dropped, Drop{r, oldest.Message, "too many messages wait"})
	}
	return dropped
}

// State is what to keep. It shares nothing with the desk.
func (d *Desk) State() State {
	out := State{Last: d.s.Last, Said: maps.Clone(d.s.Said), Failed: maps.Clone(d.s.Failed)}
	for _, st := range d.s.Stories {
		c := *st
		c.Parts = make(map[string]*Part, len(st.Parts))
		for name, p := range st.Parts {
			one := *p
			c.Parts[name] = &one
		}
		out.Stories = append(out.Stories, &c)
	}
	for _, p := range d.s.Parcels {
		out.Parcels = append(out.Parcels, &Parcel{Message: p.Message, To: slices.Clone(p.To)})
	}
	return out
}

// Kept says that the ledger has the state as it is: its parcels may go.
func (d *Desk) Kept() {
	for _, p := range d.s.Parcels {
		p.kept = true
	}
}
