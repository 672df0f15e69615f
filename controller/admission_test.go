package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/macloom/macloom/controller/intent"
)

func TestWhoMayConnectFollowsFromTheDecisions(t *testing.T) {
	t.Parallel()
	decisions := []intent.Admission{
		{DPID: 1, Admitted: true}, {DPID: 2, Admitted: false}, {DPID: 3, SystemID: "h3", Admitted: true}, {DPID: 4, SystemID: "h4", Admitted: false},
		{DPID: 5, SystemID: "h5", Admitted: false}, {DPID: 6, SystemID: "h5", Admitted: true},
	}
	for _, c := range []struct {
		who            intent.Candidate
		vouched        bool
		auto, listed   bool
		whatListedSays string
	}{
		{intent.Candidate{DPID: 1}, false, true, true, ""},
		{intent.Candidate{DPID: 2}, false, false, false, "operator has turned switch 0000000000000002 away"},
		{intent.Candidate{DPID: 2}, true, false, false, "operator"},
		{intent.Candidate{DPID: 9}, false, true, false, `PUT /v2.0/switches/0000000000000009 {"switch": {"admitted": true}}`},
		{intent.Candidate{DPID: 9}, true, true, true, ""},
		{intent.Candidate{DPID: 9, SystemID: "h3"}, false, true, true, ""},
		{intent.Candidate{DPID: 9, SystemID: "h4"}, false, false, false, "operator"},
		{intent.Candidate{DPID: 9, SystemID: "h5"}, false, true, true, ""},
		{intent.Candidate{DPID: 5, SystemID: "h5"}, false, false, false, "operator"},
		{intent.Candidate{DPID: 9, SystemID: "h9"}, false, true, false, "not listed"},
		{intent.Candidate{}, false, true, false, "system-id"},
	} {
		for mode, want := range map[string]bool{AdmitAuto: c.auto, AdmitListed: c.listed} {
			r := newRoster(mode)
			r.load(decisions)
			err := r.judge(c.who, c.vouched)
			if (err == nil) != want {
				t.Errorf("%s: %+v, vouched for: %v: got %v, want it in: %v", mode, c.who, c.vouched, err, want)
			}
			if err != nil && !strings.Contains(err.Error(), c.whatListedSays) {
				t.Errorf("%s: %+v: %q does not say %q", mode, c.who, err, c.whatListedSays)
			}
		}
	}
}

func TestAChangedDecisionReplacesTheOneOfBefore(t *testing.T) {
	t.Parallel()
	r := newRoster(AdmitListed)
	r.load([]intent.Admission{{DPID: 1, SystemID: "h1", Admitted: true}})
	host := intent.Candidate{DPID: 9, SystemID: "h1"}
	r.update([]string{"0000000000000001", "0000000000000002"}, []intent.Admission{{DPID: 1, SystemID: "h2", Admitted: true}, {DPID: 2, Admitted: true}})
	if err := r.judge(host, false); err == nil {
		t.Error("a host is in that has no switch any more")
	}
	r.update([]string{"0000000000000001", "0000000000000002"}, nil)
	if r.judge(intent.Candidate{DPID: 1}, false) == nil || len(r.bySystem) != 0 {
		t.Errorf("a forgotten switch is in, or its host is: %v", r.bySystem)
	}
}

// A flood of invented ids must load neither database nor log.
func TestAFloodOfStrangersIsWrittenDownSlowly(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	var mu sync.Mutex
	saved := 0
	save := func(context.Context, intent.Candidate, string) error {
		mu.Lock()
		defer mu.Unlock()
		saved++
		return errors.New("the database is away")
	}
	g := newGate(newRoster(AdmitListed), save, zap.New(core), prometheus.NewRegistry())
	g.now = func() time.Time { return time.Unix(0, 0) }
	for range 3 {
		for d := range intent.DPID(10_000) {
			if err := g.AdmitHost(intent.Candidate{DPID: d + 1, SystemID: fmt.Sprint(d)}); err == nil {
				t.Fatal("a stranger is in")
			}
		}
	}
	if n := len(g.queue); n != rejectionQueue || len(g.recent) > rejectionMemory || logs.Len() != rejectionQueue {
		t.Errorf("%d wait, %d are remembered, %d log lines", n, len(g.recent), logs.Len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { g.record(ctx); close(done) }()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		mu.Lock()
		n := saved
		mu.Unlock()
		if n > 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is written down")
		}
	}
	cancel()
	<-done
}

// Decisions come by the change feed and stay while the database is away.
func TestDecisionsAreLoadedAndFollowed(t *testing.T) {
	t.Parallel()
	c, db := rig(t)
	if _, err := db.CreateSwitches(t.Context(), []intent.Switch{{DPID: 1, Admitted: false}}); err != nil {
		t.Fatal(err)
	}
	if err := c.world.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := func(d intent.DPID) bool { return c.world.roster.judge(intent.Candidate{DPID: d}, false) == nil }
	if in(1) || !in(2) {
		t.Errorf("at first: switch 1 is in: %v, switch 2: %v", in(1), in(2))
	}
	follow(t, c)
	for _, admitted := range []bool{true, false} {
		if _, err := db.UpdateSwitch(t.Context(), 1, func(sw *intent.Switch) error { sw.Judge(admitted); return nil }); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(patience); in(1) != admitted; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("switch 1 is in: %v, want %v", in(1), admitted)
			}
		}
	}
	db.Close()
	if in(1) || !in(2) {
		t.Error("without a database the decisions are others")
	}
}
