package icmpcheck

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unicode"
)

func TestBadConfig(t *testing.T) {
	for i, c := range []struct {
		field  string
		config Config
	}{
		{"privileged", Config{Privileged: "root"}},
		{"count", Config{Count: -1}},
		{"count", Config{Count: 21}},
		{"max_loss", Config{MaxLoss: number(-1)}},
		{"max_loss", Config{MaxLoss: number(100)}},
		{"warn_loss", Config{WarnLoss: number(-1)}},
		{"warn_loss", Config{WarnLoss: number(50)}},
		{"warn_loss", Config{WarnLoss: number(20), MaxLoss: number(20)}},
		{"size", Config{Size: 15}},
		{"size", Config{Size: 8193}},
	} {
		var fields []string
		c.config.Check(func(field, format string, args ...any) {
			fields = append(fields, field)
			if text := fmt.Sprintf(format, args...); strings.Contains(text, "%!") {
				t.Errorf("%d: %s", i, text)
			}
		})
		if len(fields) != 1 || fields[0] != c.field {
			t.Errorf("%d: problems at %q, expected one at %s", i, fields, c.field)
		}
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.field+": ") {
			t.Errorf("%d: New says %v, expected an error naming %s", i, err, c.field)
		}
	}
}

// TestFaultWords requires that every error of the standards has words.
func TestFaultWords(t *testing.T) {
	for _, c := range []struct {
		f    fault
		text string
	}{
		{fault{kind: 3, code: 1, from: netip.MustParseAddr("192.0.2.1")}, "the host is unreachable, says 192.0.2.1"},
		{fault{kind: 11}, "the echo went in circles (time to live exceeded)"},
		{fault{v6: true, kind: 1, code: 3}, "the address is unreachable"},
		{fault{v6: true, kind: 3}, "the echo went in circles (hop limit exceeded)"},
		{fault{kind: 200, code: 7}, "ICMP error of type 200, code 7"},
	} {
		if got := c.f.String(); got != c.text {
			t.Errorf("%q, expected %q", got, c.text)
		}
	}
}

// FuzzMessage requires that an echo that was written reads back, and that of
// any other bytes only such an echo is taken as comes out the same again. No
// IPv4 header, whatever it says of its length, is read beyond the packet.
func FuzzMessage(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		m, err := request(v6, 0x1234, 7, []byte("0123456789abcdef"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(v6, false, m)
		f.Add(v6, true, replyTo(v6, m))
	}
	f.Add(false, true, []byte{0, 0, 0, 0, 1, 2, 3})
	f.Add(false, true, []byte{0x4f, 0})
	f.Fuzz(func(t *testing.T, v6, reply bool, message []byte) {
		if rest := headless(message); !bytes.HasSuffix(message, rest) {
			t.Fatalf("%x of %x", rest, message)
		}
		id, seq, data, ok := parse(v6, reply, message)
		if !ok {
			return
		}
		again, err := request(v6, id, seq, data)
		if err != nil {
			t.Fatal(err)
		}
		if reply {
			again = replyTo(v6, again)
		}
		// The checksum is the kernel's to verify.
		if again[0] != message[0] || !bytes.Equal(again[4:], message[4:]) {
			t.Fatalf("%x reads as id %x, sequence %x and %x", message, id, seq, data)
		}
	})
}

// FuzzFault requires that an error of any bytes has printable words.
func FuzzFault(f *testing.F) {
	v4 := []byte{113, 0, 0, 0, originICMP, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.NativeEndian.PutUint16(v4[16:], 2)
	v6 := append(append([]byte{113, 0, 0, 0, originICMPv6, 1, 3, 0}, make([]byte, 16)...), netip.MustParseAddr("2001:db8::1").AsSlice()...)
	binary.NativeEndian.PutUint16(v6[16:], 10)
	if got, ok := parseFault(v4); !ok || got.String() != "the host is unreachable, says 192.0.2.1" {
		f.Errorf("%v, %v", got, ok)
	}
	if got, ok := parseFault(v6); !ok || got.String() != "the address is unreachable, says 2001:db8::1" {
		f.Errorf("%v, %v", got, ok)
	}
	f.Add(v4)
	f.Add(v6)
	f.Add(v4[:16])
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := parseFault(data)
		if ok && (len(got.String()) < 10 || strings.ContainsFunc(got.String(), func(r rune) bool { return !unicode.IsPrint(r) })) {
			t.Fatalf("%x: %q", data, got)
		}
	})
}
