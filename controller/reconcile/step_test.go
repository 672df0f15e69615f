package reconcile

import (
	"math/rand/v2"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// After any changes, each carried out by what differs, a controller that begins
// anew finds nothing to do.
func TestChangesByPartsLeaveNothingForARestart(t *testing.T) {
	t.Parallel()
	steps, anew := 0, 0
	r := newRig(t, func(c *Config) {
		c.Compute = func(v *intent.View) pipeline.Desired {
			anew++
			return pipeline.Compute(v)
		}
		c.Change = func(before, after *intent.View) (flow.Set, flow.Set, bool) {
			steps++
			return pipeline.Change(before, after)
		}
	})
	sw := switchtest.Dial(t, r.addr, switchtest.Options{DPID: uint64(dpid), Ports: switchtest.Ports(6)})
	r.await("the switch to connect", func() bool { return r.saved.Connected })
	r.change(blue)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		num := uint32(1 + rnd.IntN(6))
		r.change(func(s *intent.State, to intent.Touched) {
			switch rnd.IntN(4) {
			case 0:
				s.DeletePort(port(num, num).ID, to)
			case 1:
				rule := intent.Rule{Num: 10 + num, GroupID: "open", Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: "open"}
				s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "open"}, Num: 1, Rules: []intent.Rule{rule}}, to)
			default:
				s.PutPort(port(num, num), to)
			}
		})
	}
	r.mu.Lock()
	compiled, stepped := anew, steps
	r.mu.Unlock()
	if stepped < 50 || compiled > 3 {
		t.Errorf("%d passes by parts and %d anew: want nearly all by parts", stepped, compiled)
	}
	mods := counted(sw)
	r.restart(sw)
	if n := mods(); n != 0 {
		t.Errorf("a restart sent %d flow-mods", n)
	}
}

// What a switch refuses of a small change is left out, and the rest is sent.
func TestARefusalInASmallChangeLeavesTheRest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := switchtest.Dial(t, r.addr, switchtest.Options{DPID: uint64(dpid), Ports: switchtest.Ports(6)})
	r.await("the switch to connect", func() bool { return r.saved.Connected })
	r.change(plugged(1))
	bad := uint64(pipeline.NewCookie(pipeline.KindPort, 2))
	sw.SetRefuse(func(m openflow.Message) *openflow.Error {
		if f, ok := m.(*openflow.FlowMod); ok && f.Cookie == bad && f.TableID == 31 {
			return &openflow.Error{ErrType: openflow.ErrorFlowModFailed, Code: 0}
		}
		return nil
	})
	r.change(plugged(1, 2, 3))
	for id, want := range map[string]intent.PortStatus{"port-1": intent.PortActive, "port-2": intent.PortError, "port-3": intent.PortActive} {
		r.await(id+" to be "+string(want), func() bool { return r.states[id].Status == want })
	}
	sw.SetRefuse(nil)
	r.change(plugged(1, 2, 3, 4))
	r.await("the new port to be active", func() bool { return r.states["port-4"].Status == intent.PortActive })
}
