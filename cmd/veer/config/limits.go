package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/regions"
)

// Percent is a share, written like 50%.
type Percent int

func (p *Percent) fromNode(d decoder, n *node, path string) {
	digits, ok := strings.CutSuffix(n.text, "%")
	v, err := strconv.Atoi(digits)
	if n.shape != scalar || !ok || err != nil || strconv.Itoa(v) != digits || v < 0 || v > 100 {
		d.mismatch(n, path, "a percentage like 50%", "")
		return
	}
	*p = Percent(v)
}

func (p Percent) toNode(encoder) *node { return textNode(strconv.Itoa(int(p)) + "%") }

// Panic says when so much falls at once that it is not believed: see
// regions.Panic.
type Panic struct {
	// Off is `panic: off`.
	Off   bool          `yaml:"-"`
	Share Percent       `yaml:"share"`
	Span  time.Duration `yaml:"span"`
	Hold  time.Duration `yaml:"hold"`
}

func (p *Panic) setDefaults() { p.Share, p.Span, p.Hold = 50, 30*time.Second, 5*time.Minute }

func (p *Panic) fromNode(dec decoder, n *node, path string) {
	if n.shape == scalar && n.text == "off" {
		*p = Panic{Off: true}
		return
	}
	type keys Panic // without this method
	k := keys(*p)
	if n.shape != mapping {
		dec.mismatch(n, path, "off, or the keys share, span and hold", "")
		return
	}
	dec.value(n, path, addressable(&k))
	*p = Panic(k)
}

func (p Panic) toNode(e encoder) *node {
	if p.Off {
		return textNode("off")
	}
	return e.structs(reflect.ValueOf(p))
}

// Rule is the panic in the form that the controller takes.
func (p Panic) Rule() regions.Panic {
	if p.Off {
		return regions.Panic{}
	}
	return regions.Panic{Percent: int(p.Share), Span: p.Span, Hold: p.Hold}
}

// Velocity bounds how fast traffic returns.
type Velocity struct {
	// Off is `velocity: off`.
	Off bool `yaml:"-"`
	// Shifts is how often a service's traffic may move in an hour before it
	// returns no more.
	Shifts int `yaml:"shifts"`
	// Share is how many of the services may return within a minute.
	Share Percent `yaml:"share"`
}

func (v *Velocity) setDefaults() { v.Shifts, v.Share = 120, 25 }

func (v *Velocity) fromNode(dec decoder, n *node, path string) {
	if n.shape == scalar && n.text == "off" {
		*v = Velocity{Off: true}
		return
	}
	type keys Velocity // without this method
	k := keys(*v)
	if n.shape != mapping {
		dec.mismatch(n, path, "off, or the keys shifts and share", "")
		return
	}
	dec.value(n, path, addressable(&k))
	*v = Velocity(k)
}

func (v Velocity) toNode(e encoder) *node {
	if v.Off {
		return textNode("off")
	}
	return e.structs(reflect.ValueOf(v))
}

// Bounds of both: a panic of less than half might be the loss of one large
// region; one of more than an hour, or a span of more than minutes, would hold
// what is really down.
const (
	leastPanicShare, mostPanicShare = 50, 95
	mostShifts                      = 240
)

func (l *loader) limits() {
	if p := l.c.Panic; !p.Off && l.clean("panic") {
		if p.Share < leastPanicShare || p.Share > mostPanicShare {
			l.bad("panic.share", fmt.Sprintf("found %d%%", p.Share), fmt.Sprintf("%d%% to %d%%; or panic: off", leastPanicShare, mostPanicShare), "")
		}
		l.between("panic.span", p.Span, time.Second, 5*time.Minute)
		l.between("panic.hold", p.Hold, 10*time.Second, time.Hour)
	}
	if v := l.c.Velocity; !v.Off && l.clean("velocity") {
		if v.Shifts < 2 || v.Shifts > mostShifts {
			l.bad("velocity.shifts", fmt.Sprintf("found %d", v.Shifts), fmt.Sprintf("2 to %d an hour; or velocity: off", mostShifts), "")
		}
		if v.Share < 1 {
			l.bad("velocity.share", "found 0%", "1% to 100% of the services a minute; or velocity: off", "")
		}
	}
}
