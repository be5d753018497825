package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/veer/api"
)

func threeMembers() api.Members {
	return api.Members{Agreed: true, Members: []api.Member{
		{Name: "ap-south", ID: "2b3fb1e1dd3c4c3a", Peer: "https://10.2.1.10:2380", Reachable: true, Version: "3.7.3", Bytes: 20480},
		{Name: "eu-west", ID: "8e9e05c52164694d", Peer: "https://10.0.1.10:2380", Reachable: true, Leader: true, Version: "3.7.3", Bytes: 20480},
		{Name: "us-east", ID: "fd422379fda50e48", Peer: "https://10.1.1.10:2380", Reachable: true, Version: "3.7.3", Bytes: 24576, Lag: 3},
	}}
}

func TestMemberCommands(t *testing.T) {
	well, learning, away, split := threeMembers(), threeMembers(), threeMembers(), threeMembers()
	learning.Members[2].Learner = true
	away.Members[2].Reachable, away.Members[2].Why = false, "no answer in 2s"
	split.Agreed = false
	refusal := &api.Problem{Code: http.StatusConflict, What: "without us-east the cluster has 2 members that vote", Refused: true}
	remove := []string{"member", "remove", "us-east"}
	for _, c := range []struct {
		name    string
		members api.Members
		args    []string
		stdin   string
		err     error
		code    int
		asked   string
		says    string
	}{
		{"list", well, []string{"member", "list"}, "", nil, exitDone, "members", "eu-west   8e9e05c52164694d  leader  3.7.3"},
		{"a learner", learning, []string{"member", "list"}, "", nil, exitDegraded, "members", "learner"},
		{"one away", away, []string{"member", "list"}, "", nil, exitDegraded, "members", "no answer in 2s"},
		{"no quorum", split, []string{"member", "list"}, "", nil, exitDegraded, "members", "There is no quorum"},
		{"json", well, []string{"member", "list", "-o", "json"}, "", nil, exitDone, "members", `"raft_lag": 3`},
		{"add", well, []string{"member", "add", "us-east"}, "", nil, exitDone, "add us-east force=false by lea: ", "Member us-east: added. Next: wait."},
		{"remove", well, append(remove, "--yes"), "", nil, exitDone, "remove us-east force=false by lea: ", "Member us-east: removed."},
		{"asked", well, remove, "y\n", nil, exitDone, "remove us-east force=false by lea: ", "Go ahead?"},
		{"not sure", well, remove, "\n", nil, exitFailed, "", "nothing was changed"},
		{"force without a reason", well, append(remove, "--force", "-y"), "", nil, exitUsage, "", "--reason is needed"},
		{"force", well, append(remove, "--force", "-y", "--reason", "gone"), "", nil, exitDone, "remove us-east force=true by lea: gone", "removed"},
		{"refused", well, append(remove, "-y"), "", refusal, exitRefused, "remove us-east force=false by lea: ", "2 members that vote"},
		{"nothing", well, []string{"member"}, "", nil, exitUsage, "", "veer member list, add or remove"},
		{"no name", well, []string{"member", "remove"}, "", nil, exitUsage, "", "NAME is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &fake{members: c.members, member: api.MemberResult{Name: "us-east", Changed: true, Next: "wait"}, err: c.err}
			s := newSession(d, c.stdin, nil)
			s.asks = c.stdin != ""
			if code := s.veer(t, c.args...); code != c.code {
				t.Errorf("exit code %d, expected %d", code, c.code)
			}
			if got := strings.Join(d.asked, ", "); got != c.asked {
				t.Errorf("asked %q, expected %q", got, c.asked)
			}
			if text := s.stdout.String() + s.stderr.String(); !strings.Contains(text, c.says) {
				t.Errorf("expected %q in:\n%s", c.says, text)
			}
		})
	}
}
