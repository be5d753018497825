package lab

import (
	"context"
	"math/rand/v2"
	"net"
	"os/signal"
	"strconv"
	"syscall"
)

func notify() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM)
}

func source() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), 0)) }

func at(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
