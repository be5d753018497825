package lab

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes the test binary its own child: with LAB_CHILD it is one.
func TestMain(m *testing.M) {
	switch os.Getenv("LAB_CHILD") {
	case "":
		os.Exit(m.Run())
	case "backend":
		if err := backendChild(); err != nil {
			println(err.Error())
			os.Exit(1)
		}
	case "broken":
		println("cannot open the flux")
		os.Exit(3)
	}
}

func child(t *testing.T, kind, listen string) Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Name: kind, Path: self, Env: []string{"LAB_CHILD=" + kind, "LAB_LISTEN=" + listen},
		Log: filepath.Join(t.TempDir(), "log"), Ready: true}
}

func backendChild() error {
	ctx, stop := notify()
	defer stop()
	if os.Getenv("VEER_REGION") != "" {
		return errors.New("VEER_REGION was inherited")
	}
	return ServeBackend(ctx, os.Getenv("LAB_LISTEN"), "one", os.Stdout)
}

func TestStartStopKill(t *testing.T) {
	t.Setenv("VEER_REGION", "left-over")
	port, err := FreePort(source(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	listen := at("127.0.0.1", port)
	for _, how := range []string{"stop", "stop a stopped one", "kill"} {
		p, err := Start(child(t, "backend", listen))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get("http://" + listen + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "ok: one\n" {
			t.Fatalf("got %q, %v", body, err)
		}
		if PortTaken(port, "127.0.0.1") == nil {
			t.Fatal("the port is not seen as taken")
		}
		switch how {
		case "stop a stopped one":
			if err := p.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			fallthrough
		case "stop":
			if p.Stop(time.Minute) || p.Err() != nil {
				t.Fatalf("%s: had to be killed, or ended with %v", how, p.Err())
			}
		case "kill":
			p.Kill()
		}
		if err := p.Signal(syscall.SIGCONT); !errors.Is(err, os.ErrProcessDone) {
			t.Fatalf("signal to an ended process: got %v", err)
		}
	}
}

func TestStartNotReady(t *testing.T) {
	_, err := Start(child(t, "broken", ""))
	if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "cannot open the flux") {
		t.Fatalf("got %v; want ErrNotReady with the last line", err)
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 9000)+"\na\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Tail(path, 2); got != "b\nc" {
		t.Fatalf("got %q", got)
	}
	if got := Tail(path+"none", 2); !strings.Contains(got, "no such file") {
		t.Fatalf("got %q", got)
	}
}
