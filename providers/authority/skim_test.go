package authority

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// TestNameEnd: a name ends where the library says, and is refused where it is.
func TestNameEnd(t *testing.T) {
	compare := func(t rapid.TB, packet []byte, off int) {
		t.Helper()
		_, want, err := dns.UnpackDomainName(packet, off)
		if end, ok := nameEnd(packet, off); ok != (err == nil) || ok && end != want {
			t.Fatalf("%x from %d: got %d, %t; the library says %d, %v", packet, off, end, ok, want, err)
		}
	}
	// Names of every length around the longest, and as many pointers as are followed.
	for n := range 130 {
		compare(t, append([]byte(strings.Repeat("\x01a", n)), 0), 0)
		compare(t, append([]byte(strings.Repeat("\x02ab", n)), 0), 0)
		chain := []byte{0, 0}
		for range n {
			chain = append(chain, 0xc0|byte((len(chain)-2)>>8), byte(len(chain)-2)) // #nosec G115 -- below 512
		}
		compare(t, chain, len(chain)-2)
	}
	octets := rapid.OneOf(rapid.SampledFrom([]byte{0, 1, 2, 3, 63, 0x40, 0x80, 0xc0}), rapid.Byte())
	rapid.Check(t, func(t *rapid.T) {
		packet := rapid.SliceOfN(octets, 0, 300).Draw(t, "packet")
		compare(t, packet, rapid.IntRange(0, len(packet)).Draw(t, "off"))
	})
}

// TestSkim: what is refused is what the library refuses, and the data is that of
// the first OPT record. That all that skim takes is answered rightly shows FuzzPacket.
func TestSkim(t *testing.T) {
	r, refused, options := rand.New(rand.NewPCG(8, 8)), 0, 0
	seeds := packetSeeds(t, exampleReference(t))
	for i := range len(seeds) / 2 {
		m := withCookie("www.example.test.", dns.TypeA, "0123456789abcdef")
		if i%4 == 0 {
			m.Extra = append(m.Extra, withCookie(".", dns.TypeA, "fedcba9876543210").Extra...)
		}
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, packet)
	}
	for range 50_000 {
		packet := spoilPacket(r, seeds)
		if len(packet) < headerSize {
			continue
		}
		packet[2] &^= 0xf8
		copy(packet[4:], []byte{0, 1, 0, 0, 0, 0, 0})
		opt, ok := skim(packet)
		var m dns.Msg
		err := m.Unpack(packet)
		switch {
		case !ok && err == nil && len(m.Question) == 1:
			t.Fatalf("%x is refused; the library reads %v", packet, &m)
		case !ok:
			refused++
		case err == nil:
			want := optOf(&m)
			if !slices.Equal(opt, want) {
				t.Fatalf("%x: data %x, want %x", packet, opt, want)
			}
			options += min(1, len(want))
		}
	}
	if refused < 5000 || options < 1000 {
		t.Errorf("%d were refused, %d had options", refused, options)
	}
}

// optOf packs the data of the first OPT record.
func optOf(m *dns.Msg) []byte {
	for _, rr := range m.Extra {
		if opt, ok := rr.(*dns.OPT); ok {
			out := make([]byte, dns.MaxMsgSize)
			end, err := dns.PackRR(opt, out, 0, nil, false)
			if err != nil {
				return nil
			}
			_, at, _ := dns.UnpackDomainName(out, 0) // it is packed rightly
			return out[at+recordTail : end]
		}
	}
	return nil
}

// TestMalformedTakesNoMemory: what most malformed packets are answered with leaves
// nothing to the garbage collector.
func TestMalformedTakesNoMemory(t *testing.T) {
	query := new(dns.Msg)
	query.SetQuestion("www.example.test.", dns.TypeA)
	plain, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	edns, err := withCookie("www.example.test.", dns.TypeA, "0123456789abcdef").Pack()
	if err != nil {
		t.Fatal(err)
	}
	change := func(p []byte, how func(p []byte)) []byte {
		p = slices.Clone(p)
		how(p)
		return p
	}
	a, _ := countingAnswerer(t)
	for name, packet := range map[string][]byte{
		"cut off in the name":          plain[:headerSize+7],
		"cut off in the option":        edns[:len(edns)-3],
		"a label that is not defined":  change(plain, func(p []byte) { p[headerSize] = 0x47 }),
		"a label beyond the end":       change(plain, func(p []byte) { p[headerSize] = 63 }),
		"a name that points to itself": change(plain, func(p []byte) { p[headerSize], p[headerSize+1] = 0xc0, headerSize }),
		"an option beyond the end":     change(edns, func(p []byte) { p[len(p)-13]++ }),
		"another opcode":               change(plain, func(p []byte) { p[2] = dns.OpcodeUpdate << 3 }),
		"two questions":                change(plain, func(p []byte) { p[5] = 2 }),
		"a record of answer":           change(plain, func(p []byte) { p[7] = 1 }),
		"bytes behind the end":         append(slices.Clone(plain), 1, 2, 3),
		"bytes behind the option":      append(slices.Clone(edns), 1, 2, 3),
	} {
		buf := make([]byte, dns.MaxMsgSize)
		a.answer(buf, copy(buf, packet)) // makes room to work in
		if n := testing.AllocsPerRun(100, func() { a.answer(buf, copy(buf, packet)) }); n != 0 {
			t.Errorf("%s: %.0f allocations", name, n)
		}
		if binary.BigEndian.Uint16(buf) != binary.BigEndian.Uint16(packet) || buf[2]&flagResponse == 0 {
			t.Errorf("%s: answered by %x", name, buf[:headerSize])
		}
	}
}
