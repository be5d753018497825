package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// killed kills a quickstart as nobody should, and sees that nothing stays: the
// kernel ends the children with their parent.
func (s *stage) killed(t *testing.T) {
	t.Helper()
	r := s.start(t)
	r.until("What happens:")
	var conns []net.Conn
	for _, at := range []string{s.dns, net.JoinHostPort("127.0.0.11", s.port), net.JoinHostPort("127.0.0.13", s.port)} {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	children := strconv.Itoa(r.cmd.Process.Pid)
	b, err := os.ReadFile("/proc/" + children + "/task/" + children + "/children")
	if err == nil && len(strings.Fields(string(b))) > 6 {
		t.Errorf("found more children than three web servers and three vantages: %s", b)
	}
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a child of the killed quickstart still speaks")
		}
	}
	_ = r.ends()
	// A killed quickstart leaves its link; the next run would replace it.
	links := s.links(t)
	if len(links) != 1 {
		t.Errorf("found the links %q; want one", links)
	}
	for _, l := range links {
		if err := os.Remove(l); err != nil {
			t.Error(err)
		}
	}
}
