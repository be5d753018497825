package rfc2136

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

func rec(name, typ string, ttl uint32, data ...string) *fenced.Record {
	return &fenced.Record{RRSet: providers.RRSet{Name: name, Type: typ, TTL: ttl, Data: data}}
}

// TestUpdate shows each kind of step as the message has it: prerequisites by
// RFC 2136, section 2.4, changes by 2.5.
func TestUpdate(t *testing.T) {
	fence := fenced.Step{After: rec("_veer-fence.s.z.", "TXT", 60, `"new"`)}
	const fenceNone, fenceNew = "none _veer-fence.s.z. TXT\nnone _veer-fence.s.z. CNAME\n", "add _veer-fence.s.z. 60 TXT \"new\"\n"
	for _, c := range []struct {
		name string
		r    fenced.Request
		want string
	}{
		{"a first fence", fenced.Request{Fence: fence}, fenceNone + fenceNew},
		{
			"a fence", fenced.Request{Fence: fenced.Step{Before: rec("_veer-fence.s.z.", "TXT", 60, `"old"`), After: fence.After}},
			"is _veer-fence.s.z. TXT \"old\"\ndelete _veer-fence.s.z. TXT\n" + fenceNew,
		},
		{
			"all", fenced.Request{Fence: fence, Steps: []fenced.Step{
				{Before: rec("gone.z.", "A", 60, "192.0.2.1")},
				{Before: rec("same.z.", "A", 60, "192.0.2.1", "192.0.2.2"), After: rec("same.z.", "A", 30, "192.0.2.3")},
				{After: rec("new.z.", "AAAA", 60, "2001:db8::1")},
			}},
			"is gone.z. A 192.0.2.1\nis same.z. A 192.0.2.1\nis same.z. A 192.0.2.2\n" + fenceNone + "none new.z. AAAA\nnone new.z. CNAME\n" +
				"delete gone.z. A\ndelete same.z. A\n" + fenceNew + "add same.z. 30 A 192.0.2.3\nadd new.z. 60 AAAA 2001:db8::1\n",
		},
		{
			"a new alias", fenced.Request{Fence: fence, Steps: []fenced.Step{{After: rec("c.z.", "CNAME", 60, "x.y.")}}},
			fenceNone + "none c.z. CNAME\nnone c.z. ANY\n" + fenceNew + "add c.z. 60 CNAME x.y.\n",
		},
		{
			"an alias becomes addresses", fenced.Request{Fence: fence, Steps: []fenced.Step{
				{Before: rec("c.z.", "CNAME", 60, "x.y.")}, {After: rec("c.z.", "A", 60, "192.0.2.1")},
			}},
			"is c.z. CNAME x.y.\n" + fenceNone + "none c.z. A\ndelete c.z. CNAME\n" + fenceNew + "add c.z. 60 A 192.0.2.1\n",
		},
	} {
		m, err := update("z.", c.r)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, describe(m)); d != "" {
			t.Errorf("%s: the message differs (-want +got):\n%s", c.name, d)
		}
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		size := headerSize + 6
		for _, s := range append([]fenced.Step{c.r.Fence}, c.r.Steps...) {
			size += sizeOf(s)
		}
		if len(wire) > size {
			t.Errorf("%s: the message has %d bytes, of %d that were reckoned", c.name, len(wire), size)
		}
	}
	// Addresses become an alias: none of the types that keep it out may be there.
	m, err := update("z.", fenced.Request{Fence: fence, Steps: []fenced.Step{
		{Before: rec("c.z.", "A", 60, "192.0.2.1")}, {After: rec("c.z.", "CNAME", 60, "x.y.")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []string{"AAAA", "MX", "TXT", "SRV", "CAA", "HTTPS", "NS"} {
		if !strings.Contains(describe(m), "none c.z. "+typ+"\n") {
			t.Errorf("an alias instead of addresses does not insist on there being no %s", typ)
		}
	}
	if strings.Contains(describe(m), "none c.z. A\n") || strings.Contains(describe(m), "none c.z. ANY") {
		t.Errorf("an alias instead of addresses insists on their absence:\n%s", describe(m))
	}
}

// describe writes an UPDATE a line a record.
func describe(m *dns.Msg) string {
	var b strings.Builder
	line := func(rr dns.RR, what map[uint16]string) {
		h := rr.Header()
		data := ""
		if h.Class == dns.ClassINET {
			data = " " + strings.TrimPrefix(rr.String(), h.String())
		}
		ttl := ""
		if what[h.Class] == "add" {
			ttl = fmt.Sprintf("%d ", h.Ttl)
		}
		fmt.Fprintf(&b, "%s %s %s%s%s\n", what[h.Class], h.Name, ttl, dns.Type(h.Rrtype), data)
	}
	for _, rr := range m.Answer {
		line(rr, map[uint16]string{dns.ClassINET: "is", dns.ClassANY: "some", dns.ClassNONE: "none"})
	}
	for _, rr := range m.Ns {
		line(rr, map[uint16]string{dns.ClassINET: "add", dns.ClassANY: "delete", dns.ClassNONE: "delete one"})
	}
	return b.String()
}

// TestWire: a set that is made into records and read back says the same.
func TestWire(t *testing.T) {
	name := rapid.StringMatching(`([a-z0-9_*A-Z]|\\\.|\\[01][0-9][0-9]){1,12}\.example\.test\.`)
	text := rapid.Custom(func(t *rapid.T) string {
		return fenced.Quote(string(rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "text")))
	})
	address := func(n int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address"))
			return a.String()
		})
	}
	data := map[string]*rapid.Generator[string]{"A": address(4), "AAAA": address(16), "CNAME": name, "TXT": text}
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]string{"A", "AAAA", "CNAME", "TXT"}).Draw(t, "type")
		n := 3
		if typ == "CNAME" || typ == "TXT" {
			n = 1
		}
		set := providers.RRSet{Name: providers.CanonicalName(name.Draw(t, "name")), Type: typ, TTL: rapid.Uint32Max(MaxTTL).Draw(t, "ttl"), Data: rapid.SliceOfN(data[typ], 1, n).Draw(t, "data")}.Canonical()
		rrs, err := wire(&fenced.Record{RRSet: set})
		if err != nil {
			t.Fatal(err)
		}
		m := new(dns.Msg)
		m.SetQuestion(set.Name, dns.StringToType[typ])
		m.Response, m.Answer = true, rrs
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		back, err := got.answers(kept)
		if err != nil {
			t.Fatal(err)
		}
		var s sets
		for _, rr := range back {
			if err := s.add(rr); err != nil {
				t.Fatal(err)
			}
		}
		if typ == "TXT" {
			a, errA := fenced.Text(set.Data[0])
			b, errB := fenced.Text(s.list[0].Data[0])
			if a != b || errA != nil || errB != nil || s.list[0].Name != set.Name {
				t.Fatalf("%v came back as %v", set, s.list)
			}
			return
		}
		if len(s.list) != 1 || !s.list[0].Equal(set) {
			t.Fatalf("%v came back as %v", set, s.list)
		}
	})
}

func TestWireRefuses(t *testing.T) {
	for _, r := range []*fenced.Record{
		rec("a.z.", "A", 60, "2001:db8::1"), rec("a.z.", "A", 60, "x"), rec("a.z.", "AAAA", 60, "192.0.2.1"), rec("a.z.", "AAAA", 60, "fe80::1%eth0"),
		rec("a.z.", "CNAME", 60, "a..b"), rec("a.z.", "TXT", 60, `"open`), rec("a.z.", "MX", 60, "10 x."), rec(strings.Repeat("a", 64)+".z.", "A", 60, "192.0.2.1"),
	} {
		if rrs, err := wire(r); err == nil {
			t.Errorf("%s %s %q was made into %v", r.Name, r.Type, r.Data, rrs)
		} else if !strings.Contains(err.Error(), r.Name) {
			t.Errorf("%v does not name the record", err)
		}
	}
}

func TestBefore(t *testing.T) {
	for _, c := range []struct {
		a, b uint32
		want bool
	}{{1, 2, true}, {2, 1, false}, {5, 5, false}, {1<<32 - 1, 0, true}, {0, 1<<32 - 1, false}, {0, 1<<31 - 1, true}, {0, 1 << 31, false}, {1 << 31, 0, false}} {
		if got := before(c.a, c.b); got != c.want {
			t.Errorf("%d before %d: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// transferOf feeds messages of records to a transfer.
func transferOf(t testing.TB, change func(i int, m *dns.Msg), parts ...string) (*transfer, error) {
	t.Helper()
	q := new(dns.Msg)
	q.SetAxfr("z.")
	x := &transfer{zone: "z.", p: packed{q: q}}
	for i, part := range parts {
		m := new(dns.Msg)
		m.SetReply(q)
		for _, line := range strings.Split(part, "\n") {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		change(i, m)
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if err := x.message(raw, time.Now()); err != nil {
			return x, err
		}
	}
	return x, nil
}

const soa = "z. 60 IN SOA ns. h. 5 1 1 1 1"

func TestTransfer(t *testing.T) {
	x, err := transferOf(t, func(int, *dns.Msg) {}, soa,
		"z. 60 IN NS ns.\nwww.z. 60 IN A 192.0.2.1\nWWW.z. 50 IN A 192.0.2.2\nwww.z. 60 IN RRSIG A 13 2 60 20300101000000 20200101000000 1 z. AAAA\nwww.z. 5 IN NSEC z. A RRSIG NSEC",
		"www.z. 60 IN TXT hello\n_veer.www.z. 60 IN TXT \"veer-owner owner=s\"\nc.z. 60 IN CNAME WWW.z.\nx.z. 60 IN TYPE65280 \\# 2 0102\n"+soa)
	if err != nil || !x.ended {
		t.Fatalf("ended %v, %v", x.ended, err)
	}
	var got []string
	for _, r := range x.sets.list {
		got = append(got, fmt.Sprintf("%s %d %s %s", r.Name, r.TTL, r.Type, strings.Join(r.Data, ",")))
	}
	want := []string{"www.z. 50 A 192.0.2.1,192.0.2.2", `_veer.www.z. 60 TXT "veer-owner owner=s"`, "c.z. 60 CNAME www.z."}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the sets differ (-want +got):\n%s", d)
	}
}

func TestTransferRefuses(t *testing.T) {
	none := func(int, *dns.Msg) {}
	for _, c := range []struct {
		name   string
		change func(i int, m *dns.Msg)
		parts  []string
		want   string
	}{
		{"no SOA first", none, []string{"z. 60 IN NS ns."}, "does not begin"},
		{"another zone", none, []string{"y. 60 IN SOA ns. h. 5 1 1 1 1"}, "SOA of y."},
		{"another serial", none, []string{soa, "z. 60 IN SOA ns. h. 6 1 1 1 1"}, "begins with serial 5 and ends with 6"},
		{"more after the end", none, []string{soa + "\n" + soa + "\nz. 60 IN A 192.0.2.1"}, "follow the end"},
		{"outside", none, []string{soa + "\nwww.y. 60 IN A 192.0.2.1"}, "www.y."},
		{"another id", func(_ int, m *dns.Msg) { m.Id++ }, []string{soa}, "not of this transfer"},
		{"a request", func(_ int, m *dns.Msg) { m.Response = false }, []string{soa}, "not of this transfer"},
		{"another question", func(_ int, m *dns.Msg) { m.Question[0].Name = "y." }, []string{soa}, "about y."},
		{"refused", func(_ int, m *dns.Msg) { m.Rcode, m.Answer = dns.RcodeRefused, nil }, []string{soa}, "REFUSED"},
		{"refused in between", func(i int, m *dns.Msg) { m.Rcode = i * dns.RcodeServerFailure }, []string{soa, "z. 60 IN NS ns."}, "SERVFAIL"},
		{"no data", func(_ int, m *dns.Msg) {
			m.Answer = append(m.Answer, &dns.ANY{Hdr: dns.RR_Header{Name: "e.z.", Rrtype: dns.TypeA, Class: dns.ClassINET}})
		}, []string{soa}, "e.z."},
	} {
		if _, err := transferOf(t, c.change, c.parts...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

// FuzzReply: whatever is received is an error or a reply whose records can be
// made again, and never a panic.
func FuzzReply(f *testing.F) {
	k, mac := testKey(f, "hmac-sha256"), []byte("mac")
	q := new(dns.Msg)
	q.SetQuestion("app.example.test.", dns.TypeA)
	for _, line := range []string{"app.example.test. 60 IN A 192.0.2.1", `app.example.test. 60 IN TXT "a\"b" c`, "app.example.test. 60 IN CNAME b.example.test."} {
		r := new(dns.Msg)
		r.SetReply(q)
		rr, err := dns.NewRR(line)
		if err != nil {
			f.Fatal(err)
		}
		r.Answer = []dns.RR{rr}
		r.SetTsig("veer.", dns.HmacSHA256, 300, 1)
		raw, _, err := dns.TsigGenerate(r, testSecret, "6d6163", false)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parse(raw)
		if err != nil {
			return
		}
		_ = m.check(q)
		_ = explain(reply{message: m}).Error()
		_ = newVerifier(k, mac).message(m, time.Unix(1, 0))
		rrs, err := m.answers(func(uint16) bool { return true })
		if err != nil {
			return
		}
		var s sets
		for _, rr := range rrs {
			if !kept(rr.Header().Rrtype) {
				continue
			}
			if err := s.add(rr); err != nil {
				return
			}
		}
		for i := range s.list {
			if _, err := wire(&s.list[i]); err != nil {
				t.Fatalf("%v was read, and cannot be written: %v", s.list[i], err)
			}
		}
	})
}

// FuzzTransfer: of whatever a stream has, only sets of the zone are kept.
func FuzzTransfer(f *testing.F) {
	q := new(dns.Msg)
	q.SetAxfr("z.")
	q.Id = 7
	for _, lines := range []string{soa + "\na.z. 60 IN A 192.0.2.1\n" + soa, soa, "a.z. 60 IN A 192.0.2.1"} {
		m := new(dns.Msg)
		m.SetReply(q)
		for _, line := range strings.Split(lines, "\n") {
			rr, err := dns.NewRR(line)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, raw)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		x := &transfer{zone: "z.", p: packed{q: q}}
		if x.message(first, time.Now()) != nil || !x.ended && x.message(second, time.Now()) != nil {
			return
		}
		for _, r := range x.sets.list {
			_, mark := providers.OwnedName(r.Name)
			if !providers.InZone(r.Name, "z.") || !providers.Steered(r.Type) && !(mark && r.Type == "TXT") || len(r.Data) == 0 {
				t.Fatalf("kept %+v", r)
			}
		}
	})
}
