package controller_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// nearest is a latency service of two pools.
func nearest() steering.Service {
	svc := service(app, time.Minute, one, two)
	svc.Kind, svc.Locations = steering.Latency, []steering.Location{{Name: "ap"}}
	svc.Nearness = steering.Nearness{Percent: 20, Least: 5 * time.Millisecond, For: time.Minute}
	return svc
}

// measure makes a vantage tell a round trip with its vote.
func (w *world) measure(vantage regions.Name, id regions.EndpointID, d time.Duration) {
	w.change(func() {
		for i, v := range w.ballots[vantage].Votes {
			if v.Endpoint == id {
				w.ballots[vantage].Votes[i].RoundTrip = d
			}
		}
	})
}

// at is what the clients of a location are answered.
func (w *world) at(location string) string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.shards[steering.ShardOf(app)].Answers {
		if a.Location == location {
			return strings.Join(a.Data, " ")
		}
	}
	return ""
}

func (r *rig) wantAt(location, want string) {
	r.t.Helper()
	if got := r.at(location); got != want {
		r.t.Fatalf("%s is answered %q, want %q (last cause %q)", location, got, want, r.lastCause())
	}
}

func TestLatencyMovesAfterItsTime(t *testing.T) {
	bubble(t, []steering.Service{nearest()}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		r.measure("ap", one, 80*time.Millisecond)
		r.measure("ap", two, 20*time.Millisecond)
		r.measure("eu", two, 1*time.Millisecond) // of no location
		r.wantAt("ap", "192.0.2.1")
		pass(59 * time.Second)
		r.wantAt("ap", "192.0.2.1")
		pass(time.Second + time.Millisecond)
		r.wantAt("ap", "192.0.2.2")
		r.wantAt(steering.DefaultLocation, "192.0.2.1")
		if cause := r.lastCause(); cause != "us is nearer than eu for ap" {
			t.Errorf("the cause is %q", cause)
		}
		commits, _ := r.counts()
		r.measure("ap", two, 21*time.Millisecond)
		synctest.Wait()
		if again, _ := r.counts(); again != commits {
			t.Error("a figure that moves nothing was committed")
		}
		// The vantage is silent, or doubts itself: unknown moves nothing.
		r.change(func() {
			b := r.ballots["ap"]
			b.Suspect = true
			r.ballots["ap"] = b
		})
		pass(time.Hour)
		r.wantAt("ap", "192.0.2.2")
		r.change(func() { delete(r.ballots, "ap") })
		pass(time.Hour)
		r.wantAt("ap", "192.0.2.2")
		// Failover wins.
		r.vote("eu", checks.Down, two)
		r.vote("us", checks.Down, two)
		r.wantAt("ap", "192.0.2.1")
	})
}

// TestLatencyTimeOverChangeOfLeader has leaders end, one after the other: the
// time that was counted is saved, and never becomes shorter.
func TestLatencyTimeOverChangeOfLeader(t *testing.T) {
	bubble(t, []steering.Service{nearest()}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		r.measure("ap", one, 80*time.Millisecond)
		r.measure("ap", two, 20*time.Millisecond)
		synctest.Wait()
		began := time.Now()
		for range 3 {
			pass(14 * time.Second)
			r.depose(nil)
			synctest.Wait()
		}
		for r.at("ap") != "192.0.2.2" {
			pass(100 * time.Millisecond)
			if time.Since(began) > 5*time.Minute {
				t.Fatal("the time never ended")
			}
		}
		if took := time.Since(began); took < time.Minute || took > time.Minute+4*(4*time.Second+saveSlack) {
			t.Errorf("traffic moved after %s, expected a minute and what the leaders lost", took)
		}
	})
}
