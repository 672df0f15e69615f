package store_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// truck is a trunk whose parent has an interface on a switch, with a sub-port.
type truck struct {
	*bundle
	trunk             intent.Trunk
	parent, sub, free intent.Port
}

func newTruck(t *testing.T) *truck {
	t.Helper()
	b := setup(t)
	n := b.network(red, "n")
	k := &truck{bundle: b, parent: b.port(red, newPort(n)), sub: b.port(red, newPort(n)), free: b.port(red, newPort(n))}
	b.report(0xa1, plugged("tap1", k.parent))
	k.trunk = one(b.CreateTrunks(b.ctx, red, []intent.Trunk{{PortID: k.parent.ID, AdminUp: true, SubPorts: []intent.SubPort{{PortID: k.sub.ID, VLAN: 7}}}}))(t)
	return k
}

// tells is what the port of the moment says of itself.
func (k *truck) tells(p intent.Port) string {
	k.t.Helper()
	p = must(k.Port(k.ctx, red, p.ID))(k.t)
	return fmt.Sprintf("%s %s, %s of %t, VLAN %d of %t, %s", p.Binding.Host, p.Binding.InterfaceName, p.DeviceOwner, p.DeviceID == k.trunk.ID, p.Trunk.VLAN, p.Trunk.Parent == k.parent.ID, p.Status)
}

func (k *truck) want(what string, p intent.Port, want string) {
	k.t.Helper()
	if got := k.tells(p); got != want {
		k.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// status is that of the trunk.
func (k *truck) status() intent.TrunkStatus {
	k.t.Helper()
	return must(k.Trunk(k.ctx, red, k.trunk.ID))(k.t).Status
}

const (
	carriedAt = "00000000000000%s, trunk:subport of true, VLAN %d of true, %s"
	onItsOwn  = " ,  of false, VLAN 0 of false, DOWN"
)

func TestSubPortsFollowTheirParent(t *testing.T) {
	t.Parallel()
	k := newTruck(t)
	k.want("of a bound parent", k.sub, fmt.Sprintf(carriedAt, "a1 tap1", 7, "DOWN"))
	k.activate(0xa1, k.sub)
	// The interface of the parent appears on another host, and leaves the first one.
	before := len(k.published())
	k.report(0xa2, plugged("tap9", k.parent))
	k.want("while the first interface stays", k.sub, fmt.Sprintf(carriedAt, "a1 tap1", 7, "ACTIVE"))
	k.report(0xa1)
	k.want("of a parent that has moved", k.sub, fmt.Sprintf(carriedAt, "a2 tap9", 7, "DOWN"))
	seen := map[string]bool{}
	for _, c := range k.published()[before:] {
		seen[c.ID] = true
	}
	if !seen[k.sub.ID] || !seen[k.parent.ID] {
		t.Errorf("the feed tells of %v, want parent and sub-port", seen)
	}
	for host, want := range map[string]int{"00000000000000a1": 0, "00000000000000a2": 1, "": 0} {
		listed := must(k.Ports(k.ctx, admin, store.Query{Filter: map[string][]string{"binding:host_id": {host}, "device_id": {k.trunk.ID}}}))(t)
		if len(listed) != want {
			t.Errorf("%d sub-ports are at host %q, want %d", len(listed), host, want)
		}
	}
	if host := sql[string](k.bundle, `SELECT host || interface_name FROM ports WHERE id = $1`, k.sub.ID); host != "" {
		t.Errorf("a fact became intent: %q", host)
	}
	// Asked for by the parent, not by the sub-port.
	k.activate(0xa2, k.sub)
	bind := func(p intent.Port, host, iface string) {
		must(k.UpdatePort(k.ctx, admin, p.ID, func(p *intent.Port) error {
			p.Binding = intent.Binding{Host: host, InterfaceName: iface}
			return nil
		}))(t)
	}
	bind(k.sub, "00000000000000a7", "tap7")
	k.want("with a binding of its own", k.sub, fmt.Sprintf(carriedAt, "a2 tap9", 7, "ACTIVE"))
	bind(k.parent, "00000000000000a3", "tap3")
	k.want("of a parent that is asked for elsewhere", k.sub, fmt.Sprintf(carriedAt, "a3 tap3", 7, "DOWN"))
	bind(k.parent, "00000000000000a4", "")
	k.want("of a parent that has no interface", k.sub, fmt.Sprintf(carriedAt, "a4 ", 7, "DOWN"))
}

func TestPortsOfATrunkComeAndGo(t *testing.T) {
	t.Parallel()
	k := newTruck(t)
	must(k.AddSubPorts(k.ctx, red, k.trunk.ID, []intent.SubPort{{PortID: k.free.ID, VLAN: 8}}))(t)
	k.want("added", k.free, fmt.Sprintf(carriedAt, "a1 tap1", 8, "DOWN"))
	k.activate(0xa1, k.free)
	before := len(k.published())
	must(k.RemoveSubPorts(k.ctx, red, k.trunk.ID, []string{k.free.ID}))(t)
	k.want("removed", k.free, onItsOwn)
	var got []string
	for _, c := range k.published()[before:] {
		got = append(got, fmt.Sprint(c.Kind, " ", c.ID == k.free.ID || c.ID == k.trunk.ID))
	}
	if diff := cmp.Diff([]string{"port true", "trunk true"}, got); diff != "" {
		t.Errorf("changes (-want +got)\n%s", diff)
	}
	if _, err := k.RemoveSubPorts(k.ctx, red, k.trunk.ID, []string{k.sub.ID, k.free.ID}); err == nil {
		t.Error("a port that is in no trunk was taken from it")
	}
	k.want("left alone", k.sub, fmt.Sprintf(carriedAt, "a1 tap1", 7, "DOWN"))
	// An interface of its own is another's business as long as it is a sub-port.
	if got := k.report(0xa5, plugged("tap5", k.sub)); len(got) != 1 || got[0] != "tap5 refused: port "+k.sub.ID+" is a sub-port of trunk "+k.trunk.ID+", and is where the parent of that is" {
		t.Errorf("the interface of a sub-port: %v", got)
	}
	if p := must(k.Port(k.ctx, red, k.parent.ID))(t); p.Trunk != (intent.TrunkPlace{ID: k.trunk.ID}) {
		t.Errorf("the parent is %+v in its trunk", p.Trunk)
	}
	if err := k.DeleteTrunk(k.ctx, red, k.trunk.ID); err != nil {
		t.Fatal(err)
	}
	k.want("without the trunk, at its own interface", k.sub, "00000000000000a5 tap5,  of false, VLAN 0 of false, DOWN")
	if p := must(k.Port(k.ctx, red, k.parent.ID))(t); p.Trunk != (intent.TrunkPlace{}) {
		t.Errorf("the parent is %+v in a trunk that is gone", p.Trunk)
	}
}

func TestTheStatusOfATrunkFollowsFromItsPorts(t *testing.T) {
	t.Parallel()
	k := newTruck(t)
	set := func(p intent.Port, status intent.PortStatus) {
		if err := k.SetPortStatus(k.ctx, 0xa1, []store.PortState{{ID: p.ID, Status: status}}); err != nil {
			t.Fatal(err)
		}
	}
	up := func(up bool) intent.TrunkStatus {
		return must(k.UpdateTrunk(k.ctx, red, k.trunk.ID, func(t *intent.Trunk) error {
			t.AdminUp = up
			return nil
		}))(t).Status
	}
	want := func(want intent.TrunkStatus) {
		t.Helper()
		if got := k.status(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		listed := must(k.Trunks(k.ctx, red, store.Query{Filter: map[string][]string{"status": {string(want)}}}))(t)
		if len(listed) != 1 {
			t.Errorf("%d trunks are %s", len(listed), want)
		}
	}
	if k.trunk.Status != intent.TrunkBuild {
		t.Errorf("a new trunk of a bound port is %s", k.trunk.Status)
	}
	set(k.parent, intent.PortActive)
	want(intent.TrunkBuild)
	set(k.sub, intent.PortActive)
	want(intent.TrunkActive)
	set(k.sub, intent.PortError)
	want(intent.TrunkDegraded)
	set(k.parent, intent.PortError)
	want(intent.TrunkError)
	set(k.parent, intent.PortActive)
	set(k.sub, intent.PortActive)
	if got := up(false); got != intent.TrunkDown {
		t.Errorf("administratively down, it is %s", got)
	}
	if p := must(k.Port(k.ctx, red, k.sub.ID))(t); !p.Trunk.Down {
		t.Error("the sub-port does not know that its trunk is down")
	}
	if got := up(true); got != intent.TrunkActive {
		t.Errorf("up again, it is %s", got)
	}
	k.report(0xa1)
	want(intent.TrunkDown)
}
