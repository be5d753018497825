package steering_test

import (
	"slices"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

func ignoresPanic(in steering.Input) steering.Decision {
	in.Panic.Held = nil
	return steering.Decide(in)
}

// panicHoldsAll takes every fall for one of the panic.
func panicHoldsAll(in steering.Input) steering.Decision {
	if len(in.Panic.Held) > 0 {
		in = eachVerdict(in, func(v *regions.Verdict) {
			if v.Health == checks.Down {
				v.Health = checks.Unknown
			}
		})
	}
	return steering.Decide(in)
}

// panicFreezes keeps the answers although the panic is over.
func panicFreezes(in steering.Input) steering.Decision {
	if len(in.Panic.Held) == 0 {
		in.Panic = in.Prev.Panic
	}
	return steering.Decide(in)
}

func ignoresShifts(in steering.Input) steering.Decision {
	in.Policy.Services = slices.Clone(in.Policy.Services)
	for i := range in.Policy.Services {
		in.Policy.Services[i].Shifts = 0
	}
	return steering.Decide(in)
}

// forgetsShifts decides as a leader that does not have the ledger's.
func forgetsShifts(in steering.Input) steering.Decision {
	in.Prev.Services = slices.Clone(in.Prev.Services)
	for i := range in.Prev.Services {
		in.Prev.Services[i].Shifts = nil
	}
	return steering.Decide(in)
}

// boundsDepartures keeps the answer of a service that has shifted too often,
// whatever is down.
func boundsDepartures(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	for i, s := range d.Next.Services {
		at := slices.IndexFunc(in.Policy.Services, func(p steering.Service) bool { return p.Name == s.Name })
		was := slices.IndexFunc(in.Prev.Services, func(p steering.ServiceState) bool { return p.Name == s.Name })
		if at < 0 || was < 0 {
			continue
		}
		if n := in.Policy.Services[at].Shifts; n > 0 && len(in.Prev.Services[was].Shifts) >= n {
			d.Next.Services[i].Answer, d.Next.Services[i].Serving = in.Prev.Services[was].Answer, in.Prev.Services[was].Serving
		}
	}
	return d
}

func ignoresScarcity(in steering.Input) steering.Decision {
	in.Velocity = steering.Velocity{}
	return steering.Decide(in)
}

// boundsWayOut leaves a service in all-down while nothing may return.
func boundsWayOut(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	if !in.Velocity.Scarce || in.Velocity.Returns > 0 {
		return d
	}
	for i, s := range d.Next.Services {
		was := slices.IndexFunc(in.Prev.Services, func(p steering.ServiceState) bool { return p.Name == s.Name })
		if was >= 0 && in.Prev.Services[was].AllDown {
			d.Next.Services[i].AllDown, d.Next.Services[i].Answer = true, in.Prev.Services[was].Answer
		}
	}
	return d
}

func ignoresUnconfirmed(in steering.Input) steering.Decision {
	in.Unconfirmed = steering.Unconfirmed{}
	return steering.Decide(in)
}

// holdsUnconfirmed holds until the confirmation, whatever is down.
func holdsUnconfirmed(in steering.Input) steering.Decision {
	for i, name := range in.Unconfirmed.Services {
		in.Overrides = append(slices.Clone(in.Overrides), steering.Override{
			ID: "z" + string(rune('a'+i)), Act: steering.Freeze, Target: steering.Target{Service: name}, By: "nobody", Left: time.Hour,
		})
	}
	return steering.Decide(in)
}
