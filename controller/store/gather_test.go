package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
)

// inserter stands for the database: each call waits until it is let through.
type inserter struct {
	calls chan call
	mu    sync.Mutex
	made  []string // names of the ports of each call, sorted
}

type call struct {
	ctx   context.Context
	names []string
	let   chan error
}

func (i *inserter) insert(ctx context.Context, _ Scope, list []NewPort) ([]intent.Port, error) {
	c := call{ctx: ctx, let: make(chan error)}
	ports := make([]intent.Port, len(list))
	for n := range list {
		ports[n] = list[n].Port
		c.names = append(c.names, ports[n].Name)
	}
	slices.Sort(c.names)
	i.calls <- c
	if err := <-c.let; err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made = append(i.made, strings.Join(c.names, " "))
	return ports, nil
}

// asked starts requests of a caller and returns what became of each.
func (i *inserter) asked(t *testing.T, g *gathering, ctx context.Context, who caller, names ...string) map[string]chan error {
	t.Helper()
	out := map[string]chan error{}
	for _, name := range names {
		ended := make(chan error, 1)
		out[name] = ended
		before := g.waits(who)
		go func() {
			made, err := g.create(ctx, who, NewPort{Port: intent.Port{Meta: intent.Meta{Name: name}}}, i.insert)
			if err == nil && made.Name != name {
				err = errors.New("was given the port " + made.Name)
			}
			ended <- err
		}()
		if before >= 0 { // those of the queue are in order
			for g.waits(who) == before {
				time.Sleep(time.Millisecond)
			}
		}
	}
	return out
}

// waits says how many requests wait; -1: none has to yet.
func (g *gathering) waits(who caller) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.queues[who]
	if q == nil || q.underWay < ownTransactions {
		return -1
	}
	return len(q.waiting)
}

func TestRequestsThatArriveWhileOthersAreServedAreOneTransaction(t *testing.T) {
	t.Parallel()
	var g gathering
	i := &inserter{calls: make(chan call)}
	alice, bob := caller{Scope{TenantID: "red"}, "alice"}, caller{Scope{TenantID: "red"}, "bob"}
	var first []call
	var ended []chan error
	await := func(m map[string]chan error) {
		for _, c := range m {
			ended = append(ended, c)
		}
	}
	for n := range ownTransactions {
		await(i.asked(t, &g, t.Context(), alice, "early"+strconv.Itoa(n)))
		first = append(first, <-i.calls)
	}
	await(i.asked(t, &g, t.Context(), alice, "a", "b", "c"))
	gone, cancel := context.WithCancel(t.Context())
	left := i.asked(t, &g, gone, alice, "gone")
	cancel()
	if err := <-left["gone"]; !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves while he waits gets %v", err)
	}
	await(i.asked(t, &g, t.Context(), bob, "other")) // does not wait for alice
	close((<-i.calls).let)
	close(first[0].let)
	c := <-i.calls
	if diff := cmp.Diff([]string{"a", "b", "c"}, c.names); diff != "" {
		t.Error(diff)
	}
	close(c.let)
	for _, c := range first[1:] {
		close(c.let)
	}
	for _, c := range ended {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	if len(g.queues) != 0 {
		t.Errorf("queues are left: %v", g.queues)
	}
}

func TestWhatCannotBeMadeTogetherIsMadeAlone(t *testing.T) {
	t.Parallel()
	var g gathering
	i := &inserter{calls: make(chan call)}
	alice := caller{Scope{TenantID: "red"}, "alice"}
	var early []call
	for n := range ownTransactions {
		i.asked(t, &g, t.Context(), alice, "early"+strconv.Itoa(n))
		early = append(early, <-i.calls)
	}
	ended := i.asked(t, &g, t.Context(), alice, "good", "bad", "fine")
	for _, c := range early {
		close(c.let)
	}
	refused := errors.New("refused")
	for range 4 { // all three, and each
		c := <-i.calls
		if slices.Contains(c.names, "bad") {
			c.let <- refused
		} else {
			close(c.let)
		}
	}
	for name, c := range ended {
		want := error(nil)
		if name == "bad" {
			want = refused
		}
		if err := <-c; !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func TestNobodysLeavingEndsTheTransactionOfOthers(t *testing.T) {
	t.Parallel()
	var g gathering
	i := &inserter{calls: make(chan call)}
	alice := caller{Scope{TenantID: "red"}, "alice"}
	var early []call
	for n := range ownTransactions {
		i.asked(t, &g, t.Context(), alice, "early"+strconv.Itoa(n))
		early = append(early, <-i.calls)
	}
	leads, cancel := context.WithCancel(t.Context())
	a := i.asked(t, &g, leads, alice, "a")
	b := i.asked(t, &g, t.Context(), alice, "b")
	for _, c := range early {
		close(c.let)
	}
	c := <-i.calls
	cancel()
	if err := c.ctx.Err(); err != nil {
		t.Errorf("the transaction of both ended with one of them: %v", err)
	}
	close(c.let)
	for _, ended := range []chan error{a["a"], b["b"]} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
