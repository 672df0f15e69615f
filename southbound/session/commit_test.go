package session

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

var tableFull = openflow.Error{ErrType: openflow.ErrorFlowModFailed, Code: openflow.FlowModTableFull}

// refuseCookie refuses the flow-mod with the cookie n: on arrival in its bundle
// if early, else when it is applied.
func refuseCookie(n int, early bool) func(openflow.Message) *openflow.Error {
	return func(m openflow.Message) *openflow.Error {
		if add, ok := m.(*openflow.BundleAdd); ok && early {
			m = add.Message
		}
		if fm, ok := m.(*openflow.FlowMod); ok && fm.Cookie == uint64(n) {
			return &tableFull
		}
		return nil
	}
}

func TestCommitAppliesAllInOneBundle(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	for round := range 2 { // the second knows that bundles are taken
		if err := c.Commit(t.Context(), addFlows(3000)); err != nil {
			t.Fatal(err)
		}
		if got := len(sw.Flows()); got != 3000 {
			t.Errorf("round %d: %d flows, want 3000", round, got)
		}
		if want := 3000 * (round + 1); sw.FlowMods() != want || k.stats.FlowMods.Load() != uint64(want) {
			t.Errorf("round %d: %d flow-mods arrived, %d counted, want %d", round, sw.FlowMods(), k.stats.FlowMods.Load(), want)
		}
	}
	if got := sw.Received(openflow.TypeFlowMod); got != 0 {
		t.Errorf("%d flow-mods outside a bundle", got)
	}
	if err := c.Commit(t.Context(), nil); err != nil {
		t.Errorf("empty commit: %v", err)
	}
	if n := len(c.calls.calls) + len(c.calls.spans); n != 0 {
		t.Errorf("%d calls are remembered after their end", n)
	}
}

func TestCommitOfOneMessageNeedsNoBundle(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{Refuse: refuseCookie(9, true)})
	c := k.next(t)
	if err := c.Commit(t.Context(), addFlows(1)); err != nil {
		t.Fatal(err)
	}
	if got := sw.Received(openflow.TypeFlowMod); got != 1 || len(sw.Flows()) != 1 {
		t.Errorf("%d plain flow-mods and %d flows, want 1", got, len(sw.Flows()))
	}
	var ce *CommitError
	if err := c.Commit(t.Context(), []openflow.Message{addFlow(9)}); !errors.As(err, &ce) || ce.Index != 0 || ce.Partial {
		t.Errorf("error %v", err)
	}
}

func TestCommitNamesTheRefusedMessageAndAppliesNothing(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"when it arrives": true, "when it is committed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newController(t, Config{}, nil)
			sw := switchtest.Dial(t, k.addr, switchtest.Options{Refuse: refuseCookie(1234, early)})
			c := k.next(t)
			for range 2 {
				msgs := addFlows(3000)
				err := c.Commit(t.Context(), msgs)
				var ce *CommitError
				if !errors.As(err, &ce) {
					t.Fatalf("error %v, want a CommitError", err)
				}
				if ce.Index != 1234 || ce.Message != msgs[1234] || ce.Partial {
					t.Errorf("error names message %d, partial %v; want 1234, false", ce.Index, ce.Partial)
				}
				var se *SwitchError
				if !errors.As(err, &se) || se.Err.ErrType != tableFull.ErrType || se.Err.Code != tableFull.Code {
					t.Errorf("error %v, want table full", err)
				}
				if err := c.Barrier(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := len(sw.Flows()); got != 0 {
					t.Errorf("%d flows applied, want none", got)
				}
			}
			sw.SetRefuse(nil)
			if err := c.Commit(t.Context(), addFlows(10)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			select {
			case n := <-c.Notices():
				t.Errorf("stray notice %v", n.Message)
			default:
			}
		})
	}
}

func TestCommitWithoutBundlesIsOrderedAndNamesTheRefusedMessage(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{NoBundles: true})
	c := k.next(t)
	for range 2 {
		if err := c.Commit(t.Context(), addFlows(1000)); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(sw.Flows()); got != 1000 {
		t.Errorf("%d flows, want 1000", got)
	}
	if got := sw.Received(openflow.TypeExperimenter); got != 1 {
		t.Errorf("%d attempts at a bundle, want 1", got)
	}
	k.awaitLog(t, "switch refuses bundles, changes to it are not atomic", 1)
	if got, want := sw.FlowMods(), 2000; got != want || k.stats.FlowMods.Load() != uint64(want) {
		t.Errorf("%d flow-mods arrived, %d counted, want %d", got, k.stats.FlowMods.Load(), want)
	}
	sw.SetRefuse(refuseCookie(7, false))
	var ce *CommitError
	if err := c.Commit(t.Context(), addFlows(10)); !errors.As(err, &ce) || ce.Index != 7 || !ce.Partial {
		t.Errorf("error %v, want one that names message 7", err)
	}
}

func TestCommitFallsBackWhenASwitchStopsTakingBundles(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	if err := c.Commit(t.Context(), addFlows(2)); err != nil {
		t.Fatal(err)
	}
	sw.SetRefuse(func(m openflow.Message) *openflow.Error {
		if m.MsgType() == openflow.TypeExperimenter {
			return &openflow.Error{ErrType: openflow.ErrorBadRequest, Code: openflow.BadRequestExperimenter}
		}
		return nil
	})
	if err := c.Commit(t.Context(), addFlows(100)); err != nil {
		t.Fatal(err)
	}
	if got := len(sw.Flows()); got != 100 {
		t.Errorf("%d flows, want 100", got)
	}
}

func TestCommitKeepsOrderAroundWhatNoBundleHolds(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	var order []openflow.Type
	sw := switchtest.Dial(t, k.addr, switchtest.Options{Refuse: func(m openflow.Message) *openflow.Error {
		switch m := m.(type) {
		case *openflow.FlowMod, *openflow.CTFlushZone:
			order = append(order, m.MsgType())
		}
		if z, ok := m.(*openflow.CTFlushZone); ok && z.Zone == 99 {
			return &openflow.Error{ErrType: openflow.ErrorBadRequest, Code: openflow.BadRequestExpType}
		}
		return nil
	}})
	c := k.next(t)
	msgs := []openflow.Message{addFlow(1), addFlow(2), &openflow.CTFlushZone{Zone: 5}, &openflow.CTFlushZone{Zone: 6}, addFlow(3)}
	if err := c.Commit(t.Context(), msgs); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint16{5, 6}, sw.FlushedZones()); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
	want := []openflow.Type{openflow.TypeFlowMod, openflow.TypeFlowMod, openflow.TypeExperimenter, openflow.TypeExperimenter, openflow.TypeFlowMod}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	msgs = append(addFlows(4), &openflow.CTFlushZone{Zone: 99})
	var ce *CommitError
	if err := c.Commit(t.Context(), msgs); !errors.As(err, &ce) || ce.Index != 4 || !ce.Partial {
		t.Errorf("error %v, want one that names message 4 after the others were applied", err)
	}
}

func TestCommitNamesTheGroupThatFails(t *testing.T) {
	t.Parallel()
	for name, noBundles := range map[string]bool{"in a bundle": false, "one by one": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newController(t, Config{}, nil)
			sw := switchtest.Dial(t, k.addr, switchtest.Options{NoBundles: noBundles})
			c := k.next(t)
			if err := c.Commit(t.Context(), []openflow.Message{meter(1, 10), group(1, 1), group(2, 1), addFlow(1)}); err != nil {
				t.Fatal(err)
			}
			var ce *CommitError
			err := c.Commit(t.Context(), []openflow.Message{addFlow(2), group(3, 1), group(2, 1), addFlow(3)})
			if !errors.As(err, &ce) || ce.Index != 2 || ce.Partial != noBundles || ce.Message.MsgType() != openflow.TypeGroupMod {
				t.Errorf("error %v, want one that names message 2", err)
			}
			if want := map[bool]int{false: 2, true: 3}[noBundles]; len(sw.Groups()) != want {
				t.Errorf("%d groups, want %d", len(sw.Groups()), want)
			}
			err = c.Commit(t.Context(), []openflow.Message{meter(2, 10), meter(1, 10), addFlow(9)})
			if !errors.As(err, &ce) || ce.Index != 1 || !ce.Partial || len(sw.Meters()) != 2 {
				t.Errorf("error %v, want one that names message 1", err)
			}
		})
	}
}

func TestCommitRefusesWhatHasAnAnswer(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	err := c.Commit(t.Context(), []openflow.Message{addFlow(1), &openflow.RoleRequest{}})
	if err == nil || !strings.Contains(err.Error(), "message 1 is OFPT_ROLE_REQUEST") {
		t.Errorf("error %v", err)
	}
	if err := c.Barrier(t.Context()); err != nil || sw.FlowMods() != 0 {
		t.Errorf("%d flow-mods were sent, error %v", sw.FlowMods(), err)
	}
}
