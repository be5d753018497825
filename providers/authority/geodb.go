package authority

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Bounds of a database of countries. The largest that are published, of
// cities, have about six million networks and load within seconds.
const (
	maxDatabase = 1 << 30 // bytes
	maxNetworks = 20_000_000
	maxLoading  = time.Minute
)

// country is what a database says of a network: ISO 3166 and MaxMind's codes.
type country struct{ code, continent string }

// geography is a database of countries as it was read. It does not change.
type geography struct {
	v4, v6 *trie // of indexes into countries
	// countries has nothing at 0: networks of which nothing is known.
	countries []country
	// made says when the database was built.
	made time.Time
	// coming says that the database is being read: what is not known of an
	// address now may be known soon.
	coming bool
}

// nowhere is the geography of no database.
func nowhere() *geography {
	return &geography{v4: newTrie(0), v6: newTrie(0), countries: []country{{}}}
}

// CheckDatabase reports whether the file looks like a database of countries,
// without reading all of it.
func CheckDatabase(path string) error {
	db, err := maxminddb.Open(path)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	return checkVersion(db)
}

func checkVersion(db *maxminddb.Reader) error {
	if v := db.Metadata.IPVersion; v != 4 && v != 6 {
		return fmt.Errorf("the database is of IP version %d; expected 4 or 6", v)
	}
	return nil
}

// readGeography reads a MaxMind DB file whole: what is wrong with it shows
// here, and not at a query.
//
// It ends early when ctx does.
func readGeography(ctx context.Context, path string) (*geography, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	if info.Size() > maxDatabase {
		return nil, fmt.Errorf("read the database %s: it has %d bytes; expected at most %d", path, info.Size(), maxDatabase)
	}
	content, err := os.ReadFile(path) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	g, err := parseGeography(ctx, content, maxNetworks)
	if err != nil {
		return nil, fmt.Errorf("read the database %s: %w", path, err)
	}
	return g, nil
}

// parseGeography parses a MaxMind DB whose records are as those of GeoIP2 or
// GeoLite2 Country and City, and that has so many networks at most.
func parseGeography(ctx context.Context, content []byte, most int) (*geography, error) {
	db, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what it was doing
	}
	defer db.Close() //nolint:errcheck // it is memory
	if err := checkVersion(db); err != nil {
		return nil, err
	}
	g := nowhere()
	g.made = time.Unix(int64(min(db.Metadata.BuildEpoch, 1<<40)), 0) // #nosec G115 -- bounded
	var (
		known    = map[country]int{{}: 0}
		byOffset = map[uintptr]int{}
		until    = time.Now().Add(maxLoading)
		count    int
	)
	// Networks without data, and those that have the data of IPv4's, are counted
	// too: a tree whose branches share their nodes has far more paths than bytes.
	for found := range db.Networks(maxminddb.IncludeNetworksWithoutData(), maxminddb.IncludeAliasedNetworks()) {
		if err := found.Err(); err != nil {
			return nil, err //nolint:wrapcheck // as above
		}
		if !found.Prefix().IsValid() {
			return nil, errors.New("a network without a place in the tree")
		}
		if count++; count > most {
			return nil, fmt.Errorf("more than %d networks", most)
		}
		if count%4096 == 0 && time.Now().After(until) {
			return nil, fmt.Errorf("it was not read within %s", maxLoading)
		}
		if count%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err() //nolint:wrapcheck // as above
		}
		if !found.Found() || found.Prefix().Addr().Is4In6() { // no host has such an address: nothing is known of it
			continue
		}
		at, ok := byOffset[found.Offset()]
		if !ok {
			c, err := countryOf(found)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", found.Prefix(), err)
			}
			if at, ok = known[c]; !ok {
				at = len(g.countries)
				known[c] = at
				g.countries = append(g.countries, c)
			}
			byOffset[found.Offset()] = at
		}
		g.put(found.Prefix(), at)
	}
	if len(g.countries) == 1 {
		return nil, errors.New("no record has a country.iso_code or a continent.code; expected a database of countries or cities")
	}
	same := func(value int) int { return value }
	g.v4, g.v6 = g.v4.compact(same), g.v6.compact(same)
	return g, nil
}

func countryOf(found maxminddb.Result) (country, error) {
	var record struct {
		Country struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
		Continent struct {
			Code string `maxminddb:"code"`
		} `maxminddb:"continent"`
	}
	if err := found.Decode(&record); err != nil {
		return country{}, err //nolint:wrapcheck // the caller says of which network
	}
	return country{strings.ToUpper(record.Country.Code), strings.ToUpper(record.Continent.Code)}, nil
}

func (g *geography) put(network netip.Prefix, value int) {
	if network.Addr().Is4() {
		g.v4.put(network, value)
		return
	}
	g.v6.put(network, value)
	// IPv4's addresses are those of ::/96 in a tree of IPv6.
	if network.Bits() <= 96 && network.Contains(netip.IPv6Unspecified()) {
		g.v4.put(netip.PrefixFrom(netip.IPv4Unspecified(), 0), value)
	}
}
