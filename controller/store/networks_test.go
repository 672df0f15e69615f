package store_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func TestNetworkGetsADistinctVNIUnlessOneIsGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := must(b.CreateNetworks(b.ctx, red, []intent.Network{{}, {}, {VNI: 77}, {MTU: 9000}}))(t)
	seen := map[uint32]bool{}
	for _, n := range list {
		if n.VNI == 0 || n.VNI >= 1<<24 || seen[n.VNI] {
			t.Errorf("VNI %d: out of range or twice", n.VNI)
		}
		seen[n.VNI] = true
	}
	if list[2].VNI != 77 || list[0].MTU != 1450 || list[3].MTU != 9000 {
		t.Errorf("got %+v", list)
	}
	b.unchanged(func() {
		_, err := b.CreateNetworks(b.ctx, red, []intent.Network{{}, {VNI: 77}})
		wantConflict(t, err, "TunnelIdInUse", "provider:segmentation_id", "77")
		_, err = b.CreateNetworks(b.ctx, red, []intent.Network{{VNI: 1 << 24}})
		wantInvalid(t, err, "provider:segmentation_id")
		_, err = b.CreateNetworks(b.ctx, red, []intent.Network{{MTU: 1}})
		wantInvalid(t, err, "mtu")
		_, err = b.CreateNetworks(b.ctx, red, []intent.Network{{Meta: intent.Meta{TenantID: "blue"}}})
		wantInvalid(t, err, "tenant_id")
		_, err = b.CreateNetworks(b.ctx, admin, []intent.Network{{}})
		wantInvalid(t, err, "tenant_id")
		_, err = b.CreateNetworks(b.ctx, red, []intent.Network{{Meta: intent.Meta{Name: "a\x00b"}}})
		wantInvalid(t, err, "")
	})
}

func TestSubnetChangesCountAsChangesOfTheNetwork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	s := b.subnet(red, n, "10.0.0.0/24")
	must(b.UpdateSubnet(b.ctx, red, s.ID, func(s *intent.Subnet) error { s.Name = "x"; return nil }))(t)
	second := b.subnet(red, n, "10.0.1.0/24")
	got := must(b.Network(b.ctx, red, n.ID))(t)
	if diff := cmp.Diff([]string{s.ID, second.ID}, got.Subnets); diff != "" || got.Revision != 4 {
		t.Errorf("revision %d, want 4; subnets (-want +got)\n%s", got.Revision, diff)
	}
	if err := b.DeleteSubnet(b.ctx, red, second.ID); err != nil {
		t.Fatal(err)
	}
	got = must(b.UpdateNetwork(b.ctx, red, n.ID, func(n *intent.Network) error { n.Name, n.MTU, n.VNI = "y", 1400, 5; return nil }))(t)
	if got.Revision != 6 || got.Name != "y" || got.MTU != 1400 || got.VNI != n.VNI {
		t.Errorf("got %+v", got)
	}
}

func TestSubnetGetsPoolsAroundItsGateway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	in := intent.Subnet{
		Meta: intent.Meta{Name: "s", Description: "d"}, NetworkID: n.ID, CIDR: netip.MustParsePrefix("10.0.0.77/24"),
		Gateway: netip.MustParseAddr("10.0.0.9"), EnableDHCP: true, Nameservers: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")},
	}
	got := one(b.CreateSubnets(b.ctx, red, []store.NewSubnet{{Subnet: in}}))(t)
	want := in
	want.Meta, want.CIDR = got.Meta, netip.MustParsePrefix("10.0.0.0/24")
	want.Pools = intent.DefaultPools(want.CIDR, want.Gateway)
	if diff := cmp.Diff(want, got, equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(got, must(b.Subnet(b.ctx, red, got.ID))(t), equateAddrs); diff != "" {
		t.Errorf("(-created +read)\n%s", diff)
	}
	for filter, value := range map[string]string{"cidr": "10.0.0.0/24", "ip_version": "4", "gateway_ip": "10.0.0.9", "enable_dhcp": "True", "network_id": n.ID, "name": "s"} {
		if list := must(b.Subnets(b.ctx, red, store.Query{Filter: map[string][]string{filter: {value}}}))(t); len(list) != 1 {
			t.Errorf("filter %s=%s finds %d", filter, value, len(list))
		}
	}
}

func TestSubnetsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	s := b.subnet(red, n, "10.0.0.0/24")
	b.subnet(red, b.network(red, "other"), "10.0.0.0/24") // another network may have the same
	pool := func(first, last string) intent.Range {
		return intent.Range{First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}
	}
	create := func(cidr, gateway string, pools ...intent.Range) error {
		in := intent.Subnet{NetworkID: n.ID, CIDR: netip.MustParsePrefix(cidr), Pools: pools}
		if gateway != "" {
			in.Gateway = netip.MustParseAddr(gateway)
		}
		_, err := b.CreateSubnets(b.ctx, red, []store.NewSubnet{{Subnet: in}})
		return err
	}
	b.unchanged(func() {
		for _, cidr := range []string{"10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/8", "10.0.0.7/32"} {
			wantInvalid(t, create(cidr, ""), "cidr", "overlaps with another subnet")
		}
		wantInvalid(t, create("10.1.0.0/24", "2001:db8::1"), "gateway_ip")
		wantInvalid(t, create("10.1.0.0/24", "10.1.0.255"), "gateway_ip")
		wantInvalid(t, create("::ffff:10.1.0.0/120", ""), "cidr")
		wantInvalid(t, create("10.1.0.0/24", "", pool("10.1.1.1", "10.1.1.9")), "allocation_pools")
		wantInvalid(t, create("10.1.0.0/24", "", pool("10.1.0.9", "10.1.0.1")), "allocation_pools")
		wantInvalid(t, create("10.1.0.0/24", "", pool("10.1.0.9", "10.1.0.255")), "allocation_pools")
		wantInvalid(t, create("10.1.0.0/24", "", pool("2001:db8::1", "2001:db8::2")), "allocation_pools")
		wantConflict(t, create("10.1.0.0/24", "10.1.0.5", pool("10.1.0.1", "10.1.0.9")), "GatewayConflictWithAllocationPools", "gateway_ip")
		wantConflict(t, create("10.1.0.0/24", "", pool("10.1.0.1", "10.1.0.9"), pool("10.1.0.9", "10.1.0.11")), "OverlappingAllocationPools", "allocation_pools")
		_, err := b.CreateSubnets(b.ctx, red, []store.NewSubnet{{Subnet: intent.Subnet{NetworkID: n.ID}}})
		wantInvalid(t, err, "cidr")

	})
	p := b.port(red, newPort(n))
	b.unchanged(func() {
		_, err := b.UpdateSubnet(b.ctx, red, s.ID, func(s *intent.Subnet) error {
			s.Gateway, s.Pools = p.FixedIPs[0].Addr, nil
			return nil
		})
		wantConflict(t, err, "GatewayIpInUse", p.ID)
		wantInUse(t, b.DeleteSubnet(b.ctx, red, s.ID), store.KindSubnet, "1 port")
		wantInUse(t, b.DeleteNetwork(b.ctx, red, n.ID), store.KindNetwork, "1 port")
	})
}

func TestDeletedNetworkTakesItsSubnetsAlong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	s := b.subnet(red, n, "10.0.0.0/24")
	g := b.segment(red, "02:00:05:00:00:00/24", func(g *intent.Segment) { g.NetworkID = n.ID })
	wantInUse(t, b.DeleteNetwork(b.ctx, red, n.ID), store.KindNetwork, "1 MAC segment")
	if err := b.DeleteSegment(b.ctx, red, g.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteNetwork(b.ctx, red, n.ID); err != nil {
		t.Fatal(err)
	}
	_, err := b.Subnet(b.ctx, red, s.ID)
	wantNotFound(t, err, store.KindSubnet)
	wantNotFound(t, b.DeleteNetwork(b.ctx, red, n.ID), store.KindNetwork)
}

func TestTenantsAppearOnFirstUseAndGoWhenEmpty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	must(b.SecurityGroups(b.ctx, red, store.Query{}))(t)
	got := must(b.Tenant(b.ctx, red, "red"))(t)
	if got.ID != "red" || got.TenantID != "red" {
		t.Errorf("got %+v", got)
	}
	named := must(b.UpdateTenant(b.ctx, admin, "red", func(t *intent.Tenant) error { t.Name = "Red"; return nil }))(t)
	if named.Name != "Red" || named.Revision != 2 {
		t.Errorf("got %+v", named)
	}
	made := one(b.CreateTenants(b.ctx, admin, []intent.Tenant{{Meta: intent.Meta{Name: "new"}}}))(t)
	if len(made.ID) != 32 {
		t.Errorf("id %q", made.ID)
	}
	_, err := b.CreateTenants(b.ctx, admin, []intent.Tenant{{Meta: intent.Meta{ID: "red"}}})
	wantConflict(t, err, "TenantExists", "red")
	wantInUse(t, b.DeleteTenant(b.ctx, admin, "red"), store.KindTenant, "networks")
	if err := b.DeleteNetwork(b.ctx, red, n.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteTenant(b.ctx, admin, "red"); err != nil {
		t.Fatal(err)
	}
	wantNotFound(t, b.DeleteTenant(b.ctx, admin, "red"), store.KindTenant)
}
