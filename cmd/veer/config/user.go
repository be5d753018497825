package config

import "regexp"

// userName is a name as useradd(8) takes it.
var userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)

// user checks the user that the daemon goes on as. Whether there is one of that
// name is the host's matter, not the config's.
func (l *loader) user() {
	name := l.c.Host.User
	switch {
	case name == "":
		return
	case !userName.MatchString(name):
		l.bad("host.user", "found "+quote(name), "the name of a user of this host, like veer", "")
	case name == "root":
		l.bad("host.user", "found root, which gives up nothing", "a user without privileges, like veer; or no user, to stay root", "")
	}
}
