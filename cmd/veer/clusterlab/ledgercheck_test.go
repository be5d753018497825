//go:build netns

package clusterlab

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// told is a ledger that hears what a test says.
type told struct {
	*ledger
	t     *testing.T
	rev   int64
	now   time.Time
	wrong []string
}

func (d *told) put(key, value string) {
	d.t.Helper()
	d.change(&clientv3.Event{Type: clientv3.EventTypePut, Kv: &mvccpb.KeyValue{Key: []byte(etcdKeys + key), Value: []byte(value)}})
}

func (d *told) gone(key string) {
	d.t.Helper()
	d.change(&clientv3.Event{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(etcdKeys + key)}})
}

func (d *told) change(e *clientv3.Event) {
	d.t.Helper()
	d.rev++
	e.Kv.ModRevision = d.rev
	if err := d.take([]*clientv3.Event{e}, d.rev, d.now); err != nil {
		d.t.Fatal(err)
	}
}

// votes has vantages call the first backend something, and the others up; a
// vantage without a word is silent.
func (d *told) votes(words ...string) {
	d.t.Helper()
	for i, v := range regionNames {
		ballot := "world/ballot/" + v + "/"
		if words[i] == "" {
			d.gone(ballot + "head")
			d.gone(ballot + "00000")
			continue
		}
		d.put(ballot+"head", "{}")
		d.put(ballot+"00000", fmt.Sprintf(`{"votes":[{"endpoint":"web@%s","health":%q,"round":1},{"endpoint":"web@%s","health":"up","round":1}]}`,
			webAddress(0), words[i], webAddress(1)))
	}
}

func (d *told) commit(term, seq int, address string) {
	d.t.Helper()
	d.put("shard/005", fmt.Sprintf(`{"id":5,"term":%d,"seq":%d,"answers":[{"name":"app.example.test.","type":"A","ttl":1,"data":[%q]}]}`, term, seq, address))
}

// wait lets time pass, in which the ledger is looked at again and again.
func (d *told) wait(long time.Duration) {
	for end := d.now.Add(long); d.now.Before(end); d.now = d.now.Add(250 * time.Millisecond) {
		d.overdue(d.now)
	}
}

// TestTheLedgerIsChecked tells ledgers good and bad histories.
func TestTheLedgerIsChecked(t *testing.T) {
	first, second := webAddress(0), webAddress(1)
	for _, tt := range []struct {
		name string
		want string // the check that sees it
		tell func(d *told)
	}{
		{"two call it down", "", func(d *told) { d.votes("down", "down", "up"); d.commit(1, 2, second) }},
		{"two called it down a moment ago", "", func(d *told) {
			d.votes("down", "down", "up")
			d.votes("up", "up", "up")
			d.now = d.now.Add(time.Second)
			d.commit(1, 2, second)
		}},
		{"two called it down long ago", checkMove, func(d *told) {
			d.votes("down", "down", "up")
			d.votes("up", "up", "up")
			d.now = d.now.Add(time.Hour)
			d.commit(1, 2, second)
		}},
		{"one calls it down", checkMove, func(d *told) { d.votes("down", "up", "up"); d.commit(1, 2, second) }},
		{"one calls it down, one is silent", checkMove, func(d *told) { d.votes("down", "", "up"); d.commit(1, 2, second) }},
		{"one calls it down, two are silent", checkMove, func(d *told) { d.votes("down", "", ""); d.commit(1, 2, second) }},
		{"back to what is up", "", func(d *told) {
			d.votes("down", "down", "up")
			d.commit(1, 2, second)
			d.votes("up", "up", "down")
			d.now = d.now.Add(time.Hour)
			d.commit(1, 3, first)
		}},
		{"back to what is not up", checkMove, func(d *told) {
			d.votes("down", "down", "up")
			d.commit(1, 2, second)
			d.now = d.now.Add(time.Hour)
			d.commit(1, 3, first)
		}},
		{"the next term goes on", "", func(d *told) { d.put("term", `{"term":2,"holder":"b"}`); d.commit(2, 2, first) }},
		{"a commit of the term before", checkLedger, func(d *told) { d.put("term", `{"term":2,"holder":"b"}`); d.commit(1, 2, first) }},
		{"a commit that replaces itself", checkLedger, func(d *told) { d.commit(1, 1, first) }},
		{"what is down is left late", checkDepart, func(d *told) {
			d.votes("down", "down", "up")
			d.wait(departWithin + departAnew + time.Second)
		}},
		{"what is down is left in time", "", func(d *told) {
			d.votes("down", "down", "up")
			d.wait(departWithin - time.Second)
			d.commit(1, 2, second)
			d.wait(time.Hour)
		}},
		{"nobody leads", "", func(d *told) {
			d.votes("down", "down", "up")
			d.gone("leader/1")
			d.wait(time.Hour)
		}},
		{"it is not known to be down", "", func(d *told) { d.votes("down", "", ""); d.wait(time.Hour) }},
		{"what is down is left late, by several leaders", checkDepart, func(d *told) {
			d.votes("down", "down", "up")
			for term := range 5 {
				d.put("term", fmt.Sprintf(`{"term":%d,"holder":"a"}`, 2+term))
				d.wait(departWithin / 2)
			}
		}},
		{"nobody leads for long", "", func(d *told) {
			d.votes("down", "down", "up")
			for term := range 5 {
				d.put("term", fmt.Sprintf(`{"term":%d,"holder":"a"}`, 2+term))
				d.wait(departAnew)
			}
		}},
		{"the test's process stood still", "", func(d *told) {
			d.votes("down", "down", "up")
			d.wait(departAnew)
			d.now = d.now.Add(time.Hour)
			d.wait(time.Second)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &told{t: t, now: time.Now()}
			d.ledger = newLedger(func(check, format string, args ...any) {
				d.wrong = append(d.wrong, check)
				t.Logf("%s: %s", check, fmt.Sprintf(format, args...))
			}, func(string, ...any) {})
			d.put("term", `{"term":1,"holder":"a"}`)
			d.put("leader/1", `{"name":"eu-west","holder":"a"}`)
			d.votes("up", "up", "up")
			d.commit(1, 1, first)
			d.now = d.now.Add(time.Minute)
			tt.tell(d)
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			if !slices.Equal(d.wrong, want) {
				t.Errorf("seen by %q, expected %q", strings.Join(d.wrong, ", "), tt.want)
			}
		})
	}
}
