package authority

import (
	"context"
	"io/fs"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
)

// databaseCheck is how often the database's file is looked at.
const databaseCheck = 2 * time.Second

// databaseRetry is how long a file that could not be used is left alone while it
// does not change.
const databaseRetry = time.Minute

// database is the file of countries that a server uses, and reads again when it
// changes.
type database struct {
	path   string
	log    zerolog.Logger
	seen   fs.FileInfo // nil: not there
	failed string      // why that one can't be used; empty: it is
	retry  time.Time   // when it is read again all the same: it may be one's right to read it

	mu     *sync.Mutex
	places *places
	// inUse is what places has.
	inUse *geography
}

// use has all locations follow a geography.
func (d *database) use(g *geography) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inUse = g
	d.places.use(g)
}

// known is the geography in use.
func (d *database) known() *geography {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inUse
}

// move has other locations, made of a geography, follow the database from now
// on.
func (d *database) move(to *places, of *geography) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inUse != of { // it was read again meanwhile
		to.use(d.inUse)
	}
	d.places = to
}

// newDatabase is the file at path, which is read by watch; until then nothing
// is known of any address. "": there is none.
func newDatabase(path string, mapping map[string][]Location, log zerolog.Logger) database {
	g := nowhere()
	g.coming = path != ""
	return database{path: path, log: log, mu: new(sync.Mutex), places: newPlaces(mapping, g), inUse: g}
}

// first reads the file when the server begins, while it serves already. Without
// it the server goes on serving: a client is then known by the configured
// networks alone.
func (d *database) first(ctx context.Context) {
	d.seen, _ = os.Stat(d.path) // that it is not there is said by the next
	g, err := readGeography(ctx, d.path)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.failed, d.retry = err.Error(), time.Now().Add(databaseRetry)
		d.use(nowhere())
		d.log.Error().Err(err).Msg("the database of countries can't be used; until it can, clients are located by networks alone")
	default:
		d.use(g)
		d.log.Info().Str("file", d.path).Time("made", g.made).Int("countries", len(g.countries)-1).Msg("read the database of countries")
	}
}

// watch reads the file, and again whenever it changes, until ctx ends. One that
// can't be used changes nothing.
func (d *database) watch(ctx context.Context) {
	if d.path == "" {
		return
	}
	d.first(ctx)
	for tick := time.NewTicker(databaseCheck); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			d.look(ctx)
		}
	}
}

// look reads the file if it is not the one that was seen last.
func (d *database) look(ctx context.Context) {
	is, err := os.Stat(d.path)
	if err != nil {
		if d.seen != nil {
			d.log.Error().Err(err).Msg("the database of countries is gone; what was read of it stays in use")
		}
		d.seen = nil
		return
	}
	same := d.seen != nil && os.SameFile(is, d.seen) && is.ModTime().Equal(d.seen.ModTime()) && is.Size() == d.seen.Size()
	if same && (d.failed == "" || time.Now().Before(d.retry)) {
		return
	}
	was := d.failed
	if !same {
		was = ""
	}
	d.seen, d.failed = is, ""
	g, err := readGeography(ctx, d.path)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		if d.failed = err.Error(); d.failed != was {
			d.log.Error().Err(err).Msg("the new database of countries can't be used; the former one stays in use")
		}
		d.retry = time.Now().Add(databaseRetry)
		return
	}
	d.use(g)
	d.log.Info().Str("file", d.path).Time("made", g.made).Int("countries", len(g.countries)-1).Msg("the database of countries was replaced")
}

// Locate tells in which location of a service a client is, and how many bits of
// its address that depends on. It is false for a service without locations.
func (s *Server) Locate(service string, client netip.Addr) (location string, bits int, ok bool) {
	s.mu.Lock()
	at, ok := s.state.places.of[providers.CanonicalName(service)]
	s.mu.Unlock()
	if !ok {
		return "", 0, false
	}
	location, bits = at.Load().find(client)
	return location, bits, true
}

// locate makes the state's answers depend on the clients, and have HTTPS
// records.
func (st *state) locate(p *places, https map[string]HTTPS) error {
	st.places, st.https = p, https
	st.finish(st.start)
	return st.sign()
}

// attach tells compiled services' sets where their atlas is.
func (p *places) attach(services map[string]service) {
	if p == nil {
		return
	}
	for name, svc := range services {
		for _, s := range svc.sets {
			if s.located != nil && s.located.atlas == nil {
				s.located.atlas = p.atlasOf(name)
			}
		}
	}
}
