//go:build realservers

package authority

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// cookieBIND requires cookies that are made with a secret.
const cookieBIND = `options {
	directory %[2]q;
	listen-on port %[1]d { 127.0.0.1; };
	listen-on-v6 port %[1]d { ::1; };
	pid-file none;
	session-keyfile none;
	recursion no;
	empty-zones-enable no;
	notify no;
	dnssec-validation no;
	cookie-algorithm siphash24;
	cookie-secret "SECRET";
	require-server-cookie yes;
};
controls { };
`

// TestCookiesOfBIND: BIND and ours with one secret take each other's cookies,
// as servers of one address have to (RFC 9018), with another secret neither
// does; and dig takes ours.
func TestCookiesOfBIND(t *testing.T) {
	const secret, other = "445536bcd2513298075a5d379663c962", "00112233445566778899aabbccddeeff"
	zones := map[string]string{"cookies.test.": "$TTL 60\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\n"}
	bind := startPeer(t, zones, debian{
		program: "named", args: []string{"-g", "-n", "1", "-c"}, config: strings.Replace(cookieBIND, "SECRET", secret, 1), zone: "zone %[1]q { type primary; file \"%[1]szone\"; };\n",
		ready: func(line string) bool { return strings.HasSuffix(line, " running") },
		fails: func(line string) bool { return strings.Contains(line, "not loaded") },
	})
	_, port, err := net.SplitHostPort(bind)
	if err != nil {
		t.Fatal(err)
	}
	ours := func(secrets string) *Server {
		t.Setenv("VEER_TEST_COOKIES", secrets)
		c := exampleConfig()
		c.Listen = []string{"127.0.0.1:0", "[::1]:0"}
		c.Cookies = Cookies{Require: true, SecretEnv: "VEER_TEST_COOKIES"}
		return startServer(t, c, Options{})
	}
	same, rolled, apart := ours(secret), ours(other+"\n"+secret), ours(other)
	ask := func(to, name, cookie string) (rcode, back string) {
		client := dns.Client{Timeout: 10 * time.Second}
		r, _, err := client.Exchange(withCookie(name, dns.TypeA, cookie), to)
		if err != nil {
			t.Fatal(err)
		}
		return dns.RcodeToString[r.Rcode], cookieIn(r)
	}
	for i, host := range []string{"127.0.0.1", "::1"} {
		const client = "0123456789abcdef"
		theirs := net.JoinHostPort(host, port)
		at := func(s *Server) string { return s.Addrs()[2*i].String() }
		refused, fromBIND := ask(theirs, "www.cookies.test.", client)
		alone, fromOurs := ask(at(same), "www.example.test.", client)
		if refused != "BADCOOKIE" || alone != "BADCOOKIE" || len(fromBIND) != 48 || len(fromOurs) != 48 {
			t.Fatalf("%s: without a server cookie BIND says %s %s, ours %s %s", host, refused, fromBIND, alone, fromOurs)
		}
		for _, c := range []struct {
			what, to, name, cookie, want string
		}{
			{"BIND's cookie, to ours", at(same), "www.example.test.", fromBIND, "NOERROR"},
			{"BIND's cookie, to ours with a newer secret", at(rolled), "www.example.test.", fromBIND, "NOERROR"},
			{"BIND's cookie, to ours with another secret", at(apart), "www.example.test.", fromBIND, "BADCOOKIE"},
			{"our cookie, to BIND", theirs, "www.cookies.test.", fromOurs, "NOERROR"},
			{"our cookie, spoiled, to BIND", theirs, "www.cookies.test.", spoil(fromOurs), "BADCOOKIE"},
		} {
			if got, _ := ask(c.to, c.name, c.cookie); got != c.want {
				t.Errorf("%s: %s: %s, want %s", host, c.what, got, c.want)
			}
		}
		_, odd := ask(at(apart), "www.example.test.", client)
		if got, _ := ask(theirs, "www.cookies.test.", odd); got != "BADCOOKIE" {
			t.Errorf("%s: BIND takes a cookie of another secret: %s", host, got)
		}
		oursHost, oursPort, err := net.SplitHostPort(at(same))
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"+cookie"}, {"+cookie=" + fromOurs, "+nobadcookie"}, {"+cookie=" + fromBIND, "+nobadcookie"}} {
			out, err := exec.CommandContext(t.Context(), "dig", append([]string{"@" + oursHost, "-p", oursPort, "www.example.test", "A", "+tries=1", "+timeout=10"}, args...)...).CombinedOutput() // #nosec G204 -- the test's own
			if text := string(out); err != nil || !strings.Contains(text, "status: NOERROR") || !strings.Contains(text, "(good)") || !strings.Contains(text, "ANSWER: 2") {
				t.Errorf("%s: dig %v: %v\n%s", host, args, err, text)
			}
		}
	}
}
