//go:build !linux

package authority

import (
	"errors"
	"syscall"
)

// canFreebind says whether an address can be bound that no interface has.
const canFreebind = false

func freebind(string, string, syscall.RawConn) error {
	return errors.New("this system binds no address that no interface has") // never called: canFreebind is false
}
