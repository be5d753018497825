package rfc2136

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// errRcode is what a server's error is: rcodes are those of RFC 1035, section
// 4.1.1, RFC 2136, section 2.2, and RFC 8945, section 3.
var errRcode = errors.New("the server answers")

// explain says what a reply's error means, and what to do.
func explain(r reply) error {
	name := dns.RcodeToString[r.rcode()]
	if name == "" {
		name = fmt.Sprintf("RCODE %d", r.rcode())
	}
	what := map[int]string{
		dns.RcodeFormatError:    "it does not understand the message: a size or a record type may be beyond it",
		dns.RcodeServerFailure:  "it failed; its own log says at what (a journal that it cannot write, a database that is locked, a zone that did not load)",
		dns.RcodeNotImplemented: "it takes no updates: name its primary in `servers`, or switch updates on (PowerDNS: dnsupdate=yes)",
		dns.RcodeRefused:        "its policy does not allow this to this key: see the grants in docs/providers/rfc2136.md (transfers need one of their own)",
		dns.RcodeNotAuth:        "it is not the zone's primary, or does not take the key, or wants one (PowerDNS and Knot say no more): check `servers`, tsig's name, algorithm and secret, both clocks, and the key's rights",
		dns.RcodeNotZone:        "a name is not in the zone",
		dns.RcodeYXDomain:       "a name is in use that was not",
		dns.RcodeNameError:      "a name is not in use that was",
		dns.RcodeYXRrset:        "a set exists that did not",
		dns.RcodeNXRrset:        "a set is not as it was read",
	}[r.rcode()]
	if r.rcode() == dns.RcodeNotAuth && r.tsig != nil && r.tsig.Error != 0 {
		name, what = "NOTAUTH "+dns.RcodeToString[int(r.tsig.Error)], explainTSIG(r.tsig)
	}
	if what == "" {
		what = "which is not an answer to this"
	}
	return fmt.Errorf("%w %s: %s", errRcode, name, what)
}

// explainTSIG says what a TSIG error means (RFC 8945, section 5.2).
func explainTSIG(t *dns.TSIG) string {
	switch int(t.Error) {
	case dns.RcodeBadSig:
		return "the secret of tsig.name is another one there"
	case dns.RcodeBadKey:
		return "it knows no key of tsig.name with tsig.algorithm, or (Knot says the same of both) its policy does not allow this to the key"
	case dns.RcodeBadTime:
		if there, ok := serverTime(t); ok {
			return fmt.Sprintf("the clocks differ: here it was %s, there %s, and %d s are allowed", time.Unix(int64(t.TimeSigned), 0).UTC().Format(time.RFC3339), there.UTC().Format(time.RFC3339), t.Fudge) // #nosec G115 -- 48 bits
		}
		return "the clocks of this host and of the server differ too much"
	case dns.RcodeBadTrunc:
		return "it does not take the length of the signature"
	}
	return "it does not take the signature"
}

// serverTime is the server's time in a BADTIME (RFC 8945, section 5.2.3).
func serverTime(t *dns.TSIG) (time.Time, bool) {
	other, err := hex.DecodeString(t.OtherData)
	if err != nil || len(other) != 6 {
		return time.Time{}, false
	}
	var seconds int64
	for _, b := range other {
		seconds = seconds<<8 | int64(b)
	}
	return time.Unix(seconds, 0), true
}
