package respond

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

var (
	station = mac.MustParse("02:00:05:00:00:01")
	server  = Server{Lease: 24 * time.Hour}
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// client has an address of two subnets of each family: one that is served in
// every way, one that is not.
func client() *intent.Client {
	four := &intent.Subnet{
		CIDR: netip.MustParsePrefix("10.0.0.0/24"), Gateway: addr("10.0.0.254"), EnableDHCP: true,
		Nameservers: []netip.Addr{addr("10.0.0.53"), addr("10.0.0.54")},
		HostRoutes:  []intent.Route{{Destination: netip.MustParsePrefix("192.168.7.0/25"), NextHop: addr("10.0.0.7")}},
	}
	six := &intent.Subnet{
		CIDR: netip.MustParsePrefix("fd00::/64"), EnableDHCP: true, RAMode: intent.DHCPv6Stateful, AddressMode: intent.DHCPv6Stateful,
		Nameservers: []netip.Addr{addr("fd00::53")},
	}
	return &intent.Client{
		ID: "port-1", MAC: station, MTU: 1450, Domain: "cloud.example",
		Addresses: []intent.ClientAddress{
			{Addr: addr("10.9.0.1"), Subnet: &intent.Subnet{CIDR: netip.MustParsePrefix("10.9.0.0/24")}},
			{Addr: addr("10.0.0.1"), Subnet: four, Router: 0x020005000009},
			{Addr: addr("fd00::1"), Subnet: six},
		},
	}
}

func frame4(m *dhcpv4.DHCPv4, from, to string) []byte {
	return Envelope{station, mac.Max, addr(from), addr(to)}.udp(dhcp4Client, dhcp4Server, m.ToBytes())
}

func message4(kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	b := station.Bytes()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithHwAddr(b[:]), dhcpv4.WithMessageType(kind), dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}),
	}, modifiers...)...)
	if err != nil {
		panic(err)
	}
	return m
}

func wants(ip string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(ip)))
}

func has(ip string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(ip)) }

func chosen(ip string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(ip)))
}

func TestEachMessageOfDHCPv4IsAnsweredByTheAddressOfThePort(t *testing.T) {
	t.Parallel()
	other := mac.MustParse("02:00:05:00:00:02").Bytes()
	for name, c := range map[string]struct {
		m    *dhcpv4.DHCPv4
		want string
	}{
		"discover":                       {message4(dhcpv4.MessageTypeDiscover), "discover → offer 10.0.0.1 to 10.0.0.1 at 02:00:05:00:00:01"},
		"discover with an old wish":      {message4(dhcpv4.MessageTypeDiscover, wants("10.0.0.77")), "discover → offer 10.0.0.1 to 10.0.0.1 at 02:00:05:00:00:01"},
		"discover by broadcast":          {message4(dhcpv4.MessageTypeDiscover, dhcpv4.WithBroadcast(true)), "discover → offer 10.0.0.1 to 255.255.255.255 at ff:ff:ff:ff:ff:ff"},
		"request of what was offered":    {message4(dhcpv4.MessageTypeRequest, wants("10.0.0.1"), chosen("10.0.0.254")), "request → ack 10.0.0.1 to 10.0.0.1 at 02:00:05:00:00:01"},
		"request at another server":      {message4(dhcpv4.MessageTypeRequest, wants("10.0.0.1"), chosen("10.0.0.2")), "request → none"},
		"request of another address":     {message4(dhcpv4.MessageTypeRequest, wants("10.0.0.77"), chosen("10.0.0.254")), "request → nak 0.0.0.0 to 255.255.255.255 at ff:ff:ff:ff:ff:ff"},
		"request after a reboot":         {message4(dhcpv4.MessageTypeRequest, wants("10.0.0.1")), "request → ack 10.0.0.1 to 10.0.0.1 at 02:00:05:00:00:01"},
		"request after a reboot, moved":  {message4(dhcpv4.MessageTypeRequest, wants("10.1.0.1")), "request → nak 0.0.0.0 to 255.255.255.255 at ff:ff:ff:ff:ff:ff"},
		"request of what is not served":  {message4(dhcpv4.MessageTypeRequest, wants("10.9.0.1")), "request → nak 0.0.0.0 to 255.255.255.255 at ff:ff:ff:ff:ff:ff"},
		"request of nothing":             {message4(dhcpv4.MessageTypeRequest), "request → nak 0.0.0.0 to 255.255.255.255 at ff:ff:ff:ff:ff:ff"},
		"renewal":                        {message4(dhcpv4.MessageTypeRequest, has("10.0.0.1")), "request → ack 10.0.0.1 to 10.0.0.1 at 02:00:05:00:00:01"},
		"renewal of what is no more":     {message4(dhcpv4.MessageTypeRequest, has("10.0.0.9")), "request → nak 0.0.0.0 to 255.255.255.255 at ff:ff:ff:ff:ff:ff"},
		"inform":                         {message4(dhcpv4.MessageTypeInform, has("10.0.0.9")), "inform → ack 0.0.0.0 to 10.0.0.9 at 02:00:05:00:00:01"},
		"release":                        {message4(dhcpv4.MessageTypeRelease, has("10.0.0.1"), chosen("10.0.0.254")), "release → none"},
		"decline":                        {message4(dhcpv4.MessageTypeDecline, wants("10.0.0.1"), chosen("10.0.0.254")), "decline → none"},
		"an offer of a client":           {message4(dhcpv4.MessageTypeOffer), "malformed → none"},
		"a reply of a client":            {message4(dhcpv4.MessageTypeDiscover, func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }), "malformed → none"},
		"discover for somebody else":     {message4(dhcpv4.MessageTypeDiscover, dhcpv4.WithHwAddr(other[:])), "malformed → none"},
		"discover with an address of 16": {message4(dhcpv4.MessageTypeDiscover, dhcpv4.WithHwAddr(make([]byte, 16))), "malformed → none"},
	} {
		a := server.Configure(client(), frame4(c.m, "0.0.0.0", "255.255.255.255"))
		got := fmt.Sprintf("%s → %s", a.Asked, a.Said)
		if a.Frame != nil {
			p, reply := reply4(t, a.Frame)
			got += fmt.Sprintf(" %s to %s at %s", reply.YourIPAddr, p.To, mac.FromBytes([6]byte(a.Frame[:6])))
			if p.From != addr("10.0.0.254") || p.Src != ServerMAC || reply.TransactionID != c.m.TransactionID ||
				!reply.ServerIdentifier().Equal(net.ParseIP("10.0.0.254")) {
				t.Errorf("%s: %v from %v: %v", name, p.Src, p.From, reply.Summary())
			}
		}
		if got != c.want {
			t.Errorf("%s: got %s\nwant %s", name, got, c.want)
		}
	}
}

// reply4 reads a frame back, and sees to its checksums.
func reply4(t *testing.T, frame []byte) (packet, *dhcpv4.DHCPv4) {
	t.Helper()
	p, ok := parse(frame)
	if !ok || p.srcPort != dhcp4Server || p.dstPort != dhcp4Client {
		t.Fatalf("not a reply: %x", frame)
	}
	if fold(sum(0, frame[ethernetLen:ethernetLen+ipv4Len])) != 0xffff {
		t.Errorf("checksum of IPv4: %x", frame)
	}
	if !sound(p, frame[ethernetLen+ipv4Len:]) {
		t.Errorf("checksum of UDP: %x", frame)
	}
	m, err := dhcpv4.FromBytes(p.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return p, m
}

// sound checks a checksum in another way than it was made: the words of the
// pseudo header (RFC 768, RFC 8200 §8.1) and of all that follows it sum up to a
// multiple of 65535.
func sound(p packet, b []byte) bool {
	all := slices.Concat(p.From.AsSlice(), p.To.AsSlice(), []byte{0, p.Proto}, binary.BigEndian.AppendUint16(nil, uint16(len(b))), b)
	total := 0
	for i, octet := range all {
		if i%2 == 0 {
			total += int(octet) << 8
		} else {
			total += int(octet)
		}
	}
	return total%0xffff == 0
}

func options4Of(m *dhcpv4.DHCPv4) map[uint8]string {
	got := map[uint8]string{}
	for code, value := range m.Options {
		if code != 82 {
			got[code] = hex.EncodeToString(value)
		}
	}
	return got
}

func TestAnOfferSaysHowTheNetworkIs(t *testing.T) {
	t.Parallel()
	c := client()
	c.Options = []intent.DHCPOption{
		{Name: "ntp-server", Value: "10.0.0.123,10.0.0.124", Version: 4},
		{Name: "67", Value: "pxelinux.0", Version: 4},
		{Name: "option:mtu", Value: "1400", Version: 4},
		{Name: "server-ip-address", Value: "10.0.0.66", Version: 4},
		{Name: "domain-search", Value: "a.example, b.example", Version: 4},
		{Name: "224", Value: "0a:0b", Version: 4},
		{Name: "225", Value: "words", Version: 4},
		{Name: "226", Value: "300", Version: 4},
		{Name: "server-id", Value: "10.0.0.1", Version: 4},         // no such name
		{Name: "54", Value: "10.0.0.1", Version: 4},                // not to be changed
		{Name: "router", Value: "fd00::1", Version: 4},             // of another family
		{Name: "dns-server", Value: "fd00::5", Version: 6},         // of another protocol
		{Name: "227", Value: strings.Repeat("x", 256), Version: 4}, // too long
	}
	_, m := reply4(t, server.Configure(c, frame4(message4(dhcpv4.MessageTypeDiscover), "0.0.0.0", "255.255.255.255")).Frame)
	want := map[uint8]string{
		1: "ffffff00", 3: "0a0000fe", 6: "0a0000350a000036", 12: hex.EncodeToString([]byte("host-10-0-0-1")), 15: hex.EncodeToString([]byte("cloud.example")),
		26: "0578", 28: "0a0000ff", 42: "0a00007b0a00007c", 51: "00015180", 53: "02", 54: "0a0000fe", 58: "0000a8c0", 59: "00012750",
		67:  hex.EncodeToString([]byte("pxelinux.0")),
		119: "0161076578616d706c6500" + "0162076578616d706c6500",
		121: "19c0a807000a000007" + "000a0000fe",
		224: "0a0b", 225: hex.EncodeToString([]byte("words")), 226: "012c",
	}
	if diff := cmp.Diff(want, options4Of(m)); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	c.Addresses[1].Router = 0
	_, m2 := reply4(t, server.Configure(c, frame4(message4(dhcpv4.MessageTypeDiscover), "0.0.0.0", "255.255.255.255")).Frame)
	if got := options4Of(m2)[59]; got != "0000a8c0" {
		t.Errorf("without a router the client rebinds after %s, want half of the lease", got)
	}
	if m.ServerIPAddr.String() != "10.0.0.66" {
		t.Errorf("siaddr %s", m.ServerIPAddr)
	}
}

func TestAClientOfManyOptionsGetsAnAnswerThatFits(t *testing.T) {
	t.Parallel()
	c := client()
	for code := 128; code < 250; code++ {
		c.Options = append(c.Options, intent.DHCPOption{Name: fmt.Sprint(code), Value: strings.Repeat("x", 200), Version: 4})
	}
	a := server.Configure(c, frame4(message4(dhcpv4.MessageTypeDiscover), "0.0.0.0", "255.255.255.255"))
	if n := len(a.Frame) - ethernetLen; n > 1500 || a.Said != Offer {
		t.Errorf("%v of %d bytes", a.Said, n)
	}
}

func TestAPortWithoutServedAddressIsNotAnswered(t *testing.T) {
	t.Parallel()
	c := client()
	for i := range c.Addresses {
		off := *c.Addresses[i].Subnet
		off.EnableDHCP = false
		c.Addresses[i].Subnet = &off
	}
	for _, frame := range [][]byte{
		frame4(message4(dhcpv4.MessageTypeDiscover), "0.0.0.0", "255.255.255.255"),
		frame4(message4(dhcpv4.MessageTypeRequest, wants("10.0.0.1")), "0.0.0.0", "255.255.255.255"),
		frame6(message6(dhcpv6.MessageTypeSolicit)), solicitation(),
	} {
		if a := server.Configure(c, frame); a.Frame != nil || a.Asked == Malformed {
			t.Errorf("%v", a)
		}
	}
}

func clientID() dhcpv6.DUID {
	b := station.Bytes()
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: b[:]}
}

// message6 asks for one association with the given addresses.
func message6(kind dhcpv6.MessageType, addrs ...string) *dhcpv6.Message {
	m := &dhcpv6.Message{MessageType: kind, TransactionID: dhcpv6.TransactionID{1, 2, 3}}
	m.AddOption(dhcpv6.OptClientID(clientID()))
	ia := &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 9}}
	for _, a := range addrs {
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(a)})
	}
	m.AddOption(ia)
	return m
}

func with(m *dhcpv6.Message, o dhcpv6.Option) *dhcpv6.Message {
	m.AddOption(o)
	return m
}

func frame6(m *dhcpv6.Message) []byte {
	all := addr("ff02::1:2")
	return Envelope{station, groupMAC(all), station.LinkLocal(), all}.udp(dhcp6Client, dhcp6Server, m.ToBytes())
}

func TestEachMessageOfDHCPv6IsAnsweredByTheAddressOfThePort(t *testing.T) {
	t.Parallel()
	ours := dhcpv6.OptServerID(serverID)
	foreign := dhcpv6.OptServerID(clientID())
	const given = "fd00::1 86400/86400 T1 43200 T2 69120 dns fd00::53 search cloud.example"
	for name, c := range map[string]struct {
		m    *dhcpv6.Message
		want string
	}{
		"solicit":                 {message6(dhcpv6.MessageTypeSolicit), "solicit6 → advertise6: " + given},
		"solicit at once":         {with(message6(dhcpv6.MessageTypeSolicit), &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit}), "solicit6 → reply6: " + given},
		"solicit of a server":     {with(message6(dhcpv6.MessageTypeSolicit), ours), "solicit6 → none:"},
		"request":                 {with(message6(dhcpv6.MessageTypeRequest, "fd00::1"), ours), "request6 → reply6: " + given},
		"request, another server": {with(message6(dhcpv6.MessageTypeRequest, "fd00::1"), foreign), "request6 → none:"},
		"request of no server":    {message6(dhcpv6.MessageTypeRequest, "fd00::1"), "request6 → none:"},
		"renew":                   {with(message6(dhcpv6.MessageTypeRenew, "fd00::1"), ours), "renew6 → reply6: " + given},
		"renew of what is no more": {with(message6(dhcpv6.MessageTypeRenew, "fd00::77"), ours),
			"renew6 → reply6: fd00::1 86400/86400 fd00::77 0/0 T1 43200 T2 69120 dns fd00::53 search cloud.example"},
		"rebind":              {message6(dhcpv6.MessageTypeRebind, "fd00::1"), "rebind6 → reply6: " + given},
		"confirm":             {message6(dhcpv6.MessageTypeConfirm, "fd00::1"), "confirm6 → reply6: status Success"},
		"confirm of another":  {message6(dhcpv6.MessageTypeConfirm, "fd01::1"), "confirm6 → reply6: status NotOnLink"},
		"confirm of nothing":  {message6(dhcpv6.MessageTypeConfirm), "confirm6 → none:"},
		"release":             {with(message6(dhcpv6.MessageTypeRelease, "fd00::1"), ours), "release6 → reply6: status Success"},
		"decline":             {with(message6(dhcpv6.MessageTypeDecline, "fd00::1"), ours), "decline6 → reply6: status Success"},
		"information":         {&dhcpv6.Message{MessageType: dhcpv6.MessageTypeInformationRequest}, "information6 → reply6: dns fd00::53 search cloud.example"},
		"a reply of a client": {message6(dhcpv6.MessageTypeReply), "malformed → none:"},
		"a second association": {with(message6(dhcpv6.MessageTypeSolicit), &dhcpv6.OptIANA{IaId: [4]byte{8}}),
			"solicit6 → advertise6: fd00::1 86400/86400 T1 43200 T2 69120 status NoAddrsAvail T1 0 T2 0 dns fd00::53 search cloud.example"},
	} {
		a := server.Configure(client(), frame6(c.m))
		got := fmt.Sprintf("%s → %s:%s", a.Asked, a.Said, told6(t, a.Frame))
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}

// told6 is what a reply says.
func told6(t *testing.T, frame []byte) (text string) {
	t.Helper()
	if frame == nil {
		return ""
	}
	p, ok := parse(frame)
	if !ok || p.srcPort != dhcp6Server || p.dstPort != dhcp6Client || p.From != ServerMAC.LinkLocal() || p.To != station.LinkLocal() {
		t.Fatalf("not a reply: %x", frame)
	}
	if !sound(p, frame[ethernetLen+ipv6Len:]) {
		t.Errorf("checksum of UDP: %x", frame)
	}
	m, err := dhcpv6.MessageFromBytes(p.Payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, ia := range m.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			text += fmt.Sprintf(" %s %.0f/%.0f", a.IPv6Addr, a.PreferredLifetime.Seconds(), a.ValidLifetime.Seconds())
		}
		if s := ia.Options.Status(); s != nil {
			text += " status " + s.StatusCode.String()
		}
		text += fmt.Sprintf(" T1 %.0f T2 %.0f", ia.T1.Seconds(), ia.T2.Seconds())
	}
	if s := m.Options.Status(); s != nil {
		text += " status " + s.StatusCode.String()
	}
	for _, ip := range m.Options.DNS() {
		text += " dns " + ip.String()
	}
	if l := m.Options.DomainSearchList(); l != nil {
		text += " search " + strings.Join(l.Labels, ",")
	}
	return text
}

func solicitation() []byte {
	all := addr("ff02::2")
	return Envelope{station, groupMAC(all), station.LinkLocal(), all}.icmp6([]byte{routerSolicitation, 0, 0, 0, 0, 0, 0, 0})
}

func TestAnAdvertisementSaysHowAddressesAreMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*intent.ClientAddress, *intent.Subnet)
		// flags, lifetime of the router, flags of the prefix
		flags byte
		life  uint16
		bits  byte
		from  mac.Addr
	}{
		"slaac":     {func(_ *intent.ClientAddress, n *intent.Subnet) { n.RAMode = intent.SLAAC }, 0, 0, 0xc0, ServerMAC},
		"stateless": {func(_ *intent.ClientAddress, n *intent.Subnet) { n.RAMode = intent.DHCPv6Stateless }, 0x40, 0, 0xc0, ServerMAC},
		"stateful":  {func(*intent.ClientAddress, *intent.Subnet) {}, 0x80, 0, 0x80, ServerMAC},
		"with a router": {func(a *intent.ClientAddress, _ *intent.Subnet) { a.Router = 0x020005000009 },
			0x80, 1800, 0x80, 0x020005000009},
	} {
		client := client()
		six := *client.Addresses[2].Subnet
		c.edit(&client.Addresses[2], &six)
		client.Addresses[2].Subnet = &six
		a := server.Configure(client, solicitation())
		if a.Asked != RouterSolicitation || a.Said != RouterAdvertisement {
			t.Fatalf("%s: %v", name, a)
		}
		p, ok := parse(a.Frame)
		if !ok || p.Hops != 255 || p.From != c.from.LinkLocal() || p.To != allNodes || !sound(p, p.Payload) {
			t.Errorf("%s: frame %x", name, a.Frame)
		}
		own := c.from.Bytes()
		want := slices.Concat(
			[]byte{134, 0, p.Payload[2], p.Payload[3], 64, c.flags}, binary.BigEndian.AppendUint16(nil, c.life), make([]byte, 8),
			[]byte{1, 1}, own[:],
			[]byte{5, 1, 0, 0, 0, 0, 0x05, 0xaa}, // MTU 1450
			[]byte{3, 4, 64, c.bits, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0}, addr("fd00::").AsSlice(),
			[]byte{25, 3, 0, 0, 0, 0, 0x0e, 0x10}, addr("fd00::53").AsSlice())
		if diff := cmp.Diff(hex.Dump(want), hex.Dump(p.Payload)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// asking is an ARP request, and a neighbour solicitation with an option.
func asking() (arp, ns []byte) {
	src := station.Bytes()
	arp = slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, src[:], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1},
		src[:], []byte{10, 0, 0, 1}, make([]byte, 6), []byte{10, 0, 0, 2}, make([]byte, 18))
	to := addr("ff02::1:ff00:2")
	ns = Envelope{station, groupMAC(to), station.LinkLocal(), to}.icmp6(
		slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, addr("fd00::2").AsSlice(), []byte{1, 1}, src[:]))
	return arp, ns
}

func TestTheAddressThatIsAskedForIsFound(t *testing.T) {
	t.Parallel()
	arp, ns := asking()
	for want, frame := range map[string][]byte{"10.0.0.2": arp, "fd00::2": ns} {
		if ip, ok := Asked(frame); !ok || ip != addr(want) {
			t.Errorf("got %v %v, want %s", ip, ok, want)
		}
		for n := range 40 {
			if _, ok := Asked(frame[:n]); ok {
				t.Errorf("found in %d bytes", n)
			}
		}
	}
	reply := slices.Clone(arp)
	reply[21] = 2
	if _, ok := Asked(reply); ok {
		t.Error("a reply asks for nothing")
	}
}

// Who asks for a virtual address of IPv6 is told where it is, and nobody else is.
func TestAVirtualAddressIsAdvertised(t *testing.T) {
	t.Parallel()
	arp, ns := asking()
	const virtual mac.Addr = 0x020000000100
	got := Advertise(ns, addr("fd00::2"), virtual)
	p, ok := parse(got)
	own := virtual.Bytes()
	want := slices.Concat([]byte{136, 0, p.Payload[2], p.Payload[3], 0x60, 0, 0, 0}, addr("fd00::2").AsSlice(), []byte{2, 1}, own[:])
	if !ok || p.Src != virtual || [6]byte(got) != station.Bytes() || p.From != addr("fd00::2") || p.To != station.LinkLocal() || p.Hops != maxHops || !slices.Equal(p.Payload, want) {
		t.Errorf("got %x", got)
	}
	probing := slices.Clone(ns)
	clear(probing[22:38]) // from ::, as who wants the address for itself
	for name, frame := range map[string][]byte{"an ARP request": arp, "duplicate address detection": probing, "part of a question": ns[:len(ns)-8]} {
		if got := Advertise(frame, addr("fd00::2"), virtual); got != nil {
			t.Errorf("%s is answered: %x", name, got)
		}
	}
	if got := Advertise(ns, addr("fd00::3"), virtual); got != nil {
		t.Errorf("a question for another address is answered: %x", got)
	}
}

// Whatever a station sends, the answer is for it alone and is well-formed.
func FuzzConfigure(f *testing.F) {
	arp, ns := asking()
	for _, frame := range [][]byte{
		arp, ns, solicitation(), frame4(message4(dhcpv4.MessageTypeDiscover), "0.0.0.0", "255.255.255.255"),
		frame4(message4(dhcpv4.MessageTypeRequest, wants("10.0.0.1")), "0.0.0.0", "255.255.255.255"),
		frame6(message6(dhcpv6.MessageTypeSolicit)), frame6(message6(dhcpv6.MessageTypeRebind, "fd00::77")),
	} {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if ip, ok := Asked(frame); ok && !ip.IsValid() {
			t.Error("an address that is none")
		} else if answer := Advertise(frame, ip, ServerMAC); answer != nil && (len(answer) != 86 || [6]byte(answer) != [6]byte(frame[6:])) {
			t.Errorf("advertisement %x to %x", answer, frame)
		}
		a := server.Configure(client(), frame)
		if a.Frame == nil {
			return
		}
		p, ok := parse(a.Frame)
		if !ok || p.Src != ServerMAC || len(a.Frame) > 2*len(frame)+1500 {
			t.Errorf("answer %x to %x", a.Frame, frame)
		}
	})
}

func BenchmarkAsked(b *testing.B) {
	arp, _ := asking()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Asked(arp); !ok {
			b.Fatal("not found")
		}
	}
}

// directory knows every address.
type directory struct{}

func (directory) Neighbour(q intent.Question) (intent.Neighbour, bool) {
	ip := q.IP.As16()
	return intent.Neighbour{Num: uint32(ip[15]), MAC: mac.Addr(ip[15])}, true
}

// From an ARP request to the decision that its flow is on its way, or must be installed.
func BenchmarkQuestion(b *testing.B) {
	arp, _ := asking()
	n, now := NewNeighbours(directory{}), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		ip, _ := Asked(arp)
		if v, _ := n.Asked(now, intent.Question{VNI: 77, IP: ip}); v == Unknown {
			b.Fatal(v)
		}
	}
}

func BenchmarkDHCP(b *testing.B) {
	frame, c := frame4(message4(dhcpv4.MessageTypeDiscover), "0.0.0.0", "255.255.255.255"), client()
	b.ReportAllocs()
	for b.Loop() {
		if server.Configure(c, frame).Said != Offer {
			b.Fatal("no offer")
		}
	}
}
