package api

import (
	"context"
	"net/http"
	"time"
)

// Members are the etcd members of the cluster.
type Members struct {
	Members []Member `json:"members"`
	// Agreed: a quorum says so. Without, it is what one member last knew.
	Agreed bool `json:"agreed"`
}

// Member is one of them as this daemon sees it.
type Member struct {
	Name    string `json:"name"` // empty: it has not started, and the config has no such peer URL
	ID      string `json:"id"`
	Peer    string `json:"peer,omitempty"`
	Client  string `json:"client,omitempty"`
	Learner bool   `json:"learner"` // it does not vote yet
	Leader  bool   `json:"leader"`  // of etcd
	// Reachable: it answers this daemon, and knows a leader; Why it does not.
	Reachable bool   `json:"reachable"`
	Why       string `json:"why,omitempty"`
	Version   string `json:"version,omitempty"`
	Bytes     int64  `json:"db_bytes"`
	// Lag is how many entries of the log it has still to apply.
	Lag uint64 `json:"raft_lag"`
	// RTT is the shortest of the last round trips to it; 0: not measured.
	RTT time.Duration `json:"rtt,omitempty"`
}

// The acts on a member.
const (
	MemberAdd    = "add"
	MemberRemove = "remove"
)

// MemberRequest asks to add a member of cluster.members, or to remove one.
type MemberRequest struct {
	Act  string `json:"act"`
	Name string `json:"name"`
	By   string `json:"by"`
	Why  string `json:"why"`
	// Force removes a member although too few would be left for a quorum.
	Force bool `json:"force,omitempty"`
}

// MemberResult is what came of it.
type MemberResult struct {
	Name string `json:"name"`
	// Changed: it was not so before.
	Changed bool `json:"changed"`
	// Next says what is still to be done.
	Next string `json:"next"`
}

// Members lists the etcd members.
func (c *Client) Members(ctx context.Context) (Members, error) {
	var out Members
	return out, c.do(ctx, http.MethodGet, "/v1/members", nil, nil, &out)
}

// ChangeMember adds or removes one.
func (c *Client) ChangeMember(ctx context.Context, r MemberRequest) (MemberResult, error) {
	var out MemberResult
	return out, c.do(ctx, http.MethodPost, "/v1/members", nil, r, &out)
}
