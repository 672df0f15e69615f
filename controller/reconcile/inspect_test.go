package reconcile

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/openflow"
)

// A comparison says what a pass would send, and sends nothing.
func TestAComparisonSaysWhatAPassWouldSendAndSendsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 4)
	r.change(plugged(1))
	compare := func() int {
		t.Helper()
		plan, err := r.reconciler.Compare(context.Background(), dpid)
		if err != nil {
			t.Fatal(err)
		}
		return plan.Len()
	}
	before, flowMods := held(t, sw), counted(sw)
	if n := compare(); n != 0 {
		t.Errorf("%d changes to a switch that is right", n)
	}
	// The reconciler has not been told of this one yet.
	r.mu.Lock()
	r.state.PutPort(port(2, 2), intent.Touched{})
	r.mu.Unlock()
	planned := compare()
	if planned == 0 {
		t.Error("no changes for a port that is missing")
	}
	if n := flowMods(); n != 0 || !slices.Equal(before, held(t, sw)) {
		t.Errorf("%d flow-mods by comparing", n)
	}
	r.change(func(*intent.State, intent.Touched) {})
	if n := flowMods(); n != planned {
		t.Errorf("the pass sent %d flow-mods, %d were told", n, planned)
	}
	if n := compare(); n != 0 {
		t.Errorf("%d changes after the pass", n)
	}
}

// What the switch has refused is not told as a change: the next pass leaves it
// out, too.
func TestAComparisonLeavesOutWhatWasRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 4)
	owner := uint64(pipeline.NewCookie(pipeline.KindPort, 2))
	sw.SetRefuse(func(m openflow.Message) *openflow.Error {
		if mod, ok := m.(*openflow.FlowMod); ok && mod.Cookie == owner && mod.TableID == 31 {
			return &openflow.Error{ErrType: 4, Code: 1}
		}
		return nil
	})
	r.change(plugged(1, 2))
	r.await("the refusal", func() bool { return r.saved.Error != "" })
	plan, err := r.reconciler.Compare(context.Background(), dpid)
	if err != nil || plan.Len() != 0 {
		t.Errorf("%d changes, %v", plan.Len(), err)
	}
}

func TestASwitchThatIsAwayIsNotCompared(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.reconciler.Compare(context.Background(), dpid); !errors.Is(err, ErrNotConnected) {
		t.Errorf("error %v", err)
	}
	if _, connected := r.reconciler.Wanted(dpid); connected {
		t.Error("it is connected")
	}
	connect(t, r, 4)
	if w, connected := r.reconciler.Wanted(dpid); !connected || len(w.View.Free) != 4 {
		t.Errorf("connected %v with a view of %+v", connected, w.View)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.reconciler.Compare(ctx, dpid); !errors.Is(err, context.Canceled) {
		t.Errorf("asked without patience: %v", err)
	}
}

// What is wanted is that of the last pass as long as nothing calls for another, and
// computed anew from then on.
func TestWhatIsWantedIsUpToDate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 4)
	for n := range uint32(4) {
		r.change(func(s *intent.State, touched intent.Touched) {
			blue(s, touched)
			s.PutPort(port(n+1, n+1), touched)
		})
		w, _ := r.reconciler.Wanted(dpid)
		if len(w.View.Ports) != int(n+1) || !slices.Equal(w.Desired.Flows, held(t, sw)) {
			t.Errorf("%d ports and %d flows are wanted after port %d", len(w.View.Ports), len(w.Desired.Flows), n+1)
		}
	}
}
