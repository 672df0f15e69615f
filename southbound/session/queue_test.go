package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// lasting is a session that does not end.
type lasting struct{}

func (lasting) Done() <-chan struct{} { return nil }
func (lasting) Err() error            { return nil }

func whole(p *openflow.PacketIn) []byte { return openflow.AppendMessage(nil, 0, p) }

func TestQueueGivesAllThatWaitsInOrder(t *testing.T) {
	t.Parallel()
	q := newQueue(lasting{}, 100)
	frame := make([]byte, 0, 256)
	var want []openflow.PacketIn2
	for i := range 10 {
		p := packetIn(uint32(i), []byte(fmt.Sprint("packet ", i)))
		want = append(want, openflow.PacketIn2{
			BufferID: p.BufferID, FullLen: uint32(p.TotalLen), Cookie: p.Cookie, Match: p.Match, Data: p.Data,
		})
		frame = append(frame[:0], whole(p)...)
		if ok, err := q.put(frame); !ok || err != nil {
			t.Fatal(ok, err)
		}
		clear(frame) // the queue has bytes of its own
	}
	q.wake()
	got, err := q.Take(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
}

func TestQueueReusesWhatIsHandedBackAndNothingElse(t *testing.T) {
	t.Parallel()
	q := newQueue(lasting{}, 100)
	fill := func(s string) {
		for i := range 8 {
			if ok, err := q.put(whole(packetIn(uint32(i), []byte(fmt.Sprint(s, i))))); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		q.wake()
	}
	take := func(buf []openflow.PacketIn2) []openflow.PacketIn2 {
		batch, err := q.Take(t.Context(), buf)
		if err != nil {
			t.Fatal(err)
		}
		return batch
	}
	fill("a")
	a := take(nil)
	fill("b")
	b := take(nil) // a is kept
	fill("c")
	c := take(a)
	fill("d")
	d := take(nil) // written where a was
	for i := range 8 {
		for _, got := range []struct {
			batch []openflow.PacketIn2
			name  string
		}{{b, "b"}, {c, "c"}, {d, "d"}} {
			if want := fmt.Sprint(got.name, i); string(got.batch[i].Data) != want {
				t.Errorf("packet %q, want %q", got.batch[i].Data, want)
			}
		}
	}
	if &a[0] != &d[0] {
		t.Error("a batch that was handed back is not used again")
	}
}

// Not parallel: allocations are counted for the whole process.
func TestQueueAllocatesNothingInTheLongRun(t *testing.T) {
	q := newQueue(lasting{}, 100)
	frame := whole(packetIn(1, make([]byte, 100)))
	var batch []openflow.PacketIn2
	round := func() {
		for range 8 {
			if ok, err := q.put(frame); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		q.wake()
		var err error
		if batch, err = q.Take(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations per batch, want 0", n)
	}
}

func TestQueueIsBoundedInPacketsAndBytes(t *testing.T) {
	t.Parallel()
	q := newQueue(lasting{}, 4)
	small, large := whole(packetIn(1, nil)), whole(packetIn(1, make([]byte, 60_000)))
	for range 10 {
		_, _ = q.put(small)
	}
	if len(q.fill) != 4 || q.Dropped() != 6 {
		t.Errorf("%d wait, %d dropped; want 4 and 6", len(q.fill), q.Dropped())
	}
	q = newQueue(lasting{}, 4)
	for range 3 {
		_, _ = q.put(large)
	}
	if len(q.fill) != 1 || q.Dropped() != 2 {
		t.Errorf("%d large ones wait, %d dropped; want 1 and 2", len(q.fill), q.Dropped())
	}
	many := packetIn(1, nil)
	for range 4000 {
		many.Match = many.Match.Append(oxm(openflow.IPECN, 1))
	}
	q = newQueue(lasting{}, 4)
	for range 3 {
		_, _ = q.put(whole(many))
	}
	if len(q.fill) != 1 {
		t.Errorf("%d packet-ins with a huge match wait, want 1", len(q.fill))
	}
	batch, _ := q.Take(t.Context(), nil)
	_, _ = q.put(small)
	_, _ = q.Take(t.Context(), batch)
	if c := cap(q.fill[:1][0].Match); c > keptMatch {
		t.Errorf("memory of a huge match is kept: %d bytes", c)
	}
}

func TestQueueShrinksAfterABurst(t *testing.T) {
	t.Parallel()
	q := newQueue(lasting{}, 1000)
	for range 1000 {
		_, _ = q.put(whole(packetIn(1, nil)))
	}
	burst, err := q.Take(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = q.put(whole(packetIn(1, nil)))
	if _, err := q.Take(t.Context(), burst); err != nil {
		t.Fatal(err)
	}
	if c := cap(q.fill); c > smallBatch {
		t.Errorf("room for %d packet-ins is kept", c)
	}
}

func TestTakeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	q := newQueue(lasting{}, 4)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := q.Take(ctx, nil)
	wantErr(t, err, context.Canceled)
}

func TestFullQueueDropsAndNeverBlocksTheReader(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{PacketIns: []Kind{{Queue: 10}}}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	for range 100 {
		sw.Send(t, packetIn(1, []byte("flood")))
	}
	if err := c.Barrier(t.Context()); err != nil { // behind the flood
		t.Fatal(err)
	}
	if got := c.PacketIns(0).Dropped(); got != 90 {
		t.Errorf("%d dropped, want 90", got)
	}
	if st := &k.stats.PacketIns[0]; st.Queued.Load() != 10 || st.Dropped.Load() != 90 {
		t.Errorf("counted %d queued, %d dropped; want 10 and 90", st.Queued.Load(), st.Dropped.Load())
	}
	batch, err := c.PacketIns(0).Take(t.Context(), nil)
	if err != nil || len(batch) != 10 {
		t.Errorf("%d packet-ins wait, error %v; want 10", len(batch), err)
	}
}

func TestSlowSwitchNeverBlocksAnother(t *testing.T) {
	t.Parallel()
	// Long enough to fill the outbox on a machine that is busy with other tests.
	k := newController(t, Config{WriteTimeout: 4 * time.Second}, nil)
	slow := switchtest.Dial(t, k.addr, switchtest.Options{DPID: 1})
	c := k.next(t)
	switchtest.Dial(t, k.addr, switchtest.Options{DPID: 2})
	other := k.next(t)
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow.Pause()
	out := &openflow.PacketOut{BufferID: openflow.NoBuffer, Data: make([]byte, 60_000)}
	var sent int
	for ; ; sent++ {
		err := c.Send(out)
		if errors.Is(err, ErrOverfull) {
			break
		}
		if err != nil {
			t.Fatalf("after %d messages: %v", sent, err)
		}
		if sent > 1000 {
			t.Fatal("60 MB are accepted for a switch that does not read")
		}
	}
	if err := other.Barrier(t.Context()); err != nil {
		t.Errorf("another switch noticed: %v", err)
	}
	if err := other.Commit(t.Context(), addFlows(100)); err != nil {
		t.Errorf("another switch noticed: %v", err)
	}
	commit := make(chan error, 1)
	go func() { commit <- c.Commit(context.Background(), addFlows(100)) }()
	if err := awaitEnd(t, c); !strings.Contains(err.Error(), "has not read") {
		t.Errorf("ended because of %v", err)
	}
	if err := <-commit; err == nil {
		t.Error("a commit to it succeeded")
	}
}

func TestSlowButReadingSwitchGetsAll(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	sw.Pause()
	out := &openflow.PacketOut{BufferID: openflow.NoBuffer, Data: bytes.Repeat([]byte("x"), 50_000)}
	var sent int
	for c.Send(out) == nil {
		sent++
	}
	commits := make(chan error, 2)
	for range 2 { // both have to wait for room
		go func() { commits <- c.Commit(context.Background(), addFlows(5000)) }()
	}
	sw.Resume()
	for range 2 {
		if err := <-commits; err != nil {
			t.Error(err)
		}
	}
	if got := len(sw.PacketOuts()); got != sent {
		t.Errorf("%d messages arrived of %d", got, sent)
	}
	if got := len(sw.Flows()); got != 5000 {
		t.Errorf("%d flows, want 5000", got)
	}
}

func TestManySendersKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const senders, each = 8, 500
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				if err := c.Send(&openflow.PacketOut{InPort: uint32(s), BufferID: uint32(i)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	var next [senders]uint32
	for _, out := range sw.PacketOuts() {
		if out.BufferID != next[out.InPort] {
			t.Fatalf("sender %d: message %d came, want %d", out.InPort, out.BufferID, next[out.InPort])
		}
		next[out.InPort]++
	}
	for s, n := range next {
		if n != each {
			t.Errorf("sender %d: %d messages arrived of %d", s, n, each)
		}
	}
}

func TestNoticesComeInOrderAndTheirOverflowEndsTheSession(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{NoticeQueue: 8}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{Ports: switchtest.Ports(1)})
	c := k.next(t)
	sw.SetPort(t, openflow.Port{No: 9, Name: "new"})
	sw.RemovePort(t, 9)
	for i, want := range []openflow.PortReason{openflow.PortAdd, openflow.PortDelete} {
		n := <-c.Notices()
		if ps, ok := n.Message.(*openflow.PortStatus); !ok || ps.Reason != want || ps.Port.Name != "new" {
			t.Errorf("notice %d: %v", i, n.Message)
		}
	}
	if err := c.Commit(t.Context(), []openflow.Message{&openflow.FlowMod{
		Flags: openflow.FlagSendFlowRem, Cookie: 77, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
	}}); err != nil {
		t.Fatal(err)
	}
	if err := sw.Expire(openflow.RemovedIdleTimeout, func(openflow.FlowStats) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if fr, ok := (<-c.Notices()).Message.(*openflow.FlowRemoved); !ok || fr.Cookie != 77 {
		t.Errorf("flow removed %v", fr)
	}
	for range 9 {
		sw.SetPort(t, openflow.Port{No: 1})
	}
	wantErr(t, awaitEnd(t, c), ErrResync)
	n := 0
	for range c.Notices() {
		n++
	}
	if n != 8 {
		t.Errorf("%d notices could still be taken, want 8", n)
	}
}
