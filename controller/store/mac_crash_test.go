package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/postgres"
	"github.com/macloom/macloom/controller/store"
)

// This binary is also a process that allocates until it is killed: with these
// variables set, on the database and out of the segment that they name.
const (
	envAllocator        = "MACLOOM_TEST_ALLOCATOR_URL"
	envAllocatorSegment = "MACLOOM_TEST_ALLOCATOR_SEGMENT"
	envAllocatorNetwork = "MACLOOM_TEST_ALLOCATOR_NETWORK"

	// envCrashSeconds makes the test go on for longer, as in
	// MACLOOM_TEST_CRASH_SECONDS=60 go test -v ./controller/store -run Killed
	envCrashSeconds = "MACLOOM_TEST_CRASH_SECONDS"
)

const (
	crashProcesses  = 4
	crashAllocators = 16
)

func TestMain(m *testing.M) {
	if url := os.Getenv(envAllocator); url != "" {
		fmt.Println("error:", allocateForEver(url))
		os.Exit(1)
	}
	if url := os.Getenv(envOnce); url != "" {
		fmt.Println("error:", requestForEver(url))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// allocateForEver says "+ address" when it has one, and "- address" before it
// gives one back. A line is one write: what is said is not lost with the process.
func allocateForEver(url string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, url, zap.NewNop())
	if err != nil {
		return err
	}
	segment, network := os.Getenv(envAllocatorSegment), os.Getenv(envAllocatorNetwork)
	say := func(sign string, a mac.Addr) { _, _ = os.Stdout.WriteString(sign + " " + a.String() + "\n") }
	var work errgroup.Group
	for range crashAllocators {
		work.Go(func() error {
			for {
				var give func() error
				var got []mac.Addr
				if rand.IntN(2) == 0 {
					list, err := s.AllocateMACs(ctx, red, store.MACRequest{SegmentID: segment, Count: 1 + rand.IntN(3)*rand.IntN(20)})
					if err != nil {
						return err
					}
					got = addrsOf(list)
					give = func() error { return s.ReleaseMACs(ctx, red, got) }
				} else {
					list, err := s.CreatePorts(ctx, red, []store.NewPort{{Port: intent.Port{NetworkID: network}}})
					if err != nil {
						return err
					}
					got = []mac.Addr{list[0].MAC}
					give = func() error { return s.DeletePort(ctx, red, list[0].ID) }
				}
				for _, a := range got {
					say("+", a)
				}
				if rand.IntN(3) > 0 {
					for _, a := range got {
						say("-", a)
					}
					if err := give(); err != nil {
						return err
					}
				}
			}
		})
	}
	return work.Wait()
}

// witness hears what processes say of addresses.
type witness struct {
	mu     sync.Mutex
	has    map[mac.Addr]bool // confirmed, and not to be released
	errors []string
	lines  int
}

func (w *witness) listen(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		sign, rest, _ := strings.Cut(lines.Text(), " ")
		a, err := mac.Parse(rest)
		w.mu.Lock()
		w.lines++
		switch {
		case err != nil && strings.HasPrefix(lines.Text(), "error:"):
			w.errors = append(w.errors, lines.Text())
		case err != nil: // cut off
		case sign == "+":
			w.has[a] = true
		case sign == "-":
			delete(w.has, a)
		}
		w.mu.Unlock()
	}
}

func TestProcessesKilledInMidWorkLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	seconds := 6
	if text := os.Getenv(envCrashSeconds); text != "" {
		seconds = must(strconv.Atoi(text))(t)
	}
	n := b.network(red, "n")
	g := b.segment(red, "02:00:05:00:00:00/32", func(g *intent.Segment) { g.QuarantineSeconds = 1 })
	w := &witness{has: map[mac.Addr]bool{}}
	var listeners sync.WaitGroup
	start := func() *exec.Cmd {
		t.Helper()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envAllocator+"="+b.url, envAllocatorSegment+"="+g.ID, envAllocatorNetwork+"="+n.ID)
		out := must(cmd.StdoutPipe())(t)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		listeners.Go(func() { w.listen(out); _ = cmd.Wait() })
		return cmd
	}
	processes := make([]*exec.Cmd, crashProcesses)
	for i := range processes {
		processes[i] = start()
	}
	defer func() {
		for _, p := range processes {
			_ = p.Process.Kill()
		}
		listeners.Wait()
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range seconds {
		<-tick.C
		_ = processes[i%crashProcesses].Process.Kill() // SIGKILL
		processes[i%crashProcesses] = start()
		if i%3 == 1 {
			must(b.SweepMACs(b.ctx))(t)
		}
	}
	for _, p := range processes {
		_ = p.Process.Kill()
	}
	listeners.Wait()
	for _, e := range w.errors {
		t.Error(e)
	}
	// What the killed had begun ends with their connections.
	for sql[int](b, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'macloom' AND state <> 'idle' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()`) > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	b.checkWhole()
	var has []int64
	for a := range w.has {
		has = append(has, int64(a))
	}
	if lost := sql[int](b, `SELECT count(*) FROM unnest($1::bigint[]) AS h (address) WHERE NOT EXISTS (
		SELECT FROM mac_addresses m WHERE m.address = h.address AND m.state = 'active')`, has); lost != 0 || len(has) == 0 {
		t.Errorf("%d of %d confirmed addresses are lost", lost, len(has))
	}
	// When the leases of the dead have run out, all the rest can be had.
	b.age(time.Hour)
	must(b.SweepMACs(b.ctx))(t)
	held := b.usage(g.ID)
	rest := int(g.Block.Size()) - int(held[0]+held[1])
	t.Logf("%d lines said, %d addresses confirmed, %d held, %d processes killed", w.lines, len(has), held[0], seconds)
	for rest > 0 {
		rest -= len(b.macs(red, store.MACRequest{SegmentID: g.ID, Count: min(rest, store.MaxMACs)}))
	}
	wantConflict(t, b.tryMACs(red, store.MACRequest{SegmentID: g.ID}), "MacAddressGenerationFailure")
	if twice := sql[int](b, `SELECT count(*) - count(DISTINCT address) FROM mac_addresses`); twice != 0 {
		t.Errorf("%d addresses twice", twice)
	}
	b.checkWhole()
}

func TestDatabaseStoppedAndStartedUnderLoad(t *testing.T) {
	t.Parallel()
	dir := must(os.MkdirTemp("", "macloom-pg-test-"))(t)
	defer os.RemoveAll(dir)
	ctx := t.Context()
	launch := func() *postgres.Server {
		t.Helper()
		return must(postgres.Start(ctx, postgres.Options{Dir: dir, Log: zap.NewNop()}))(t)
	}
	server := launch()
	defer func() { _ = server.Stop(context.WithoutCancel(ctx)) }()
	s := must(store.Open(ctx, server.URL(), zap.NewNop()))(t)
	defer s.Close()
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	b := &bundle{Store: s, t: t, ctx: ctx, url: server.URL()}
	g, n := b.segment(red, "02:00:05:00:00:00/24", nil), b.network(red, "n")

	var refused, served, stop atomic.Int64
	var mu sync.Mutex
	confirmed := []int64{}
	var work errgroup.Group
	for i := range 8 {
		work.Go(func() error {
			for stop.Load() == 0 {
				var got []mac.Addr
				var err error
				if i%2 == 0 {
					var list []intent.MACAddress
					list, err = s.AllocateMACs(ctx, red, store.MACRequest{SegmentID: g.ID, Count: 1 + i})
					got = addrsOf(list)
				} else {
					var list []intent.Port
					list, err = s.CreatePorts(ctx, red, []store.NewPort{newPort(n)})
					for _, p := range list {
						got = append(got, p.MAC)
					}
				}
				switch {
				case errors.Is(err, store.ErrUnavailable):
					refused.Add(1)
				case err != nil:
					return err
				default:
					served.Add(1)
				}
				mu.Lock()
				for _, a := range got {
					confirmed = append(confirmed, int64(a))
				}
				mu.Unlock()
			}
			return nil
		})
	}
	until := func(n *atomic.Int64, more int64) {
		for want := n.Load() + more; n.Load() < want && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
	}
	for range 2 {
		until(&served, 50)
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
		until(&refused, 20)
		server = launch()
	}
	until(&served, 100)
	stop.Add(1)
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	b.checkWhole()
	slices.Sort(confirmed)
	if n := len(slices.Compact(slices.Clone(confirmed))); n != len(confirmed) {
		t.Errorf("%d addresses were given twice", len(confirmed)-n)
	}
	if lost := sql[int](b, `SELECT count(*) FROM unnest($1::bigint[]) AS h (address) WHERE NOT EXISTS (
		SELECT FROM mac_addresses m WHERE m.address = h.address AND m.state = 'active')`, confirmed); lost != 0 {
		t.Errorf("%d confirmed addresses are lost", lost)
	}
}
