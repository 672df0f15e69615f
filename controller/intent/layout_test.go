package intent

import (
	"testing"

	"github.com/macloom/macloom/controller/mac"
)

func TestSwitchesShareWhatIsCompiledOfAGroupUntilItChanges(t *testing.T) {
	t.Parallel()
	s := NewState()
	s.PutNetwork(network("blue", 77), nil)
	group := func(rules ...Rule) { s.PutGroup(SecurityGroup{Meta: Meta{ID: "web"}, Num: 1, Rules: rules}, nil) }
	rule := Rule{Num: 5, GroupID: "web", Direction: Ingress, EtherType: IPv4, RemoteGroupID: "web"}
	plug := func(num uint32, d DPID) {
		p := port(num, "blue", Binding{Host: d.String(), PortNo: num})
		p.SecurityGroups = []string{"web"}
		s.PutPort(p, nil)
	}
	group(rule)
	for num := range uint32(3) {
		plug(1+num, DPID(1+num))
	}
	sets, scopes := 0, 0
	compile := func() {
		for d := range DPID(3) {
			v := s.View(1+d, switchPorts(6), UnmanagedDrop)
			v.Sets[0].Compiled(42, func() any { sets++; return nil })
			v.Scopes[0].Compiled(41, func() any { scopes++; return nil })
		}
	}
	for _, c := range []struct {
		what         string
		change       func()
		sets, scopes int // compiled anew
	}{
		{"at first", func() {}, 1, 1},
		{"nothing", func() {}, 0, 0},
		{"a rule more", func() { group(rule, Rule{Num: 6, GroupID: "web", Direction: Egress, EtherType: IPv4}) }, 1, 0},
		{"a member more", func() { plug(4, 1) }, 1, 1},
		{"a name", func() { s.PutNetwork(network("blue", 77), nil) }, 0, 0},
	} {
		sets, scopes = 0, 0
		c.change()
		if compile(); sets != c.sets || scopes != c.scopes {
			t.Errorf("%s: %d sets and %d scopes compiled for three switches, want %d and %d", c.what, sets, scopes, c.sets, c.scopes)
		}
	}
}

func TestAChangeOfRulesOrMembersElsewhereLeavesTheLayout(t *testing.T) {
	t.Parallel()
	s := NewState()
	s.PutNetwork(network("blue", 77), nil)
	rule := Rule{Num: 5, GroupID: "web", Direction: Ingress, EtherType: IPv4, RemoteGroupID: "web"}
	s.PutGroup(SecurityGroup{Meta: Meta{ID: "web"}, Num: 1, Rules: []Rule{rule}}, nil)
	plug := func(num uint32, d DPID, up bool) {
		p := port(num, "blue", Binding{Host: d.String(), PortNo: num})
		p.SecurityGroups, p.AdminUp = []string{"web"}, up
		s.PutPort(p, nil)
	}
	// Whoever is at switch 2 is where his address says.
	s.PutHostSegment(HostSegment{ID: "two", Num: 1, Block: mac.MustParseSegment("02:00:00:00:00:00/40"), Host: 2}, nil)
	plug(1, 1, true)
	plug(2, 2, true)
	ports := switchPorts(6)
	for _, c := range []struct {
		what   string
		change func()
		same   bool
	}{
		{"a rule more", func() {
			s.PutGroup(SecurityGroup{Meta: Meta{ID: "web"}, Num: 1, Rules: []Rule{rule, {Num: 6, GroupID: "web", Direction: Egress, EtherType: IPv4}}}, nil)
		}, true},
		{"a member elsewhere", func() { plug(3, 2, true) }, true},
		{"a port here", func() { plug(4, 1, true) }, false},
		{"a port here that goes down", func() { plug(4, 1, false) }, false},
		{"another switch port", func() { ports = switchPorts(5) }, false},
	} {
		before := s.View(1, ports, UnmanagedDrop)
		c.change()
		if got := s.View(1, ports, UnmanagedDrop).SameLayout(before); got != c.same {
			t.Errorf("%s: same layout %t, want %t", c.what, got, c.same)
		}
	}
}
