//go:build netns

package skew

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vdso is where Go's runtime has the address of clock_gettime; all that reads
// a clock calls it there.
//
//go:linkname vdso runtime.vdsoClockgettimeSym
var vdso uintptr

// kernel is where gettime, in assembly, passes the call on to.
var kernel uintptr

// offset is by how many nanoseconds the wall clock is off.
//
//lint:ignore U1000 gettime reads it.
var offset *int64

// gettimeAddress is the address of gettime, by the kernel's calling
// convention: it is never called from Go.
func gettimeAddress() uintptr

// Follow makes the wall clock of this process as wrong as the file says, from
// now on and whenever that changes. Call it once, first of all.
func Follow(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("skew: %w", err)
	}
	page, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("skew: map %s: %w", path, err)
	}
	if vdso == 0 || kernel != 0 {
		return fmt.Errorf("skew: expected a kernel with a vDSO, once: found it at %#x, before at %#x", vdso, kernel)
	}
	offset, kernel = (*int64)(unsafe.Pointer(&page[0])), vdso
	vdso = gettimeAddress()
	return nil
}

// size is that of the file.
const size = 8

// Set makes the wall clocks that follow the file this much wrong. It makes the
// file where there is none.
func Set(path string, by time.Duration) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("skew: %w", err)
	}
	var b [size]byte
	binary.NativeEndian.PutUint64(b[:], uint64(by)) // #nosec G115 -- the bits of it
	_, err = f.WriteAt(b[:], 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("skew: %w", err)
	}
	return nil
}
