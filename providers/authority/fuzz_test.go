package authority

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions/steering"
)

const smallHead = "$TTL 60\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"

// FuzzZoneFile: a zone that is read and printed reads back as the same zone,
// every name that it has is answered, and all is answered as the reference
// does.
func FuzzZoneFile(f *testing.F) {
	for _, rest := range []string{
		"", "www A 192.0.2.2\n", "www 1h IN A 192.0.2.2 ; a comment\n", "www IN 60 AAAA 2001:db8::1\n", "a CNAME b\nb CNAME a\n", "* TXT \"a\\\"b\" \"\\000\\255\"\n",
		"$ORIGIN sub.example.test.\n@ A 192.0.2.1\n", "$TTL 2147483648\nx A 192.0.2.1\n", "$INCLUDE other\n", "$INCLUDE ../../etc/passwd\n", "$GENERATE 1-3 h$ A 192.0.2.$\n",
		"\\097\\.b A 192.0.2.1\n", "\\$x A 192.0.2.1\n", "x TYPE65280 \\# 3 abcdef\n", "x SVCB 1 . alpn=h2\n", "x CAA 0 issue \"ca.example\"\n", "_s._tcp SRV 1 2 3 ns\n",
		"sub NS ns.sub\nns.sub A 192.0.2.9\n", "sub NS ns.sub\n", "x (\nA\n192.0.2.1 )\n", "x A 192.0.2.1\nx A 192.0.2.1\n", "x CNAME y\nx A 192.0.2.1\n", "elsewhere.example. A 192.0.2.1\n",
		"x CH TXT \"a\"\n", "x NAPTR 1 2 \"u\" \"s\" \"!^.*$!x!\" .\n", "x LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m\n", "x HINFO \"a\" \"b\"\n", "x SSHFP 1 1 00\n", "x TLSA 3 1 1 00ff\n", "x TXT \"unclosed\n",
		"d DNAME e\ne A 192.0.2.5\n*.e TXT x\n", "d DNAME d2\nd2 DNAME d\nc CNAME x.d\n", "d DNAME e.d\n", "d DNAME x\nw.d A 192.0.2.1\n", "@ HTTPS 0 www\nwww HTTPS 1 . alpn=h2\nwww A 192.0.2.2\n",
		"x HTTPS 1 . mandatory=alpn alpn=h2,h3 ipv4hint=192.0.2.1 ech=AAAA\n", "x SVCB 0 x\n", "a.b.c A 192.0.2.1\n*.c A 192.0.2.2\n", "*.w CNAME a.w\n", "*.*.w A 192.0.2.1\n",
	} {
		f.Add(smallHead + rest)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fsys := fstest.MapFS{"zone": {Data: []byte(text)}, "other": {Data: []byte("included A 192.0.2.77\n")}}
		z, err := parseZone("example.test", "zone", fsys, bounds{bytes: 32 << 10, records: 500})
		if err != nil {
			return
		}
		printed := z.String()
		again, err := zoneText("example.test", printed, nil)
		if err != nil {
			t.Fatalf("the printed zone is refused: %v\n%s", err, printed)
		}
		if d := cmp.Diff(printed, again.String()); d != "" || z.Hash != again.Hash {
			t.Fatalf("the zone is another after printing (-first +second):\n%s", d)
		}
		st, err := newState([]*ZoneFile{z}, nil, quiet(), epoch)
		if err != nil {
			t.Fatal(err)
		}
		table, cuts := st.build(false), z.cuts()
		for _, r := range z.records {
			var reply Reply
			h := r.rr.Header()
			table.Lookup(Query{Name: r.owner, As: h.Name, Type: h.Rrtype}, &reply)
			if _, below := cutOf(r.owner, z.apex, cuts); below {
				continue
			}
			if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) == 0 || !slices.ContainsFunc(reply.Answer[0].pick.rrs, func(rr dns.RR) bool { return h.Rrtype == dns.TypeSOA || rr == r.rr }) {
				t.Fatalf("%s %s is in the zone but not answered: %+v", h.Name, dns.Type(h.Rrtype), reply)
			}
		}
		if len(z.records) <= 50 { // the reference is slow
			compareZone(t, z, table)
		}
	})
}

// compareZone asks a zone's table for names that it has, and names below and
// beside them, and wants the reference's answers.
func compareZone(t *testing.T, z *ZoneFile, table *Table) {
	t.Helper()
	ref := reference{apex: z.Name}
	for _, r := range z.records {
		ref.rrs = append(ref.rrs, r.rr)
	}
	respond, buf := responderOf(table), make([]byte, dns.MaxMsgSize)
	for i := 0; i < len(z.records); i += 1 + len(z.records)/8 {
		owner := z.records[i].rr.Header().Name
		for _, below := range []string{"", "x.", "a.b.", "*."} {
			for _, typ := range []uint16{dns.TypeA, dns.TypeHTTPS, dns.TypeANY, z.records[i].rr.Header().Rrtype} {
				m := new(dns.Msg)
				m.Question = []dns.Question{{Name: below + owner, Qtype: typ, Qclass: dns.ClassINET}}
				packet, err := m.Pack()
				if err != nil || typ == dns.TypeMAILA || typ == dns.TypeMAILB {
					continue // the name is too long
				}
				var got dns.Msg
				if err := got.Unpack(respond.respond(packet, buf, false)); err != nil {
					t.Fatal(err)
				}
				checkAnswer(t, references{ref}, m, &got)
			}
		}
	}
}

// exampleMade is the example zone as a generated one.
func exampleMade(t testing.TB) madeZone {
	t.Helper()
	text, err := os.ReadFile(exampleZone)
	if err != nil {
		t.Fatal(err)
	}
	return madeZone{apex: "example.test.", text: string(text), ref: exampleReference(t)}
}

// packetSeeds are queries and what looks like one.
func packetSeeds(t testing.TB, ref reference) [][]byte {
	g := newGenerator(7, ref.rrs, ref.apex)
	var seeds [][]byte
	add := func(change func(*dns.Msg)) {
		m := g.query()
		change(m)
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, packet)
	}
	for range 40 {
		add(func(*dns.Msg) {})
	}
	add(func(m *dns.Msg) { m.Response = true })
	add(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify })
	add(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate })
	add(func(m *dns.Msg) { m.Question = nil })
	add(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })
	add(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })
	add(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR })
	add(func(m *dns.Msg) { m.Extra = nil; m.SetEdns0(1232, true); m.IsEdns0().SetVersion(1) })
	add(func(m *dns.Msg) { m.Extra = nil; m.SetEdns0(1232, true); m.Extra = append(m.Extra, m.Extra[0]) })
	add(func(m *dns.Msg) { m.Extra = nil; m.SetEdns0(0, false) })
	add(func(m *dns.Msg) { m.Answer = ref.rrs[:1] })
	add(func(m *dns.Msg) { m.Question[0].Name = "big.example.test." })
	first := seeds[0]
	seeds = append(seeds, nil, first[:5], first[:headerSize], first[:len(first)-3], append(slices.Clone(first), 0, 1, 2),
		append(slices.Clone(first[:headerSize]), 0xc0, 0x0c, 0, 1, 0, 1), append(slices.Clone(first[:headerSize]), 0x40, 0, 0, 1, 0, 1))
	return seeds
}

// FuzzPacket: whatever comes, the answer unpacks, belongs to the query, fits,
// and says what the reference says.
func FuzzPacket(f *testing.F) {
	zones := append([]madeZone{exampleMade(f)}, makeZones(f, 11, 1)...)
	table := tableOf(f, zones)
	var refs references
	for _, z := range zones {
		refs = append(refs, z.ref)
		for i, s := range packetSeeds(f, z.ref) {
			f.Add(s, i%2 == 0)
		}
		for _, data := range []string{"0123456789abcdef", "0123456789abcdef010000005cf79f111f8130c3eee29480", "", "01"} {
			packet, err := withCookie(z.ref.apex, dns.TypeSOA, data).Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packet, true)
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte, udp bool) {
		if len(packet) > dns.MaxMsgSize-1 {
			return
		}
		before := slices.Clone(packet)
		out := responderOf(table).respond(packet, make([]byte, dns.MaxMsgSize), udp)
		if !slices.Equal(before, packet) {
			t.Fatal("the query was changed")
		}
		for _, draw := range []uint64{withoutCookies, someCookies, requiringCookies, 1<<62 | someCookies} { // the last over TLS, too
			if _, err := twoWays(table, packet, udp, draw); err != nil {
				t.Fatal(err)
			}
		}
		if len(packet) < headerSize || packet[2]&0x80 != 0 {
			if out != nil {
				t.Fatalf("%x was answered", packet)
			}
			return
		}
		var m, q dns.Msg
		if err := m.Unpack(out); err != nil {
			t.Fatalf("the answer %x does not unpack: %v", out, err)
		}
		if !m.Response || m.Id != uint16(packet[0])<<8|uint16(packet[1]) || m.Opcode != int(packet[2]>>3)&0xf || m.RecursionDesired != (packet[2]&1 == 1) || m.RecursionAvailable || m.CheckingDisabled || m.AuthenticatedData || m.Zero {
			t.Fatalf("header %+v does not belong to the query %x", m.MsgHdr, packet)
		}
		// The library refuses malformed options that are unknown here, and so ignored.
		err := q.Unpack(opaque(packet))
		checkSize(t, &q, out, udp)
		switch {
		case q.Opcode != dns.OpcodeQuery:
			wantRcode(t, &m, dns.RcodeNotImplemented)
		case err != nil || len(q.Question) != 1 || [6]byte(packet[4:10]) != [6]byte{0, 1}: // one question, nothing else
			wantRcode(t, &m, dns.RcodeFormatError)
		default:
			checkAnswer(t, refs, &q, &m)
		}
	})
}

// opaque returns the query with a code that nobody knows for each option that
// the server does not know over UDP.
func opaque(packet []byte) []byte {
	out := slices.Clone(packet)
	_, at, err := dns.UnpackDomainName(out, headerSize)
	at += questionTail
	for range binary.BigEndian.Uint16(out[10:]) {
		if err == nil {
			_, at, err = dns.UnpackDomainName(out, at)
		}
		if err != nil || at+10 > len(out) {
			return out
		}
		opt, data := dns.TypeOPT == binary.BigEndian.Uint16(out[at:]), at+10
		at = data + int(binary.BigEndian.Uint16(out[at+8:]))
		for opt && at <= len(out) && data+4 <= at {
			if code := binary.BigEndian.Uint16(out[data:]); code != dns.EDNS0NSID && code != dns.EDNS0PADDING {
				binary.BigEndian.PutUint16(out[data:], dns.EDNS0LOCALSTART)
			}
			data += 4 + int(binary.BigEndian.Uint16(out[data+2:]))
		}
	}
	return out
}

func wantRcode(t *testing.T, m *dns.Msg, rcode int) {
	t.Helper()
	if m.Rcode != rcode || len(m.Answer)+len(m.Ns)+len(m.Extra) > 0 || m.Authoritative {
		t.Fatalf("got %v, want an empty answer with rcode %s", m, dns.RcodeToString[rcode])
	}
}

func checkSize(t *testing.T, q *dns.Msg, out []byte, udp bool) {
	t.Helper()
	limit := dns.MaxMsgSize - 1
	if udp {
		limit = minUDPSize
		if opt := q.IsEdns0(); opt != nil {
			limit = min(max(limit, int(opt.UDPSize())), defaultUDPSize)
		}
	}
	if len(out) > limit {
		t.Fatalf("the answer has %d bytes, want at most %d", len(out), limit)
	}
}

// checkAnswer compares the answer to a query in good form with the reference.
func checkAnswer(t *testing.T, refs references, q, m *dns.Msg) {
	t.Helper()
	opt, ok := option(q.Extra)
	if !ok {
		wantRcode(t, m, dns.RcodeFormatError)
		return
	}
	if len(m.Question) != 1 || m.Question[0] != q.Question[0] {
		t.Fatalf("question %v, want %v", m.Question, q.Question)
	}
	own := m.IsEdns0()
	if (own == nil) != (opt == nil) || own != nil && (own.Version() != 0 || own.Do() != opt.Do()) {
		t.Fatalf("option %v to %v", own, opt)
	}
	var want referred
	switch typ := q.Question[0].Qtype; {
	case opt != nil && opt.Version() > 0:
		want.Rcode = dns.RcodeBadVers
	case typ == dns.TypeOPT || typ == dns.TypeTSIG || typ == dns.TypeTKEY:
		want.Rcode = dns.RcodeFormatError
	case q.Question[0].Qclass != dns.ClassINET || typ == dns.TypeAXFR || typ == dns.TypeIXFR:
		want.Rcode = dns.RcodeRefused
	case typ == dns.TypeMAILA || typ == dns.TypeMAILB:
		want.Rcode = dns.RcodeNotImplemented
	default:
		want = refs.lookup(q.Question[0].Name, typ)
	}
	if m.Truncated {
		want.Answer, want.Authority, want.Additional = nil, nil, nil
	}
	if len(section(m.Extra)) == 0 && !want.kinds["delegation"] {
		want.Additional = nil // left out where there was no room
	}
	if d := want.compare(m); d != "" {
		t.Fatalf("%v:\n%s", q.Question[0], d)
	}
}

// FuzzSnapshot: what is read as a snapshot is written back the same; what was
// not written by encode is refused.
func FuzzSnapshot(f *testing.F) {
	for i := range 12 {
		s := snapshot{Zones: []savedZone{{"example.test.", serial{uint32(i), uint32(i) << 28, strings.Repeat("h", i)}}}}
		for id := range i {
			s.Shards = append(s.Shards, savedShard{ID: id, Term: 1, Seq: uint64(i), Answers: mustAnswers(f, "a.example.test. A 30 min=5 left=9s set=eu weight=2 192.0.2.1 192.0.2.2")})
		}
		whole, err := snapshotFile.encode(s)
		if err != nil {
			f.Fatal(err)
		}
		_, body, _ := strings.Cut(string(whole), "\n")
		f.Add(whole, true)
		f.Add([]byte(body), false)
		f.Add(whole[:len(whole)-1-i], true)
	}
	f.Add([]byte(`{"shards":[{"id":64}]}`), false)
	f.Add([]byte(`{"shards":[{"id":1},{"id":1}]}`), false)
	f.Add([]byte(`{"zones":[{"name":"B."}]}`), false)
	f.Add([]byte(`{"shards":[{"id":3,"term":1,"seq":2,"answers":[{"Name":"app.example.test.","Type":"A","TTL":30,"Data":["192.0.2.1"]}],"refused":[{"Name":"APP.example.test","Type":"CNAME","TTL":30,"Data":["b.test."]},{"Name":"www.example.test.","Type":"A","Data":[]}]}]}`), false)
	f.Add([]byte(`{"more":1}`), false)
	f.Add([]byte(`{} {}`), false)
	f.Fuzz(func(t *testing.T, content []byte, whole bool) {
		if !whole {
			content = snapshotFile.seal(content)
		}
		s, err := decodeSnapshot(content)
		if err != nil {
			return
		}
		out, err := snapshotFile.encode(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeSnapshot(out)
		if err != nil {
			t.Fatalf("what was read and written is refused: %v", err)
		}
		a, errA := json.Marshal(s)
		b, errB := json.Marshal(again)
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Fatalf("the snapshot is another after writing:\n%s\n%s", a, b)
		}
		// Whatever a snapshot says, a server can start with it.
		st, err := newState([]*ZoneFile{exampleFile(t)}, nil, quiet(), epoch)
		if err != nil {
			t.Fatal(err)
		}
		st.restore(s, epoch)
		if st.build(false) == nil {
			t.Fatal("no table")
		}
		for i := range out {
			out[i] ^= 1
			if _, err := decodeSnapshot(out); err == nil {
				t.Fatalf("a flipped bit in byte %d was not seen", i)
			}
			out[i] ^= 1
			if i > 200 {
				break
			}
		}
	})
}

// TestSnapshotOfAnswers: the time left survives, and is spent by a restart.
func TestSnapshotOfAnswers(t *testing.T) {
	answers := mustAnswers(t, "app.example.test. A 30 min=5 left=1h 192.0.2.1")
	st, err := newState([]*ZoneFile{exampleFile(t)}, nil, quiet(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if !st.take(steering.Shard{ID: 3, Term: 1, Seq: 1, Answers: answers}, epoch) {
		t.Fatal("the first shard was not taken")
	}
	first := st.build(true)
	again, err := newState([]*ZoneFile{exampleFile(t)}, nil, quiet(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	again.restore(st.snapshot(), epoch)
	if d := cmp.Diff(st.snapshot(), again.snapshot(), cmp.AllowUnexported(savedZone{})); d != "" {
		t.Errorf("the snapshot of the restored differs:\n%s", d)
	}
	k, err := keyOf("app.example.test.")
	if err != nil {
		t.Fatal(err)
	}
	for i, table := range []*Table{first, again.build(false)} {
		var r Reply
		table.Lookup(Query{Name: k, Type: dns.TypeA, Now: epoch}, &r)
		if want := []uint32{30, 5}[i]; len(r.Answer) != 1 || r.Answer[0].TTL != want {
			t.Errorf("table %d: %+v, want TTL %d", i, r.Answer, want)
		}
	}
}
