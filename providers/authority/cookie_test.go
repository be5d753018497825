package authority

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// testCookies has two fixed secrets.
func testCookies(require bool) *cookies {
	c := &cookies{require: require}
	c.keys.Store(&[]sipKey{{1, 2}, {3, 4}})
	return c
}

// testClient is one of some clients: some may ask everything in manyZones, some
// nothing.
func testClient(draw uint64) netip.Addr {
	switch n := draw >> 40 & 7; n {
	case 0, 1, 2, 3:
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
	case 4, 5:
		return netip.AddrFrom4([4]byte{198, 51, 100, byte(5 + n)})
	case 6:
		return netip.MustParseAddr("2001:db9::9")
	}
	return netip.MustParseAddr("2001:db8::1")
}

// cookie is an option of any kind, for the client of testCookies: without a
// server cookie, with a good one of any age, one that was made with the second
// secret, a spoiled one, one of any length.
func (g *generator) cookie(from netip.Addr) *dns.EDNS0_COOKIE {
	var q cookie
	binary.BigEndian.PutUint64(q.data[:], g.rng.Uint64())
	q.size = clientCookie
	jar := testCookies(false)
	if g.rng.IntN(3) == 0 {
		jar.keys.Store(&[]sipKey{{3, 4}})
	}
	at := time.Now().Add(time.Duration(g.rng.IntN(5000)-4200) * time.Second)
	full, _ := jar.answer(&q, from, at)
	data := full[:]
	switch g.rng.IntN(8) {
	case 0, 1:
		data = data[:clientCookie]
	case 2:
		data[g.rng.IntN(len(data))] ^= 1 << g.rng.IntN(8)
	case 3:
		data = append(data, make([]byte, 20)...)[:g.rng.IntN(44)]
	}
	return &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(data)}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSipHash: the vectors of the reference implementation, of 0 to 15 bytes,
// and the example of the paper.
func TestSipHash(t *testing.T) {
	key := sipKeyOf([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	var data []byte
	for i, want := range strings.Fields(`310e0edd47db6f72 fd67dc93c539f874 5a4fa9d909806c0d 2d7efbd796666785
		b7877127e09427cf 8da699cd64557618 cee3fe586e46c9cb 37d1018bf50002ab
		6224939a79f5f593 b0e4a90bdf82009e f3b9dd94c5bb5d7a a7ad6b22462fb3f4
		fbe50e86bc8f1e75 903d84c02756ea14 eef27a8e90ca23f7 e545be4961ca29a1`) {
		if got := fmt.Sprintf("%x", binary.LittleEndian.AppendUint64(nil, key.sum(data))); got != want {
			t.Errorf("of %d bytes: %s, want %s", i, got, want)
		}
		data = append(data, byte(i))
	}
}

// TestCookieVectors: those of RFC 9018, appendix A.
func TestCookieVectors(t *testing.T) {
	const secret, rolled = "e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962\ndd3bdf9344b678b185a6f5cb60fca715"
	for _, v := range []struct {
		name, secrets, client, query, answer string
		at                                   int64
		valid                                bool
	}{
		{"A.1", secret, "198.51.100.100", "2464c4abcf10c957", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985, false},
		{"A.2", secret, "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", "2464c4abcf10c957010000005cf7a871d4a564a1442aca77", 1559734385, true},
		// The cookie of A.3 is older than the hour of section 4.3 when it is asked
		// with; within the hour it is valid, reserved bytes and all.
		{"A.3", secret, "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e", 1559734700, false},
		{"A.3 sooner", secret, "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559727985 + 60, true},
		{"A.4", rolled, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8", "22681ab97d52c298010000005cf7c609a6bb79d16625507a", 1559741961, true},
	} {
		keys, err := parseSecrets(v.secrets)
		if err != nil {
			t.Fatal(err)
		}
		var jar cookies
		jar.keys.Store(&keys)
		q := cookie{size: -1}
		q.read(unhex(t, v.query))
		got, valid := jar.answer(&q, netip.MustParseAddr(v.client), time.Unix(v.at, 0))
		if hex.EncodeToString(got[:]) != v.answer || valid != v.valid {
			t.Errorf("%s: %x, valid %v; want %s, %v", v.name, got, valid, v.answer, v.valid)
		}
	}
}

// cookieAnswer is cookies.answer.
type cookieAnswer func(q *cookie, from netip.Addr, at time.Time) ([ourCookie]byte, bool)

// searchCookies makes a cookie, changes something or nothing, and compares what
// becomes of it with what should.
func searchCookies(t *rapid.T, answer cookieAnswer) error {
	from := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"})
	client := netip.MustParseAddr(from.Draw(t, "client"))
	q := cookie{size: clientCookie}
	copy(q.data[:], rapid.SliceOfN(rapid.Byte(), clientCookie, clientCookie).Draw(t, "cookie"))
	made := time.Unix(rapid.SampledFrom([]int64{1 << 30, 1<<32 - 1, 1<<32 - 2000, 0}).Draw(t, "made"), 0)
	full, valid := answer(&q, client, made)
	if valid {
		return fmt.Errorf("%x alone is valid", q.data[:q.size])
	}
	q = cookie{size: -1}
	q.read(full[:])
	want := true
	switch rapid.IntRange(0, 4).Draw(t, "change") {
	case 1:
		bit := rapid.IntRange(0, 8*ourCookie-1).Draw(t, "bit")
		q.data[bit/8] ^= 1 << (bit % 8)
		want = false
	case 2:
		other := netip.MustParseAddr(from.Draw(t, "other client"))
		want, client = other == client, other
	case 3:
		q.size = rapid.SampledFrom([]int{clientCookie, minFullCookie, ourCookie - 1, ourCookie + 1, maxFullCookie}).Draw(t, "size")
		want = false
	}
	age := rapid.SampledFrom([]int{-86400, -301, -300, -1, 0, 1, 1800, 1801, 3600, 3601, 86400, 1 << 31}).Draw(t, "age")
	want = want && -300 <= age && age <= 3600
	now := made.Add(time.Duration(age) * time.Second)
	back, valid := answer(&q, client, now)
	if valid != want {
		return fmt.Errorf("%x of age %d s is valid: %v, want %v", q.data[:q.size], age, valid, want)
	}
	if string(back[:clientCookie]) != string(q.data[:clientCookie]) {
		return fmt.Errorf("the client's cookie came back as another one")
	}
	if kept := back == full; kept != (want && age <= 1800) && age != 0 {
		return fmt.Errorf("a cookie of age %d s, valid %v, came back: %v", age, want, kept)
	}
	again := cookie{size: -1}
	again.read(back[:])
	if _, valid := answer(&again, client, now); !valid {
		return fmt.Errorf("the cookie that came back is not valid")
	}
	return nil
}

func TestCookieAgesAndChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := searchCookies(t, testCookies(false).answer); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMutantCookies: faults in the checking of cookies are found.
func TestMutantCookies(t *testing.T) {
	good := testCookies(false).answer
	for name, answer := range map[string]cookieAnswer{
		"any client": func(q *cookie, _ netip.Addr, at time.Time) ([ourCookie]byte, bool) {
			return good(q, netip.MustParseAddr("192.0.2.1"), at)
		},
		"any hash": func(q *cookie, from netip.Addr, at time.Time) ([ourCookie]byte, bool) {
			out, valid := good(q, from, at)
			return out, valid || q.size == ourCookie && binary.BigEndian.Uint32(q.data[12:]) == uint32(at.Unix())
		},
		"any age": func(q *cookie, from netip.Addr, at time.Time) ([ourCookie]byte, bool) {
			out, valid := good(q, from, at)
			if _, then := good(q, from, time.Unix(int64(binary.BigEndian.Uint32(q.data[12:])), 0)); q.size == ourCookie {
				valid = then
			}
			return out, valid
		},
		"never renewed": func(q *cookie, from netip.Addr, at time.Time) ([ourCookie]byte, bool) {
			out, valid := good(q, from, at)
			if valid {
				copy(out[:], q.data[:])
			}
			return out, valid
		},
		"the wrong time zone": func(q *cookie, from netip.Addr, at time.Time) ([ourCookie]byte, bool) {
			if q.size == clientCookie {
				at = at.Add(time.Hour)
			}
			return good(q, from, at)
		},
	} {
		found := false
		for seed := 0; seed < 3000 && !found; seed++ {
			rapid.Custom(func(t *rapid.T) bool {
				found = searchCookies(t, answer) != nil
				return found
			}).Example(seed)
		}
		if !found {
			t.Errorf("%s: the search proves nothing: it does not see the planted fault", name)
		}
	}
}

// TestCookieRollOver: a new secret is accepted by all before it makes cookies,
// and the old one as long as it stands in the file.
func TestCookieRollOver(t *testing.T) {
	old, fresh := strings.Repeat("0a", 16), strings.Repeat("B1", 16)
	file := filepath.Join(t.TempDir(), "cookies")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(old + "\n")
	c := exampleConfig()
	c.Cookies.SecretFile = filepath.Base(file)
	c = c.Rebase(filepath.Dir(file))
	c.Zones[0].File = exampleZone
	s := newServer(t, c, Options{})
	client := netip.MustParseAddr("192.0.2.1")
	ask := func(data []byte) ([]byte, bool) {
		q := cookie{size: -1}
		q.read(data)
		out, valid := s.cookies.answer(&q, client, time.Now())
		return out[:], valid
	}
	first, _ := ask(make([]byte, 8))
	for _, step := range []struct {
		file         string
		valid, moved bool
		bad          string
	}{
		{old + "\n" + fresh, true, false, ""},
		{fresh + "\n" + old, true, true, ""},
		{"no secret", true, true, "secret 1 has 2 characters"},
		{fresh, false, true, ""},
		{"", false, true, "no secret"},
	} {
		write(step.file)
		if _, err := reload(s); (err == nil) != (step.bad == "") || err != nil && !strings.Contains(err.Error(), step.bad) {
			t.Errorf("after %q: error %v", step.file, err)
		}
		back, valid := ask(first)
		if moved := string(back) != string(first); valid != step.valid || moved != step.moved {
			t.Errorf("after %q: valid %v, another cookie %v", step.file, valid, moved)
		}
	}
}

// TestCookieSecrets: what is wrong with secrets is said without any of them.
func TestCookieSecrets(t *testing.T) {
	good := "00112233445566778899aabbccddeeff"
	for text, want := range map[string]string{
		good: "", "\n " + good + " \n" + strings.ToUpper(good) + "\n": "",
		"": "no secret", " \n": "no secret", good[:30]: "secret 1 has 30 characters", good + "00": "secret 1 has 34 characters",
		good + "\n" + good[:30] + "zz": "secret 2 is not hexadecimal", strings.Repeat(good+"\n", 9): "9 secrets, at most 8", strings.Repeat(" ", 5000): "more than 4096 bytes",
	} {
		t.Setenv("VEER_TEST_COOKIES", text)
		err := Cookies{SecretEnv: "VEER_TEST_COOKIES"}.ReadSecrets()
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "cookies.secret_env VEER_TEST_COOKIES: ")) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), good[:8]) {
			t.Errorf("the error tells of the secret: %v", err)
		}
	}
	if _, err := New(Config{Listen: []string{"127.0.0.1:0"}, Zones: exampleConfig().Zones, Cookies: Cookies{SecretFile: "absent"}}, Options{DataDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "cookies.secret_file: open absent") {
		t.Errorf("error %v", err)
	}
}

// FuzzCookieSecrets: secrets that are taken are those that were written.
func FuzzCookieSecrets(f *testing.F) {
	f.Add("00112233445566778899aabbccddeeff\n445536bcd2513298075a5d379663c962")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := parseSecrets(text)
		if err != nil {
			return
		}
		var again []string
		for _, k := range keys {
			again = append(again, hex.EncodeToString(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, k[0]), k[1])))
		}
		if got, want := strings.Join(again, "\n"), strings.ToLower(strings.Join(strings.Fields(text), "\n")); got != want {
			t.Errorf("%q was read from %q", got, want)
		}
	})
}

// cookieIn is the option of an answer, "" for none.
func cookieIn(m *dns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

// spoil changes the last bit of a cookie.
func spoil(cookie string) string {
	last := byte('0')
	if strings.HasSuffix(cookie, "0") {
		last = '1'
	}
	return cookie[:len(cookie)-1] + string(last)
}

func withCookie(name string, typ uint16, cookie string) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
	return m
}

// TestCookies: what a client is answered, over UDP and TCP, in every way (RFC
// 7873, section 5.2).
func TestCookies(t *testing.T) {
	const client = "0123456789abcdef"
	for _, way := range ways {
		c := exampleConfig()
		c.Fast, c.Identity = way, "here"
		s := startServer(t, c, Options{})
		learnt := cookieIn(told(t, s, withCookie("www.example.test.", dns.TypeA, client)))
		if len(learnt) != 2*ourCookie || !strings.HasPrefix(learnt, client+"01000000") {
			t.Fatalf("%s: the cookie %q is not of RFC 9018", way, learnt)
		}
		for _, name := range []string{"www.example.test.", "alias.example.test.", "nowhere.example.test.", "elsewhere.example.", "x.sub.example.test."} {
			if got := cookieIn(told(t, s, withCookie(name, dns.TypeA, learnt))); got != learnt {
				t.Errorf("%s: %s: the cookie came back as %q, want %q", way, name, got, learnt)
			}
			m := withCookie(name, dns.TypeA, learnt)
			m.IsEdns0().Option = nil
			if got := cookieIn(told(t, s, m)); got != "" {
				t.Errorf("%s: %s: the cookie %q for a client without one", way, name, got)
			}
		}
		spoiled := spoil(learnt)
		if got := cookieIn(told(t, s, withCookie("www.example.test.", dns.TypeA, spoiled))); got == spoiled || !strings.HasPrefix(got, client+"01") {
			t.Errorf("%s: a spoiled cookie came back as %q", way, got)
		}
		for size := range 45 {
			r := told(t, s, withCookie("www.example.test.", dns.TypeA, strings.Repeat("ab", size)))
			want := dns.RcodeFormatError
			if size == 8 || size >= 16 && size <= 40 {
				want = dns.RcodeSuccess
			}
			if r.Rcode != want {
				t.Errorf("%s: a cookie of %d bytes: %s", way, size, dns.RcodeToString[r.Rcode])
			}
		}
		// NSID and CHAOS are what they were.
		m := withCookie("id.server.", dns.TypeTXT, learnt)
		m.Question[0].Qclass = dns.ClassCHAOS
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		if r := told(t, s, m); len(r.Answer) != 1 || cookieIn(r) != learnt || !strings.Contains(fmt.Sprint(options(r)), "NSID=68657265") {
			t.Errorf("%s: id.server:\n%v", way, r)
		}
		m = withCookie("www.example.test.", dns.TypeA, learnt)
		m.IsEdns0().SetVersion(1)
		if r := told(t, s, m); r.Rcode != dns.RcodeBadVers || cookieIn(r) != "" {
			t.Errorf("%s: an option of another version was read:\n%v", way, r)
		}
	}
}

// TestCookiesOff: without cookies the option is ignored, whatever its length.
func TestCookiesOff(t *testing.T) {
	off := false
	for _, way := range ways {
		c := exampleConfig()
		c.Fast, c.Cookies.Enabled = way, &off
		s := startServer(t, c, Options{})
		for _, size := range []int{0, 3, 8, 9, 24, 44} {
			if r := told(t, s, withCookie("www.example.test.", dns.TypeA, strings.Repeat("ab", size))); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 2 || cookieIn(r) != "" {
				t.Errorf("%s: %d bytes:\n%v", way, size, r)
			}
		}
		if r := told(t, s, cookieQuery("0123456789abcdef")); r.Rcode != dns.RcodeFormatError {
			t.Errorf("%s: a query without a question:\n%v", way, r)
		}
	}
}

// cookieQuery asks for a cookie alone.
func cookieQuery(cookie string) *dns.Msg {
	m := withCookie("x.", dns.TypeA, cookie)
	m.Question = nil
	return m
}

// TestCookieQuery: a query without a question asks for a cookie, or whether one
// is valid (RFC 7873, section 5.4).
func TestCookieQuery(t *testing.T) {
	const client = "0123456789abcdef"
	for _, way := range ways {
		for _, require := range []bool{false, true} {
			c := exampleConfig()
			c.Fast, c.Cookies.Require = way, require
			s := startServer(t, c, Options{})
			r := told(t, s, cookieQuery(client))
			learnt := cookieIn(r)
			if r.Rcode != dns.RcodeSuccess || len(r.Question)+len(r.Answer)+len(r.Ns) > 0 || len(learnt) != 2*ourCookie {
				t.Fatalf("%s: asked for a cookie:\n%v", way, r)
			}
			if r := told(t, s, cookieQuery(learnt)); r.Rcode != dns.RcodeSuccess || cookieIn(r) != learnt {
				t.Errorf("%s: asked whether the cookie is valid:\n%v", way, r)
			}
			if r := told(t, s, cookieQuery(spoil(learnt))); r.Rcode != dns.RcodeBadCookie || !strings.HasPrefix(cookieIn(r), client+"01") {
				t.Errorf("%s: asked whether a bad cookie is valid:\n%v", way, r)
			}
			bare, none := new(dns.Msg), cookieQuery(client)
			bare.Id = 1
			none.IsEdns0().Option = nil
			for _, m := range []*dns.Msg{bare, none, cookieQuery("0123"), cookieQuery(client + "00")} {
				if r := told(t, s, m); r.Rcode != dns.RcodeFormatError {
					t.Errorf("%s: to\n%v\n%v", way, m, r)
				}
			}
		}
	}
}

// TestCookiesRequired: over UDP only who shows a server cookie is answered.
func TestCookiesRequired(t *testing.T) {
	for _, way := range ways {
		c := exampleConfig()
		c.Fast, c.Cookies.Require = way, true
		s := startServer(t, c, Options{})
		ask := func(m *dns.Msg, network int) *dns.Msg {
			client := dns.Client{Net: s.Addrs()[network].Network()}
			r, _, err := client.Exchange(m.Copy(), s.Addrs()[network].String())
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		for _, name := range []string{"www.example.test.", "alias.example.test.", "nowhere.example.test."} {
			plain := new(dns.Msg)
			plain.SetQuestion(name, dns.TypeA)
			edns := plain.Copy()
			edns.SetEdns0(1232, false)
			for _, m := range []*dns.Msg{plain, edns} {
				if r := ask(m, 0); !r.Truncated || r.Rcode != dns.RcodeSuccess || len(r.Answer)+len(r.Ns) > 0 || (r.IsEdns0() != nil) != (m.IsEdns0() != nil) {
					t.Errorf("%s: without a cookie:\n%v", way, r)
				}
				if r := ask(m, 1); r.Truncated || len(r.Answer)+len(r.Ns) == 0 {
					t.Errorf("%s: over TCP:\n%v", way, r)
				}
			}
			m := withCookie(name, dns.TypeA, "0123456789abcdef")
			if r := ask(m, 1); r.Rcode == dns.RcodeBadCookie || len(r.Answer)+len(r.Ns) == 0 {
				t.Errorf("%s: over TCP, with a client cookie:\n%v", way, r)
			}
			r := ask(m, 0)
			if r.Rcode != dns.RcodeBadCookie || r.Truncated || len(r.Answer)+len(r.Ns) > 0 || len(cookieIn(r)) != 2*ourCookie {
				t.Errorf("%s: with a client cookie:\n%v", way, r)
			}
			if r := ask(withCookie(name, dns.TypeA, cookieIn(r)), 0); r.Rcode == dns.RcodeBadCookie || len(r.Answer)+len(r.Ns) == 0 {
				t.Errorf("%s: with a server cookie:\n%v", way, r)
			}
		}
	}
}

// TestCookieEscapesTheRateLimit: who shows a server cookie is not limited, nor
// does it use up what others get.
func TestCookieEscapesTheRateLimit(t *testing.T) {
	for _, way := range ways {
		synctest.Test(t, func(t *testing.T) {
			second := 2
			s := limitedServer(t, way, RateLimit{ResponsesPerSecond: 2, Slip: &second})
			a := s.answerer()
			a.from.addr = netip.MustParseAddr("192.0.2.1")
			ask := func(cookie string) *dns.Msg {
				return a.exchange(t, withCookie("www.example.test.", dns.TypeA, cookie))
			}
			learnt := cookieIn(ask("0123456789abcdef"))
			for range 50 {
				if r := ask(learnt); r == nil || len(r.Answer) != 2 {
					t.Fatalf("%s: limited with a server cookie:\n%v", way, r)
				}
			}
			got := []bool{ask("0123456789abcdef") != nil, ask("0123456789abcdef") != nil, ask(spoil(learnt)) != nil}
			if fmt.Sprint(got) != "[true false true]" { // one in the limit, one dropped, one slips
				t.Errorf("%s: without a good cookie: %v", way, got)
			}
		})
	}
}

// TestCookiesAllocateNothing: on the fast path.
func TestCookiesAllocateNothing(t *testing.T) {
	var p atomic.Pointer[Table]
	p.Store(exampleTable(t))
	f := &quick{table: &p, udpSize: defaultUDPSize, cookies: testCookies(false), from: &peer{addr: testClient(1 << 40)}}
	buf := make([]byte, dns.MaxMsgSize)
	for _, require := range []bool{false, true} {
		f.cookies.require = require
		packet, err := withCookie("www.example.test.", dns.TypeA, "0123456789abcdef").Pack()
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			f.begin()
			if f.respond(buf, copy(buf, packet), true) == 0 {
				t.Fatal("not on the fast path")
			}
		}); n > 0 {
			t.Errorf("require %v: %v allocations an answer, want none", require, n)
		}
	}
}
