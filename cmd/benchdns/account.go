//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pinThread lets the calling thread, and what it starts, run on one CPU only.
func pinThread(cpu int) error { return pin(0, cpu) }

func pin(thread, cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(thread, &set); err != nil {
		return fmt.Errorf("pin a thread to CPU %d: %w", cpu, err)
	}
	return nil
}

// pinAll moves every thread of this process to one CPU.
func pinAll(cpu int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := pin(id, cpu); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// An account is of the processes of a server, which are one process group, and
// of the system's thread that takes over packets on the server's CPU when there
// are many: what it does is part of the price of an answer too.
type account struct {
	processes []string // their folders in /proc
	softirq   string   // "": not to be seen from here
}

func newAccount(group, cpu int) (*account, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	a := &account{}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		name, of, err := nameAndGroup(string(b))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		switch {
		case of == group:
			a.processes = append(a.processes, filepath.Dir(path))
		case name == fmt.Sprintf("ksoftirqd/%d", cpu):
			a.softirq = filepath.Dir(path)
		}
	}
	if len(a.processes) == 0 {
		return nil, fmt.Errorf("process group %d has no process", group)
	}
	return a, nil
}

// nameAndGroup reads proc_pid_stat(5).
func nameAndGroup(stat string) (name string, group int, err error) {
	from, to := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if from < 0 || to < from {
		return "", 0, fmt.Errorf("found %.40q; expected a name in brackets", stat)
	}
	fields := strings.Fields(stat[to+1:])
	if len(fields) < 3 {
		return "", 0, fmt.Errorf("found %d fields; expected a process group", len(fields))
	}
	group, err = strconv.Atoi(fields[2])
	return stat[from+1 : to], group, err
}

// cpu is the CPU time so far, to the nanosecond.
func (a *account) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, p := range a.processes {
		tasks, err := os.ReadDir(p + "/task")
		if err != nil {
			return 0, fmt.Errorf("a process of the server has ended: %w", err)
		}
		for _, t := range tasks {
			d, err := onCPU(p + "/task/" + t.Name() + "/schedstat")
			if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
				return 0, err
			}
			sum += d
		}
	}
	if a.softirq != "" {
		d, err := onCPU(a.softirq + "/schedstat")
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// first lets the server's threads run before the machine's other work
// (sched(7), SCHED_RR), which takes CAP_SYS_NICE. What they start inherits it. A
// kernel that does not preempt its own threads gives a CPU to one of them for
// milliseconds, a hundredth of the time, which a 99th percentile shows.
func (a *account) first() error {
	return a.schedule(unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1})
}

// usual takes that back.
func (a *account) usual() error {
	return a.schedule(unix.SchedAttr{Policy: unix.SCHED_NORMAL})
}

func (a *account) schedule(how unix.SchedAttr) error {
	for _, p := range a.processes {
		done := map[string]bool{}
		for more := true; more; { // one that was not done yet may have started another
			tasks, err := os.ReadDir(p + "/task")
			if err != nil {
				return fmt.Errorf("a process of the server has ended: %w", err)
			}
			more = false
			for _, t := range tasks {
				if !done[t.Name()] {
					if err := scheduleThread(t.Name(), how); err != nil {
						return fmt.Errorf("schedule a thread of the server: %w", err)
					}
					done[t.Name()], more = true, true
				}
			}
		}
	}
	return nil
}

// scheduleThread leaves the thread's nice value as it is.
func scheduleThread(name string, how unix.SchedAttr) error {
	id, err := strconv.Atoi(name)
	if err != nil {
		return err
	}
	from, err := unix.Getpriority(unix.PRIO_PROCESS, id)
	if err == nil {
		how.Size, how.Nice = unix.SizeofSchedAttr, 20-int32(from) // #nosec G115 -- 1 to 40, as the system call has it
		err = unix.SchedSetAttr(id, &how, 0)
	}
	if errors.Is(err, unix.ESRCH) { // it has ended
		return nil
	}
	return err
}

// onCPU reads how long a thread has run: the first number of its schedstat.
func onCPU(path string) (time.Duration, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	first, _, _ := bytes.Cut(b, []byte(" "))
	n, err := strconv.ParseInt(string(first), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return time.Duration(n), nil
}

// memory is what the processes have in memory, in bytes; what several share is
// counted once.
func (a *account) memory() (uint64, error) {
	sum := uint64(0)
	for _, p := range a.processes {
		b, err := os.ReadFile(p + "/smaps_rollup")
		if err != nil {
			return 0, fmt.Errorf("read a server's memory: %w", err)
		}
		kb, err := pss(string(b))
		if err != nil {
			return 0, fmt.Errorf("read %s/smaps_rollup: %w", p, err)
		}
		sum += kb << 10
	}
	return sum, nil
}

// pss finds the proportional set size, in kB.
func pss(rollup string) (uint64, error) {
	for line := range strings.Lines(rollup) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			return strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		}
	}
	return 0, errors.New("found no line Pss")
}
