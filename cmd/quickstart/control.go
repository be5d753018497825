package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// socket is a name below the quickstart's folder. Both sides make that folder
// their working directory, so that its length does not matter.
const socket = "control.sock"

// request is one act that another terminal asks for.
type request struct {
	act, region string
	reply       chan string // takes one sentence; buffered
}

// acts says what each word means.
func acts() []string { return []string{"down", "hang", "up"} }

// ask sends one act to the quickstart that runs.
func ask(ctx context.Context, o options, words []string, out io.Writer) error {
	if len(words) != 2 || !slices.Contains(acts(), words[0]) || !slices.ContainsFunc(places(), func(p place) bool { return p.Name == words[1] }) {
		return fmt.Errorf("found %q; expected down, hang or up, and then eu-west, us-east or ap-south", strings.Join(words, " "))
	}
	if err := os.Chdir(o.dir); err != nil {
		return fmt.Errorf("no quickstart has run here yet; start it with `make run`: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return errors.New("the quickstart does not run; start it with `make run`")
	}
	defer conn.Close()
	if at, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(at); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(conn, "%s %s\n", words[0], words[1]); err != nil {
		return fmt.Errorf("ask the quickstart: %w", err)
	}
	reply, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the quickstart's reply: %w", err)
	}
	if why, refused := strings.CutPrefix(reply, "error "); refused {
		return errors.New(strings.TrimSpace(why))
	}
	_, err = io.WriteString(out, reply)
	return err
}

// control takes requests on the socket in the working directory until ctx
// ends. The caller holds the folder's lock, so an old socket is nobody's.
func control(ctx context.Context, requests chan<- request) (wait func(), err error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		l.Close()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(ctx, conn, requests) })
		}
	})
	return wg.Wait, nil
}

func serve(ctx context.Context, conn net.Conn, requests chan<- request) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // a client that says nothing is let go
	line, err := bufio.NewReaderSize(io.LimitReader(conn, 100), 100).ReadString('\n')
	if err != nil {
		return
	}
	act, region, _ := strings.Cut(strings.TrimSpace(line), " ")
	r := request{act, region, make(chan string, 1)}
	select {
	case requests <- r:
	case <-ctx.Done():
		return
	}
	select {
	case s := <-r.reply:
		_, _ = fmt.Fprintln(conn, s) // nobody is there to be told that this failed
	case <-ctx.Done():
	}
}

// lock makes this process the only quickstart in the working directory. The
// lock ends with the process.
func lock() (*os.File, error) {
	f, err := os.OpenFile("lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.New("a quickstart runs in this folder already; stop it with Ctrl-C in its terminal")
	}
	return f, nil
}
