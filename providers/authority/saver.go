package authority

import (
	"context"
	"sync"

	"github.com/rs/zerolog"
)

// saver writes snapshots, the latest offered one at a time. Offering never
// waits for the disk.
type saver struct {
	dir  string
	log  zerolog.Logger
	wake chan struct{} // of capacity 1

	disk sync.Mutex // of flush

	mu      sync.Mutex
	pending *snapshot
}

// offer replaces what waits to be written.
func (s *saver) offer(snap snapshot) {
	s.mu.Lock()
	s.pending = &snap
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already, or will find this one
	}
}

// flush writes what waits, if anything, and has told of its error.
func (s *saver) flush() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	snap := s.pending
	s.pending = nil
	s.mu.Unlock()
	if snap == nil {
		return nil
	}
	err := snapshotFile.save(s.dir, snap)
	if err != nil {
		s.log.Error().Err(err).Msg("after a restart, answers from before this change would be served until the ledger is read")
		s.mu.Lock()
		if s.pending == nil {
			s.pending = snap // the next offer, or the end, tries again
		}
		s.mu.Unlock()
	}
	return err
}

// run writes each snapshot that is offered until ctx ends, and then the last.
func (s *saver) run(ctx context.Context) {
	for {
		select {
		case <-s.wake:
			_ = s.flush() // see flush
		case <-ctx.Done():
			_ = s.flush()
			return
		}
	}
}
