//go:build netns && accept

package clusterlab

import "time"

// The sizes of the acceptance test.
const (
	repeatsOf  = 20 // of failovers
	lossesOf   = 10 // of whole regions
	leadersOf  = 20 // of leaders, each way
	inFlightOf = 50
	pauseOf    = time.Minute
	faultsOf   = 10 * time.Minute
	slowOf     = 5 * time.Minute
	idleOf     = time.Minute
	// innocent: what planted faults show in is also done without the fault.
	innocent = true
	// faultSeed is what the checker's plan is drawn from.
	faultSeed = 2
)
