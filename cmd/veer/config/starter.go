package config

import _ "embed"

//go:embed starter.yaml
var starterText string

//go:embed starter.zone
var starterZone string

// The files of a starter, side by side.
const (
	StarterFile     = "veer.yaml"
	StarterZoneFile = "example.test.zone"
)

// Starter is a commented first veer.yaml. It validates as it is, beside the
// zone file of StarterZone.
func Starter() string { return starterText }

// StarterZone is the zone file that Starter names.
func StarterZone() string { return starterZone }
