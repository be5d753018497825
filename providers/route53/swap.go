package route53

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// Swap implements fenced.API: one change batch, deletions before creations, so
// that a set can take the place of one that excludes it.
func (a *api) Swap(ctx context.Context, zoneName string, r fenced.Request) (fenced.Reply, error) {
	if err := ctx.Err(); err != nil {
		return fenced.Reply{}, err
	}
	id, err := a.zoneID(ctx, zoneName)
	if err != nil {
		return fenced.Reply{}, fmt.Errorf("%w: %w", fenced.ErrNothing, err)
	}
	deletes, creates, fence := a.changes(r)
	out, calls, err := a.send(ctx, &sdk.ChangeResourceRecordSetsInput{
		HostedZoneId: &id,
		ChangeBatch:  &types.ChangeBatch{Changes: append(deletes, creates...), Comment: aws.String("Veer of owner " + a.owner)},
	})
	if err != nil {
		a.lost(zoneName, err)
		return fenced.Reply{Calls: calls}, a.failed(ctx, err, actChange, zoneName, id)
	}
	if out.ChangeInfo == nil || aws.ToString(out.ChangeInfo.Id) == "" {
		return fenced.Reply{Calls: calls}, fmt.Errorf("%s: %w", actChange, errEmpty)
	}
	reply := fenced.Reply{Calls: calls, Change: strings.TrimPrefix(*out.ChangeInfo.Id, "/change/")}
	if r.Fence.After != nil {
		reply.Fence = fenced.Record{RRSet: r.Fence.After.RRSet, Handle: fence}
	}
	a.accept(zoneName, reply.Change)
	return reply, nil
}

// send sends a write. One that is refused because the zone's prior one is still
// processed was not looked at, so it is sent again after 1 s, 2 s and 4 s, as
// the API's page has it; any other end is the only one.
func (a *api) send(ctx context.Context, in *sdk.ChangeResourceRecordSetsInput) (out *sdk.ChangeResourceRecordSetsOutput, calls int, err error) {
	for wait := priorWait; ; wait *= 2 {
		calls++
		out, err = a.client.ChangeResourceRecordSets(ctx, in, once)
		var prior *types.PriorRequestNotComplete
		if !errors.As(err, &prior) || wait > maxPriorWait {
			return out, calls, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, calls, err
		}
	}
}

// changes turns a request into the API's changes, and returns the new fence's
// set with them.
func (a *api) changes(r fenced.Request) (deletes, creates []types.Change, fence []rawSet) {
	for i, step := range append([]fenced.Step{r.Fence}, r.Steps...) {
		deletes = appendChanges(deletes, types.ChangeActionDelete, a.sets(step.Before, nil))
		after := a.sets(step.After, step.Before)
		creates = appendChanges(creates, types.ChangeActionCreate, after)
		if i == 0 {
			fence = after
		}
	}
	return deletes, creates, fence
}

func appendChanges(to []types.Change, action types.ChangeAction, sets []rawSet) []types.Change {
	for i := range sets {
		to = append(to, types.Change{Action: action, ResourceRecordSet: &sets[i]})
	}
	return to
}

// Size implements fenced.API. A replaced set counts as deleted and created.
func (a *api) Size(s fenced.Step) fenced.Size {
	before, after := cost(a.sets(s.Before, nil)), cost(a.sets(s.After, s.Before))
	return fenced.Size{Records: before.Records + after.Records, Characters: before.Characters + after.Characters}
}

// Limit implements fenced.API: ResourceRecord elements and characters in Value
// elements of one request
// (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests-changeresourcerecordsets).
func (a *api) Limit() fenced.Size {
	return fenced.Size{Records: batchRecords, Characters: batchCharacters}
}

// Quota implements fenced.API.
func (a *api) Quota(calls int) string {
	b := a.config.bucket(actChange)
	return fmt.Sprintf("%d of the account's requests, of which there are %d at once and %g a second", calls, b.Burst, b.Rate)
}

// accept notes when a change was accepted. One is kept for each zone.
func (a *api) accept(zoneName, change string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	z := a.zones[zoneName]
	delete(a.accepted, z.last)
	z.last = change
	a.accepted[change] = time.Now()
}

// Follow implements providers.Follower. The time is counted from when the API
// accepted the change, if this was the zone's last one, and else from now.
func (p *Provider) Follow(ctx context.Context, r providers.Receipt) (time.Duration, error) {
	if r.Change == "" {
		return 0, fmt.Errorf("follow a change: the receipt of write %s names none", r.Fence)
	}
	a := p.api
	a.mu.Lock()
	start, ok := a.accepted[r.Change]
	a.mu.Unlock()
	if !ok {
		start = time.Now()
	}
	for {
		out, err := a.client.GetChange(ctx, &sdk.GetChangeInput{Id: &r.Change})
		took := time.Since(start)
		if err != nil {
			return took, fmt.Errorf("follow change %s: %w", r.Change, a.failed(ctx, err, actGetChange, "", ""))
		}
		if out.ChangeInfo == nil {
			return took, fmt.Errorf("follow change %s: %s: %w", r.Change, actGetChange, errEmpty)
		}
		if out.ChangeInfo.Status == types.ChangeStatusInsync {
			return took, nil
		}
		timer := time.NewTimer(pollAfter(took))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return time.Since(start), fmt.Errorf("follow change %s: %w", r.Change, ctx.Err())
		}
	}
}

// pollAfter is how long to wait for the next look at a change that is that
// old: a quarter of its age, from 1 s to 5 s.
func pollAfter(age time.Duration) time.Duration {
	return min(max(age/4, time.Second), 5*time.Second)
}
