package daemon

import (
	"context"
	"time"

	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
)

// noticePass bounds how long a pass brings messages: another region's waits to
// lead meanwhile. What is not brought is left to the next pass.
const noticePass = 5 * time.Second

// tellPass tells the receivers what the ledger has and they were not told, and how
// the zones stand, while this pass leads. That another region leads is no news where
// each pass has a leader of its own.
func (d *daemon) tellPass(ctx context.Context, zones []controller.ZoneState) {
	if !d.notifiesAnybody() {
		return
	}
	r := &noticeReign{d: d, config: d.config(), log: d.o.Log.With().Str("part", "notifications").Logger()}
	if err := r.pass(ctx, zones); err != nil {
		r.log.Warn().Err(err).Msg("notifications are left to the next pass")
	}
}

func (r *noticeReign) pass(ctx context.Context, zones []controller.ZoneState) error {
	o := r.d.deskOptions(cluster.NewOrderID(time.Now()))
	o.Group = 0 // all of a pass is read before anything of it is told
	if err := r.resume(ctx, o); err != nil {
		return err
	}
	if err := r.d.joined.Records(ctx, r.place, func(rec cluster.Record) error { return r.take(ctx, rec) }); err != nil {
		return err
	}
	r.courier.Do(func(d *notify.Desk) {
		d.PassedZones(zoneFacts(zones), time.Now())
		r.courier.Drop(d.Flush(time.Now()))
	})
	if err := r.keep(ctx); err != nil {
		return err
	}
	bringing, cancel := context.WithTimeout(ctx, noticePass)
	defer cancel()
	bring(bringing, r.courier)
	return r.keep(context.WithoutCancel(ctx))
}
