package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/notify"
)

// receiver is a webhook that takes everything, or nothing.
type receiver struct {
	mu      sync.Mutex
	refuses bool
	asked   map[string]int // tries by ID
	got     []notify.Message
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body struct{ Data notify.Message }
	err := json.NewDecoder(req.Body).Decode(&body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[body.Data.ID]++
	if err != nil || r.refuses {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.got = append(r.got, body.Data)
}

func (r *receiver) refuse(is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses = is
}

// told are the messages of an event.
func (r *receiver) told(e notify.Event) []notify.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.got), func(m notify.Message) bool { return m.Event != e })
}

// Passes of a scheduler tell as a daemon does: each message once, also where all
// regions pass at once; what a receiver does not take, a later pass brings.
func TestOnceNotifies(t *testing.T) {
	t.Parallel()
	s := startScheduled(t, time.Second)
	hook := &receiver{asked: map[string]int{}}
	server := httptest.NewServer(hook)
	t.Cleanup(server.Close)
	path := filepath.Join(s.dir, "veer.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "key"), []byte("whsec_Y2FuYXJ5LWE3ZjMtbm90aWZ5LXRlc3Qta2V5LTEyMzQ="), 0o600); err != nil {
		t.Fatal(err)
	}
	s.write(string(text) + fmt.Sprintf("notifications: {receivers: {hook: {kind: webhook, url: %q, secret_file: key, events: [moved, leader, zone]}}}\n", server.URL))
	s.begin()
	s.round(everywhere...)
	s.want("127.0.0.11")
	if got := hook.told(notify.Moved); len(got) != 0 {
		t.Fatalf("told before anything moved: %+v", got)
	}

	hook.refuse(true)
	s.web.set("127.0.0.11", true)
	s.round(everywhere...)
	s.want("127.0.0.12")
	if len(hook.asked) == 0 || len(hook.told(notify.Moved)) != 0 {
		t.Fatalf("asked %v while it refuses", hook.asked)
	}
	hook.refuse(false)
	s.round(everywhere...)
	begin := hook.told(notify.Moved)
	if len(begin) != 1 || begin[0].Phase != notify.Begin || begin[0].Region != "eu-west" || hook.asked[begin[0].ID] < 2 {
		t.Fatalf("told of the loss: %+v, tries %v", begin, hook.asked)
	}

	s.web.set("127.0.0.11", false)
	for late := time.Now().Add(time.Minute); s.answer() != "127.0.0.11"; {
		if s.round(everywhere...); time.Now().After(late) {
			t.Fatal("traffic never returns")
		}
	}
	s.round(everywhere...)
	all := hook.told(notify.Moved)
	ends := slices.DeleteFunc(slices.Clone(all), func(m notify.Message) bool { return m.Phase != notify.End })
	if len(ends) != 1 || ends[0].Key != begin[0].Key || ends[0].Times.Back.IsZero() {
		t.Fatalf("told of the end: %+v", all)
	}

	// A zone that refuses what is to be written is told once, and that it takes it.
	if err := s.zone.SetPolicy([]byte(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["route53:Get*", "route53:List*"], "Resource": ["*"]}]}`)); err != nil {
		t.Fatal(err)
	}
	s.web.set("127.0.0.11", true)
	for range 2 {
		for _, region := range everywhere {
			if code, p, errs := s.once(region); code != exitDone && code != exitRefused {
				t.Fatalf("%s: exit code %d, %+v\n%s", region, code, p, errs)
			}
		}
	}
	refused := hook.told(notify.Zone)
	if len(refused) != 1 || refused[0].Phase != notify.Begin || !strings.Contains(refused[0].Summary, "example.test at aws is refused") {
		t.Fatalf("told of the zone: %+v", refused)
	}
	if err := s.zone.SetPolicy(nil); err != nil {
		t.Fatal(err)
	}
	s.round(everywhere...)
	s.want("127.0.0.12")
	if all := hook.told(notify.Zone); len(all) != 2 || all[1].Phase != notify.End || all[1].Key != refused[0].Key {
		t.Errorf("told of the zone: %+v", all)
	}
	for i, m := range hook.got {
		if slices.ContainsFunc(hook.got[:i], func(was notify.Message) bool { return was.ID == m.ID }) || m.Event == notify.Leader {
			t.Errorf("needless: %s %s %s", m.ID, m.Event, m.Summary)
		}
	}
}
