package controller_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// BenchmarkVote measures the way of one vote among 10,000 endpoints, from the
// change of the view to the commit.
func BenchmarkVote(b *testing.B) {
	const services = 5000
	var all []regions.EndpointID
	w := newWorld()
	var policy steering.Policy
	for i := range services {
		one, two := regions.EndpointID(fmt.Sprintf("web@10.0.%d.%d", i/250, i%250)), regions.EndpointID(fmt.Sprintf("web@10.1.%d.%d", i/250, i%250))
		all = append(all, one, two)
		policy.Services = append(policy.Services, service(fmt.Sprintf("s%d.example.test.", i), 0, one, two))
	}
	committed := make(chan steering.Shard, steering.Shards)
	o := controller.Options{
		Name: "eu", Owner: "bench", Policy: policy, Vantages: vantages, World: w, Elector: w, Ledger: w, Log: zerolog.Nop(),
		AfterCommit: func(s steering.Shard) { committed <- s },
	}
	w.voteAll(checks.Up, all...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- controller.New(o).Run(ctx) }()
	for range steering.Shards {
		<-committed
	}
	h := checks.Up
	for b.Loop() {
		if h == checks.Up {
			h = checks.Down
		} else {
			h = checks.Up
		}
		w.vote("eu", h, all[42])
		<-committed
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
