//go:build realservers

package authority

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestDnstapIsReadByBind: BIND's dnstap-read, another decoder of frames and of
// protobuf, reads what was sent.
func TestDnstapIsReadByBind(t *testing.T) {
	dir := t.TempDir()
	r := newTapReader(t, filepath.Join(dir, "tap"))
	s := tapServer(t, filepath.Join(dir, "tap"), FastAuto)
	exchange(t, s.Addrs()[0], "www.example.test.", dns.TypeA)
	exchange(t, s.Addrs()[1], "nowhere.example.test.", dns.TypeMX)
	file := controlFrame(frameStart, dnstapContent)
	for _, frame := range r.took(4) {
		file = append(binary.BigEndian.AppendUint32(file, uint32(len(frame))), frame...)
	}
	file = append(file, controlFrame(frameStop, "")...)
	path := filepath.Join(dir, "tap.fstrm")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "dnstap-read", "-y", path).CombinedOutput()
	if err != nil {
		t.Fatalf("dnstap-read: %v\n%s", err, out)
	}
	for _, want := range []string{
		"identity: ns1", "version: v1", "type: AUTH_QUERY", "type: AUTH_RESPONSE", "socket_family: INET", "socket_protocol: UDP", "socket_protocol: TCP",
		"query_address: \"127.0.0.1\"", "query_zone: example.test", "www.example.test. IN A", "status: NXDOMAIN",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("dnstap-read does not say %q", want)
		}
	}
	if n := strings.Count(string(out), "type: MESSAGE"); n != 4 {
		t.Errorf("dnstap-read sees %d messages, want 4", n)
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
