//go:build netns

package clusterlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/api"
)

// junkKeys are below no Veer's prefix: they make etcd's database grow.
const junkKeys = "/clusterlab/junk/"

// data is the region's data folder.
func (r *region) data() string { return filepath.Join(r.dir, "d") }

// moveData moves the data folder to a file system of its own until the
// scenario ends; the process starts anew on it, and after it.
func (r *region) moveData(mount ...string) {
	r.w.t.Helper()
	was := r.data() + ".was"
	r.run("mkdir", was) // an ended process leaves its sockets, which are not copied
	r.end()
	r.run("cp", "-a", r.data()+"/.", was)
	r.run("mount", append(mount, r.data())...)
	r.w.t.Cleanup(func() {
		r.kill()
		r.run("rm", "-rf", was)
		r.run("cp", "-a", r.data(), was)
		r.run("umount", "-l", r.data())
		r.run("rm", "-rf", r.data())
		r.run("mv", was, r.data())
	})
	r.run("cp", "-a", was+"/.", r.data())
	r.run("chmod", "700", r.data())
}

func (r *region) run(name string, args ...string) {
	r.w.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		r.w.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// fill leaves no room on the file system of the data folder.
func (r *region) fill() (filler string) {
	r.w.t.Helper()
	filler = filepath.Join(r.data(), "filler")
	f, err := os.Create(filler)
	if err != nil {
		r.w.t.Fatal(err)
	}
	for _, part := range []int{1 << 20, 4 << 10} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, part))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		r.w.t.Fatalf("filling the disk: %v", err)
	}
	if err := f.Close(); err != nil {
		r.w.t.Fatal(err)
	}
	return filler
}

// junk writes to etcd through a region until done, so that each member's
// database grows.
func (w *world) junk(through *region, done func() bool) {
	w.t.Helper()
	c := through.etcd()
	defer func() { _ = c.Close() }() // what was asked is answered
	megabyte := strings.Repeat("junk", 1<<18)
	late := time.Now().Add(patience)
	for i := 0; !done(); i++ {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := c.Put(ctx, junkKeys+strconv.Itoa(i%200), megabyte)
		cancel()
		if time.Now().After(late) {
			w.t.Fatalf("after %d MB the disk is not felt (%v)", i, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for { // until the members that are left have elected
		_, err := c.Delete(ctx, junkKeys, clientv3.WithPrefix())
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			w.t.Fatalf("removing the junk: %v", err)
		}
	}
}

// count is how often the region's process, as it runs now, logged a text.
func (r *region) count(text string) int {
	r.w.t.Helper()
	b, err := os.ReadFile(r.log())
	if err != nil {
		r.w.t.Fatal(err)
	}
	return bytes.Count(b, []byte(text))
}

// warned reports whether a status has a warning with all the texts in it.
func warned(st api.Status, texts ...string) bool {
	return slices.ContainsFunc(st.Warnings, func(w string) bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(w, text) })
	})
}

// told waits until a region's status is as it must be.
func (r *region) told(what string, ok func(api.Status) bool) {
	r.w.t.Helper()
	r.w.await("the status of "+r.name+" tells "+what, func() (bool, string) {
		st, err := r.status()
		return err == nil && ok(st), fmt.Sprintf("leader %+v, vantages %+v, warnings %q, error %v", st.Leader, st.Voters, st.Warnings, err)
	})
}

// diskFull: the disk of who leads, with etcd's leader beside it, takes no more
// writes. It is as if this member were lost: its votes are missing, another
// leads, and the answers move without it. Its own stay. Once there is room it
// starts itself anew.
func diskFull(w *world) {
	full := w.regions[2]
	full.moveData("-t", "tmpfs", "-o", "size=700m", "tmpfs")
	w.settle()
	w.lead(full, full)
	filler := full.fill()
	began := time.Now()
	others := w.others(full)
	w.junk(others[0], func() bool { return full.count("etcd gave up") > 0 })
	w.t.Logf("etcd gave up %s after the disk was full", time.Since(began).Round(time.Millisecond))
	for _, r := range others {
		r.told(full.name+" silent and another leader", func(st api.Status) bool {
			return st.Leader.Name != "" && st.Leader.Name != full.name && warned(st, "vantage "+full.name+" is silent")
		})
	}
	w.t.Logf("its votes are missing and another leads after %s", time.Since(began).Round(time.Millisecond))
	full.told("why", func(st api.Status) bool { return warned(st, "etcd gave up", "no space left on device") })
	ids := map[uint64]*region{}
	w.await("etcd is led by one of the others", func() (bool, string) {
		var leads uint64
		for _, r := range others {
			st, err := r.memberStatus()
			if err != nil {
				return false, err.Error()
			}
			ids[st.Header.MemberId], leads = r, st.Leader
		}
		return ids[leads] != nil, fmt.Sprintf("%x leads, not of %x", leads, slices.Collect(maps.Keys(ids)))
	})
	w.t.Logf("another member leads etcd after %s", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	w.regions[0].web.kill()
	took := w.answers(began, w.regions[1].web.address(), others...)
	w.t.Logf("the others' answer changed after %s, load %s", took, lab.Load())
	if most := w.budget(app, "ttl"); took > most {
		w.t.Errorf("it took %s, the budget without TTL is %s", took, most)
	}
	w.still(time.Now(), lookFor/2, full)
	effects, _ := w.aws.since(0)
	for _, e := range effects {
		if e.from == full.address() && e.at.After(began) {
			w.t.Errorf("%s wrote without its etcd: %s", full.name, e)
		}
	}
	if err := os.Remove(filler); err != nil {
		w.t.Fatal(err)
	}
	began = time.Now()
	w.answers(began, w.regions[1].web.address(), full)
	w.t.Logf("%s follows %s after there was room", full.name, time.Since(began).Round(time.Millisecond))
	others[0].told(full.name+" again", func(st api.Status) bool { return !warned(st, "vantage "+full.name+" is silent") })
}

// memberStatus asks the region's etcd member how it is.
func (r *region) memberStatus() (*clientv3.StatusResponse, error) {
	c := r.etcd()
	defer func() { _ = c.Close() }() // it only asked
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return c.Status(ctx, "unix:///member")
}

// slowDisk makes the disk of a region do so many writes a second, by the cgroup of
// its process. The function changes how many.
func (r *region) slowDisk(writes int) (change func(writes int)) {
	r.w.t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(r.data(), &st); err != nil {
		r.w.t.Fatal(err)
	}
	group := filepath.Join("/sys/fs/cgroup/blkio", fmt.Sprintf("clusterlab-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		r.w.t.Fatalf("a cgroup (v1) of blkio: %v", err)
	}
	r.w.t.Cleanup(func() {
		r.kill()
		r.w.await("the cgroup's end", func() (bool, string) {
			err := os.Remove(group)
			return err == nil, fmt.Sprint(err)
		})
	})
	set := func(file, text string) {
		if err := os.WriteFile(filepath.Join(group, file), []byte(text), 0o600); err != nil {
			r.w.t.Fatal(err)
		}
	}
	change = func(writes int) {
		set("blkio.throttle.write_iops_device", fmt.Sprintf("%d:%d %d", unix.Major(st.Dev), unix.Minor(st.Dev), writes))
	}
	change(writes)
	set("cgroup.procs", strconv.Itoa(r.proc.PID()))
	return change
}

// fsyncIsSlow: a flush takes hundreds of milliseconds on the host of who leads, with
// etcd's leader beside it. The others' answers move all the same within the
// rto, its own once its etcd has applied what was agreed; a provider is
// written after that was, and etcd logs that its disk is slow.
func fsyncIsSlow(w *world) {
	slow := w.regions[2]
	image := filepath.Join(w.dir, "disk")
	slow.run("truncate", "-s", "800M", image)
	slow.run("mkfs.ext4", "-q", image)
	slow.moveData("-o", "loop", image)
	w.settle()
	w.lead(slow, slow)
	was := slow.count("slow fdatasync")
	change := slow.slowDisk(8)
	wrote, _ := w.aws.since(0)
	began := time.Now()
	w.regions[0].web.kill()
	next := w.regions[1].web.address()
	took, all := w.answers(began, next, w.others(slow)...), w.answers(began, next, w.regions...)
	first := began.Add(patience)
	for _, r := range w.regions {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		when, err := r.poller.Wait(ctx, began, next)
		cancel()
		if err != nil {
			w.t.Fatal(err)
		}
		if when.Before(first) {
			first = when
		}
	}
	// The budget knows of no slow disk; the rto of 15 s has room for it.
	if most := 13 * time.Second; took > most {
		w.t.Errorf("it took %s, the rto without TTL is %s", took, most)
	}
	var done effect
	w.await("Route 53 has the answer", func() (bool, string) {
		effects, _ := w.aws.since(len(wrote))
		i := slices.IndexFunc(effects, func(e effect) bool { return slices.Equal(e.app, []string{next}) })
		if i >= 0 {
			done = effects[i]
		}
		return i >= 0, fmt.Sprint(effects)
	})
	// What the ledger has agreed on is served at once where it was committed,
	// and polled every pollEvery.
	if late := done.at.Sub(first); late < -2*pollEvery {
		w.t.Errorf("Route 53 was written %s before any authority heard of the commit", -late)
	}
	w.t.Logf("changed answer in the others' authorities after %s, in its own, too, after %s, at Route 53 after %s, load %s", took, all, done.at.Sub(began).Round(time.Millisecond), lab.Load())
	change(1) // etcd's log tells of a flush that takes above a second
	w.await("etcd's log says that its disk is slow", func() (bool, string) { return slow.count("slow fdatasync") > was, "" })
}
