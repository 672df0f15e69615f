package pipeline

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// town of hypervisors: hosts with 50 ports each in 10 networks that all of a
// neighbourhood of 100 hosts share. Each network's ports are in a group that
// admits its own, if grouped, and all may be reached by TCP 22.
func hypervisors(ports int, grouped bool) *intent.State {
	const here, networks, neighbourhood = 50, 10, 100
	s := intent.NewState()
	hosts := ports / here
	id := func(kind string, i int) string { return fmt.Sprint(kind, "-", i) }
	for i := range hosts {
		d := intent.DPID(1 + i)
		s.PutHost(intent.Host{DPID: d, Slot: uint32(1 + i), Tunnel: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})}, nil)
		block, err := mac.NewSegment(mac.Addr(0x020000000000+uint64(i)<<16), 32)
		if err != nil {
			panic(err)
		}
		s.PutHostSegment(intent.HostSegment{ID: id("segment", i), Num: uint32(1 + i), Block: block, Host: d}, nil)
	}
	for i := range (hosts + neighbourhood - 1) / neighbourhood * networks {
		num := uint32(1 + i)
		s.PutNetwork(intent.Network{Meta: intent.Meta{ID: id("network", i)}, VNI: num, AdminUp: true}, nil)
		g := intent.SecurityGroup{Meta: intent.Meta{ID: id("group", i)}, Num: num, Rules: []intent.Rule{
			{Num: 3*num + 1, Direction: intent.Egress, EtherType: intent.IPv4},
			{Num: 3*num + 2, Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoTCP), PortMin: number(uint16(22)), PortMax: number(uint16(22))},
		}}
		if grouped {
			g.Rules = append(g.Rules, intent.Rule{Num: 3*num + 3, Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: g.ID})
		}
		s.PutGroup(g, nil)
	}
	for i := range ports {
		host, slot := i/here, i%here
		in := host/neighbourhood*networks + slot%networks
		s.PutPort(intent.Port{
			Meta: intent.Meta{ID: id("port", i)}, Num: uint32(1 + i), NetworkID: id("network", in), AdminUp: true,
			MAC: mac.Addr(0x020000000000 + uint64(host)<<16 + uint64(slot)), SecurityGroups: []string{id("group", in)},
			FixedIPs: []intent.FixedIP{{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}},
			Binding:  intent.Binding{Host: intent.DPID(1 + host).String(), PortNo: uint32(1 + slot)},
		}, nil)
	}
	return s
}

func hypervisorView(s *intent.State) *intent.View {
	ports := []intent.SwitchPort{{No: 900, Name: intent.TunnelPort}}
	for no := range uint32(50) {
		ports = append(ports, intent.SwitchPort{No: 1 + no})
	}
	return s.View(1, ports, intent.UnmanagedDrop)
}

// What a host holds does not grow with the ports of the cloud, unless a rule
// names a group: then with the members of that.
func TestAHostHoldsWhatItsOwnPortsNeed(t *testing.T) {
	t.Parallel()
	flows := func(ports int, grouped bool) int { return len(Flows(hypervisorView(hypervisors(ports, grouped)))) }
	small, large := flows(5_000, false), flows(50_000, false)
	if small != large {
		t.Errorf("%d flows with 5,000 ports in the cloud, %d with 50,000", small, large)
	}
	const members = 5_000 // of the ten groups here, all their ports
	if got := flows(50_000, true) - large; got < 2*members || got > 2*members+200 {
		t.Errorf("groups that admit their own cost %d flows, want two for each of %d members", got, members)
	}
}

// BenchmarkHypervisor is the state of clouds of different sizes in memory, and
// the flows of a host with 50 ports in 10 networks.
func BenchmarkHypervisor(b *testing.B) {
	for _, ports := range []int{1_000, 10_000, 100_000} {
		for _, grouped := range []bool{false, true} {
			b.Run(fmt.Sprintf("ports=%d/remote-groups=%t", ports, grouped), func(b *testing.B) {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				s := hypervisors(ports, grouped)
				runtime.GC()
				runtime.ReadMemStats(&after)
				n := 0
				for b.Loop() {
					n = len(Flows(hypervisorView(s)))
				}
				b.ReportMetric(float64(n), "flows")
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(ports), "B/port")
				runtime.KeepAlive(s)
			})
		}
	}
}
