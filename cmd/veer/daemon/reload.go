package daemon

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// Hangups returns a channel that tells of each SIGHUP until stop is called:
// the one for Options.Reload.
func Hangups() (hangups <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// reloads reads again, each time that it is asked to, what can be read again
// while the daemon runs: the zone files of its authorities and the secrets
// of their cookies. Their query logs are opened again.
func (d *daemon) reloads(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.o.Reload:
			d.reloadZones()
		}
	}
}

// reloadZones reloads the zones of every authority. One that is refused stays
// as it was, and is said with file and line.
func (d *daemon) reloadZones() {
	if len(d.servers) == 0 {
		d.o.Log.Warn().Msg("SIGHUP reloads zone files, and this process serves none")
	}
	for _, s := range d.servers {
		log := d.o.Log.With().Str("part", "authority").Str("provider", s.name).Logger()
		s.Reopen()
		changed, err := s.Reload()
		for _, problem := range unjoined(err) {
			log.Error().Err(problem).Msg("not all was reloaded; what there was is served on")
		}
		log.Info().Strs("changed", changed).Msg("zone files were read again")
	}
}

// unjoined returns the errors that err joins, or err itself.
func unjoined(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
