package cluster

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions"
)

// Options are what a process brings beside the shared config.
type Options struct {
	// Owner is the config's `owner`: the etcd keys are below
	// Config.Prefix/<owner>/.
	Owner string
	// Name is the region, or a name for this process; with Members it is the
	// member that this process embeds.
	Name string
	// DataDir is the folder in which an embedded member keeps its data
	// (etcd/) and its socket (etcd.sock). It is made, mode 0700. Not used
	// with Endpoints.
	DataDir string
	// TLS is for https members and endpoints.
	TLS TLS
	// Floor returns the highest term that is known beside the ledger, from
	// what was served before: a rebuilt or restored ledger starts above it.
	// nil: none is known. It must be safe for concurrent use.
	Floor func() regions.Term
	// Pass makes this process one pass of a scheduler: its votes live that
	// long, in whole seconds, and the next pass of its vantage takes its place
	// whether they still do or not. 0: it is a daemon.
	Pass time.Duration
	// Config is the hash of the config that this process runs, which goes with
	// its votes, at most 64 bytes. See Cluster.Reconfigured.
	Config string
	// Client keeps this process from embedding a member: it speaks to the
	// client URLs of Members.
	Client bool
	// Ear hears what is called in; nil: nobody does.
	Ear Ear
	// Waiting is told why a member with an empty folder waits for the others,
	// each time that the reason changes; nil: only the log is.
	Waiting func(why error)
	// Stage is for tests: told each stage of such a start, in the way of the
	// work.
	Stage func(stage string)
	// KeepAlive is for tests: after how long a silence a connection to an etcd that
	// runs elsewhere is asked for a sign of life; 0: 5 s.
	KeepAlive time.Duration
	// LeaseOverrun is a planted fault for tests: a lead goes on when its lease
	// may have run out, until something else ends it.
	LeaseOverrun bool
	// Unguarded is a planted fault for tests: a commit holds whoever leads and
	// whatever the shard is meanwhile.
	Unguarded bool
	Log       zerolog.Logger
}

// TLS names PEM files. With a CA, members and clients must show a certificate
// that it signed.
type TLS struct {
	CAFile, CertFile, KeyFile string
}

func (o Options) stage(name string) {
	if o.Stage != nil {
		o.Stage(name)
	}
}

func itoa(i int) string { return strconv.Itoa(i) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
