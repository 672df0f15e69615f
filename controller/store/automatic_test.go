package store_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func (b *bundle) slaac(network intent.Network, cidr string) intent.Subnet {
	b.t.Helper()
	prefix := netip.MustParsePrefix(cidr)
	return one(b.CreateSubnets(b.ctx, red, []store.NewSubnet{{Subnet: intent.Subnet{
		NetworkID: network.ID, CIDR: prefix, Gateway: intent.DefaultGateway(prefix), EnableDHCP: true, RAMode: intent.SLAAC, AddressMode: intent.SLAAC,
	}}}))(b.t)
}

// ips are the addresses of a port, in order.
func ips(p intent.Port) (texts []string) {
	for _, ip := range p.FixedIPs {
		texts = append(texts, ip.Addr.String())
	}
	return texts
}

func TestPortsFormTheirAddressesWhereStationsDo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/24")
	s := b.slaac(n, "2001:db8::/64")
	const address = "02:ff:00:00:00:07"

	p := b.port(red, portWithMAC(n, address))
	want := []string{"10.0.0.2", "2001:db8::ff:ff:fe00:7"}
	if diff := cmp.Diff(want, ips(p)); diff != "" {
		t.Errorf("addresses of a port with a MAC (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(p, must(b.Port(b.ctx, red, p.ID))(t), equateAddrs); diff != "" {
		t.Errorf("(-created +read)\n%s", diff)
	}
	chosen := b.port(red, newPort(n))
	if own, _ := chosen.MAC.SLAAC(s.CIDR); own.String() != ips(chosen)[1] {
		t.Errorf("port %v has %v, want the address that its MAC forms", chosen.MAC, ips(chosen))
	}
	none := newPort(n)
	none.AutoIPs = false
	if got := b.port(red, none); len(got.FixedIPs) != 1 || !got.FixedIPs[0].Addr.Is6() {
		t.Errorf("a port that asks for no address has %v, want what its MAC forms", ips(got))
	}
	router := newPort(n)
	router.DeviceOwner = "network:router_interface"
	if got := ips(b.port(red, router)); len(got) != 1 {
		t.Errorf("a router's port has %v, want only an IPv4 address", got)
	}
	named := newPort(n)
	named.AutoIPs, named.FixedIPs = false, []intent.FixedIP{{SubnetID: s.ID, Addr: netip.MustParseAddr("2001:db8::99")}}
	b.unchanged(func() {
		wantInvalid(t, b.tryPort(red, named), "fixed_ips", "automatic addresses")
	})

	// With another MAC goes another address; what is sent back unchanged stays.
	moved := must(b.UpdatePort(b.ctx, admin, p.ID, func(p *intent.Port) error { p.MAC = mac.MustParse("02:ff:00:00:00:08"); return nil }))(t)
	if diff := cmp.Diff([]string{"10.0.0.2", "2001:db8::ff:ff:fe00:8"}, ips(moved)); diff != "" {
		t.Errorf("addresses after another MAC (-want +got)\n%s", diff)
	}
	cut := must(b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error { p.FixedIPs = p.FixedIPs[:1]; return nil }))(t)
	if diff := cmp.Diff(ips(moved), ips(cut)); diff != "" {
		t.Errorf("a formed address cannot be taken away (-want +got)\n%s", diff)
	}
	if err := b.DeletePort(b.ctx, red, p.ID); err != nil {
		t.Fatal(err)
	}
	again := b.port(red, portWithMAC(n, "02:ff:00:00:00:08"))
	if ips(again)[1] != "2001:db8::ff:ff:fe00:8" {
		t.Errorf("after the first port is gone the address is %v", ips(again))
	}
}

func TestSubnetsWhereStationsFormAddressesComeAndGoUnderPorts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	p := b.port(red, portWithMAC(n, "02:ff:00:00:00:07"))
	s := b.slaac(n, "2001:db8::/64")
	got := must(b.Port(b.ctx, red, p.ID))(t)
	if diff := cmp.Diff([]string{"2001:db8::ff:ff:fe00:7"}, ips(got)); diff != "" || got.Revision != 2 {
		t.Errorf("revision %d, addresses (-want +got)\n%s", got.Revision, diff)
	}
	if err := b.DeleteSubnet(b.ctx, red, s.ID); err != nil {
		t.Fatal(err)
	}
	if got := must(b.Port(b.ctx, red, p.ID))(t); len(got.FixedIPs) != 0 || got.Revision != 3 {
		t.Errorf("revision %d, addresses %v, want 3 and none", got.Revision, ips(got))
	}
	second := b.slaac(n, "2001:db8:1::/64")
	router := newPort(n)
	router.DeviceOwner, router.AutoIPs = "network:router_interface", false
	router.FixedIPs = []intent.FixedIP{{SubnetID: second.ID, Addr: netip.MustParseAddr("2001:db8:1::1")}}
	b.port(red, router)
	b.unchanged(func() { wantInUse(t, b.DeleteSubnet(b.ctx, red, second.ID), store.KindSubnet, "1 port") })
}

func TestSubnetsServeTheDeviceOwnersThatTheyAreFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	typed := func(cidr string, types ...string) {
		must(b.CreateSubnets(b.ctx, red, []store.NewSubnet{{Subnet: intent.Subnet{NetworkID: n.ID, CIDR: netip.MustParsePrefix(cidr), EnableDHCP: true, ServiceTypes: types}}}))(t)
	}
	port := func(owner string) store.NewPort {
		p := newPort(n)
		p.DeviceOwner = owner
		return p
	}
	typed("10.1.0.0/24", "compute:nova", "network:dhcp")
	b.unchanged(func() {
		wantConflict(t, b.tryPort(red, port("")), "IpAddressGenerationFailureNoMatchingSubnet", "No valid service subnet for the given device owner")
	})
	typed("10.2.0.0/24")
	for owner, want := range map[string]string{"compute:nova": "10.1.0.", "": "10.2.0.", "compute:other": "10.2.0."} {
		if got := ips(b.port(red, port(owner))); len(got) != 1 || got[0][:7] != want {
			t.Errorf("a port of %q has %v, want one of %s0/24", owner, got, want)
		}
	}
}

func TestNetworksGoWithThePortsThatServeThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	s := b.subnet(red, n, "10.0.0.0/24")
	dhcp := newPort(n)
	dhcp.DeviceOwner = "network:dhcp"
	served := b.port(red, dhcp)
	if err := b.DeleteSubnet(b.ctx, red, s.ID); err != nil {
		t.Fatal(err)
	}
	user := b.port(red, newPort(n))
	b.unchanged(func() { wantInUse(t, b.DeleteNetwork(b.ctx, red, n.ID), store.KindNetwork, "1 port") })
	must(b.Port(b.ctx, red, served.ID))(t)
	if err := b.DeletePort(b.ctx, red, user.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteNetwork(b.ctx, red, n.ID); err != nil {
		t.Fatal(err)
	}
	_, err := b.Port(b.ctx, red, served.ID)
	wantNotFound(t, err, store.KindPort)
}

func TestNetworksHaveSegmentsOfTheirType(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := func(p intent.Provider) (intent.Network, error) {
		list, err := b.CreateNetworks(b.ctx, admin, []intent.Network{{Meta: intent.Meta{TenantID: "red"}, Provider: p}})
		if err != nil {
			return intent.Network{}, err
		}
		return list[0], nil
	}
	for want, p := range map[intent.Provider]intent.Provider{
		{Type: "vxlan", ID: 70}:                  {Type: "vxlan", ID: 70},
		{Type: "vlan", Physical: "p", ID: 7}:     {Type: "vlan", Physical: "p", ID: 7},
		{Type: "vlan", Physical: "other", ID: 7}: {Type: "vlan", Physical: "other", ID: 7},
		{Type: "flat", Physical: "p"}:            {Type: "flat", Physical: "p"},
		{Type: "geneve", ID: 70}:                 {Type: "geneve", ID: 70},
		{Type: "gre", ID: 2147483647}:            {Type: "gre", ID: 2147483647},
		{Type: "local"}:                          {Type: "local"},
	} {
		n := must(create(p))(t)
		if got := must(b.Network(b.ctx, red, n.ID))(t); got.Provider != want || got.MTU != want.Type.MTU() || (got.VNI > intent.MaxVNI) == (want.Type == "vxlan") {
			t.Errorf("%+v: got %+v, number %d, MTU %d", p, got.Provider, got.VNI, got.MTU)
		}
	}
	if n := must(create(intent.Provider{Type: "vlan", Physical: "p"}))(t); n.Provider.ID == 0 || n.Provider.ID == 7 {
		t.Errorf("VLAN %d was chosen, want a free one", n.Provider.ID)
	}
	b.unchanged(func() {
		for p, kind := range map[intent.Provider]string{
			{Type: "vxlan", ID: 70}:              "TunnelIdInUse",
			{Type: "geneve", ID: 70}:             "TunnelIdInUse",
			{Type: "vlan", Physical: "p", ID: 7}: "VlanIdInUse",
			{Type: "flat", Physical: "p"}:        "FlatNetworkInUse",
		} {
			_, err := create(p)
			wantConflict(t, err, kind)
		}
		for p, attr := range map[intent.Provider]string{
			{Type: "vlan", ID: 7}:                   "provider:physical_network",
			{Type: "flat"}:                          "provider:physical_network",
			{Type: "vxlan", Physical: "p"}:          "provider:physical_network",
			{Type: "flat", Physical: "p", ID: 1}:    "provider:segmentation_id",
			{Type: "local", ID: 1}:                  "provider:segmentation_id",
			{Type: "vlan", Physical: "p", ID: 4095}: "provider:segmentation_id",
			{Type: "vxlan", ID: 1 << 24}:            "provider:segmentation_id",
		} {
			_, err := create(p)
			wantInvalid(t, err, attr)
		}
	})
}
