// Command quickstart shows Veer at work on one machine: three toy web servers
// on different loopback addresses, one `veer run`, and two `veer run --role
// prober` as further vantages. Only the web servers are toys. `make run` starts
// it. It writes below .veer/ beside the folder of its binary and nowhere else,
// but for one symbolic link in the temporary folder when that path is too long
// for unix sockets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// place is one region with its web server.
type place struct{ Name, Address string }

func places() []place {
	return []place{{"eu-west", "127.0.0.11"}, {"us-east", "127.0.0.12"}, {"ap-south", "127.0.0.13"}}
}

func main() {
	// The children die with this thread; see lab.Start.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// From the first signal on, a second one ends this process at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(os.Stderr, "quickstart: %v\n", err)
		os.Exit(1)
	}
}

// options is where things are.
type options struct {
	dir  string // absolute
	veer string // absolute
	self string // absolute
	dns  string // host:port
	port int    // of the web servers
	flag string // what a printed command needs to find dir, or ""
}

const usage = `quickstart shows Veer at work on this machine.

  quickstart               start it; Ctrl-C stops it
  quickstart down REGION   kill the web server of a region
  quickstart hang REGION   make it hang: it accepts connections and says nothing
  quickstart up REGION     start it again, or let it go on

REGION is eu-west, us-east or ap-south. Flags stand before these words:
`

func run(ctx context.Context, args []string, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	home := filepath.Join(filepath.Dir(filepath.Dir(self)), ".veer", "quickstart")
	o := options{self: self}
	f := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprint(f.Output(), usage)
		f.PrintDefaults()
	}
	port := ""
	f.StringVar(&o.dir, "dir", home, "where files are written")
	f.StringVar(&o.veer, "veer", filepath.Join(filepath.Dir(self), "veer"), "the veer binary")
	f.StringVar(&o.dns, "dns", environment("QUICKSTART_DNS", "127.0.0.1:5300"), "address of the DNS server; or set QUICKSTART_DNS")
	f.StringVar(&port, "port", environment("QUICKSTART_PORT", "18080"), "port of the web servers; or set QUICKSTART_PORT")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 3 && f.Arg(0) == "backend" {
		return lab.ServeBackend(ctx, f.Arg(2), f.Arg(1), out)
	}
	if err := o.check(port); err != nil {
		return err
	}
	if o.dir != home {
		o.flag = " --dir " + quote(o.dir)
	}
	if f.NArg() > 0 {
		return ask(ctx, o, f.Args(), out)
	}
	return start(ctx, o, out)
}

func environment(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func (o *options) check(port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("found port %q; expected a number from 1 to 65535", port)
	}
	o.port = int(n)
	if _, err := netip.ParseAddrPort(o.dns); err != nil {
		return fmt.Errorf("found DNS address %q; expected an address and a port, e.g. 127.0.0.1:5300", o.dns)
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	o.veer, err = filepath.Abs(o.veer)
	return err
}

// quote makes a word that every POSIX shell takes as it is.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
