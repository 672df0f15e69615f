package e2e

import (
	"encoding/hex"
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow/walk"
	"github.com/macloom/macloom/test/lab"
)

// What a port may say as itself reaches another host, what it says as somebody
// else leaves its own host never, and each time macloom explain says so.
func TestABoundPortSpeaksOnlyAsItself(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	c := all[0]
	network := c.network("acme", "blue", "10.0.0.0/24")
	six := c.create("subnets", "subnet", map[string]any{
		"network_id": network, "tenant_id": "acme", "ip_version": 6, "cidr": "fd00:5d::/64", "gateway_ip": nil,
	})["id"].(string)
	// The witness takes everything, so that it is the guard alone that stands between.
	open := c.create("security-groups", "security_group", map[string]any{"name": "open", "tenant_id": "acme"})["id"].(string)
	for _, family := range []string{"IPv4", "IPv6"} {
		c.create("security-group-rules", "security_group_rule", map[string]any{
			"security_group_id": open, "tenant_id": "acme", "direction": "ingress", "ethertype": family,
		})
	}
	thief := c.boot("thief", "acme", network, "10.0.0.1", true)
	witness := all[1].boot("witness", "acme", network, "10.0.0.2", true)
	for who, more := range map[*instance]map[string]any{&thief: {}, &witness: {"security_groups": []any{open}}} {
		more["fixed_ips"] = []any{map[string]any{"ip_address": who.ip}, map[string]any{"subnet_id": six, "ip_address": "fd00:5d::" + who.ip[len(who.ip)-1:]}}
		c.ctl.Must(http.MethodPut, "/v2.0/ports/"+who.portID(), map[string]any{"port": more})
	}
	c.awaitStatus(thief, "ACTIVE")
	c.awaitStatus(witness, "ACTIVE")

	ip := netip.MustParseAddr
	own, peer, stolen := parseMAC(thief.MAC), parseMAC(witness.MAC), [6]byte{0x02, 0, 0, 0, 0, 0x99}
	everybody := mac.Max.Bytes()
	link, foreign, none, none6 := mac.MustParse(thief.MAC).LinkLocal(), mac.MustParse("02:00:00:00:00:99").LinkLocal(), netip.AddrFrom4(nobody), ip("fd00:5d::200")
	v4 := walk.Frame{Src: own, Dst: peer, IPSrc: ip("10.0.0.1"), IPDst: ip("10.0.0.2"), Proto: 1, Type: 8}
	v6 := walk.Frame{Src: own, Dst: peer, IPSrc: ip("fd00:5d::1"), IPDst: ip("fd00:5d::2"), Proto: 58, Type: 128}
	arp := walk.Frame{Src: own, Dst: everybody, ARPOp: 1, SHA: own, IPSrc: ip("10.0.0.1"), IPDst: none}
	nd := func(kind uint8, src netip.Addr, target netip.Addr, option ...byte) walk.Frame {
		return walk.Frame{
			Src: own, Dst: [6]byte{0x33, 0x33, 0, 0, 0, 1}, IPSrc: src, IPDst: ip("ff02::1"), Proto: 58, Type: kind,
			Payload: slices.Concat(target.AsSlice(), option),
		}
	}
	sll := func(a [6]byte) []byte { return append([]byte{1, 1}, a[:]...) }
	tll := func(a [6]byte) []byte { return append([]byte{2, 1}, a[:]...) }
	with := func(f walk.Frame, change func(*walk.Frame)) walk.Frame {
		change(&f)
		return f
	}
	raw := func(dst [6]byte, etherType uint16, payload ...byte) walk.Frame {
		return walk.Frame{Src: own, Dst: dst, EtherType: etherType, Payload: payload}
	}
	all4, all6 := ip("0.0.0.0"), netip.IPv6Unspecified()

	legal := map[string]walk.Frame{
		"IPv4":                   v4,
		"IPv6":                   v6,
		"UDP":                    with(v4, func(f *walk.Frame) { f.Proto, f.SrcPort, f.DstPort = 17, 1000, 2000 }),
		"the start of TCP":       with(v6, func(f *walk.Frame) { f.Proto, f.SrcPort, f.DstPort, f.TCPFlags = 6, 1000, 80, walk.TCPSyn }),
		"a question by ARP":      arp,
		"an ARP probe":           with(arp, func(f *walk.Frame) { f.IPSrc = all4 }),
		"an ARP announcement":    with(arp, func(f *walk.Frame) { f.IPDst = f.IPSrc }),
		"a solicitation":         nd(135, v6.IPSrc, none6, sll(own)...),
		"duplicate detection":    nd(135, all6, none6),
		"an advertisement":       nd(136, link, v6.IPSrc, tll(own)...),
		"a link-local multicast": with(v6, func(f *walk.Frame) { f.Dst, f.IPSrc, f.IPDst = [6]byte{0x33, 0x33, 0, 0, 0, 1}, link, ip("ff02::1") }),
	}
	forged := map[string]walk.Frame{
		"IPv4 from a stolen MAC":                with(v4, func(f *walk.Frame) { f.Src = stolen }),
		"IPv4 from a stolen address":            with(v4, func(f *walk.Frame) { f.IPSrc = ip("10.0.0.99") }),
		"IPv4 from the receiver's address":      with(v4, func(f *walk.Frame) { f.IPSrc = f.IPDst }),
		"a later fragment of a stolen address":  with(v4, func(f *walk.Frame) { f.IPSrc, f.Fragment, f.Payload = ip("10.0.0.99"), 1, make([]byte, 8) }),
		"IPv6 from a stolen MAC":                with(v6, func(f *walk.Frame) { f.Src = stolen }),
		"IPv6 from a stolen address":            with(v6, func(f *walk.Frame) { f.IPSrc = ip("fd00:5d::99") }),
		"IPv6 from a stolen link-local address": with(v6, func(f *walk.Frame) { f.IPSrc = foreign }),
		"ARP from a stolen MAC":                 with(arp, func(f *walk.Frame) { f.Src, f.SHA = stolen, stolen }),
		"ARP with a stolen sender MAC":          with(arp, func(f *walk.Frame) { f.SHA = stolen }),
		"ARP with a stolen sender IP":           with(arp, func(f *walk.Frame) { f.IPSrc = ip("10.0.0.99") }),
		"an ARP answer for the peer's IP":       with(arp, func(f *walk.Frame) { f.ARPOp, f.Dst, f.IPSrc = 2, peer, ip("10.0.0.2") }),
		"an ARP probe with a stolen sender MAC": with(arp, func(f *walk.Frame) { f.IPSrc, f.SHA = all4, stolen }),
		"a solicitation with a stolen MAC":      nd(135, v6.IPSrc, none6, sll(stolen)...),
		"a solicitation from a stolen address":  nd(135, foreign, none6, sll(own)...),
		"an advertisement of a stolen address":  nd(136, v6.IPSrc, ip("fd00:5d::99"), tll(own)...),
		"an advertisement with a stolen MAC":    nd(136, v6.IPSrc, v6.IPSrc, tll(stolen)...),
		"a router advertisement":                nd(134, link, all6),
		"a redirect":                            nd(137, link, none6),
		"what a DHCP server says":               with(v4, func(f *walk.Frame) { f.Proto, f.SrcPort, f.DstPort = 17, 67, 68 }),
		"what a DHCPv6 server says":             with(v6, func(f *walk.Frame) { f.Proto, f.SrcPort, f.DstPort = 17, 547, 546 }),
		"a VLAN tag":                            with(v4, func(f *walk.Frame) { f.VLAN = 7 }),
		"LLDP":                                  raw([6]byte{0x01, 0x80, 0xc2, 0, 0, 0x0e}, 0x88cc, make([]byte, 30)...),
		"RARP":                                  raw(everybody, 0x8035, 0, 1, 8, 0, 6, 4, 0, 3),
		"MPLS":                                  raw(peer, 0x8847, 0, 0, 1, 255),
	}
	// The kernel's connection tracker cuts off what follows an IP packet: there the mark
	// is inside. Neighbour discovery is not tracked, and knows what may be inside.
	sign := func(f walk.Frame, n int) []byte {
		if tracked := f.ARPOp == 0 && f.IPSrc.IsValid() && (f.Proto != 58 || f.Type < 133); tracked {
			f.Payload = slices.Concat(f.Payload, trailer(n))
			return f.Bytes()
		}
		return mark(f.Bytes(), n)
	}
	n := 0
	try := func(name string, frame walk.Frame, passes bool) {
		t.Helper()
		n++
		t.Logf("frame %d is %s", n, name)
		seen, last := witness.Capture(marked(n)), witness.Capture(marked(1000+n))
		thief.SendFrame(sign(frame, n))
		if passes {
			seen.Wait(1, patience) // the kernel's datapath may let the sentinel overtake the first of its kind
		}
		// The sentinel leaves by the same port afterwards: once it is there, the frame would be, too.
		thief.SendFrame(mark(arp.Bytes(), 1000+n))
		last.Wait(1, patience)
		last.Stop()
		if got := len(seen.Stop()) > 0; got != passes {
			t.Errorf("%s arrived: %v, want %v", name, got, passes)
		}
		said := c.explain(thief, "frame="+hex.EncodeToString(frame.Bytes()))
		if (said.Verdict == "delivered") != passes || !passes && said.Verdict != "dropped" {
			t.Errorf("%s: explained as %s: %s; want it delivered: %v", name, said.Verdict, said.Summary, passes)
		}
	}
	thief.Ping(witness.ip, lab.PingOptions{Timeout: patience})
	for name, frame := range legal {
		try(name, frame, true)
	}
	for name, frame := range forged {
		try(name, frame, false)
	}
}
