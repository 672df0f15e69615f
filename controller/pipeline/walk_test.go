package pipeline

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	softswitch "github.com/macloom/macloom/southbound/flow/walk"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

// sent is a frame that comes to a switch with one of the views.
type sent struct {
	name  string
	port  uint32
	tunID uint64
	frame softswitch.Frame
	want  string // the ports that it leaves by; empty: it is dropped
}

var everybody = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func station6(n byte) [6]byte { return [6]byte{0x02, 0, 0x05, 0, 0, n} }

// sendings are frames for each view, that say what the pipeline is there for.
func sendings() map[string][]sent {
	blue1, blue2, red1 := station6(11), station6(12), station6(13)
	from := func(src, dst [6]byte, a, b string, proto uint8) softswitch.Frame {
		return softswitch.Frame{Src: src, Dst: dst, IPSrc: ip(a), IPDst: ip(b), Proto: proto, SrcPort: 40000, DstPort: 80, TCPFlags: softswitch.TCPSyn, Type: 8}
	}
	with := func(f softswitch.Frame, change func(*softswitch.Frame)) softswitch.Frame {
		change(&f)
		return f
	}
	ask := func(src [6]byte, a, b string) softswitch.Frame {
		return softswitch.Frame{Src: src, Dst: everybody, ARPOp: arpRequest, SHA: src, IPSrc: ip(a), IPDst: ip(b)}
	}
	nd := func(t uint8, src [6]byte, from, target string, option byte, lla [6]byte) softswitch.Frame {
		f := softswitch.Frame{Src: src, Dst: [6]byte{0x33, 0x33, 0xff, 0, 0, 1}, IPSrc: ip(from), IPDst: ip("ff02::1:ff00:1"), Proto: protoICMPv6, Type: t, Payload: ip(target).AsSlice()}
		if option != 0 {
			f.Payload = slices.Concat(f.Payload, []byte{option, 1}, lla[:])
		}
		return f
	}
	six := func(t uint8) softswitch.Frame {
		return softswitch.Frame{Src: blue2, Dst: [6]byte{0x33, 0x33, 0, 0, 0, 1}, IPSrc: ip("fd00::2"), IPDst: ip("ff02::1"), Proto: protoICMPv6, Type: t, Payload: make([]byte, 8)}
	}
	ping := from(blue1, blue2, "10.0.0.1", "10.0.0.2", protoICMP)
	tcp := from(blue1, blue2, "10.0.0.1", "10.0.0.2", protoTCP)
	town := []sent{
		{"own network, by a rule with a remote group", 1, 0, ping, "2"},
		{"own network, by the rule for a port", 1, 0, tcp, "2"},
		{"SCTP, which no rule but that of the group allows", 1, 0, from(blue1, blue2, "10.0.0.1", "10.0.0.2", protoSCTP), "2"},
		{"ARP to all of the network", 1, 0, ask(blue1, "10.0.0.1", "10.0.0.2"), "2 controller"},
		{"ARP probe", 1, 0, ask(blue1, "0.0.0.0", "10.0.0.2"), "2 controller"},
		{"broadcast of IP", 1, 0, with(ping, func(f *softswitch.Frame) { f.Dst, f.IPDst = everybody, ip("255.255.255.255") }), "2"},
		{"the MAC of another network", 1, 0, with(ping, func(f *softswitch.Frame) { f.Dst = red1 }), ""},
		{"a MAC that nobody has", 1, 0, with(ping, func(f *softswitch.Frame) { f.Dst = station6(99) }), ""},
		{"its own MAC", 1, 0, with(ping, func(f *softswitch.Frame) { f.Dst = blue1 }), ""},
		{"a port that is down", 1, 0, with(ping, func(f *softswitch.Frame) { f.Dst = station6(14) }), ""},
		{"from a port that is down", 4, 0, from(station6(14), blue2, "10.0.0.4", "10.0.0.2", protoICMP), ""},
		{"from a port without groups", 3, 0, from(red1, blue1, "10.0.0.1", "10.0.0.2", protoICMP), ""},
		{"ARP from a port without groups", 3, 0, ask(red1, "10.0.0.1", "10.0.0.9"), "controller"},
		{"a stolen MAC", 1, 0, with(ping, func(f *softswitch.Frame) { f.Src = station6(99) }), ""},
		{"a stolen IP", 1, 0, with(ping, func(f *softswitch.Frame) { f.IPSrc = ip("10.0.0.99") }), ""},
		{"ARP with a stolen sender", 1, 0, ask(blue1, "10.0.0.99", "10.0.0.2"), ""},
		{"ARP with a stolen sender MAC", 1, 0, with(ask(blue1, "10.0.0.1", "10.0.0.2"), func(f *softswitch.Frame) { f.SHA = station6(99) }), ""},
		{"a VLAN tag", 1, 0, with(ping, func(f *softswitch.Frame) { f.VLAN = 7 }), ""},
		{"LLDP", 1, 0, softswitch.Frame{Src: blue1, Dst: [6]byte{1, 0x80, 0xc2, 0, 0, 0xe}, EtherType: 0x88cc, Payload: make([]byte, 30)}, ""},
		{"a later fragment of a stolen IP", 1, 0, with(ping, func(f *softswitch.Frame) { f.IPSrc, f.Fragment, f.Payload = ip("10.0.0.99"), 5, make([]byte, 30) }), ""},
		{"IPv6 of its own", 2, 0, softswitch.Frame{Src: blue2, Dst: blue1, IPSrc: ip("fd00::2"), IPDst: ip("fd00::1"), Proto: protoICMPv6, Type: 128}, ""},
		{"solicitation", 2, 0, nd(icmp6NeighSol, blue2, "fd00::2", "fd00::1", 1, blue2), "1 controller"},
		{"solicitation from the link-local address", 2, 0, nd(icmp6NeighSol, blue2, "fe80::5ff:fe00:c", "fd00::1", 1, blue2), "1 controller"},
		{"duplicate address detection", 2, 0, nd(icmp6NeighSol, blue2, "::", "fd00::2", 0, [6]byte{}), "1"},
		{"solicitation with a stolen option", 2, 0, nd(icmp6NeighSol, blue2, "fd00::2", "fd00::1", 1, blue1), ""},
		{"solicitation from a stolen source", 2, 0, nd(icmp6NeighSol, blue2, "fd00::9", "fd00::1", 1, blue2), ""},
		{"advertisement", 2, 0, nd(icmp6NeighAdv, blue2, "fd00::2", "fd00::2", 2, blue2), "1"},
		{"advertisement of a stolen address", 2, 0, nd(icmp6NeighAdv, blue2, "fd00::2", "fd00::1", 2, blue2), ""},
		{"advertisement with a stolen option", 2, 0, nd(icmp6NeighAdv, blue2, "fd00::2", "fd00::2", 2, blue1), ""},
		{"router advertisement", 2, 0, six(icmp6RouterAdv), ""},
		{"MLD report", 2, 0, six(icmp6MLDv2Report), ""},
		{"an unmanaged port to all", 5, 0, ask(station6(50), "192.0.2.1", "192.0.2.2"), "6 -2 controller"},
		{"an unmanaged port to a tenant", 5, 0, with(ping, func(f *softswitch.Frame) { f.Src, f.Dst = station6(50), blue1 }), "6 -2 controller"},
		{"a port that the controller has not seen", 7, 0, ping, ""},
	}
	there := func(f softswitch.Frame, dst string) softswitch.Frame {
		f.Dst = mac.MustParse(dst).Bytes()
		return f
	}
	cloud := []sent{
		{"a station of another host, by its segment", 1, 0, there(tcp, "02:00:05:01:00:01"), "900 77 192.0.2.2"},
		{"a station that moved to another host", 1, 0, there(tcp, "02:00:05:00:00:77"), "900 77 192.0.2.3"},
		{"a station with a foreign address", 1, 0, there(tcp, "fa:16:3e:00:00:01"), "900 77 192.0.2.3"},
		{"a station that came here", 1, 0, there(tcp, "02:00:05:03:00:01"), ""},
		{"an address of a host that has nothing of the network", 1, 0, there(tcp, "02:00:05:03:00:02"), ""},
		{"ARP to all, on all hosts of the network", 1, 0, ask(blue1, "10.0.0.1", "10.0.0.9"), "2 5 900 77 192.0.2.2 900 77 192.0.2.3 controller"},
		{"in by the tunnel", 900, 77, with(tcp, func(f *softswitch.Frame) { f.Src = [6]byte{2, 0, 5, 1, 0, 1} }), "2"},
		{"in by the tunnel to all: never on to others", 900, 77, ask([6]byte{2, 0, 5, 1, 0, 1}, "10.0.0.21", "10.0.0.2"), "1 2 5"},
		{"in by the tunnel for a port that moved on", 900, 77, there(tcp, "02:00:05:00:00:77"), "900 77 192.0.2.3"},
		{"in by the tunnel for what is elsewhere", 900, 77, there(tcp, "02:00:05:01:00:01"), ""},
		{"in by the tunnel, of a network that is not here", 900, 79, tcp, ""},
		{"in by the tunnel, to a MAC of another network", 900, 78, tcp, ""},
		{"an unmanaged port of a hypervisor", 6, 0, ping, ""},
	}
	own, virtual, bare := station6(1), [6]byte{0, 0, 0x5e, 0, 1, 7}, station6(3)
	pairs := []sent{
		{"the IP of a pair", 1, 0, from(own, bare, "10.0.0.100", "10.0.0.3", protoTCP), ""},
		{"ARP for the IP of a pair", 1, 0, ask(own, "10.0.0.100", "10.0.0.3"), "2 3 controller"},
		{"ARP from the MAC of a pair", 1, 0, ask(virtual, "10.9.0.8", "10.9.0.1"), "2 3"},
		{"ARP from the MAC of a pair for another IP", 1, 0, ask(virtual, "10.0.0.100", "10.9.0.1"), ""},
		{"without port security, as it likes", 3, 0, ask(station6(77), "203.0.113.1", "10.0.0.1"), "1 2 controller"},
		{"without port security, to the MAC of a pair", 3, 0, with(ask(station6(77), "203.0.113.1", "10.0.0.1"), func(f *softswitch.Frame) { f.Dst = virtual }), "1 2"},
		{"without port security, to one whose group has a member that speaks as anybody", 3, 0, from(bare, own, "10.99.0.3", "10.0.0.1", protoTCP), "1"},
	}
	// A machine with a MAC of a prefix, and one with an address of the narrower prefix in it.
	machine, narrow, neighbour := [6]byte{0x52, 0x54, 0, 0x12, 0, 5}, [6]byte{0x52, 0x54, 0, 0, 0, 5}, [6]byte{0x52, 0x54, 0, 0, 0, 3}
	to := func(dst [6]byte) softswitch.Frame { return from(station6(2), dst, "10.0.0.2", "10.9.0.5", protoTCP) }
	away := from([6]byte{2, 0, 5, 1, 0, 1}, machine, "10.0.0.21", "10.9.0.5", protoTCP)
	nested := []sent{
		{"a MAC that ports on two hosts may speak as", 3, 0, from(neighbour, virtual, "10.0.0.3", "10.0.0.100", protoTCP), "1 900 77 192.0.2.2"},
		{"the same, in by the tunnel: never on to others", 900, 77, there(away, "00:00:5e:00:01:07"), "1"},
		{"a MAC of a prefix", 2, 0, to(machine), "1"},
		{"a MAC of a prefix that is another host's, too", 3, 0, from(neighbour, narrow, "10.0.0.3", "10.9.0.5", protoTCP), "1 2 900 77 192.0.2.2"},
		{"a MAC of a prefix, in by the tunnel", 900, 77, away, "1"},
		{"a MAC of two prefixes, in by the tunnel", 900, 77, with(away, func(f *softswitch.Frame) { f.Dst = narrow }), "1 2"},
		{"a port with an address of a prefix", 2, 0, to(neighbour), "3"},
		{"a port with an address of a prefix on another host", 2, 0, there(to(machine), "52:54:00:00:00:17"), "900 77 192.0.2.3"},
		{"a port whose MAC another may speak as", 3, 0, from(neighbour, station6(2), "10.0.0.3", "10.0.0.2", protoTCP), "2"},
		{"from a machine", 1, 0, from(machine, station6(2), "10.9.0.5", "10.0.0.2", protoTCP), "2"},
		{"from a machine, to another host", 1, 0, there(from(machine, machine, "10.9.0.5", "10.0.0.21", protoTCP), "02:00:05:01:00:02"), "900 77 192.0.2.2"},
		{"ARP of a machine", 1, 0, ask(machine, "10.9.0.5", "10.0.0.2"), "2 3 900 77 192.0.2.2 900 77 192.0.2.3 controller"},
		{"ARP probe of a machine", 1, 0, ask(machine, "0.0.0.0", "10.9.0.5"), "2 3 900 77 192.0.2.2 900 77 192.0.2.3"},
		{"a machine with a stolen IP", 1, 0, from(machine, station6(2), "10.0.0.1", "10.0.0.2", protoTCP), ""},
		{"a machine of another prefix", 1, 0, there(from([6]byte{0x52, 0x54, 1, 0, 0, 5}, machine, "10.9.0.5", "10.0.0.2", protoTCP), "02:00:05:00:00:02"), ""},
		{"a machine with the MAC of a port here", 1, 0, from(neighbour, station6(2), "10.9.0.5", "10.0.0.2", protoTCP), ""},
		{"a machine with the MAC of a port elsewhere", 1, 0, from([6]byte{0x52, 0x54, 0, 0, 0, 0x17}, station6(2), "10.9.0.5", "10.0.0.2", protoTCP), ""},
		{"ARP of a machine with the sender MAC of a port", 1, 0, with(ask(machine, "10.9.0.5", "10.0.0.2"), func(f *softswitch.Frame) { f.SHA = neighbour }), ""},
		{"solicitation of a machine", 1, 0, nd(icmp6NeighSol, machine, "fd00:9::5", "fd00::1", 1, machine), "2 3 900 77 192.0.2.2 900 77 192.0.2.3 controller"},
		{"solicitation of a machine from its link-local address", 1, 0, nd(icmp6NeighSol, machine, "fe80::5054:ff:fe12:5", "fd00::1", 1, machine), "2 3 900 77 192.0.2.2 900 77 192.0.2.3 controller"},
		{"solicitation of a machine from a link-local address of another prefix", 1, 0, nd(icmp6NeighSol, machine, "fe80::5054:1ff:fe12:5", "fd00::1", 1, machine), ""},
		{"solicitation of a machine from the link-local address of a port", 1, 0, nd(icmp6NeighSol, machine, "fe80::5054:ff:fe00:3", "fd00::1", 1, machine), ""},
		{"solicitation of a machine with the option of a port", 1, 0, nd(icmp6NeighSol, machine, "fd00:9::5", "fd00::1", 1, neighbour), ""},
		{"advertisement of a machine", 1, 0, nd(icmp6NeighAdv, machine, "fd00:9::5", "fd00:9::5", 2, machine), "2 3 900 77 192.0.2.2 900 77 192.0.2.3"},
		{"advertisement of a machine with the option of a port", 1, 0, nd(icmp6NeighAdv, machine, "fd00:9::5", "fd00:9::5", 2, neighbour), ""},
		{"advertisement of a machine of the link-local address of a port", 1, 0, nd(icmp6NeighAdv, machine, "fd00:9::5", "fe80::5054:ff:fe00:3", 2, machine), ""},
		{"in by the tunnel for the last port of a network, which has left", 900, 79, there(away, "02:00:05:00:00:31"), "900 79 192.0.2.3"},
		{"in by the tunnel to all of that network", 900, 79, ask([6]byte{2, 0, 5, 1, 0, 1}, "10.0.0.21", "10.0.0.2"), ""},
	}
	foreign := [6]byte{0x52, 0x54, 0, 0x13, 0, 5}
	listed := []sent{
		{"its own MAC", 1, 0, ask(own, "10.0.0.1", "10.0.0.2"), "2 controller"},
		{"a machine whose MAC is in a list", 1, 0, ask(machine, "10.9.0.5", "10.0.0.2"), "2 controller"},
		{"a machine whose MAC is the address of a list", 1, 0, ask([6]byte{0x52, 0x54, 0, 0, 0, 7}, "10.9.0.5", "10.0.0.2"), "2 controller"},
		{"a machine whose MAC is in no list", 1, 0, ask(foreign, "10.9.0.5", "10.0.0.2"), ""},
		{"solicitation of a machine whose MAC is in a list", 1, 0, nd(icmp6NeighSol, machine, "fd00:9::5", "fd00::1", 1, machine), "2 controller"},
		{"solicitation of a machine whose MAC is in no list", 1, 0, nd(icmp6NeighSol, foreign, "fd00:9::5", "fd00::1", 1, foreign), ""},
		{"the MAC of a pair that is in no list", 1, 0, ask(virtual, "10.9.0.5", "10.0.0.2"), ""},
		{"without port security, from a MAC in a list", 2, 0, ask(machine, "203.0.113.1", "10.0.0.1"), "1 controller"},
		{"without port security, from a MAC in no list", 2, 0, ask(foreign, "203.0.113.1", "10.0.0.1"), ""},
		{"without port security, where the list is empty", 3, 0, ask(machine, "203.0.113.1", "10.0.0.1"), ""},
	}
	unmanaged := []sent{
		{"a frame floods the learning domain", 1, 0, ping, "2 3 4 5 6 -2 controller"},
		{"a bridge's own protocols end here", 1, 0, softswitch.Frame{Src: blue1, Dst: [6]byte{1, 0x80, 0xc2, 0, 0, 0}, EtherType: 0x88cc, Payload: make([]byte, 30)}, ""},
		{"a group address as source", 1, 0, with(ping, func(f *softswitch.Frame) { f.Src = [6]byte{1} }), ""},
	}
	tag := func(vlan uint16, f softswitch.Frame) softswitch.Frame {
		f.VLAN = vlan
		return f
	}
	parent, sub1, sub2, open := station6(30), station6(31), station6(32), station6(33)
	within := softswitch.Frame{Src: open, Dst: everybody, VLAN: 103, EtherType: 0x8100, Payload: slices.Concat([]byte{0, 102, 8, 6}, make([]byte, 46))}
	trunk := []sent{
		{"a sub-port to its network", 5, 0, tag(101, from(sub1, blue2, "10.0.0.31", "10.0.0.2", protoTCP)), "2"},
		{"to a sub-port", 1, 0, from(blue1, sub1, "10.0.0.1", "10.0.0.31", protoTCP), "5:101"},
		{"to the parent", 1, 0, from(blue1, parent, "10.0.0.1", "10.0.0.30", protoTCP), "5"},
		{"a sub-port to its parent", 5, 0, tag(101, from(sub1, parent, "10.0.0.31", "10.0.0.30", protoTCP)), "5"},
		{"a parent to its sub-port", 5, 0, from(parent, sub1, "10.0.0.30", "10.0.0.31", protoTCP), "5:101"},
		{"a sub-port to another of its parent", 5, 0, tag(101, from(sub1, open, "10.0.0.31", "10.0.0.33", protoTCP)), "5:103"},
		{"a sub-port to itself", 5, 0, tag(101, from(sub1, sub1, "10.0.0.31", "10.0.0.31", protoTCP)), ""},
		{"a parent to all", 5, 0, ask(parent, "10.0.0.30", "10.0.0.99"), "1 2 5:101 5:103 controller"},
		{"a sub-port to all", 5, 0, tag(101, ask(sub1, "10.0.0.31", "10.0.0.99")), "1 2 5 5:103 controller"},
		{"a sub-port to all of another network, on all its hosts", 5, 0, tag(102, ask(sub2, "10.0.0.30", "10.0.0.99")), "3 900 78 192.0.2.2 controller"},
		{"a port to all, sub-ports among them", 1, 0, ask(blue1, "10.0.0.1", "10.0.0.99"), "2 5 5:101 5:103 controller"},
		{"a sub-port to another network", 5, 0, tag(102, from(sub2, blue1, "10.0.0.30", "10.0.0.1", protoTCP)), ""},
		{"a sub-port with the MAC of its parent", 5, 0, tag(101, ask(parent, "10.0.0.30", "10.0.0.99")), ""},
		{"a parent with the MAC of its sub-port", 5, 0, ask(sub1, "10.0.0.31", "10.0.0.99"), ""},
		{"a sub-port with the IP of its parent", 5, 0, tag(101, ask(sub1, "10.0.0.30", "10.0.0.99")), ""},
		{"a sub-port by the tag of another", 5, 0, tag(102, ask(sub1, "10.0.0.31", "10.0.0.99")), ""},
		{"a tag of no sub-port", 5, 0, tag(105, ask(parent, "10.0.0.30", "10.0.0.99")), ""},
		{"a sub-port that is down", 5, 0, tag(104, ask(station6(34), "10.0.0.34", "10.0.0.99")), ""},
		{"to a sub-port that is down", 3, 0, ask(red1, "10.0.0.1", "10.0.0.34"), "5:102 900 78 192.0.2.2 controller"},
		{"the tag of a sub-port at a port without a trunk", 1, 0, tag(101, ask(blue1, "10.0.0.1", "10.0.0.99")), ""},
		{"a sub-port without port security, as it likes", 5, 0, tag(103, ask(station6(77), "203.0.113.1", "10.0.0.1")), "1 2 5 5:101 controller"},
		{"a sub-port without port security, with a tag within", 5, 0, within, ""},
		{"a sub-port asks for its address", 5, 0, tag(102, softswitch.Frame{
			Src: sub2, Dst: everybody, IPSrc: ip("0.0.0.0"), IPDst: ip("255.255.255.255"), Proto: protoUDP, SrcPort: 68, DstPort: 67,
		}), "controller"},
		{"in by the tunnel to a sub-port", 900, 78, from(station6(40), sub2, "10.0.0.40", "10.0.0.30", protoICMP), ""},
		{"in by the tunnel to all", 900, 78, ask(station6(40), "10.0.0.40", "10.0.0.30"), "3 5:102"},
		{"in by the tunnel with a tag: no sub-port takes it for its own", 900, 77, tag(101, ask(station6(40), "10.0.0.40", "10.0.0.30")), "1:101 2:101"},
	}
	far, locator := station6(31), func(slot, number uint16) [6]byte { return mac.Locator{Slot: slot, Number: number}.Addr().Bytes() }
	spread := []sent{
		{"a port at another switch, by its path", 1, 0, from(blue1, far, "10.0.0.1", "10.0.0.31", protoTCP), "5:5"},
		{"a port of another network at another switch", 1, 0, from(blue1, station6(33), "10.0.0.1", "10.0.0.33", protoTCP), ""},
		{"with a stolen IP", 1, 0, from(blue1, far, "10.0.0.9", "10.0.0.31", protoTCP), ""},
		{"ARP to all, by the flood tree", 1, 0, ask(blue1, "10.0.0.1", "10.0.0.9"), "2 8:5 controller"},
		{"an address that is shared elsewhere", 1, 0, from(blue1, virtual, "10.0.0.1", "10.0.0.100", protoTCP), "8:5"},
		{"in by a path", 5, 0, tag(5, from(far, locator(2, 13), "10.0.0.31", "10.0.0.2", protoTCP)), "2"},
		{"in by a path, with what no rule allows", 5, 0, tag(5, from(far, locator(2, 13), "10.0.0.77", "10.0.0.2", protoSCTP)), ""},
		{"in by a path, for a number that nobody has", 5, 0, tag(5, from(far, locator(2, 77), "10.0.0.31", "10.0.0.2", protoTCP)), ""},
		{"in by a path, with the tag of another network", 5, 0, tag(6, from(far, locator(2, 13), "10.0.0.31", "10.0.0.2", protoTCP)), ""},
		{"in by a path that leads on, of a network that is not here", 5, 0, tag(9, from(far, locator(4, 13), "10.0.0.31", "10.0.0.2", protoTCP)), "8:9"},
		{"in by the flood tree", 8, 0, tag(5, ask(far, "10.0.0.31", "10.0.0.9")), "1 2"},
		{"in by the flood tree, for one port", 8, 0, tag(5, from(far, blue2, "10.0.0.31", "10.0.0.2", protoTCP)), "2"},
		{"in by the flood tree, for what is elsewhere", 8, 0, tag(5, from(far, station6(32), "10.0.0.31", "10.0.0.32", protoTCP)), ""},
		{"in by the flood tree, of a network that is not here", 8, 0, tag(9, ask(far, "10.0.0.31", "10.0.0.9")), ""},
		{"in by a link that is not in the tree", 5, 0, tag(5, ask(far, "10.0.0.31", "10.0.0.9")), ""},
		{"a station with the tag of a network", 6, 0, tag(5, ask(station6(50), "10.0.0.31", "10.0.0.9")), "8:5 40000:5 -2:5 controller"},
		{"in by the flood tree, with the tag of a station", 8, 0, tag(1<<13|5, ask(far, "10.0.0.31", "10.0.0.9")), "6:5 40000:5 -2:5"},
		{"in by a path, with the tag of a station", 5, 0, tag(1<<13|5, from(far, locator(2, 13), "10.0.0.31", "10.0.0.2", protoTCP)), ""},
	}
	return map[string][]sent{"balanced": balancedSendings(), "balanced6": balanced6Sendings(), "probed": probedSendings(), "spread": spread, "trunk": trunk, "town": town, "cloud": cloud, "pairs": pairs, "nested": nested, "listed": listed, "learn": unmanaged, "meter": unmanaged, "drop": {{"nothing passes", 1, 0, ping, ""}}}
}

// left is where a frame went, in words.
func left(t *softswitch.Trace) string {
	var words []string
	told := false
	for _, o := range t.Outputs {
		switch {
		case o.Port == openflow.PortController:
			told = true
		case o.Port == 900:
			words = append(words, fmt.Sprint(o.Port, " ", o.Tunnel.ID, " ", o.Tunnel.Dst))
		default:
			words = append(words, fmt.Sprint(int32(o.Port), tagOf(o.Frame)))
		}
	}
	if told {
		words = append(words, "controller")
	}
	return strings.Join(words, " ")
}

// tagOf is the VLAN tag of a frame, in words.
func tagOf(frame []byte) string {
	if vlan := softswitch.TagOf(frame); vlan != 0 {
		return fmt.Sprint(":", vlan)
	}
	return ""
}

func (s sent) arrival() softswitch.Arrival {
	a := softswitch.Arrival{Port: s.port, Frame: s.frame.Bytes()}
	if s.tunID != 0 {
		a.Tunnel = softswitch.Tunnel{ID: s.tunID, Src: ip("192.0.2.2"), Dst: ip("192.0.2.1")}
	}
	return a
}

// Frames go where they should and nowhere else, and the goldens show their way.
func TestFramesGoWhereTheyShould(t *testing.T) {
	t.Parallel()
	all := views()
	for name, list := range sendings() {
		want := Compute(all[name])
		var text strings.Builder
		for _, s := range list {
			trace, err := softswitch.New(want.State).Walk(s.arrival())
			if err != nil {
				t.Errorf("%s: %s: %v", name, s.name, err)
			}
			if got := left(trace); got != s.want {
				t.Errorf("%s: %s: leaves by %q, want %q\n%s", name, s.name, got, s.want, trace)
			}
			fmt.Fprintf(&text, "# %s: port %d → %s\n%s\n", s.name, s.port, left(trace), trace)
		}
		path := filepath.Join("testdata", "walk", name+".trace")
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(golden), text.String()); diff != "" {
			t.Errorf("%s (-golden +got):\n%s", path, diff)
		}
	}
}

// oracle is a real Open vSwitch that holds a state.
type oracle struct {
	*ovstest.OVS
	t     *testing.T
	ports map[string]string // numbers in OpenFlow by those of the datapath
}

func newOracle(t *testing.T, s flow.State) *oracle {
	t.Helper()
	o := &oracle{OVS: ovstest.Start(t), t: t, ports: map[string]string{}}
	var more []string
	for _, no := range []int{1, 2, 3, 4, 5, 6, 7, 8, 900, 40000} {
		port := fmt.Sprint("p", no)
		more = append(more, "--", "add-port", "br0", port, "--", "set", "interface", port, "type=dummy", fmt.Sprint("ofport_request=", no))
	}
	o.AddBridge("br0", more...)
	for _, m := range s.Meters {
		o.Ofctl("add-meter", "br0", m.String())
	}
	for _, g := range s.Groups {
		o.Ofctl("add-group", "br0", g.String())
	}
	var lines strings.Builder
	for _, f := range s.Flows {
		lines.WriteString(f.String() + "\n")
	}
	path := o.Path("flows")
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Ofctl("add-flows", "br0", path)
	for _, m := range regexp.MustCompile(`(?m)^\s+\S+ (\d+)/(\d+):`).FindAllStringSubmatch(o.Run("ovs-appctl", "dpif/show"), -1) {
		o.ports[m[2]] = m[1]
	}
	return o
}

var (
	hitLine    = regexp.MustCompile(`^\s*(\d+)\. (?:(.*), )?priority (\d+)(?:, cookie (0x[0-9a-f]+))?`)
	missLine   = regexp.MustCompile(`^\s*(\d+)\. No match`)
	actionLine = regexp.MustCompile(`^Datapath actions: (.*)`)
)

// trace asks ofproto/trace for the flows that a frame hits, and the ports that it
// leaves by. Conntrack says of it what it said in the walk.
func (o *oracle) trace(s sent, states []string) (hits, ports []string) {
	o.t.Helper()
	metadata := fmt.Sprint("in_port=", s.port)
	if s.tunID != 0 {
		metadata += fmt.Sprintf(",tun_id=%d,tun_src=192.0.2.2,tun_dst=192.0.2.1", s.tunID)
	}
	args := []string{"ofproto/trace", "br0", metadata, hex.EncodeToString(s.frame.Bytes())}
	for _, state := range states {
		args = append(args, "--ct-next", state)
	}
	text, tag := o.Run("ovs-appctl", args...), tagOf(s.frame.Bytes())
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := hitLine.FindStringSubmatch(line); m != nil {
			hits = append(hits, fmt.Sprintf("%s/%s/%s", m[1], m[3], m[4]))
		} else if m := missLine.FindStringSubmatch(line); m != nil {
			hits = append(hits, m[1]+" miss")
		} else if m := actionLine.FindStringSubmatch(line); m != nil {
			for _, a := range strings.Split(m[1], ",") {
				if vid, pushed := strings.CutPrefix(a, "push_vlan(vid="); pushed {
					tag = ":" + vid
				} else if a == "pop_vlan" {
					tag = ""
				} else if _, err := strconv.Atoi(a); err == nil {
					ports = append(ports, o.ports[a]+tag)
				}
			}
			tag = "" // what conntrack sends on has none
		}
	}
	if len(hits) == 0 {
		o.t.Errorf("%s: nothing is read from\n%s", s.name, text)
	}
	o.t.Logf("%s:\n%s", s.name, text)
	return hits, ports
}

// The walk and Open vSwitch take the same way: the same flows, by table,
// priority and cookie, and the same ports.
func TestFramesTakeTheSameWayInOpenVSwitch(t *testing.T) {
	t.Parallel()
	all := views()
	for name, list := range sendings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := Compute(all[name])
			o := newOracle(t, want.State)
			for _, s := range list {
				trace, err := softswitch.New(want.State).Walk(s.arrival())
				if err != nil {
					t.Fatal(err)
				}
				var hits, ports, states []string
				for i := range trace.Steps {
					step := &trace.Steps[i]
					if step.Via == softswitch.ViaCT {
						states = append(states, ctNext(step.Tracked()))
					}
					if !step.Hit {
						hits = append(hits, fmt.Sprint(step.Table, " miss"))
						continue
					}
					hits = append(hits, fmt.Sprintf("%d/%d/%#x", step.Table, step.Flow.Priority, step.Flow.Cookie))
				}
				for _, out := range trace.Outputs {
					if out.Port != openflow.PortController {
						ports = append(ports, fmt.Sprint(out.Port&0xffff, tagOf(out.Frame)))
					}
				}
				gotHits, gotPorts := o.trace(s, states)
				// Copies that conntrack sends on are traced after all else.
				for _, list := range [][]string{hits, ports, gotHits, gotPorts} {
					slices.Sort(list)
				}
				if diff := cmp.Diff(gotHits, hits); diff != "" {
					t.Errorf("%s: flows hit (-Open vSwitch +walk):\n%s", s.name, diff)
				}
				if diff := cmp.Diff(gotPorts, ports); diff != "" {
					t.Errorf("%s: ports (-Open vSwitch +walk):\n%s", s.name, diff)
				}
			}
		})
	}
}

// ctNext writes ct_state for ofproto/trace.
func ctNext(s flow.CTFlags) string {
	text := "trk"
	for _, f := range []struct {
		flag flow.CTFlags
		word string
	}{{flow.CTNew, "new"}, {flow.CTEst, "est"}, {flow.CTRel, "rel"}, {flow.CTRpl, "rpl"}, {flow.CTInv, "inv"}} {
		if s&f.flag != 0 {
			text += "," + f.word
		}
	}
	return text
}

// packets counts what the flows of a real switch have hit, and what its ports have sent.
func (o *oracle) packets() (flows, ports map[string]int) {
	o.t.Helper()
	flows, ports = map[string]int{}, map[string]int{}
	o.Run("ovs-appctl", "revalidator/purge") // brings what was counted to the flows
	for _, m := range regexp.MustCompile(`cookie=(0x[0-9a-f]+).* table=(\d+), n_packets=(\d+).* priority=(\d+)`).FindAllStringSubmatch(o.Ofctl("dump-flows", "br0"), -1) {
		n, _ := strconv.Atoi(m[3]) // digits
		flows[fmt.Sprintf("%s/%s/%s", m[2], m[4], m[1])] += n
	}
	for _, m := range regexp.MustCompile(`port +"?p?(\d+)"?: rx.*\n +tx pkts=(\d+)`).FindAllStringSubmatch(o.Ofctl("dump-ports", "br0"), -1) {
		n, _ := strconv.Atoi(m[2])
		ports[m[1]] += n
	}
	return flows, ports
}

// Connections are followed like in the tracker of Open vSwitch: real frames,
// one after the other, hit the same flows and leave by the same ports.
func TestConnectionsAreFollowedAsInOpenVSwitch(t *testing.T) {
	t.Parallel()
	want := Compute(views()["town"])
	o, sw := newOracle(t, want.State), softswitch.New(want.State)
	blue1, blue2 := station6(11), station6(12)
	there := softswitch.Frame{Src: blue1, Dst: blue2, IPSrc: ip("10.0.0.1"), IPDst: ip("10.0.0.2"), SrcPort: 40000, DstPort: 80}
	back := softswitch.Frame{Src: blue2, Dst: blue1, IPSrc: ip("10.0.0.2"), IPDst: ip("10.0.0.1"), SrcPort: 80, DstPort: 40000}
	with := func(f softswitch.Frame, change func(*softswitch.Frame)) softswitch.Frame {
		change(&f)
		return f
	}
	echo := func(f *softswitch.Frame) { f.Proto, f.Type, f.ID = protoICMP, 8, 7 }
	reply := func(f *softswitch.Frame) { f.Proto, f.ID = protoICMP, 7 }
	tcp := func(flags uint8) func(*softswitch.Frame) {
		return func(f *softswitch.Frame) { f.Proto, f.TCPFlags = protoTCP, flags }
	}
	udp := func(f *softswitch.Frame) { f.Proto, f.Payload = protoUDP, []byte("ask") }
	unreachable := with(back, func(f *softswitch.Frame) {
		f.Proto, f.Type, f.Code, f.Payload = protoICMP, 3, 3, with(there, udp).Bytes()[14:45]
	})
	for i, f := range []struct {
		name  string
		port  uint32
		frame softswitch.Frame
	}{
		{"an answer to nothing", 2, with(back, reply)},
		{"echo", 1, with(there, echo)}, {"its reply", 2, with(back, reply)}, {"the next echo", 1, with(there, echo)},
		{"SYN with ACK of nothing", 2, with(back, tcp(softswitch.TCPSyn|softswitch.TCPAck))},
		{"SYN", 1, with(there, tcp(softswitch.TCPSyn))}, {"SYN with ACK", 2, with(back, tcp(softswitch.TCPSyn|softswitch.TCPAck))}, {"ACK", 1, with(there, tcp(softswitch.TCPAck))},
		{"an error about nothing", 2, unreachable},
		{"UDP", 1, with(there, udp)}, {"UDP again", 1, with(there, udp)}, {"an error about it", 2, unreachable},
		{"its answer", 2, with(back, udp)}, {"UDP after the answer", 1, with(there, udp)},
		{"a new connection the other way", 2, with(back, func(f *softswitch.Frame) { f.Proto, f.SrcPort = protoUDP, 99 })},
	} {
		flowsBefore, portsBefore := o.packets()
		o.Run("ovs-appctl", "netdev-dummy/receive", fmt.Sprint("p", f.port), hex.EncodeToString(f.frame.Bytes()))
		entered := func(flows map[string]int) (n int) {
			for key, count := range flows {
				if strings.HasPrefix(key, "0/") {
					n += count
				}
			}
			return n
		}
		flowsAfter, portsAfter := o.packets()
		for deadline := time.Now().Add(20 * time.Second); entered(flowsAfter) == entered(flowsBefore) && time.Now().Before(deadline); {
			flowsAfter, portsAfter = o.packets()
		}
		trace, err := sw.Walk(softswitch.Arrival{Port: f.port, Frame: f.frame.Bytes()})
		if err != nil {
			t.Fatal(err)
		}
		for j := range trace.Steps {
			step := &trace.Steps[j]
			flowsBefore[fmt.Sprintf("%d/%d/%#x", step.Table, step.Flow.Priority, step.Flow.Cookie)]++
		}
		for _, out := range trace.Outputs {
			portsBefore[fmt.Sprint(out.Port)]++
		}
		if diff := cmp.Diff(flowsAfter, flowsBefore); diff != "" {
			t.Errorf("frame %d, %s: packets of flows (-Open vSwitch +walk):\n%s\n%s", i, f.name, diff, trace)
		}
		if diff := cmp.Diff(portsAfter, portsBefore); diff != "" {
			t.Errorf("frame %d, %s: packets of ports (-Open vSwitch +walk):\n%s\n%s", i, f.name, diff, trace)
		}
	}
}

// What the switch answers itself goes back by the port of entry, with the tag of
// the asker, whoever that is.
func TestAnswersGoBackWithTheTagOfTheAsker(t *testing.T) {
	t.Parallel()
	v := views()["trunk"]
	flows := Flows(v)
	for _, vni := range []uint32{77, 78} {
		known := Neighbour(intent.Question{VNI: vni, IP: ip("10.0.0.99")}, intent.Neighbour{Num: 99, MAC: 0x020005000063})
		flows = apply(t, flows, nil, flow.Set{known})
	}
	state := With(v, flows).State
	for _, c := range []struct {
		port uint32
		tag  uint16
		mac  [6]byte
		ip   string
		want string
	}{
		{1, 0, station6(11), "10.0.0.1", "1"}, {5, 0, station6(30), "10.0.0.30", "5"},
		{5, 101, station6(31), "10.0.0.31", "5:101"}, {5, 102, station6(32), "10.0.0.30", "5:102"},
	} {
		trace, err := softswitch.New(state).Walk(softswitch.Arrival{Port: c.port, Frame: softswitch.Frame{
			Src: c.mac, Dst: everybody, VLAN: c.tag, ARPOp: arpRequest, SHA: c.mac, IPSrc: ip(c.ip), IPDst: ip("10.0.0.99"),
		}.Bytes()})
		if got := left(trace); err != nil || got != c.want {
			t.Errorf("%s asks: answered by %q, %v; want %q\n%s", c.ip, got, err, c.want, trace)
		}
	}
}

func TestTheControllerAnswersASubPortWithItsTagAndBeforeAllElse(t *testing.T) {
	t.Parallel()
	queues := intent.Setting{Queues: true}
	for want, c := range map[string]struct {
		in intent.Setting
		p  intent.LocalPort
	}{
		"output:5": {p: intent.LocalPort{OFPort: 5, Trunk: true}},
		"push_vlan:0x8100,set_field:4198->vlan_vid,output:5,pop_vlan": {p: intent.LocalPort{OFPort: 5, VLAN: 102}},
		"set_queue:7,output:5": {queues, intent.LocalPort{OFPort: 5}},
		"set_queue:7,push_vlan:0x8100,set_field:4198->vlan_vid,output:5,pop_vlan": {queues, intent.LocalPort{OFPort: 5, VLAN: 102}},
	} {
		list := Deliver(c.in, &c.p, nil).Actions.List()
		if got := flow.NewInstructions(flow.Apply(list...)).String(); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	}
}
