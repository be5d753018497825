package rfc2136

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

const (
	// fudge is how far two clocks may be apart, in seconds (RFC 8945, section
	// 10, recommends it).
	fudge = 300
	// maxUnsigned is how many messages of a stream may follow each other
	// without a signature (RFC 8945, section 5.3.1).
	maxUnsigned = 99
	maxSecret   = 8 << 10
)

// algorithms are those that are taken (RFC 8945, section 6, whose others are
// old, or shorten the MAC).
func algorithms() map[string]func() hash.Hash {
	return map[string]func() hash.Hash{"hmac-sha256": sha256.New, "hmac-sha384": sha512.New384, "hmac-sha512": sha512.New}
}

// errTSIG means that a message is not proven to be from who has the key.
var errTSIG = errors.New("TSIG")

// key is a TSIG key ready for use.
type key struct {
	name, algorithm string // canonical
	digest          func() hash.Hash
	secret          []byte
}

// read returns the key, with its secret read anew, so that a rotated one needs
// no restart. Errors name the place, never the value.
func (t TSIG) read() (*key, error) {
	place := "environment variable " + t.SecretEnv
	value := os.Getenv(t.SecretEnv)
	if t.SecretFile != "" {
		place = "file " + t.SecretFile
		f, err := os.Open(t.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("reading the secret of key %s: %w", t.Name, err)
		}
		defer f.Close()
		content, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return nil, fmt.Errorf("reading the secret of key %s: %w", t.Name, err)
		}
		value = string(content)
	}
	value = strings.TrimSpace(value)
	secret, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(value) == 0 || len(value) > maxSecret {
		// The decoder's error would quote a part of it.
		return nil, fmt.Errorf("the secret of key %s in %s is not base64, as tsig-keygen writes it", t.Name, place)
	}
	return &key{providers.CanonicalName(t.Name), t.Algorithm + ".", algorithms()[t.Algorithm], secret}, nil
}

// sign packs the message with a TSIG record, and returns the MAC, of which the
// reply's is made (RFC 8945, section 5.3).
func (k *key) sign(m *dns.Msg, now time.Time) (packed, mac []byte, err error) {
	packed, err = m.Pack()
	if err != nil {
		return nil, nil, err
	}
	t := &dns.TSIG{
		Hdr:       dns.RR_Header{Name: k.name, Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
		Algorithm: k.algorithm, TimeSigned: uint64(now.Unix()), Fudge: fudge, OrigId: m.Id, // #nosec G115 -- the year is above 1970
	}
	variables, err := variablesOf(t)
	if err != nil {
		return nil, nil, err
	}
	h := hmac.New(k.digest, k.secret)
	h.Write(packed)
	h.Write(variables)
	mac = h.Sum(nil)
	t.MAC, t.MACSize = hex.EncodeToString(mac), uint16(len(mac)) // #nosec G115 -- 64 at most
	record := make([]byte, dns.Len(t))
	end, err := dns.PackRR(t, record, 0, nil, false)
	if err != nil {
		return nil, nil, err
	}
	binary.BigEndian.PutUint16(packed[10:], uint16(len(m.Extra)+1)) // #nosec G115 -- a few
	return append(packed, record[:end]...), mac, nil
}

// variablesOf are the parts of a TSIG record that are signed (RFC 8945, section
// 4.3.3).
func variablesOf(t *dns.TSIG) ([]byte, error) {
	out := make([]byte, 2*256+64+len(t.OtherData))
	end, err := dns.PackDomainName(providers.CanonicalName(t.Hdr.Name), out, 0, nil, false)
	if err != nil {
		return nil, err
	}
	out = append(out[:end], 0, byte(dns.ClassANY), 0, 0, 0, 0)
	name := make([]byte, 256)
	end, err = dns.PackDomainName(providers.CanonicalName(t.Algorithm), name, 0, nil, false)
	if err != nil {
		return nil, err
	}
	out = append(append(out, name[:end]...), timersOf(t)...)
	other, err := hex.DecodeString(t.OtherData)
	if err == nil && len(other) != int(t.OtherLen) {
		err = fmt.Errorf("it has %d bytes of other data, and says %d", len(other), t.OtherLen)
	}
	if err != nil {
		return nil, err
	}
	out = binary.BigEndian.AppendUint16(out, t.Error)
	out = binary.BigEndian.AppendUint16(out, uint16(len(other))) // #nosec G115 -- of a 16-bit field
	return append(out, other...), nil
}

// timersOf are the time signed, in 48 bits, and the fudge (RFC 8945, section
// 5.3.1).
func timersOf(t *dns.TSIG) []byte {
	out := binary.BigEndian.AppendUint64(nil, t.TimeSigned)[2:]
	return binary.BigEndian.AppendUint16(out, t.Fudge)
}

// verifier proves the messages of one reply, which may be a stream of them
// (RFC 8945, sections 5.3.1 and 5.4).
type verifier struct {
	key      *key
	h        hash.Hash // of what is to be signed by the next MAC
	first    bool
	unsigned int // messages since the last MAC
}

// newVerifier proves what answers the request of that MAC.
func newVerifier(k *key, mac []byte) *verifier {
	v := &verifier{key: k, first: true}
	v.restart(mac)
	return v
}

func (v *verifier) restart(mac []byte) {
	v.h, v.unsigned = hmac.New(v.key.digest, v.key.secret), 0
	v.h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(mac)))) // #nosec G115 -- 64 at most
	v.h.Write(mac)
}

// message takes the next message of the stream, and returns an error that
// wraps errTSIG where it is not proven. Within a stream a message without TSIG
// is proven by the next that has one, so the last must.
func (v *verifier) message(m *message, now time.Time) error {
	if m.tsig == nil {
		if v.first {
			return fmt.Errorf("%w: the reply is not signed", errTSIG)
		}
		if v.unsigned++; v.unsigned > maxUnsigned {
			return fmt.Errorf("%w: more than %d messages of a stream are not signed", errTSIG, maxUnsigned)
		}
		v.h.Write(m.raw)
		return nil
	}
	t := m.tsig
	if t.MACSize == 0 { // as where the server does not take the key (RFC 8945, section 5.3.2)
		return fmt.Errorf("%w: the reply is not signed", errTSIG)
	}
	if providers.CanonicalName(t.Hdr.Name) != v.key.name || !strings.EqualFold(t.Algorithm, v.key.algorithm) {
		return fmt.Errorf("%w: the reply is signed by %s with %s; expected %s with %s", errTSIG, t.Hdr.Name, t.Algorithm, v.key.name, v.key.algorithm)
	}
	mac, err := hex.DecodeString(t.MAC)
	if err != nil || t.Hdr.Class != dns.ClassANY || t.Hdr.Ttl != 0 { // RFC 8945, section 4.2
		return fmt.Errorf("%w: the reply's record is malformed", errTSIG)
	}
	signed := timersOf(t)
	if v.first {
		if signed, err = variablesOf(t); err != nil {
			return fmt.Errorf("%w: the reply's record is malformed", errTSIG)
		}
	}
	v.h.Write(m.stripped())
	v.h.Write(signed)
	if !hmac.Equal(v.h.Sum(nil), mac) { // no shortened MAC is taken
		return fmt.Errorf("%w: the reply's signature is wrong", errTSIG)
	}
	if apart := now.Unix() - int64(t.TimeSigned); max(apart, -apart) > int64(t.Fudge) && t.Error != dns.RcodeBadTime { // #nosec G115 -- 48 bits
		return fmt.Errorf("%w: the reply was signed %d s from now; %d s are allowed: is a clock wrong?", errTSIG, -apart, t.Fudge)
	}
	v.first = false
	v.restart(mac)
	return nil
}

// done returns an error when the stream's last message was not signed.
func (v *verifier) done() error {
	if v.unsigned > 0 {
		return fmt.Errorf("%w: the last message of the stream is not signed", errTSIG)
	}
	return nil
}
