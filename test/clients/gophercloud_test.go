package clients

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/addressscopes"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/provider"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/qos/policies"
	qosrules "github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/qos/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/rbacpolicies"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/addressgroups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/subnetpools"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/trunks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/gophercloud/gophercloud/v2/pagination"

	"github.com/macloom/macloom/test/lab"
)

// typed is gophercloud's client of a controller.
func typed(ctl *lab.Controller, token string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: token, HTTPClient: *ctl.API()},
		Endpoint:       ctl.URL + "/", ResourceBase: ctl.URL + "/v2.0/", Type: "network",
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func refused(t *testing.T, what string, err error, code int) {
	t.Helper()
	if !gophercloud.ResponseCodeIs(err, code) {
		t.Errorf("%s: %v, want %d", what, err, code)
	}
}

func TestGophercloudDrivesNetworksSubnetsAndPorts(t *testing.T) {
	t.Parallel()
	_, ctl := controller(t)
	c, ctx := typed(ctl, adminToken), t.Context()
	up, down := true, false

	net := must(networks.Create(ctx, c, networks.CreateOpts{Name: "n", Description: "d", AdminStateUp: &up, Shared: &down}).Extract())(t)
	if net.Name != "n" || net.Status != "ACTIVE" || net.TenantID != "admin" || net.ProjectID != "admin" || net.CreatedAt.IsZero() || len(net.Tags) != 0 {
		t.Errorf("network %+v", net)
	}
	for _, name := range []string{"b", "a", "c", "d"} {
		must(networks.Create(ctx, c, networks.CreateOpts{Name: name}).Extract())(t)
	}
	var walked []string
	err := networks.List(c, networks.ListOpts{Limit: 2, SortKey: "name", SortDir: "desc"}).EachPage(ctx, func(_ context.Context, p pagination.Page) (bool, error) {
		list, err := networks.ExtractNetworks(p)
		for _, n := range list {
			walked = append(walked, n.Name)
		}
		return true, err
	})
	if err != nil || !slices.Equal(walked, []string{"n", "d", "c", "b", "a"}) {
		t.Errorf("walked %v, %v", walked, err)
	}
	revision, name := net.RevisionNumber, "renamed"
	updated := must(networks.Update(ctx, c, net.ID, networks.UpdateOpts{Name: &name, RevisionNumber: &revision}).Extract())(t)
	if updated.Name != name || updated.RevisionNumber <= revision {
		t.Errorf("updated %+v", updated)
	}
	_, err = networks.Update(ctx, c, net.ID, networks.UpdateOpts{Name: &name, RevisionNumber: &revision}).Extract()
	refused(t, "a stale revision", err, http.StatusPreconditionFailed)
	var shown struct {
		networks.Network
		provider.NetworkProviderExt
	}
	if err := networks.Get(ctx, c, net.ID).ExtractInto(&shown); err != nil || shown.NetworkType != "vxlan" || shown.SegmentationID == "" {
		t.Errorf("provider attributes %+v, %v", shown.NetworkProviderExt, err)
	}

	gateway := "10.0.0.9"
	sub := must(subnets.Create(ctx, c, subnets.CreateOpts{
		NetworkID: net.ID, CIDR: "10.0.0.0/24", IPVersion: gophercloud.IPv4, Name: "s", GatewayIP: &gateway, EnableDHCP: &up,
		AllocationPools: []subnets.AllocationPool{{Start: "10.0.0.10", End: "10.0.0.20"}, {Start: "10.0.0.30", End: "10.0.0.40"}},
		DNSNameservers:  []string{"10.0.0.2"}, HostRoutes: []subnets.HostRoute{{DestinationCIDR: "10.9.0.0/16", NextHop: "10.0.0.3"}},
	}).Extract())(t)
	if sub.GatewayIP != gateway || len(sub.AllocationPools) != 2 || len(sub.HostRoutes) != 1 || !sub.EnableDHCP {
		t.Errorf("subnet %+v", sub)
	}
	none := ""
	sub = must(subnets.Update(ctx, c, sub.ID, subnets.UpdateOpts{GatewayIP: &none, DNSNameservers: &[]string{}, HostRoutes: &[]subnets.HostRoute{}}).Extract())(t)
	if sub.GatewayIP != "" || len(sub.DNSNameservers) != 0 || len(sub.HostRoutes) != 0 {
		t.Errorf("subnet %+v", sub)
	}
	_, err = subnets.Create(ctx, c, subnets.CreateOpts{NetworkID: net.ID, CIDR: "10.0.0.128/25", IPVersion: gophercloud.IPv4}).Extract()
	refused(t, "an overlap", err, http.StatusBadRequest)

	port := must(ports.Create(ctx, c, ports.CreateOpts{
		NetworkID: net.ID, Name: "p", FixedIPs: []ports.IP{{SubnetID: sub.ID, IPAddress: "10.0.0.33"}}, DeviceID: "vm", DeviceOwner: "compute:nova",
		AllowedAddressPairs: []ports.AddressPair{{IPAddress: "10.0.0.0/28"}},
	}).Extract())(t)
	if port.FixedIPs[0].IPAddress != "10.0.0.33" || port.MACAddress == "" || len(port.SecurityGroups) != 1 || len(port.AllowedAddressPairs) != 1 {
		t.Errorf("port %+v", port)
	}
	port = must(ports.Update(ctx, c, port.ID, ports.UpdateOpts{
		SecurityGroups: &[]string{}, AllowedAddressPairs: &[]ports.AddressPair{}, FixedIPs: []ports.IP{{SubnetID: sub.ID, IPAddress: "10.0.0.34"}},
	}).Extract())(t)
	if len(port.SecurityGroups) != 0 || len(port.AllowedAddressPairs) != 0 || port.FixedIPs[0].IPAddress != "10.0.0.34" {
		t.Errorf("port %+v", port)
	}
	found := must(ports.ExtractPorts(must(ports.List(c, ports.ListOpts{FixedIPs: []ports.FixedIPOpts{{IPAddress: "10.0.0.34"}}, DeviceID: "vm"}).AllPages(ctx))(t)))(t)
	if len(found) != 1 || found[0].ID != port.ID {
		t.Errorf("found %v", found)
	}
	must(attributestags.ReplaceAll(ctx, c, "ports", port.ID, attributestags.ReplaceAllOpts{Tags: []string{"x", "y"}}).Extract())(t)
	if err := attributestags.Add(ctx, c, "ports", port.ID, "z").ExtractErr(); err != nil {
		t.Error(err)
	}
	if err := attributestags.Delete(ctx, c, "ports", port.ID, "x").ExtractErr(); err != nil {
		t.Error(err)
	}
	if tags := must(attributestags.List(ctx, c, "ports", port.ID).Extract())(t); !slices.Equal(tags, []string{"y", "z"}) {
		t.Errorf("tags %v", tags)
	}
	has := must(attributestags.Confirm(ctx, c, "ports", port.ID, "y").Extract())(t)
	if !has {
		t.Error("a tag is not confirmed")
	}

	trunk := must(trunks.Create(ctx, c, trunks.CreateOpts{PortID: port.ID, Name: "t"}).Extract())(t)
	child := must(ports.Create(ctx, c, ports.CreateOpts{NetworkID: net.ID}).Extract())(t)
	trunk = must(trunks.AddSubports(ctx, c, trunk.ID, trunks.AddSubportsOpts{Subports: []trunks.Subport{{PortID: child.ID, SegmentationType: "vlan", SegmentationID: 7}}}).Extract())(t)
	if len(trunk.Subports) != 1 || trunk.Subports[0].SegmentationID != 7 {
		t.Errorf("trunk %+v", trunk)
	}
	refused(t, "a port in a trunk", ports.Delete(ctx, c, child.ID).ExtractErr(), http.StatusConflict)
	must(trunks.RemoveSubports(ctx, c, trunk.ID, trunks.RemoveSubportsOpts{Subports: []trunks.RemoveSubport{{PortID: child.ID}}}).Extract())(t)
	for _, err := range []error{
		trunks.Delete(ctx, c, trunk.ID).ExtractErr(), ports.Delete(ctx, c, child.ID).ExtractErr(),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	refused(t, "a network in use", networks.Delete(ctx, c, net.ID).ExtractErr(), http.StatusConflict)
	if err := ports.Delete(ctx, c, port.ID).ExtractErr(); err != nil {
		t.Error(err)
	}
	if err := networks.Delete(ctx, c, net.ID).ExtractErr(); err != nil {
		t.Error(err)
	}
	_, err = subnets.Get(ctx, c, sub.ID).Extract()
	refused(t, "a subnet that went with its network", err, http.StatusNotFound)
}

func TestGophercloudDrivesPolicies(t *testing.T) {
	t.Parallel()
	_, ctl := controller(t)
	c, ctx := typed(ctl, adminToken), t.Context()
	member := typed(ctl, memberToken)

	group := must(groups.Create(ctx, c, groups.CreateOpts{Name: "web"}).Extract())(t)
	if len(group.Rules) != 2 || !group.Stateful {
		t.Errorf("group %+v", group)
	}
	offices := must(addressgroups.Create(ctx, c, addressgroups.CreateOpts{Name: "offices", Addresses: []string{"198.51.100.0/24"}}).Extract())(t)
	must(addressgroups.AddAddresses(ctx, c, offices.ID, addressgroups.UpdateAddressesOpts{Addresses: []string{"203.0.113.0/24"}}).Extract())(t)
	offices = must(addressgroups.RemoveAddresses(ctx, c, offices.ID, addressgroups.UpdateAddressesOpts{Addresses: []string{"198.51.100.0/24"}}).Extract())(t)
	if !slices.Equal(offices.Addresses, []string{"203.0.113.0/24"}) {
		t.Errorf("addresses %v", offices.Addresses)
	}
	rule := must(rules.Create(ctx, c, rules.CreateOpts{
		SecGroupID: group.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP, PortRangeMin: 22, PortRangeMax: 22,
		RemoteAddressGroupID: offices.ID,
	}).Extract())(t)
	if rule.RemoteAddressGroupID != offices.ID {
		t.Errorf("rule %+v", rule)
	}
	_, err := rules.Create(ctx, c, rules.CreateOpts{
		SecGroupID: group.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP, PortRangeMin: 22, PortRangeMax: 22,
		RemoteAddressGroupID: offices.ID,
	}).Extract()
	refused(t, "the same rule", err, http.StatusConflict)
	refused(t, "an address group in use", addressgroups.Delete(ctx, c, offices.ID).ExtractErr(), http.StatusConflict)

	policy := must(policies.Create(ctx, c, policies.CreateOpts{Name: "gold"}).Extract())(t)
	limit := must(qosrules.CreateBandwidthLimitRule(ctx, c, policy.ID, qosrules.CreateBandwidthLimitRuleOpts{MaxKBps: 1000, Direction: "egress"}).ExtractBandwidthLimitRule())(t)
	if limit.MaxKBps != 1000 {
		t.Errorf("limit %+v", limit)
	}
	_, err = qosrules.CreateBandwidthLimitRule(ctx, c, policy.ID, qosrules.CreateBandwidthLimitRuleOpts{MaxKBps: 1, Direction: "egress"}).ExtractBandwidthLimitRule()
	refused(t, "a second limit", err, http.StatusConflict)
	must(qosrules.CreateDSCPMarkingRule(ctx, c, policy.ID, qosrules.CreateDSCPMarkingRuleOpts{DSCPMark: 26}).ExtractDSCPMarkingRule())(t)
	must(qosrules.CreateMinimumBandwidthRule(ctx, c, policy.ID, qosrules.CreateMinimumBandwidthRuleOpts{MinKBps: 10, Direction: "egress"}).ExtractMinimumBandwidthRule())(t)

	net := must(networks.Create(ctx, c, networks.CreateOpts{Name: "n"}).Extract())(t)
	_, err = networks.Get(ctx, member, net.ID).Extract()
	refused(t, "another's network", err, http.StatusNotFound)
	share := must(rbacpolicies.Create(ctx, c, rbacpolicies.CreateOpts{Action: rbacpolicies.ActionAccessShared, ObjectType: "network", TargetTenant: "member", ObjectID: net.ID}).Extract())(t)
	if seen := must(networks.Get(ctx, member, net.ID).Extract())(t); !seen.Shared {
		t.Errorf("a shared network says that it is not: %+v", seen)
	}
	port := must(ports.Create(ctx, member, ports.CreateOpts{NetworkID: net.ID}).Extract())(t)
	refused(t, "a share in use", rbacpolicies.Delete(ctx, c, share.ID).ExtractErr(), http.StatusConflict)
	refused(t, "deleting a network that is shared to us", networks.Delete(ctx, member, net.ID).ExtractErr(), http.StatusForbidden)
	if err := ports.Delete(ctx, member, port.ID).ExtractErr(); err != nil {
		t.Error(err)
	}
	if err := rbacpolicies.Delete(ctx, c, share.ID).ExtractErr(); err != nil {
		t.Error(err)
	}

	scope := must(addressscopes.Create(ctx, c, addressscopes.CreateOpts{Name: "inside", IPVersion: 4}).Extract())(t)
	pool := must(subnetpools.Create(ctx, c, subnetpools.CreateOpts{Name: "ten", Prefixes: []string{"10.64.0.0/16"}, DefaultPrefixLen: 26, AddressScopeID: scope.ID}).Extract())(t)
	if pool.DefaultPrefixLen != 26 || pool.MinPrefixLen != 8 || pool.MaxPrefixLen != 32 {
		t.Errorf("pool %+v", pool)
	}
	sub := must(subnets.Create(ctx, c, subnets.CreateOpts{NetworkID: net.ID, IPVersion: gophercloud.IPv4, SubnetPoolID: pool.ID, Prefixlen: 28}).Extract())(t)
	if sub.CIDR != "10.64.0.0/28" {
		t.Errorf("subnet %+v", sub)
	}

	seven := 7
	if q := must(quotas.Update(ctx, c, "member", quotas.UpdateOpts{Network: &seven}).Extract())(t); q.Network != 7 {
		t.Errorf("quota %+v", q)
	}
	detail := must(quotas.GetDetail(ctx, c, "member").Extract())(t)
	if detail.Network.Limit != 7 || detail.Network.Used != 0 {
		t.Errorf("quota %+v", detail)
	}
	_, err = quotas.Update(ctx, member, "member", quotas.UpdateOpts{Network: &seven}).Extract()
	refused(t, "a quota set by a member", err, http.StatusForbidden)
}
