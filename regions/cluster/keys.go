package cluster

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// keys are the etcd keys of one owner, below PREFIX/OWNER/:
//
//	world/ballot/<vantage>/head       what the vantage says of itself  (lease)
//	world/ballot/<vantage>/<chunk>    some of its votes                (lease)
//	world/suspect/<vantage>/<endpoint>                                 (lease)
//	world/order/<id>                  an override
//	seat/<vantage>                    who sits there                   (lease)
//	leader/<lease>                    who stands for election; the oldest leads,
//	                                  and puts its key again as a sign of life
//	term                              the term and its leader
//	shard/<id>
//	journal/<term>/<number>/<shard>-<bytes>
//	note/<id>                         what operators did
//	memory/<vantage>/<chunk>          what a vantage's last pass counted
//	clock/<vantage>                   when that was, where etcd is embedded
//	interlude                         what the time since a pass is told by (lease)
//	ask/<id>, reply/<id>              a request to the leader          (lease)
//	writing/<provider>/<zone>         a leader's write may be under way
//	restoring                         a restore has begun, and not ended
//	slip/<name>                       what a part of a daemon goes on from
//
// What is not said to be under a lease stays until it is replaced.
//
// All of world/ is watched as one, so that votes and the suspicions that they
// settle change together.
type keys string

// lastOfPrefix ends every prefix and stands in none before: so no owner's keys
// are ever among those of another owner or of another prefix, whatever they are
// called.
const lastOfPrefix = "veer"

// newKeys are the keys below the default prefix.
func newKeys(owner string) keys { return keysBelow("", owner) }

// keysBelow are the keys of an owner below a prefix; empty is the default one.
func keysBelow(prefix, owner string) keys {
	if prefix == "" {
		prefix = "/" + lastOfPrefix
	}
	return keys(prefix + "/" + owner + "/")
}

// prefixProblem says why a text is no prefix.
func prefixProblem(prefix string) string {
	parts, rooted := strings.CutPrefix(prefix, "/")
	if !rooted || len(prefix) > 200 {
		return "expected a path of at most 200 bytes that begins with / and ends in /veer, like /veer or /team-a/veer"
	}
	all := strings.Split(parts, "/")
	for i, part := range all {
		odd := strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != ""
		if part == "" || odd || (part == lastOfPrefix) != (i == len(all)-1) {
			return "expected parts of letters, digits, '.', '_' and '-', of which the last one, and no other, is veer, like /veer or /team-a/veer"
		}
	}
	return ""
}

func (k keys) world() string   { return string(k) + "world/" }
func (k keys) leader() string  { return string(k) + "leader/" }
func (k keys) term() string    { return string(k) + "term" }
func (k keys) shards() string  { return string(k) + "shard/" }
func (k keys) journal() string { return string(k) + "journal/" }
func (k keys) notes() string   { return string(k) + "note/" }
func (k keys) seats() string   { return string(k) + "seat/" }
func (k keys) note(id string) string {
	return k.notes() + id
}
func (k keys) interlude() string { return string(k) + "interlude" }
func (k keys) writing() string   { return string(k) + "writing/" }
func (k keys) restoring() string { return string(k) + "restoring" }
func (k keys) memories(v regions.Name) string {
	return string(k) + "memory/" + string(v) + "/"
}
func (k keys) memory(v regions.Name, i int) string {
	return fmt.Sprintf("%s%05d", k.memories(v), i)
}
func (k keys) clock(v regions.Name) string { return string(k) + "clock/" + string(v) }
func (k keys) asks() string                { return string(k) + "ask/" }
func (k keys) ask(id string) string        { return k.asks() + id }
func (k keys) reply(id string) string      { return string(k) + "reply/" + id }
func (k keys) slip(name string) string     { return string(k) + "slip/" + name }
func (k keys) order(id string) string      { return k.world() + "order/" + id }
func (k keys) seat(v regions.Name) string {
	return k.seats() + string(v)
}
func (k keys) ballot(v regions.Name) string { return k.world() + "ballot/" + string(v) + "/" }
func (k keys) head(v regions.Name) string   { return k.ballot(v) + "head" }
func (k keys) chunk(v regions.Name, i int) string {
	return fmt.Sprintf("%s%05d", k.ballot(v), i)
}
func (k keys) suspect(v regions.Name, e regions.EndpointID) string {
	return k.world() + "suspect/" + string(v) + "/" + string(e)
}
func (k keys) shard(id int) string { return fmt.Sprintf("%s%03d", k.shards(), id) }

// shardID reads the key of a shard.
func (k keys) shardID(key string) (int, error) {
	text, ok := strings.CutPrefix(key, k.shards())
	id, err := strconv.Atoi(text)
	if !ok || err != nil || id < 0 || id >= steering.Shards || k.shard(id) != key {
		return 0, fmt.Errorf("expected %s000 to %s%03d", k.shards(), k.shards(), steering.Shards-1)
	}
	return id, nil
}

// journalKey is where an entry lies. Keys sort in the order of commits; they
// carry shard and size, so that the journal is searched and pruned by keys.
type journalKey struct {
	term  regions.Term
	n     uint64
	shard int
	size  int64
}

func (k keys) entry(j journalKey) string {
	return fmt.Sprintf("%s%020d/%020d/%03d-%010d", k.journal(), uint64(j.term), j.n, j.shard, j.size)
}

func (k keys) parseEntry(key string) (journalKey, bool) {
	text, ok := strings.CutPrefix(key, k.journal())
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == '/' || r == '-' })
	if !ok || len(parts) != 4 {
		return journalKey{}, false
	}
	term, err1 := strconv.ParseUint(parts[0], 10, 64)
	n, err2 := strconv.ParseUint(parts[1], 10, 64)
	shard, err3 := strconv.Atoi(parts[2])
	size, err4 := strconv.ParseInt(parts[3], 10, 64)
	j := journalKey{term: regions.Term(term), n: n, shard: shard, size: size}
	return j, err1 == nil && err2 == nil && err3 == nil && err4 == nil && k.entry(j) == key
}

// checkName refuses what would break a key apart.
func checkName(what, name string) error {
	if name == "" || len(name) > 200 || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%s %q: expected 1 to 200 bytes without a slash", what, name)
	}
	return nil
}
