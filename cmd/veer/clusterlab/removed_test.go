//go:build netns

package clusterlab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
)

// client of the region's process.
func (r *region) client() *api.Client { return api.NewClient(filepath.Join(r.data(), api.SocketName)) }

// memberRemoved: the member of who leads is removed while it runs. Its process
// goes on as a client of the others: it votes and serves, also after it was
// killed, and joins again when its folder was moved away.
func memberRemoved(w *world) {
	gone := w.regions[1]
	w.lead(gone, gone)
	other := w.regions[0]
	before := gone.poller.Counts()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := other.client().ChangeMember(ctx, api.MemberRequest{Act: api.MemberRemove, Name: gone.name, By: "lab", Why: "test"}); err != nil {
		w.t.Fatal(err)
	}
	asClient := func(when string) {
		w.t.Helper()
		gone.told("that it is a client, "+when, func(st api.Status) bool {
			return st.Leader.Name != "" && warned(st, "this member was removed from the cluster", "client of the others")
		})
		other.told("its votes, "+when, func(st api.Status) bool {
			for _, v := range st.Voters {
				if !v.Fresh || v.Votes != 3 || v.Down != 0 {
					return false
				}
			}
			return true
		})
		if list, err := other.client().Members(ctx); err != nil || len(list.Members) != 2 {
			w.t.Errorf("%s, the members are %+v (%v)", when, list.Members, err)
		}
	}
	asClient("removed")
	after := gone.poller.Counts()
	w.t.Logf("a client %s after the removal, %d of %d queries without a reply", time.Since(began).Round(time.Millisecond), after.Unanswered-before.Unanswered, after.Sent-before.Sent)
	began = time.Now()
	w.regions[0].web.kill()
	w.t.Logf("changed answer in all three authorities after %s", w.answers(began, w.regions[1].web.address(), w.regions...))
	w.regions[0].web.revive(w.t)
	gone.kill()
	gone.start()
	asClient("killed and started")

	folder := filepath.Join(gone.data(), "etcd")
	if err := os.Rename(folder, folder+".removed"); err != nil {
		w.t.Fatal(err)
	}
	w.await("it joins again", func() (bool, string) {
		list, err := other.client().Members(ctx)
		voters := 0
		for _, m := range list.Members {
			if m.Reachable && !m.Learner && strings.HasPrefix(m.Client, "https://") {
				voters++
			}
		}
		return err == nil && voters == 3, fmt.Sprintf("%+v %v", list, err)
	})
}
