//go:build netns && !accept

package clusterlab

import "time"

// The sizes of CI.
const (
	repeatsOf  = 3 // of failovers
	lossesOf   = 1 // of whole regions
	leadersOf  = 2 // of leaders, each way
	inFlightOf = 5
	pauseOf    = 8 * time.Second // longer than any lease
	faultsOf   = 2 * time.Minute
	slowOf     = 20 * time.Second
	idleOf     = 10 * time.Second
	// innocent: what planted faults show in is also done without the fault.
	innocent = false
	// faultSeed is what the checker's plan is drawn from.
	faultSeed = 1
)
