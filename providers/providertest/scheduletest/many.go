//go:build accept

package scheduletest

const schedules = 10_000
