package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
)

// answerer answers with its name and what it was asked, until the test ends.
func answerer(t *testing.T, c *cluster.Cluster, name string, leads *atomic.Bool, done *atomic.Int32) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := c.Answer(ctx, leads.Load, func(_ context.Context, from string, body json.RawMessage) json.RawMessage {
			done.Add(1)
			return json.RawMessage(fmt.Sprintf(`{"by":%q,"from":%q,"asked":%s}`, name, from, body))
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func TestAskTheLeader(t *testing.T) {
	t.Parallel()
	main := start(t, fast(), cluster.Options{Owner: "test", Name: "main", DataDir: clustertest.ShortDir(t)})
	us, eu := passOf(t, main, "us", 0), passOf(t, main, "eu", 0)
	var usLeads, euLeads atomic.Bool
	var done atomic.Int32
	answerer(t, us, "us", &usLeads, &done)
	answerer(t, eu, "eu", &euLeads, &done)

	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := main.Ask(short, json.RawMessage(`1`)); !errors.Is(err, cluster.ErrUnanswered) {
		t.Errorf("without a leader: %v", err)
	}
	usLeads.Store(true)
	for i := range 3 {
		leader, answer, err := main.Ask(within(t), json.RawMessage(fmt.Sprint(i)))
		if want := fmt.Sprintf(`{"by":"us","from":"main","asked":%d}`, i); err != nil || leader != "us" || string(answer) != want {
			t.Fatalf("%s answered %s (%v), want %s", leader, answer, err, want)
		}
	}
	// Two that both believe to lead: one of them takes it.
	euLeads.Store(true)
	done.Store(0)
	if _, _, err := main.Ask(within(t), json.RawMessage(`{}`)); err != nil || done.Load() != 1 {
		t.Errorf("%d carried the request out (%v)", done.Load(), err)
	}
	for what, body := range map[string]string{"nothing": "", "no JSON": "{", "too much": `"` + strings.Repeat("a", 9<<20) + `"`} {
		if _, _, err := main.Ask(within(t), json.RawMessage(body)); err == nil {
			t.Errorf("%s was asked", what)
		}
	}
}
