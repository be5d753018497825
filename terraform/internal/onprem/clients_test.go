//go:build realservers

package onprem

import (
	"net"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// fake is a name server that always answers the same.
func fake(t *testing.T, code dnsmessage.RCode, addresses ...string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			m.Response, m.RCode = true, code
			for _, a := range addresses {
				header := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 1}
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte(net.ParseIP(a).To4())}})
			}
			if reply, err := m.Pack(); err == nil {
				_, _ = c.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-done
	})
	return c.LocalAddr().String()
}

// What the clients count is what they saw: each fault is found, and a server that
// does not answer is none while another does.
func TestClientsCountFaults(t *testing.T) {
	right := fake(t, dnsmessage.RCodeSuccess, "192.0.2.1")
	closed := "127.0.0.1:1"
	for what, c := range map[string]struct {
		servers []string
		want    counts
	}{
		"right":         {[]string{right, closed, closed}, counts{Queries: 1}},
		"one is down":   {[]string{closed, right}, counts{Queries: 1, Retried: 1}},
		"one refuses":   {[]string{fake(t, dnsmessage.RCodeRefused), right}, counts{Queries: 1, Retried: 1}},
		"all are down":  {[]string{closed, closed}, counts{Queries: 1, Retried: 1, Lost: 1}},
		"all fail":      {[]string{fake(t, dnsmessage.RCodeServerFailure)}, counts{Queries: 1, Retried: 1, Lost: 1}},
		"empty":         {[]string{fake(t, dnsmessage.RCodeSuccess), right}, counts{Queries: 1, Empty: 1}},
		"no such name":  {[]string{fake(t, dnsmessage.RCodeNameError), right}, counts{Queries: 1, Empty: 1}},
		"wrong":         {[]string{fake(t, dnsmessage.RCodeSuccess, "192.0.2.3"), right}, counts{Queries: 1, Wrong: 1}},
		"one too many":  {[]string{fake(t, dnsmessage.RCodeSuccess, "192.0.2.1", "192.0.2.3"), right}, counts{Queries: 1, Wrong: 1}},
		"right as well": {[]string{fake(t, dnsmessage.RCodeSuccess, "192.0.2.2"), right}, counts{Queries: 1}},
	} {
		cs := &clients{name: name, right: []string{"192.0.2.1", "192.0.2.2"}}
		cs.query("udp", c.servers)
		got, _ := cs.take()
		if len(got.Faults) != got.bad() {
			t.Errorf("%s: %d faults are told of, %d were counted", what, len(got.Faults), got.bad())
		}
		got.Slowest, got.Faults = 0, nil
		if got.String() != c.want.String() {
			t.Errorf("%s: counted\n%s\nexpected\n%s", what, got, c.want)
		}
	}
}
