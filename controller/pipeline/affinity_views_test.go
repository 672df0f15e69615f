package pipeline

import (
	"fmt"
	"net/netip"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// balancedPool is a pool of backends by port, with numbers from first on.
func balancedPool(num uint32, vip string, port uint16, protocol intent.Transport, a intent.Affinity, backends ...intent.AffinityBackend) intent.AffinityPool {
	p := intent.AffinityPool{
		Meta: intent.Meta{ID: fmt.Sprint("pool-", num)}, Num: num, NetworkID: "blue", VIPPortID: vip, Protocol: protocol, Port: port, Affinity: a, Timeout: 300, AdminUp: true,
		Backends: backends,
	}
	p.Slots = intent.SpreadSlots(nil, p.Weights())
	return p
}

func backendOf(num, port uint32, listens uint16, state intent.BackendState) intent.AffinityBackend {
	return intent.AffinityBackend{Meta: intent.Meta{ID: fmt.Sprint("backend-", num)}, Num: num, PortID: fmt.Sprint("port-", port), Port: listens, Weight: 1, State: state}
}

// addrOf is the address of a station.
func addrOf(six bool, n byte) netip.Addr {
	if six {
		return netip.AddrFrom16([16]byte{0xfd, 15: n})
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, n})
}

// balancing is the intent of a host with a client, which has a backend beside it and
// others on another host. One of these drains, one is down, and one serves two pools.
func balancing(six bool) *intent.State {
	s := intent.NewState()
	s.PutHost(intent.Host{DPID: dpid, Slot: 1, Tunnel: netip.MustParseAddr("192.0.2.1")}, nil)
	s.PutHost(intent.Host{DPID: dpid + 1, Slot: 2, Tunnel: netip.MustParseAddr("192.0.2.2")}, nil)
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, nil)
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "red"}, VNI: 78, AdminUp: true}, nil)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "web"}, Num: 1, Rules: []intent.Rule{
		{Num: 101, GroupID: "web", Direction: intent.Egress, EtherType: intent.IPv4},
		{Num: 102, GroupID: "web", Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoTCP), PortMin: number(uint16(8080)), PortMax: number(uint16(8080))},
		{Num: 103, GroupID: "web", Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoUDP)},
		{Num: 104, GroupID: "web", Direction: intent.Egress, EtherType: intent.IPv6},
		{Num: 105, GroupID: "web", Direction: intent.Ingress, EtherType: intent.IPv6, Protocol: number(protoTCP), PortMin: number(uint16(8080)), PortMax: number(uint16(8080))},
	}}, nil)
	port := func(num uint32, network string, on intent.DPID, no uint32) {
		p := intent.Port{
			Meta: intent.Meta{ID: fmt.Sprint("port-", num)}, Num: num, NetworkID: network, AdminUp: true, MAC: mac.Addr(0x020005000000 + uint64(num)), SecurityGroups: []string{"web"},
			FixedIPs: []intent.FixedIP{{Addr: addrOf(six, byte(num))}},
		}
		if on != 0 {
			p.Binding = intent.Binding{Host: on.String(), PortNo: no}
		}
		s.PutPort(p, nil)
	}
	port(1, "blue", dpid, 1)
	port(2, "blue", dpid, 2)
	port(3, "red", dpid, 3)
	for num := uint32(11); num <= 14; num++ {
		port(num, "blue", dpid+1, num)
	}
	port(15, "blue", 0, 0) // not bound: nobody there
	port(100, "blue", 0, 0)
	down := backendOf(505, 14, 8080, intent.BackendDown)
	s.PutAffinityPool(balancedPool(7, "port-100", 80, intent.TransportTCP, intent.AffinityMAC,
		backendOf(501, 2, 8080, intent.BackendUp), backendOf(502, 11, 8080, intent.BackendUp), backendOf(503, 12, 8080, intent.BackendUp),
		backendOf(504, 13, 8080, intent.BackendDrain), down, backendOf(506, 15, 8080, intent.BackendUp)), nil)
	s.PutAffinityPool(balancedPool(8, "port-100", 53, intent.TransportUDP, intent.AffinityNone, backendOf(511, 11, 53, intent.BackendUp)), nil)
	s.PutAffinityPool(balancedPool(9, "port-100", 443, intent.TransportTCP, intent.AffinityMACIP, backendOf(521, 11, 8080, intent.BackendUp)), nil)
	return s
}

func balanced(six bool) *intent.View {
	return balancing(six).View(dpid, append(townPorts(), intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true}), intent.UnmanagedDrop)
}
