package daemon_test

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
)

// SIGHUP takes over a zone file that was edited, and refuses a bad one; the
// services stay.
func TestReloadOfZones(t *testing.T) {
	l := newLab(t)
	l.reload = make(chan os.Signal)
	l.start("eu-west")
	l.reload = nil
	l.start("us-east", daemon.RoleProber)
	l.start("ap-south", daemon.RoleProber)
	l.watch()
	l.answers("127.0.0.11")
	reload := l.daemons["eu-west"].hangup
	l.write("example.test.zone", labZone+"new IN A 127.0.0.77\n")
	reload()
	if !l.gives("new.example.test.", "127.0.0.77") {
		t.Error("the new record is not served")
	}
	l.write("example.test.zone", labZone+"bad IN A\n")
	reload()
	if !l.gives("new.example.test.", "127.0.0.77") {
		t.Error("after a bad zone the former one is not served")
	}
	l.answers("127.0.0.11")
}

// A vantage that reloads before it reaches the cluster tells of the config that
// it runs, and not of the one that it began with.
func TestReloadBeforeTheClusterIsJoined(t *testing.T) {
	l := newLab(t)
	l.reload = make(chan os.Signal)
	early := l.launch("us-east", l.config("us-east", l.socket()), daemon.RoleProber)
	l.reload = nil
	l.edit("hold: 1s", "hold: 2s")
	early.hangup()
	l.start("eu-west")
	l.status("eu-west", func(st api.Status) bool {
		return slices.ContainsFunc(st.Voters, func(v api.Vantage) bool { return v.Name == "us-east" && v.Config == st.Config })
	})
}

// hangup has the daemon reload, and returns when it has.
func (r *running) hangup() {
	for range 2 { // the second is heard when the first is done
		r.reload <- syscall.SIGHUP
	}
}

// Hangups hears the signal itself.
func TestHangups(t *testing.T) {
	hangups, stop := daemon.Hangups()
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-hangups:
		if got != syscall.SIGHUP {
			t.Errorf("got %v", got)
		}
	case <-time.After(patience):
		t.Error("SIGHUP was not heard")
	}
}

// gives reports whether the server answers the name with the address.
func (l *lab) gives(name, address string) bool {
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	r, err := dns.Exchange(m, l.server)
	return err == nil && len(r.Answer) == 1 && strings.HasSuffix(r.Answer[0].String(), "\t"+address)
}
