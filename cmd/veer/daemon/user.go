package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"

	"github.com/veerdns/veer/cmd/veer/config"
)

// This file has a daemon that is started as root go on as another user, once it
// has what only root can have: its ports. They stay open, and a reload needs no
// other. All that comes after, parsing what strangers send above all, is done
// without privileges.

// account is a user of this host.
type account struct {
	name     string
	uid, gid int
	groups   []int
}

// findAccount looks a user up, who must not be root.
func findAccount(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, fmt.Errorf("host.user: %w; create it (useradd --system %s), or name another one", err, name)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return account{}, fmt.Errorf("host.user: the groups of %s: %w", name, err)
	}
	out := account{name: name}
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.Atoi(id)
		if err != nil {
			return account{}, fmt.Errorf("host.user: %s has the id %q, which is no number", name, id)
		}
		out.groups = append(out.groups, n)
	}
	out.uid, out.gid, out.groups = out.groups[0], out.groups[1], out.groups[2:]
	if out.uid == 0 {
		return account{}, fmt.Errorf("host.user: %s is root by another name; expected a user without privileges", name)
	}
	return out, nil
}

// settle makes the servers, and gives up root's privileges where the config
// says so, before anything else is started.
func (d *daemon) settle() error {
	name := d.c.Host.User
	if name == "" {
		return d.makeAuthorities()
	}
	to, err := findAccount(name)
	if err != nil {
		return err
	}
	switch os.Geteuid() {
	case to.uid:
		return d.makeAuthorities()
	case 0:
	default:
		return fmt.Errorf("host.user is %s, and this process runs as uid %d, which cannot become another user: start it as root or as %s, or leave host.user out", name, os.Geteuid(), name)
	}
	if err := d.makeAuthorities(); err != nil {
		return err
	}
	for _, s := range d.made {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	if at := d.c.Host.HTTP.Listen; at != "" {
		if d.web, err = net.Listen("tcp", at); err != nil { // it is tried again
			d.o.Log.Error().Err(err).Msg("host.http.listen cannot be had before privileges are given up")
		}
	}
	if err := handOver(d.c.Host.DataDir, to); err != nil {
		return err
	}
	raw := d.pingsRaw(d.config(), to)
	if err := become(to, raw); err != nil {
		return fmt.Errorf("becoming the user %s: %w", name, err)
	}
	d.dropped = true
	log := d.o.Log.Info().Str("user", name).Int("uid", to.uid).Int("gid", to.gid)
	if raw {
		log = log.Str("kept", "CAP_NET_RAW, for monitors of kind icmp")
	}
	log.Msg("privileges were given up")
	d.warnUnreadable(name)
	return nil
}

// pingsRaw reports whether a monitor needs the capability CAP_NET_RAW: one of
// kind icmp that wants it, or can have no other socket.
func (d *daemon) pingsRaw(c *config.Config, to account) bool {
	if !d.roles[RoleProber] {
		return false
	}
	for _, m := range c.Monitors {
		if m.ICMP != nil && (m.ICMP.Privileged == "raw" || m.ICMP.Privileged != "udp" && !mayPing(to)) {
			return true
		}
	}
	return false
}

// warnUnreadable says which files a reload will not be able to read.
func (d *daemon) warnUnreadable(name string) {
	for _, p := range d.config().Providers {
		if p.Authority == nil || !d.roles[RoleAuthority] {
			continue
		}
		for _, z := range p.Authority.Zones {
			f, err := os.Open(z.File)
			if err != nil {
				d.o.Log.Warn().Err(err).Str("user", name).Msg("a zone file cannot be read any more: a reload of it will be refused")
				continue
			}
			_ = f.Close() // it was only tried
		}
	}
}

// asUser makes of an order to start anew an error, where the new process could
// not have the ports again: whoever started this one as root must.
func (d *daemon) asUser(err error) error {
	if !d.dropped || !errors.Is(err, ErrRestart) {
		return err
	}
	low := func(a net.Addr) bool {
		_, port, err := net.SplitHostPort(a.String())
		n, bad := strconv.Atoi(port)
		return err != nil || bad != nil || n < 1024
	}
	for _, s := range d.servers {
		if slices.ContainsFunc(s.Addrs(), low) {
			return fmt.Errorf("veer must be started anew as root, since the user %s cannot open its ports: %s", d.c.Host.User, err)
		}
	}
	return err
}
