package main

import (
	"fmt"
	"regexp"
	"time"
)

// described is what `git describe --tags --always --dirty` prints: a tag, a tag
// with the commits since, or a commit alone.
var described = regexp.MustCompile(`^(?:v([0-9]+\.[0-9]+\.[0-9]+)(?:-([0-9A-Za-z.]+))??(?:-([0-9]+)-g([0-9a-f]+))?|([0-9a-f]+))(-dirty)?$`)

// packageVersion is a version that dpkg and rpm sort as it is meant: a release
// candidate before its release, commits after a tag behind it, and all that is
// before the first tag by its time.
func packageVersion(version string, date time.Time) (string, error) {
	m := described.FindStringSubmatch(version)
	if m == nil {
		return "", fmt.Errorf("the version %q is not what git describe prints: expected a tag such as v1.2.3 or v1.2.3-rc.1, commits since, as in v1.2.3-4-g0123abc, or a commit", version)
	}
	tag, candidate, since, commit, alone, dirty := m[1], m[2], m[3], m[4], m[5], m[6]
	v := tag
	switch {
	case alone != "":
		v = "0~" + date.UTC().Format("20060102150405") + "." + alone
	case candidate != "":
		v += "~" + candidate
	}
	if since != "" {
		v += "+" + since + "." + commit
	}
	if dirty != "" {
		v += "+dirty"
	}
	return v, nil
}
