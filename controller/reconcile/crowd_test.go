package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// Those who wait for a place are not even read back: what they hold would have
// to be kept meanwhile.
func TestSwitchesThatConnectTogetherAreServedAFewAtATime(t *testing.T) {
	t.Parallel()
	const asked = 4 // description, ports, meters, groups: before the first pass
	gate := make(chan struct{})
	arrived := make(chan struct{}, 1000)
	r := newRig(t, func(cfg *Config) {
		cfg.Compute = func(v *intent.View) pipeline.Desired {
			arrived <- struct{}{}
			<-gate
			return pipeline.Compute(v)
		}
		cfg.Change = pipeline.Change
	})
	r.reconciler.patience = time.Hour
	places := cap(r.reconciler.passes)
	all := &sightings{rig: r, connected: map[intent.DPID]bool{}}
	r.reconciler.facts = all
	var switches []*switchtest.Switch
	for i := range 3 * places {
		switches = append(switches, switchtest.Dial(t, r.addr, switchtest.Options{DPID: uint64(1 + i), Ports: switchtest.Ports(1)}))
	}
	for range places {
		<-arrived
	}
	readBack := 0
	for _, sw := range switches {
		sw.Await(t, "a controller", func() bool { return sw.Received(openflow.TypeMultipartRequest) >= asked })
		if sw.Received(openflow.TypeMultipartRequest) > asked {
			readBack++
		}
	}
	if readBack != places {
		t.Errorf("%d switches were read back while there was no place, want %d", readBack, places)
	}
	close(gate)
	r.await("all switches to be realized", func() bool { return len(all.connected) == 3*places })
}

// sightings are facts of which only the connected switches count.
type sightings struct {
	*rig
	connected map[intent.DPID]bool
	saves     int
}

func (s *sightings) SaveSwitch(ctx context.Context, sw intent.Switch) error {
	s.fact(func() {
		s.saves++
		if sw.Connected {
			s.connected[sw.DPID] = true
		}
	})
	return s.rig.SaveSwitch(ctx, sw)
}

// The states of ports are written at once, what is long and changes with every
// change of intent is not.
func TestFactsWaitWhereStatesOfPortsDoNot(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Pause = time.Hour })
	all := &sightings{rig: r, connected: map[intent.DPID]bool{}}
	r.reconciler.facts = all
	switchtest.Dial(t, r.addr, switchtest.Options{DPID: uint64(dpid), Ports: switchtest.Ports(6)})
	r.await("the switch to connect", func() bool { return r.saved.Connected })
	for _, up := range []bool{true, false, true, false, true} {
		want := intent.PortDown
		if up {
			want = intent.PortActive
		}
		touched := intent.Touched{dpid: {}}
		r.mu.Lock()
		blue(r.state, touched)
		p := port(1, 1)
		p.AdminUp = up
		r.state.PutPort(p, touched)
		r.state.Revision++
		r.mu.Unlock()
		r.reconciler.Touch(touched)
		r.await("the port to be "+string(want), func() bool { return r.states["port-1"].Status == want })
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if all.saves != 1 {
		t.Errorf("the facts of the switch were written %d times, want once", all.saves)
	}
}
