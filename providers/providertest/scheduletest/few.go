//go:build !accept

package scheduletest

const schedules = 300
