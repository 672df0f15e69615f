package store_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func ptr[T any](v T) *T { return &v }

var madeByStore = cmp.Options{
	cmpopts.IgnoreFields(intent.Meta{}, "ID", "CreatedAt", "UpdatedAt"),
	cmpopts.IgnoreFields(intent.Rule{}, "Num"), cmpopts.IgnoreFields(intent.SecurityGroup{}, "Num"),
}

func TestEveryTenantHasADefaultGroupFromFirstNeed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := one(b.SecurityGroups(b.ctx, red, store.Query{}))(t)
	meta := intent.Meta{TenantID: "red", Revision: 1}
	want := intent.SecurityGroup{
		Meta: intent.Meta{TenantID: "red", Name: "default", Description: "Default security group", Revision: 1},
		Rules: []intent.Rule{
			{Meta: meta, GroupID: got.ID, Direction: intent.Egress, EtherType: intent.IPv4},
			{Meta: meta, GroupID: got.ID, Direction: intent.Egress, EtherType: intent.IPv6},
			{Meta: meta, GroupID: got.ID, Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: got.ID},
			{Meta: meta, GroupID: got.ID, Direction: intent.Ingress, EtherType: intent.IPv6, RemoteGroupID: got.ID},
		},
	}
	if diff := cmp.Diff(want, got, madeByStore, equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	again := one(b.SecurityGroups(b.ctx, red, store.Query{}))(t)
	if diff := cmp.Diff(got, again, equateAddrs); diff != "" {
		t.Errorf("the second list differs:\n%s", diff)
	}
	for _, r := range got.Rules {
		if r.Num == 0 {
			t.Error("a rule has number 0")
		}
	}

	_, err := b.UpdateSecurityGroup(b.ctx, red, got.ID, func(g *intent.SecurityGroup) error { g.Name = "x"; return nil })
	wantConflict(t, err, "SecurityGroupCannotUpdateDefault")
	must(b.UpdateSecurityGroup(b.ctx, red, got.ID, func(g *intent.SecurityGroup) error { g.Description = "mine"; return nil }))(t)
	wantConflict(t, b.DeleteSecurityGroup(b.ctx, red, got.ID), "SecurityGroupCannotRemoveDefault")
	_, err = b.CreateSecurityGroups(b.ctx, red, []intent.SecurityGroup{{Meta: intent.Meta{Name: "default"}}})
	wantConflict(t, err, "SecurityGroupDefaultAlreadyExists")
	if err := b.DeleteSecurityGroup(b.ctx, admin, got.ID); err != nil {
		t.Errorf("an admin deletes an unused default group: %v", err)
	}
}

func TestNewGroupAllowsEgressAndTakesRules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := one(b.CreateSecurityGroups(b.ctx, red, []intent.SecurityGroup{{Meta: intent.Meta{Name: "web"}}}))(t)
	in := []intent.Rule{
		{GroupID: g.ID, Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: ptr(uint8(6)), ProtocolName: "tcp", PortMin: ptr(uint16(80)), PortMax: ptr(uint16(443)),
			RemotePrefix: netip.MustParsePrefix("192.0.2.77/24"), Meta: intent.Meta{Description: "web"}},
		{GroupID: g.ID, Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: ptr(uint8(1)), ProtocolName: "icmp", PortMin: ptr(uint16(8))},
		{GroupID: g.ID, Direction: intent.Ingress, EtherType: intent.IPv6, RemoteGroupID: g.ID},
	}
	made := must(b.CreateRules(b.ctx, red, in))(t)
	got := must(b.SecurityGroup(b.ctx, red, g.ID))(t)
	want := g
	want.Revision = 2
	want.Rules = append(want.Rules, in...)
	for i := 2; i < 5; i++ {
		want.Rules[i].TenantID, want.Rules[i].Revision = "red", 1
	}
	if diff := cmp.Diff(want, got, madeByStore, equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(made, got.Rules[2:], equateAddrs); diff != "" {
		t.Errorf("(-created +read)\n%s", diff)
	}

	renamed := must(b.UpdateRule(b.ctx, red, made[0].ID, func(r *intent.Rule) error { r.Description, r.Direction = "new", intent.Egress; return nil }))(t)
	if renamed.Description != "new" || renamed.Direction != intent.Ingress || renamed.Revision != 2 {
		t.Errorf("got %+v", renamed)
	}
	if err := b.DeleteRule(b.ctx, red, made[1].ID); err != nil {
		t.Fatal(err)
	}
	wantNotFound(t, b.DeleteRule(b.ctx, red, made[1].ID), store.KindRule)
	if got := must(b.SecurityGroup(b.ctx, red, g.ID))(t); got.Revision != 4 || len(got.Rules) != 4 {
		t.Errorf("revision %d with %d rules, want 4 and 4", got.Revision, len(got.Rules))
	}
	for filter, want := range map[string]int{"direction=ingress": 2, "protocol=tcp": 1, "remote_ip_prefix=192.0.2.77/24": 1, "normalized_cidr=192.0.2.0/24": 1,
		"remote_group_id=" + g.ID: 1, "port_range_min=80": 1, "ethertype=IPv6": 2, "remote_group_id=": 3} {
		name, value, _ := strings.Cut(filter, "=")
		list := must(b.Rules(b.ctx, red, store.Query{Filter: map[string][]string{name: {value}, "security_group_id": {g.ID}}}))(t)
		if len(list) != want {
			t.Errorf("filter %s finds %d, want %d", filter, len(list), want)
		}
	}
}

func TestRulesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := one(b.CreateSecurityGroups(b.ctx, red, []intent.SecurityGroup{{Meta: intent.Meta{Name: "web"}}}))(t)
	foreign := must(b.SecurityGroups(b.ctx, blue, store.Query{}))(t)[0]
	valid := intent.Rule{GroupID: g.ID, Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: ptr(uint8(6)), PortMin: ptr(uint16(80)), PortMax: ptr(uint16(80)),
		RemotePrefix: netip.MustParsePrefix("192.0.2.0/24")}
	must(b.CreateRules(b.ctx, red, []intent.Rule{valid}))(t)
	b.unchanged(func() {
		for _, c := range []struct {
			change func(*intent.Rule)
			check  func(error)
		}{
			{func(r *intent.Rule) {}, func(err error) { wantConflict(t, err, "SecurityGroupRuleExists") }},
			{func(r *intent.Rule) {
				r.Description, r.RemotePrefix = "other words", netip.MustParsePrefix("192.0.2.9/24")
			}, func(err error) { wantConflict(t, err, "SecurityGroupRuleExists") }},
			{func(r *intent.Rule) { r.Direction = "up" }, func(err error) { wantInvalid(t, err, "direction") }},
			{func(r *intent.Rule) { r.EtherType = "ARP" }, func(err error) { wantInvalid(t, err, "ethertype") }},
			{func(r *intent.Rule) { r.PortMin = ptr(uint16(90)) }, func(err error) { wantInvalid(t, err, "port_range_min", "port_range_max") }},
			{func(r *intent.Rule) { r.PortMax = nil }, func(err error) { wantInvalid(t, err, "port_range_min") }},
			{func(r *intent.Rule) { r.Protocol = nil }, func(err error) { wantInvalid(t, err, "protocol") }},
			{func(r *intent.Rule) { r.Protocol, r.PortMin, r.PortMax = ptr(uint8(1)), ptr(uint16(300)), nil }, func(err error) { wantInvalid(t, err, "port_range_min") }},
			{func(r *intent.Rule) { r.Protocol, r.PortMin, r.PortMax = ptr(uint8(1)), nil, ptr(uint16(0)) }, func(err error) { wantInvalid(t, err, "port_range_min") }},
			{func(r *intent.Rule) { r.RemotePrefix = netip.MustParsePrefix("2001:db8::/64") }, func(err error) { wantInvalid(t, err, "remote_ip_prefix") }},
			{func(r *intent.Rule) { r.RemoteGroupID = g.ID }, func(err error) { wantInvalid(t, err, "remote_ip_prefix", "remote_group_id") }},
			{func(r *intent.Rule) { r.RemotePrefix, r.RemoteGroupID = netip.Prefix{}, foreign.ID }, func(err error) { wantNotFound(t, err, store.KindSecurityGroup) }},
			{func(r *intent.Rule) { r.GroupID = foreign.ID }, func(err error) { wantNotFound(t, err, store.KindSecurityGroup) }},
			{func(r *intent.Rule) { r.GroupID = "web" }, func(err error) { wantNotFound(t, err, store.KindSecurityGroup) }},
		} {
			r := valid
			c.change(&r)
			_, err := b.CreateRules(b.ctx, red, []intent.Rule{{GroupID: g.ID, Direction: intent.Egress, EtherType: intent.IPv4, Protocol: ptr(uint8(17))}, r})
			c.check(err)
		}
	})
	// A rule without a prefix is another one than any.
	valid.RemotePrefix = netip.Prefix{}
	must(b.CreateRules(b.ctx, red, []intent.Rule{valid}))(t)
}

func TestGroupInUseStaysAndADeletedOneLeavesNoRulesBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	list := must(b.CreateSecurityGroups(b.ctx, red, []intent.SecurityGroup{{Meta: intent.Meta{Name: "a"}}, {Meta: intent.Meta{Name: "b"}}}))(t)
	used, remote := list[0], list[1]
	must(b.CreateRules(b.ctx, red, []intent.Rule{{GroupID: used.ID, Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: remote.ID}}))(t)
	p := newPort(n)
	p.DefaultGroup, p.SecurityGroups = false, []string{used.ID, used.ID}
	got := b.port(red, p)
	if diff := cmp.Diff([]string{used.ID}, got.SecurityGroups); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b.unchanged(func() { wantInUse(t, b.DeleteSecurityGroup(b.ctx, red, used.ID), store.KindSecurityGroup, "1 port") })
	if err := b.DeleteSecurityGroup(b.ctx, red, remote.ID); err != nil {
		t.Fatal(err)
	}
	if g := must(b.SecurityGroup(b.ctx, red, used.ID))(t); len(g.Rules) != 2 || g.Revision != 3 {
		t.Errorf("the group that named it has %d rules at revision %d, want 2 and 3", len(g.Rules), g.Revision)
	}
}
