package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePort finds a port that is free for UDP and TCP on all the addresses. It
// takes it from below the range that Linux gives to outgoing connections, so
// that it stays free until it is used.
func FreePort(r *rand.Rand, addresses ...string) (int, error) {
	for range 200 {
		port := 20000 + r.IntN(12000)
		if PortTaken(port, addresses...) == nil {
			return port, nil
		}
	}
	return 0, errors.New("no free port between 20000 and 32000 on loopback; something uses nearly all of them")
}

// PortTaken returns why the port cannot be listened on at one of the
// addresses, or nil.
func PortTaken(port int, addresses ...string) error {
	for _, a := range addresses {
		at := net.JoinHostPort(a, strconv.Itoa(port))
		l, err := net.Listen("tcp", at)
		if err != nil {
			return fmt.Errorf("TCP %s: %w", at, err)
		}
		l.Close()
		u, err := net.ListenPacket("udp", at)
		if err != nil {
			return fmt.Errorf("UDP %s: %w", at, err)
		}
		u.Close()
	}
	return nil
}
