package daemon_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions/steering"
)

// victim is the child: a daemon that tells on its standard output where it is,
// and blocks at the named stage.
func victim(dir, stage string) int {
	env := map[string]string{"VEER_REGION": "here", "VEER_DATA_DIR": filepath.Join(dir, "data")}
	load := func() (*config.Config, error) {
		return config.Load(filepath.Join(dir, "veer.yaml"), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	}
	c, err := load()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	v := &teller{stage: stage, dir: dir, reload: make(chan os.Signal, 1)}
	ctx, stop := daemon.Signals(context.Background())
	defer stop()
	err = daemon.Run(ctx, daemon.Options{Config: c, ConfigPath: "veer.yaml", Version: "kill", Load: load, Reload: v.reload,
		Log: zerolog.New(os.Stderr).Level(zerolog.WarnLevel), Hooks: daemon.Hooks{
			Started:     v.started,
			Serving:     func(addresses []string) { v.say("SERVING", addresses[0]) },
			AfterCommit: func(s steering.Shard) { v.tell("COMMIT", s); v.edit() },
			BeforeSwap:  v.beforeSwap,
			Swapped:     func(shards []steering.Shard) { v.tell("SWAPPED", shards...) },
		}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// teller writes the child's lines.
type teller struct {
	stage  string
	dir    string
	reload chan os.Signal
	edits  int
	mu     sync.Mutex
	loaded bool
	known  string
}

func (v *teller) say(words ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintln(os.Stdout, words...)
}

// block says where the process is and stays there.
func (v *teller) block(where string) {
	v.say("AT", where)
	select {}
}

// edit changes the zone file and has it reloaded, so that many deaths come in the
// middle of a reload.
func (v *teller) edit() {
	v.mu.Lock()
	v.edits++
	n := v.edits
	v.mu.Unlock()
	next := filepath.Join(v.dir, fmt.Sprintf("zone.%d", n%2))
	if os.WriteFile(next, fmt.Appendf(nil, "%sedit IN TXT %d\n", labZone, n), 0o600) == nil {
		_ = os.Rename(next, filepath.Join(v.dir, "example.test.zone")) // else it stays as it is
	}
	select {
	case v.reload <- syscall.SIGHUP:
	default:
	}
}

func (v *teller) started(stage string) {
	v.say("STAGE", stage)
	if v.stage == "start:"+stage {
		v.block("start")
	}
}

// tell tells of the service's shard, if it is among those given.
func (v *teller) tell(word string, shards ...steering.Shard) {
	for _, s := range shards {
		for _, a := range s.Answers {
			if a.Name == appName {
				v.say(word, uint64(s.Term), s.Seq, strings.Join(a.Data, ","))
			}
		}
	}
}

// beforeSwap blocks, at the stage swap, between the commit of another answer
// and its swap.
func (v *teller) beforeSwap(shards []steering.Shard) {
	if !v.loaded {
		v.loaded = true
		v.tell("LOADED", shards...)
	}
	for _, s := range shards {
		for _, a := range s.Answers {
			if a.Name != appName {
				continue
			}
			is := strings.Join(a.Data, ",")
			if v.stage == "swap" && v.known != "" && v.known != is {
				v.block("swap")
			}
			v.known = is
		}
	}
}
