package flow

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/macloom/macloom/southbound/openflow"
)

func TestBuildMatchRefusesWhatASwitchRefuses(t *testing.T) {
	t.Parallel()
	field := func(id openflow.FieldID, value, mask string) Field {
		v, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		f := octets(id, v)
		if mask != "" {
			m, err := hex.DecodeString(mask)
			if err != nil {
				t.Fatal(err)
			}
			f = maskedOctets(id, v, m)
		}
		return f
	}
	for want, fields := range map[string][]Field{
		"ct_state=":                           {field(openflow.CTState, "00001080", "")},
		"its values are 0 to 255":             {field(openflow.CTState, "00000120", "00000120")},
		"tun_flags=":                          {field(openflow.TunnelFlags, "0002", "")},
		"vlan_vid=":                           {field(openflow.VLANVID, "3005", "300f")},
		"ip_frag=":                            {IP(), field(openflow.IPFrag, "f3", "")},
		"ip_frag=0x11/0x11":                   {IP(), field(openflow.IPFrag, "11", "11")},
		"tun_gtpu_flags=0/0: its values":      {GTPUFlags(0, 0xff)},
		"in_port_oxm=65280: there is no such": {InPort(0xff00)},
		"match wants vlan_vid=0 and vlan_vid": {NoVLAN(), VLANPCP(1)},
		"packet_type":                         {PacketType(PacketIPv6), IP()},
		"nw_proto needs IP or IPv6":           {PacketType(0x10806), IPProto(6)},
	} {
		m, err := BuildMatch(fields...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, error %v; want an error with %q", fields, m, err, want)
		}
	}
}

func TestNewFieldTakesTheFieldsOfTheTable(t *testing.T) {
	t.Parallel()
	for i := range openflow.NumFields() {
		id := openflow.FieldAt(i)
		value := make([]byte, id.Len())
		value[len(value)-1] = 1
		f, err := NewField(id.NXM(), value, nil)
		if err != nil || f.ID() != id || f.Value()[len(value)-1] != 1 {
			t.Errorf("%s: %v, %v", FieldName(id), f, err)
		}
		if _, err := NewField(id, append(value, 0), nil); err == nil {
			t.Errorf("%s takes a value that is too long", FieldName(id))
		}
		if _, err := NewField(id, value, value[1:]); err == nil {
			t.Errorf("%s takes a mask that is too short", FieldName(id))
		}
	}
	if _, err := NewField(0x12340005, []byte{1}, nil); err == nil {
		t.Error("a field that is not known is taken")
	}
	if _, err := NewField(openflow.EthType, []byte{8, 0}, []byte{0xff, 0}); err == nil || !strings.Contains(err.Error(), "eth_type=0x800/0xff00: it takes no mask") {
		t.Errorf("eth_type with a mask: error %v", err)
	}
}

func TestConstructorsPanicOnWhatIsNoValue(t *testing.T) {
	t.Parallel()
	for want, build := range map[string]func(){
		"there is no register 8 of 8":             func() { XReg(8, 0) },
		"there is no register 4 of 4":             func() { XXReg(4, wide) },
		"there is no NSH context 0":               func() { NSHContext(0, 0, 0) },
		"there is no kind of fragment \"some\"":   func() { IPFragment("some") },
		"flag of TCP is to be set and unset":      func() { TCPFlags(TCPSyn, TCPSyn) },
		"10.0.0.1 and its mask ffff::f are not":   func() { IPSrcMasked(ip4A, ip6Mask) },
		"fd00::/8 is not an IPv4 prefix":          func() { ARPSPAIn(pfx("fd00::/8")) },
		"10.0.0.0/8 is not an IPv6 prefix":        func() { NDTargetIn(pfx("10.0.0.0/8")) },
		"invalid IP address":                      func() { TunnelSrc(netip.Addr{}) },
		"mpls_label=1048576: its values are 0 to": func() { NewMatch(MPLSLabel(1 << 20)) },
	} {
		if got := panicOf(build); !strings.Contains(got, want) {
			t.Errorf("panic %q, want one with %q", got, want)
		}
	}
}

func TestCheckOfACanonicalMatchTakesNoMemory(t *testing.T) { // not parallel: it counts allocations
	checked := 0
	for _, fields := range allFieldMatches() {
		m := openflow.Match(NewMatch(fields...))
		if _, ok := m.Find(openflow.PacketType); ok {
			continue // depends on other fields, so it is not cheap
		}
		if !isCanonicalMatch(m) {
			t.Errorf("%v is not known as canonical", Match(m))
		}
		if n := testing.AllocsPerRun(1, func() { isCanonicalMatch(m) }); n != 0 {
			t.Errorf("%v: the check allocates %v times", Match(m), n)
		}
		checked++
	}
	if checked < 150 {
		t.Errorf("only %d matches were checked", checked)
	}
}

func TestWhatIsNotCanonicalIsNotTakenForIt(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"80000a020800 8000000400000001",                                          // order
		"80000a020800 80000a020800",                                              // twice
		"000006020800",                                                           // NXM id
		"80010010 0000000000000001 ffffffffffffffff", "8001000800000000000000ff", // xreg0
		"80000a020800 80000a",           // not whole
		"8000000400000001 00",           //
		"80000a03080000",                // width
		"80000a0408000000",              // width
		"0001010800000001ffffffff",      // full mask
		"000101080000000000000000",      // empty mask
		"0001010800000011 0000000f",     // bit outside the mask
		"0001d20400000020",              // ct_state without mask
		"0001d30800000020 00000f20",     //
		"80000d04 1005 1fff",            // vlan_vid
		"ffff5406 4f4e4601 0012",        // an experimenter that is not known
		"0001500400000001",              // tun_metadata0
		"80000c021005 00015a0400000001", // tun_metadata after it
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if isCanonicalMatch(b) {
			t.Errorf("%s is taken for canonical", text)
		}
	}
}

// TestUnknownTLVsAreKeptAsTheyCame includes the options of tunnels, of which an empty mask says that
// the option is there.
func TestUnknownTLVsAreKeptAsTheyCame(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"0001500400000001", "0001510800000000" + "00000000", "0001511000000000ff000000" + "00000000ff000000", "ffff5406" + "12345678" + "0012",
		"00017e" + "7c" + strings.Repeat("05", 124),
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		m, err := readMatch(append(b, openflow.Match(NewMatch(InPort(1)))...))
		if want := NewMatch(InPort(1)) + Match(b); err != nil || m != want {
			t.Errorf("%s reads as %x (%v), want %x", text, []byte(m), err, []byte(want))
		}
		if again, err := Parse("oxm=" + text + ",in_port=1 actions=drop"); err != nil || again.Match != m {
			t.Errorf("%s parses to %v (%v)", text, again.Match, err)
		}
		if got, want := m.String(), "in_port=1,oxm="+text; got != want {
			t.Errorf("prints as %s, want %s", got, want)
		}
	}
}

// TestEveryFieldOfTheCodecHasItsNames keeps the table of names and that of widths together.
func TestEveryFieldOfTheCodecHasItsNames(t *testing.T) {
	t.Parallel()
	if len(namings) != openflow.NumFields() {
		t.Errorf("%d fields have names, want %d", len(namings), openflow.NumFields())
	}
	names := map[string]openflow.FieldID{}
	for i, n := range namingByIndex {
		if n == nil {
			t.Errorf("field %#x has no name", uint32(openflow.FieldAt(i)))
			continue
		}
		for _, name := range append([]string{n.set, n.subfield}, n.aka...) {
			if other, ok := names[name]; ok {
				t.Errorf("%s is the name of %#x and %#x", name, uint32(other), uint32(n.id))
			}
			names[name] = n.id
		}
		if int(n.needs) >= len(needs) || n.needs != nothing && needs[n.needs].words == "" {
			t.Errorf("%s needs nobody knows what", n.set)
		}
		want := map[kind]int{ethernet: 6, ipv4: 4, ipv6: 16, fragment: 1, packetType: 4}[n.kind]
		if want != 0 && n.id.Len() != want || n.kind == decimal && n.id.Len() > 8 {
			t.Errorf("%s has %d bytes, which does not go with its kind", n.set, n.id.Len())
		}
		if bits := n.kind.words(); bits != nil && n.id.Bits() < len(bits) {
			t.Errorf("%s has %d bits and %d words for them", n.set, n.id.Bits(), len(bits))
		}
	}
}
