// Package skew gives a process a wall clock that is wrong, for tests: as many
// nanoseconds off as a file says, from one moment to the next where the file
// changes. It is the wall clock of the whole process, also of TLS, of the
// libraries and of the log. The monotonic clock is as it was, and so are those
// of all other processes.
//
// It holds only with the build tag netns, on Linux on amd64: it puts itself
// before what the kernel offers for reading the clock without a system call
// (vDSO), and the program must be linked with -ldflags=-checklinkname=0 for it.
package skew
