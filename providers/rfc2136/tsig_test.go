package rfc2136

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const testSecret = "dmVlcidzIHNlY3JldCBvZiAzMiBieXRlcywgbm8gbGVzcw=="

func testKey(t testing.TB, algorithm string) *key {
	t.Helper()
	secret, err := base64.StdEncoding.DecodeString(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return &key{"veer.", algorithm + ".", algorithms()[algorithm], secret}
}

// TestSignedAsTheLibraryDoes holds this package's TSIG against another's.
func TestSignedAsTheLibraryDoes(t *testing.T) {
	for algorithm := range algorithms() {
		k := testKey(t, algorithm)
		q := new(dns.Msg)
		q.SetQuestion("Example.test.", dns.TypeSOA)
		wire, mac, err := k.sign(q, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := dns.TsigVerify(append([]byte(nil), wire...), testSecret, "", false); err != nil {
			t.Errorf("%s: the library does not verify what was signed: %v", algorithm, err)
		}
		for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeNotAuth} {
			r := new(dns.Msg)
			r.SetRcode(q, rcode)
			r.SetTsig("veer.", k.algorithm, 300, time.Now().Unix())
			reply, _, err := dns.TsigGenerate(r, testSecret, hex.EncodeToString(mac), false)
			if err != nil {
				t.Fatal(err)
			}
			m, err := parse(reply)
			if err != nil {
				t.Fatal(err)
			}
			if err := newVerifier(k, mac).message(m, time.Now()); err != nil {
				t.Errorf("%s: a %s that the library signed: %v", algorithm, dns.RcodeToString[rcode], err)
			}
			for _, now := range []time.Time{time.Now().Add(-400 * time.Second), time.Now().Add(400 * time.Second)} {
				if err := newVerifier(k, mac).message(m, now); !errors.Is(err, errTSIG) || !strings.Contains(err.Error(), "clock") {
					t.Errorf("%s: a reply of another time gives %v", algorithm, err)
				}
			}
			for i := range reply { // of no byte another value is taken
				bad := append([]byte(nil), reply...)
				bad[i] ^= 1
				m, err := parse(bad)
				if err != nil {
					continue
				}
				// But for the id, which TSIG leaves open (RFC 8945, section 5.3).
				if err := newVerifier(k, mac).message(m, time.Now()); err == nil && i > 1 {
					t.Errorf("%s: with byte %d of %d changed the reply is taken", algorithm, i, len(reply))
				}
			}
			if err := newVerifier(k, mac[:len(mac)-1]).message(m, time.Now()); err == nil {
				t.Errorf("%s: the reply to another request is taken", algorithm)
			}
		}
	}
}

// streamOf signs messages of a transfer of which each nth has a TSIG, and the
// last (RFC 8945, section 5.3.1).
func streamOf(t testing.TB, k *key, requestMAC []byte, messages [][]byte, nth int) [][]byte {
	t.Helper()
	var out [][]byte
	h := hmac.New(k.digest, k.secret)
	prior := func(mac []byte) {
		h.Reset()
		h.Write([]byte{0, byte(len(mac))})
		h.Write(mac)
	}
	prior(requestMAC)
	for i, raw := range messages {
		h.Write(raw)
		if i%nth != 0 && i != len(messages)-1 {
			out = append(out, raw)
			continue
		}
		tsig := &dns.TSIG{Hdr: dns.RR_Header{Name: k.name, Rrtype: dns.TypeTSIG, Class: dns.ClassANY}, Algorithm: k.algorithm, TimeSigned: uint64(time.Now().Unix()), Fudge: 300, OrigId: uint16(raw[0])<<8 | uint16(raw[1])}
		if i == 0 {
			v, err := variablesOf(tsig)
			if err != nil {
				t.Fatal(err)
			}
			h.Write(v)
		} else {
			h.Write(timersOf(tsig))
		}
		mac := h.Sum(nil)
		tsig.MAC, tsig.MACSize = hex.EncodeToString(mac), uint16(len(mac))
		rr := make([]byte, dns.Len(tsig))
		end, err := dns.PackRR(tsig, rr, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		signed := append(append([]byte(nil), raw...), rr[:end]...)
		signed[11]++ // ARCOUNT
		out = append(out, signed)
		prior(mac)
	}
	return out
}

func TestStream(t *testing.T) {
	k, mac := testKey(t, "hmac-sha256"), []byte("the request's MAC")
	messages := func(n int) [][]byte {
		var out [][]byte
		for range n {
			m := new(dns.Msg)
			m.SetQuestion("example.test.", dns.TypeAXFR)
			m.Id, m.Response = 7, true
			raw, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, raw)
		}
		return out
	}
	take := func(stream [][]byte) error {
		v := newVerifier(k, mac)
		for _, raw := range stream {
			m, err := parse(raw)
			if err == nil {
				err = v.message(m, time.Now())
			}
			if err != nil {
				return err
			}
		}
		return v.done()
	}
	for _, nth := range []int{1, 2, 7, 100} {
		if err := take(streamOf(t, k, mac, messages(250), nth)); err != nil {
			t.Errorf("every message of %d signed: %v", nth, err)
		}
	}
	whole := streamOf(t, k, mac, messages(50), 10)
	for name, c := range map[string]struct {
		stream [][]byte
		want   string
	}{
		"too few are signed":   {streamOf(t, k, mac, messages(250), 101), "more than 99"},
		"the first is not":     {whole[1:], "not signed"},
		"the last is not":      {whole[:len(whole)-1], "last message"},
		"one is left out":      {append(append([][]byte(nil), whole[:5]...), whole[6:]...), "wrong"},
		"two have their turns": {append([][]byte{whole[0], whole[10]}, whole[1:]...), "wrong"},
		"one comes twice":      {append(append([][]byte(nil), whole[:6]...), whole[5:]...), "wrong"},
	} {
		if err := take(c.stream); !errors.Is(err, errTSIG) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func TestSecret(t *testing.T) {
	file := func(content string) TSIG {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return TSIG{Name: "Veer", Algorithm: "hmac-sha256", SecretFile: path}
	}
	k, err := file(testSecret + "\n").read()
	if err != nil || k.name != "veer." || k.algorithm != "hmac-sha256." || base64.StdEncoding.EncodeToString(k.secret) != testSecret {
		t.Errorf("read %+v, %v", k, err)
	}
	t.Setenv("VEER_TEST_TSIG", testSecret)
	if _, err := (TSIG{Name: "veer.", Algorithm: "hmac-sha512", SecretEnv: "VEER_TEST_TSIG"}).read(); err != nil {
		t.Error(err)
	}
	for _, bad := range []TSIG{file(""), file("hunter2!"), file(strings.Repeat("QUJD", maxSecret)), {Name: "veer.", SecretFile: "/nonexistent"}, {Name: "veer.", SecretEnv: "VEER_TEST_NO_SUCH"}} {
		if _, err := bad.read(); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "veer") && !strings.Contains(err.Error(), "Veer") {
			t.Errorf("a secret that is none gives %v", err)
		}
	}
}
