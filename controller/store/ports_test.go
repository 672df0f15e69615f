package store_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func TestCreatedPortHasMACAddressOfEachFamilyAndDefaultGroup(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	v4, v6 := b.subnet(red, n, "10.0.0.0/24"), b.subnet(red, n, "2001:db8::/64")
	b.subnet(red, n, "10.0.1.0/24") // a second one of the family gives none

	p := newPort(n)
	p.Name, p.Description, p.DeviceID, p.DeviceOwner = "web", "a port", "vm-1", "compute:nova"
	p.Binding = intent.Binding{Host: "00000000000000a1", PortNo: 0xfffffffe}
	got := b.port(red, p)

	groups := must(b.SecurityGroups(b.ctx, red, store.Query{}))(t)
	want := intent.Port{
		Meta:      intent.Meta{TenantID: "red", Name: "web", Description: "a port", Revision: 1},
		NetworkID: n.ID, SegmentID: "02ff0000-0000-4000-8000-000000000010", AdminUp: true, DeviceID: "vm-1", DeviceOwner: "compute:nova",
		FixedIPs: []intent.FixedIP{
			{SubnetID: v4.ID, Addr: netip.MustParseAddr("10.0.0.2")},
			{SubnetID: v6.ID, Addr: netip.MustParseAddr("2001:db8::2")},
		},
		SecurityGroups: []string{groups[0].ID}, Binding: p.Binding, AskedHost: p.Binding.Host, Status: intent.PortDown, VNICType: "normal",
	}
	chosen := cmpopts.IgnoreFields(intent.Port{}, "ID", "CreatedAt", "UpdatedAt", "Num", "MAC")
	if diff := cmp.Diff(want, got, chosen, equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !mac.MustParseSegment("02:ff:00:00:00:00/16").Contains(got.MAC) || got.Num == 0 || got.CreatedAt.IsZero() || got.ID == "" {
		t.Errorf("MAC %v, number %d, time %v, id %q", got.MAC, got.Num, got.CreatedAt, got.ID)
	}
	if diff := cmp.Diff(got, must(b.Port(b.ctx, red, got.ID))(t), equateAddrs); diff != "" {
		t.Errorf("created and read differ: (-created +read)\n%s", diff)
	}
}

func TestBulkCreateKeepsTheOrderAndIsAllOrNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/16")
	var in []store.NewPort
	for i := range 300 {
		p := newPort(n)
		p.Name = fmt.Sprint(i)
		in = append(in, p)
	}
	got := must(b.CreatePorts(b.ctx, red, in))(t)
	seen := map[any]bool{}
	for i, p := range got {
		if p.Name != fmt.Sprint(i) {
			t.Fatalf("port %d is called %s", i, p.Name)
		}
		for _, unique := range []any{p.ID, p.MAC, p.FixedIPs[0].Addr, p.Num} {
			if seen[unique] {
				t.Fatalf("%v twice", unique)
			}
			seen[unique] = true
		}
	}
	b.unchanged(func() {
		in[299].NetworkID = "8a4a14b4-8b0c-4d3d-9f6c-8d0c0d4b6a11"
		_, err := b.CreatePorts(b.ctx, red, in)
		wantNotFound(t, err, store.KindNetwork)
		in[299] = newPort(n)
		in[299].MAC = got[0].MAC
		_, err = b.CreatePorts(b.ctx, red, in)
		wantConflict(t, err, "MacAddressInUse", "mac_address", got[0].MAC.String())
	})
}

func TestFailedPortCreateChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n, other := b.network(red, "n"), b.network(red, "other")
	s, elsewhere := b.subnet(red, n, "10.0.0.0/24"), b.subnet(red, other, "10.0.9.0/24")
	foreign := b.network(blue, "foreign")
	foreignGroup := must(b.SecurityGroups(b.ctx, blue, store.Query{}))(t)[0]
	bound := newPort(n)
	bound.Binding = intent.Binding{Host: "00000000000000a1", InterfaceName: "s1-eth1"}
	taken := b.port(red, bound)
	const absent = "8a4a14b4-8b0c-4d3d-9f6c-8d0c0d4b6a11"
	ip := func(subnet, addr string) func(*store.NewPort) {
		return func(p *store.NewPort) {
			p.AutoIPs = false
			p.FixedIPs = []intent.FixedIP{{SubnetID: subnet}}
			if addr != "" {
				p.FixedIPs[0].Addr = netip.MustParseAddr(addr)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*store.NewPort)
		check  func(error)
	}{
		"network absent":     {func(p *store.NewPort) { p.NetworkID = absent }, func(err error) { wantNotFound(t, err, store.KindNetwork) }},
		"network no id":      {func(p *store.NewPort) { p.NetworkID = "n" }, func(err error) { wantNotFound(t, err, store.KindNetwork) }},
		"network of another": {func(p *store.NewPort) { p.NetworkID = foreign.ID }, func(err error) { wantNotFound(t, err, store.KindNetwork) }},
		"tenant of another":  {func(p *store.NewPort) { p.TenantID = "blue" }, func(err error) { wantInvalid(t, err, "tenant_id") }},
		"group absent":       {func(p *store.NewPort) { p.DefaultGroup, p.SecurityGroups = false, []string{absent} }, func(err error) { wantNotFound(t, err, store.KindSecurityGroup) }},
		"group of another":   {func(p *store.NewPort) { p.DefaultGroup, p.SecurityGroups = false, []string{foreignGroup.ID} }, func(err error) { wantNotFound(t, err, store.KindSecurityGroup) }},
		"MAC in use":         {func(p *store.NewPort) { p.MAC = taken.MAC }, func(err error) { wantConflict(t, err, "MacAddressInUse", "mac_address", taken.MAC.String()) }},
		"MAC of a group":     {func(p *store.NewPort) { p.MAC = mac.MustParse("01:00:5e:00:00:01") }, func(err error) { wantInvalid(t, err, "mac_address", "group bit") }},
		"MAC too long":       {func(p *store.NewPort) { p.MAC = 1 << 49 }, func(err error) { wantInvalid(t, err, "mac_address") }},
		"IP in use": {ip(s.ID, taken.FixedIPs[0].Addr.String()), func(err error) {
			wantConflict(t, err, "IpAddressAlreadyAllocated", "fixed_ips", taken.FixedIPs[0].Addr.String())
		}},
		"IP outside":            {ip(s.ID, "10.0.1.1"), func(err error) { wantInvalid(t, err, "fixed_ips", "10.0.1.1", "10.0.0.0/24") }},
		"IP in no subnet":       {ip("", "192.0.2.1"), func(err error) { wantInvalid(t, err, "fixed_ips", "192.0.2.1") }},
		"IP of broadcast":       {ip(s.ID, "10.0.0.255"), func(err error) { wantInvalid(t, err, "fixed_ips", "10.0.0.255") }},
		"IP of the network":     {ip("", "10.0.0.0"), func(err error) { wantInvalid(t, err, "fixed_ips", "10.0.0.0") }},
		"IP of nothing":         {ip("", ""), func(err error) { wantInvalid(t, err, "fixed_ips", "subnet_id") }},
		"subnet absent":         {ip(absent, ""), func(err error) { wantNotFound(t, err, store.KindSubnet) }},
		"subnet of another net": {ip(elsewhere.ID, ""), func(err error) { wantInvalid(t, err, "fixed_ips", elsewhere.ID) }},
		"IP twice": {func(p *store.NewPort) {
			p.AutoIPs = false
			a := intent.FixedIP{SubnetID: s.ID, Addr: netip.MustParseAddr("10.0.0.77")}
			p.FixedIPs = []intent.FixedIP{a, a}
		}, func(err error) { wantConflict(t, err, "IpAddressAlreadyAllocated", "10.0.0.77") }},
		"switch port taken": {func(p *store.NewPort) { p.Binding = bound.Binding }, func(err error) {
			wantConflict(t, err, "SwitchPortInUse", "binding:profile", "s1-eth1", "00000000000000a1")
		}},
		"two places":         {func(p *store.NewPort) { p.Binding = intent.Binding{Host: "x", InterfaceName: "a", PortNo: 1} }, func(err error) { wantInvalid(t, err, "binding:profile") }},
		"name too long":      {func(p *store.NewPort) { p.Name = string(make([]rune, 256)) + "x" }, func(err error) { wantInvalid(t, err, "") }},
		"device_id too long": {func(p *store.NewPort) { p.DeviceID = fmt.Sprintf("%0300d", 1) }, func(err error) { wantInvalid(t, err, "device_id", "255") }},
	} {
		b.unchanged(func() {
			p := newPort(n)
			p.Num = 0
			c.change(&p)
			if err := b.tryPort(red, p); err == nil {
				t.Errorf("%s: no error", name)
			} else {
				t.Logf("%s: %v", name, err)
				c.check(err)
			}
		})
	}
}

func TestUpdatePortChangesEverythingInOneTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	s := b.subnet(red, n, "10.0.0.0/24")
	v6 := b.subnet(red, n, "2001:db8::/64")
	group := one(b.CreateSecurityGroups(b.ctx, red, []intent.SecurityGroup{{Meta: intent.Meta{Name: "g"}}}))(t)
	p := b.port(red, newPort(n))

	got := must(b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error {
		p.Name, p.DeviceID, p.AdminUp = "renamed", "vm", false
		p.MAC = mac.MustParse("02:ff:00:00:00:07")
		p.FixedIPs = []intent.FixedIP{{SubnetID: v6.ID}, {Addr: netip.MustParseAddr("10.0.0.50")}, p.FixedIPs[0]}
		p.SecurityGroups = []string{group.ID}
		p.Binding = intent.Binding{Host: "00000000000000a1", InterfaceName: "eth1"}
		p.ID, p.TenantID, p.NetworkID, p.Num, p.Status = "x", "x", "x", 1e6, intent.PortActive // not its to change
		return nil
	}))(t)

	want := p
	want.Name, want.DeviceID, want.AdminUp, want.MAC = "renamed", "vm", false, mac.MustParse("02:ff:00:00:00:07")
	want.FixedIPs = []intent.FixedIP{
		{SubnetID: v6.ID, Addr: netip.MustParseAddr("2001:db8::3")}, // ::2 was its own until now
		{SubnetID: s.ID, Addr: netip.MustParseAddr("10.0.0.50")},
		{SubnetID: s.ID, Addr: netip.MustParseAddr("10.0.0.2")},
	}
	want.SecurityGroups, want.Binding, want.Revision = []string{group.ID}, intent.Binding{Host: "00000000000000a1", InterfaceName: "eth1"}, 2
	want.AskedHost = want.Binding.Host
	want.UpdatedAt = got.UpdatedAt
	if diff := cmp.Diff(want, got, equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(got, must(b.Port(b.ctx, red, p.ID))(t), equateAddrs); diff != "" {
		t.Errorf("(-returned +read)\n%s", diff)
	}
	if !got.UpdatedAt.After(p.UpdatedAt) {
		t.Error("updated_at did not change")
	}
	// The old MAC is free again.
	again := newPort(n)
	again.MAC = p.MAC
	b.port(red, again)
}

func TestUpdateThatChangesNothingLeavesTheRevision(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/24")
	p := b.port(red, newPort(n))
	b.unchanged(func() {
		got := must(b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error { return nil }))(t)
		if diff := cmp.Diff(p, got, equateAddrs); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestFailedPortUpdateChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/24")
	p, other := b.port(red, newPort(n)), b.port(red, newPort(n))
	refused := fmt.Errorf("refused by the caller")
	for _, change := range []func(*intent.Port) error{
		func(p *intent.Port) error { p.MAC = other.MAC; return nil },
		func(p *intent.Port) error { p.MAC = 0x010000000000; return nil },
		func(p *intent.Port) error { p.FixedIPs = other.FixedIPs; return nil },
		func(p *intent.Port) error { p.SecurityGroups = append(p.SecurityGroups, n.ID); return nil },
		func(p *intent.Port) error { p.Name = "x"; return refused },
	} {
		b.unchanged(func() {
			if _, err := b.UpdatePort(b.ctx, red, p.ID, change); err == nil {
				t.Error("no error")
			}
		})
	}
	if diff := cmp.Diff(p, must(b.Port(b.ctx, red, p.ID))(t), equateAddrs); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
}

func TestDeletedPortGivesBackMACAndAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/24")
	p := b.port(red, newPort(n))
	if err := b.DeletePort(b.ctx, blue, p.ID); err == nil {
		t.Error("another tenant deleted the port")
	}
	if err := b.DeletePort(b.ctx, red, p.ID); err != nil {
		t.Fatal(err)
	}
	wantNotFound(t, b.DeletePort(b.ctx, red, p.ID), store.KindPort)
	again := store.NewPort{Port: intent.Port{NetworkID: n.ID, MAC: p.MAC, FixedIPs: p.FixedIPs}}
	b.port(red, again)
}

func TestStatusIsAFactThatFollowsTheBinding(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	p := newPort(n)
	p.Binding = intent.Binding{Host: "00000000000000a1", PortNo: 1}
	bound, unbound := b.port(red, p), b.port(red, newPort(n))
	before, audited := b.published(), b.rowCounts()["audit_log"]

	set := func(status intent.PortStatus, reason string) {
		t.Helper()
		err := b.SetPortStatus(b.ctx, 0xa1, []store.PortState{
			{ID: unbound.ID, Status: status, Reason: reason}, {ID: bound.ID, Status: status, Reason: reason}, {ID: "no id", Status: status},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	status := func(id string) string {
		t.Helper()
		p := must(b.Port(b.ctx, red, id))(t)
		return fmt.Sprintf("%s %q revision %d", p.Status, p.StatusReason, p.Revision)
	}
	set(intent.PortActive, "")
	if got, want := status(bound.ID), `ACTIVE "" revision 1`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := status(unbound.ID), `DOWN "" revision 1`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := b.SetPortStatus(b.ctx, 0xa2, []store.PortState{{ID: bound.ID, Status: intent.PortError, Reason: "of another switch"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := status(bound.ID), `ACTIVE "" revision 1`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	set(intent.PortError, "the table is full")
	if got, want := status(bound.ID), `ERROR "the table is full" revision 1`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	set(intent.PortError, "the table is full") // as it is already
	facts := b.published()[len(before):]
	for i := range facts {
		facts[i].Revision = 0
	}
	fact := store.Change{Kind: store.KindPort, ID: bound.ID, TenantID: red.TenantID, Op: store.OpUpdate, Fact: true, Event: intent.EventPortRealized}
	if diff := cmp.Diff([]store.Change{fact, fact}, facts); diff != "" {
		t.Errorf("what the feed tells of it: (-want +got)\n%s", diff)
	}
	if got := b.rowCounts()["audit_log"]; got != audited {
		t.Errorf("a status has %d entries in the audit log", got-audited)
	}
	must(b.UpdatePort(b.ctx, red, bound.ID, func(p *intent.Port) error { p.Binding = intent.Binding{}; return nil }))(t)
	if got, want := status(bound.ID), `DOWN "" revision 2`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	set(intent.PortActive, "") // of a controller that has not heard of it yet
	if got, want := status(bound.ID), `DOWN "" revision 2`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPortListFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n, m := b.network(red, "n"), b.network(blue, "m")
	s := b.subnet(red, n, "10.0.0.0/24")
	a := newPort(n)
	a.Name, a.DeviceID, a.Binding = "a", "vm-a", intent.Binding{Host: "00000000000000a1", PortNo: 1}
	pa := b.port(red, a)
	pb := b.port(red, store.NewPort{Port: intent.Port{Meta: intent.Meta{Name: "b"}, NetworkID: n.ID, AdminUp: false}, AutoIPs: true})
	pm := b.port(blue, newPort(m))
	none := []string{}
	for _, c := range []struct {
		sc     store.Scope
		filter map[string][]string
		want   []string
	}{
		{red, nil, []string{pa.ID, pb.ID}},
		{blue, nil, []string{pm.ID}},
		{admin, nil, []string{pa.ID, pb.ID, pm.ID}},
		{admin, map[string][]string{"tenant_id": {"red"}}, []string{pa.ID, pb.ID}},
		{red, map[string][]string{"project_id": {"blue"}}, none},
		{red, map[string][]string{"name": {"a", "x"}}, []string{pa.ID}},
		{red, map[string][]string{"name": {"a", "b"}}, []string{pa.ID, pb.ID}},
		{red, map[string][]string{"name": {"a", "b"}, "device_id": {""}}, []string{pb.ID}},
		{red, map[string][]string{"id": {pb.ID, "no id"}}, []string{pb.ID}},
		{red, map[string][]string{"network_id": {m.ID}}, none},
		{red, map[string][]string{"admin_state_up": {"False"}}, []string{pb.ID}},
		{red, map[string][]string{"mac_address": {pb.MAC.String()}}, []string{pb.ID}},
		{red, map[string][]string{"status": {"DOWN"}}, []string{pa.ID, pb.ID}},
		{red, map[string][]string{"binding:host_id": {"00000000000000a1"}}, []string{pa.ID}},
		{red, map[string][]string{"security_groups": pa.SecurityGroups}, []string{pa.ID}},
		{red, map[string][]string{"fixed_ips": {"ip_address=" + pb.FixedIPs[0].Addr.String()}}, []string{pb.ID}},
		{red, map[string][]string{"fixed_ips": {"subnet_id=" + s.ID}}, []string{pa.ID, pb.ID}},
		{red, map[string][]string{"fixed_ips": {"subnet_id=" + s.ID, "ip_address=10.0.0.2", "ip_address=10.0.0.99"}}, []string{pa.ID}},
		{red, map[string][]string{"fixed_ips": {"ip_address_substr=.0.3"}}, []string{pb.ID}},
		{red, map[string][]string{"name": {}}, none},
	} {
		list := must(b.Ports(b.ctx, c.sc, store.Query{Filter: c.filter}))(t)
		got := []string{}
		for _, p := range list {
			got = append(got, p.ID)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("filter %v: (-want +got)\n%s", c.filter, diff)
		}
	}
	for name, value := range map[string]string{"color": "red", "admin_state_up": "maybe", "mac_address": "x", "fixed_ips": "10.0.0.1", "revision_number": "x"} {
		_, err := b.Ports(b.ctx, red, store.Query{Filter: map[string][]string{name: {value}}})
		wantInvalid(t, err, name)
	}
}

func TestObjectsOfAnotherTenantAreNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	s := b.subnet(red, n, "10.0.0.0/24")
	p := b.port(red, newPort(n))
	g := b.segment(red, "02:00:05:00:00:00/24", nil)
	group := must(b.SecurityGroups(b.ctx, red, store.Query{}))(t)[0]
	before := b.rowCounts()

	_, err := b.Network(b.ctx, blue, n.ID)
	wantNotFound(t, err, store.KindNetwork)
	_, err = b.UpdateNetwork(b.ctx, blue, n.ID, func(*intent.Network) error { return nil })
	wantNotFound(t, err, store.KindNetwork)
	wantNotFound(t, b.DeleteNetwork(b.ctx, blue, n.ID), store.KindNetwork)
	_, err = b.Subnet(b.ctx, blue, s.ID)
	wantNotFound(t, err, store.KindSubnet)
	_, err = b.UpdateSubnet(b.ctx, blue, s.ID, func(*intent.Subnet) error { return nil })
	wantNotFound(t, err, store.KindSubnet)
	wantNotFound(t, b.DeleteSubnet(b.ctx, blue, s.ID), store.KindSubnet)
	_, err = b.CreateSubnets(b.ctx, blue, []store.NewSubnet{{Subnet: intent.Subnet{NetworkID: n.ID, CIDR: netip.MustParsePrefix("10.1.0.0/24")}}})
	wantNotFound(t, err, store.KindNetwork)
	_, err = b.Port(b.ctx, blue, p.ID)
	wantNotFound(t, err, store.KindPort)
	_, err = b.UpdatePort(b.ctx, blue, p.ID, func(*intent.Port) error { return nil })
	wantNotFound(t, err, store.KindPort)
	_, err = b.Segment(b.ctx, blue, g.ID)
	wantNotFound(t, err, store.KindSegment)
	_, err = b.UpdateSegment(b.ctx, blue, g.ID, func(*intent.Segment) error { return nil })
	wantNotFound(t, err, store.KindSegment)
	wantNotFound(t, b.DeleteSegment(b.ctx, blue, g.ID), store.KindSegment)
	_, err = b.SecurityGroup(b.ctx, blue, group.ID)
	wantNotFound(t, err, store.KindSecurityGroup)
	wantNotFound(t, b.DeleteSecurityGroup(b.ctx, blue, group.ID), store.KindSecurityGroup)
	_, err = b.CreateRules(b.ctx, blue, []intent.Rule{{GroupID: group.ID, Direction: intent.Egress, EtherType: intent.IPv4}})
	wantNotFound(t, err, store.KindSecurityGroup)
	_, err = b.Rule(b.ctx, blue, group.Rules[0].ID)
	wantNotFound(t, err, store.KindRule)
	wantNotFound(t, b.DeleteRule(b.ctx, blue, group.Rules[0].ID), store.KindRule)
	_, err = b.Tenant(b.ctx, blue, "red")
	wantNotFound(t, err, store.KindTenant)

	if diff := cmp.Diff(before, b.rowCounts()); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	if list := must(b.Networks(b.ctx, blue, store.Query{}))(t); len(list) != 0 {
		t.Errorf("another tenant lists %v", list)
	}
}
