package openflow

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/southbound/ovstest"
)

func TestMessagesEncodeToTheirGoldens(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			got := hex.EncodeToString(AppendMessage([]byte{0xaa}, 1, s.message))
			if want := "aa" + hex.EncodeToString(golden(t, s.name)); got != want {
				t.Errorf("encoding\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestGoldensDecodeToTheirMessages(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			frame := golden(t, s.name)
			h, got, err := Decode(frame)
			if err != nil {
				t.Fatal(err)
			}
			want := Header{Version: Version13, Type: s.message.MsgType(), Length: uint16(len(frame)), XID: 1}
			if h != want {
				t.Errorf("header %+v, want %+v", h, want)
			}
			if diff := diffMessages(s.message, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMessagesReadAsMeant asks Open vSwitch what it makes of our bytes.
func TestMessagesReadAsMeant(t *testing.T) {
	t.Parallel()
	ofctl := ovstest.LookTool(t, "ovs-ofctl")
	for _, s := range samples {
		if s.words == nil {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(ofctl, "ofp-print", hex.EncodeToString(AppendMessage(nil, 1, s.message)), "2").CombinedOutput()
			if err != nil {
				t.Fatalf("ovs-ofctl ofp-print: %v\n%s", err, out)
			}
			for _, word := range s.words {
				if !strings.Contains(string(out), word) {
					t.Errorf("ovs-ofctl does not read %q in it, but\n%s", word, out)
				}
			}
			if strings.Contains(string(out), "***") && !slices.ContainsFunc(s.words, func(w string) bool { return strings.Contains(w, "***") }) {
				t.Errorf("ovs-ofctl complains:\n%s", out)
			}
		})
	}
}

func TestCutMessagesAreRefusedWithoutPanic(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		frame := golden(t, s.name)
		for n := range len(frame) {
			if n < HeaderLen {
				if _, _, err := Decode(frame[:n]); err == nil {
					t.Errorf("%s: %d bytes decode", s.name, n)
				}
				continue
			}
			cut := append([]byte(nil), frame[:n]...)
			putLen(cut, 2, n)
			// Some of them are whole messages (cut data); none may panic.
			if _, m, err := Decode(cut); err == nil {
				assertStable(t, m)
			}
		}
	}
}

func TestZeroFilledMessagesEnd(t *testing.T) {
	t.Parallel()
	for kind := range 256 {
		for _, n := range []int{8, 16, 24, 64, 128, 1024} {
			frame := make([]byte, n)
			frame[0], frame[1] = byte(Version13), byte(kind)
			putLen(frame, 2, n)
			if _, m, err := Decode(frame); err == nil {
				assertStable(t, m)
			}
		}
	}
}

func diffMessages(want, got Message) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}))
}

// assertStable encodes m and decodes it again to the same value.
func assertStable(t *testing.T, m Message) {
	t.Helper()
	frame := AppendMessage(nil, 7, m)
	if len(frame) == 0 {
		t.Fatalf("%T: what was decoded is too long to encode", m)
	}
	_, again, err := Decode(frame)
	if err != nil {
		t.Fatalf("%T: decode what was encoded: %v\n%x", m, err, frame)
	}
	if !reflect.DeepEqual(m, again) {
		t.Fatalf("decoded, encoded and decoded again (-first +second):\n%s", diffMessages(m, again))
	}
	assertLists(t, m)
}

// assertLists takes the lists of m apart and puts them together again.
func assertLists(t *testing.T, m any) {
	t.Helper()
	same := func(list, again []byte) {
		t.Helper()
		if !bytes.Equal(list, again) {
			t.Fatalf("%T: the list\n%x became\n%x", m, list, again)
		}
	}
	match := func(m Match) {
		var again []byte
		for tlv := range m.TLVs() {
			if o, ok := DecodeOXM(tlv); ok {
				again = o.AppendTo(again)
			} else {
				again = append(again, tlv...)
			}
		}
		same(m, again)
	}
	instructions := func(i Instructions) { same(i, NewInstructions(i.List()...)) }
	buckets := func(list []Bucket) {
		for _, k := range list {
			same(k.Actions, NewActions(k.Actions.List()...))
		}
	}
	switch m := m.(type) {
	case *BundleAdd:
		assertLists(t, m.Message)
	case *MultipartRequest:
		assertLists(t, m.Body)
	case *MultipartReply:
		assertLists(t, m.Body)
	case *FlowMod:
		match(m.Match)
		instructions(m.Instructions)
	case *FlowStatsReply:
		for _, f := range m.Flows {
			match(f.Match)
			instructions(f.Instructions)
		}
	case *PacketOut:
		same(m.Actions, NewActions(m.Actions.List()...))
	case *GroupMod:
		buckets(m.Buckets)
	case *GroupDescReply:
		for _, g := range m.Groups {
			buckets(g.Buckets)
		}
	case *TableFeaturesReply:
		for _, table := range m.Tables {
			same(table.Properties, NewTableProperties(table.Properties.List()...))
		}
	case *FlowMonitorReply:
		for u := range m.Updates.All() {
			match(u.Match)
			instructions(u.Instructions)
		}
	case *QueueGetConfigReply:
		for _, q := range m.Queues {
			q.Properties.Rate(QueueMaxRate)
		}
	}
}

func TestDecodeHeaderRefusesWhatNoStreamCanGoOnAfter(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]string{"short": "04000008000000", "length below a header's": "0400000700000000"} {
		if _, err := DecodeHeader(unhex(t, b)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDecodeTakesOtherVersionsOnlyInTheHandshake(t *testing.T) {
	t.Parallel()
	hello := AppendMessageVersion(nil, Version10, 3, &Hello{})
	if h, m, err := Decode(hello); err != nil || h.Version != Version10 || *m.(*Hello) != (Hello{}) {
		t.Errorf("hello of version 1.0: %+v %+v %v", h, m, err)
	}
	features := AppendMessageVersion(nil, Version10, 3, &FeaturesRequest{})
	if _, _, err := Decode(features); err == nil || !strings.Contains(err.Error(), "version 0x01 is not 1.3") {
		t.Errorf("features request of version 1.0: %v", err)
	}
}

func TestHelloIgnoresWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		want uint32
	}{
		"another element first": {"0002000500000000" + "0000" + "0000" + "0001000800000010", 0},
		"padded element first":  {"0002000500000000" + "0001000800000010", 0x10},
		"longer bitmap":         {"0001000c0000001200000001" + "00000000", 0x12},
		"element of length 0":   {"0001000000000010", 0},
		"element past the end":  {"000100ff00000010", 0},
		"stray bytes":           {"010203", 0},
	} {
		frame := append([]byte{4, 0, 0, byte(8 + len(test.body)/2), 0, 0, 0, 0}, unhex(t, test.body)...)
		_, m, err := Decode(frame)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := m.(*Hello).Bitmap; got != test.want {
			t.Errorf("%s: bitmap %#x, want %#x", name, got, test.want)
		}
	}
}

func TestMalformedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	flowMod := "00000000000000000000000000000000" + "00000000" + "00000000" + "ffffffffffffffffffffffff" + "00000000"
	for name, test := range map[string]struct{ kind, body, want string }{
		"barrier with a body":           {"14", "00", "1 bytes too many"},
		"match of the old type":         {"0e", flowMod + "0000000400000000", "type 0 is not OXM"},
		"match shorter than its header": {"0e", flowMod + "0001000300000000", "match: length 3"},
		"match longer than the message": {"0e", flowMod + "0001004000000000", "ends early"},
		"field longer than the match":   {"0e", flowMod + "0001000c80000008" + "00000001" + "00000000", "ends early"},
		"instruction of length 0":       {"0e", flowMod + "0001000400000000" + "0001000000000000", "length 0"},
		"instruction cut":               {"0e", flowMod + "0001000400000000" + "00010008", "instruction: ends early"},
		"action of length 0":            {"0e", flowMod + "0001000400000000" + "0004001000000000" + "0000000000000000", "length 0"},
		"action past its list":          {"0e", flowMod + "0001000400000000" + "0004001000000000" + "0000001000000000", "length 16 of 8"},
		"action of odd length":          {"0e", flowMod + "0001000400000000" + "0004001800000000" + "0000000c000000000000000000000000", "length 12"},
		"actions longer than their message": {
			"0d", "ffffffff" + "fffffffd" + "0020000000000000" + "00000010000000020000000000000000", "ends early",
		},
		"flow stats of length 0":     {"13", "0001000000000000" + "0000", "flow stats: length 0 of 2 bytes"},
		"broken message in a bundle": {"04", "4f4e4600000008fd0000000900000003" + "040e000c00000001" + "00000000", "message in bundle"},
	} {
		frame := unhex(t, "04"+test.kind+"0000"+"00000001"+test.body)
		putLen(frame, 2, len(frame))
		if _, _, err := Decode(frame); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func TestUnusualFormsOfKnownThingsStayRaw(t *testing.T) {
	t.Parallel()
	for name, action := range map[string]string{
		"output with bytes in its padding":     "00000010000000010000" + "000000000001",
		"set-field with a mask":                "001900188000070c" + "020000000001" + "ffffff000000" + "00000000",
		"set-field of an unknown experimenter": "00190010ffff5406" + "12345678" + "0002" + "0000",
		"load of an unknown field":             "ffff001800002320" + "0007001f0001fe04" + "0000000000000001",
		"load past the end of its field":       "ffff001800002320" + "0007045f00010004" + "0000000000000001",
		"ct with unknown flags":                "ffff001800002320" + "0023000400000000" + "0000ff0000000000",
		"ct with a broken list of actions":     "ffff002000002320" + "0023000100000000" + "0000ff0000000000" + "0000001000000000",
		"nat outside of ct":                    "ffff001000002320" + "0024000000000000",
	} {
		b := unhex(t, action)
		actions, err := DecodeActions(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff([]Action{ActionRaw(b)}, actions); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestMessagesThatDoNotFitAreNotAppended(t *testing.T) {
	t.Parallel()
	fits := &EchoReply{Data: make([]byte, MaxMessageLen-HeaderLen)}
	if got := len(AppendMessage(nil, 1, fits)); got != MaxMessageLen {
		t.Errorf("longest message has %d bytes, want %d", got, MaxMessageLen)
	}
	over := &EchoReply{Data: make([]byte, MaxMessageLen-HeaderLen+1)}
	for _, m := range []Message{over, &BundleAdd{Message: over}} {
		if got := AppendMessage([]byte("x"), 1, m); string(got) != "x" {
			t.Errorf("%T of more than 65535 bytes was appended: %d bytes", m, len(got))
		}
	}
}

func TestDecodedMessagesOwnTheirBytes(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		switch s.message.(type) {
		case *PacketIn, *PacketIn2, *Resume, *PacketOut: // their Data aliases the frame, as Decode says
			continue
		}
		frame := golden(t, s.name)
		_, got, err := Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		for i := range frame {
			frame[i] = 0xee
		}
		if diff := diffMessages(s.message, got); diff != "" {
			t.Errorf("%s changed with the frame (-want +got):\n%s", s.name, diff)
		}
	}
}

func TestFieldWidthsAreThoseOfTheirOXMHeaders(t *testing.T) {
	t.Parallel()
	for id, want := range map[FieldID]int{
		InPort: 4, Metadata: 8, EthDst: 6, EthType: 2, VLANVID: 2, VLANPCP: 1, IPProto: 1, IPv4Dst: 4, SCTPDst: 2, ICMPType: 1, ARPOp: 2, ARPTHA: 6,
		IPv6Src: 16, IPv6Label: 4, ICMP6Code: 1, NDTarget: 16, NDTLL: 6, TunnelID: 8, Reg0 + 15: 4, CTState: 4, CTZone: 2, CTMark: 4, CTLabel: 16, ConjID: 4,
		TunnelDst: 4, IPFrag: 1, VLANTCI: 2, EthSrc.NXM(): 6, IPv6Src.NXM(): 16, FieldID(0x80010000): 8, FieldID(0x12340001): 0,
	} {
		if got := id.Len(); got != want {
			t.Errorf("field %#x has %d bytes, want %d", uint32(id), got, want)
		}
	}
}

func TestErrorsReadAsTheSpecificationNamesThem(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]Error{
		"OFPET_BAD_MATCH/OFPBMC_BAD_PREREQ":                  {ErrType: ErrorBadMatch, Code: 9},
		"OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL":           {ErrType: ErrorFlowModFailed, Code: FlowModTableFull},
		"OFPET_BAD_ACTION/OFPBAC_99":                         {ErrType: ErrorBadAction, Code: 99},
		"OFPET_77/3":                                         {ErrType: 77, Code: 3},
		"OFPET_HELLO_FAILED/OFPHFC_INCOMPATIBLE: only 1.3.":  {ErrType: ErrorHelloFailed, Data: []byte("only 1.3\n")},
		"OFPET_EXPERIMENTER/OFPBFC_MSG_FAILED":               {ErrType: ErrorExperimenter, Experimenter: experimenterONF, Code: 2313},
		"OFPET_EXPERIMENTER/NXBMC_CT_DATAPATH_SUPPORT":       {ErrType: ErrorExperimenter, Experimenter: experimenterNicira, Code: 43},
		"OFPET_EXPERIMENTER/OFPMOFC_UNKNOWN_MONITOR":         {ErrType: ErrorExperimenter, Experimenter: experimenterNicira, Code: 8},
		"OFPET_EXPERIMENTER/NXR_STALE":                       {ErrType: ErrorExperimenter, Experimenter: experimenterNicira, Code: 35},
		"OFPET_EXPERIMENTER/OFPACFC_UNSUPPORTED":             {ErrType: ErrorExperimenter, Experimenter: experimenterONF, Code: 2371},
		"OFPET_EXPERIMENTER/OFPBPC_DUP_TYPE":                 {ErrType: ErrorExperimenter, Experimenter: experimenterONF, Code: 4444},
		"OFPET_EXPERIMENTER/0x00001234/5":                    {ErrType: ErrorExperimenter, Experimenter: 0x1234, Code: 5},
		"OFPET_EXPERIMENTER/0x4f4e4600/9":                    {ErrType: ErrorExperimenter, Experimenter: experimenterONF, Code: 9},
		"OFPET_TABLE_FEATURES_FAILED/OFPTFFC_EPERM":          {ErrType: ErrorTableFeaturesFailed, Code: 5},
		"OFPET_ROLE_REQUEST_FAILED/OFPRRFC_STALE":            {ErrType: ErrorRoleRequestFailed, Code: RoleRequestStale},
		"OFPET_BAD_REQUEST/OFPBRC_MULTIPART_BUFFER_OVERFLOW": {ErrType: ErrorBadRequest, Code: 13},
		"OFPET_BAD_INSTRUCTION/OFPBIC_EPERM":                 {ErrType: ErrorBadInstruction, Code: 8},
		"OFPET_SWITCH_CONFIG_FAILED/OFPSCFC_BAD_LEN":         {ErrType: ErrorSwitchConfigFailed, Code: 1},
		"OFPET_METER_MOD_FAILED/OFPMMFC_OUT_OF_BANDS":        {ErrType: ErrorMeterModFailed, Code: 11},
		"OFPET_EXPERIMENTER/OFPBIC_DUP_INST":                 {ErrType: ErrorExperimenter, Experimenter: experimenterONF, Code: 2600},
		"OFPET_GROUP_MOD_FAILED/OFPGMFC_EPERM":               {ErrType: ErrorGroupModFailed, Code: 14},
		"OFPET_PORT_MOD_FAILED/OFPPMFC_BAD_HW_ADDR":          {ErrType: ErrorPortModFailed, Code: 1},
		"OFPET_HELLO_FAILED/OFPHFC_EPERM":                    {ErrType: ErrorHelloFailed, Code: 1},
		"OFPET_BAD_ACTION/OFPBAC_BAD_SET_ARGUMENT":           {ErrType: ErrorBadAction, Code: 15},
		"OFPET_BAD_REQUEST/OFPBRC_BAD_EXP_TYPE":              {ErrType: ErrorBadRequest, Code: BadRequestExpType},
		"OFPET_QUEUE_OP_FAILED/OFPQOFC_BAD_QUEUE":            {ErrType: ErrorQueueOpFailed, Code: 1},
		"OFPET_TABLE_MOD_FAILED/OFPTMFC_BAD_CONFIG":          {ErrType: ErrorTableModFailed, Code: 1},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		var target *Error
		if !errors.As(error(&e), &target) {
			t.Errorf("%s is no error", want)
		}
	}
}

func TestFlowModEncodesWithoutAllocation(t *testing.T) {
	buf := make([]byte, 0, 4096)
	m := *sampleFlowMod
	inPort, src := oxm(InPort, "\x00\x00\x00\x01"), oxm(EthSrc, "\x02\x00\x00\x00\x00\x01")
	for name, encode := range map[string]func(){
		"encoded before": func() { buf = AppendMessage(buf[:0], 1, sampleFlowMod) },
		"encoded again": func() {
			m.Match = m.Match[:0].Append(inPort).Append(src)
			m.Instructions = GotoTable{Table: 9}.AppendInstruction(m.Instructions[:0])
			buf = AppendMessage(buf[:0], 1, &m)
		},
	} {
		m.Match, m.Instructions = slices.Clone(sampleMatch), slices.Clone(sampleInstructions)
		if got := testing.AllocsPerRun(100, encode); got != 0 {
			t.Errorf("%s: %v allocations, want 0", name, got)
		}
	}
}

func TestPacketInDecodesWithoutAllocation(t *testing.T) {
	body := packetInFrame()[HeaderLen:]
	var p PacketIn
	if got := testing.AllocsPerRun(100, func() {
		if err := p.Decode(body); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
	if &p.Data[0] != &body[len(body)-len(p.Data)] {
		t.Error("Data does not alias the body")
	}
}

func TestPacketIn2DecodesWithoutAllocation(t *testing.T) {
	body := packetIn2Frame()[HeaderLen:]
	var p PacketIn2
	if got := testing.AllocsPerRun(100, func() {
		if err := p.Decode(body); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
	if diff := cmp.Diff(len(p.Data), 98); diff != "" {
		t.Error(diff)
	}
}

func TestPacketIn2DecodeForgetsTheOneBefore(t *testing.T) {
	t.Parallel()
	p := PacketIn2{
		BufferID: 1, FullLen: 2, Reason: 3, TableID: 4, Cookie: 5, Match: NewMatch(oxm(EthType, "\x08\x00")), Data: []byte{1}, Userdata: []byte{2},
		Continuation: []byte{3}, Other: []byte{4},
	}
	want := PacketIn2{BufferID: NoBuffer, Cookie: noCookie}
	if err := p.Decode(want.AppendBody(nil)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, p, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := p.Decode((&CTFlushZone{}).AppendBody(nil)); err == nil {
		t.Error("another experimenter message decodes")
	}
}

func TestFlowStatsDecodeAllocatesPerMessageAndNotPerFlow(t *testing.T) {
	few, many := flowStatsFrame(2000), flowStatsFrame(MaxMessageLen)
	allocations := func(frame []byte) float64 {
		return testing.AllocsPerRun(20, func() { _, _, _ = Decode(frame) })
	}
	if a, b := allocations(few), allocations(many); a != b || b > 6 {
		t.Errorf("%v allocations for %d bytes and %v for %d, want as many and no more than 6", a, len(few), b, len(many))
	}
}

func TestPacketInDecodeForgetsTheOneBefore(t *testing.T) {
	t.Parallel()
	p := PacketIn{Match: NewMatch(oxm(EthType, "\x08\x00"), oxm(IPProto, "\x06")), Data: []byte{1}, Cookie: 9}
	want := PacketIn{BufferID: NoBuffer, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x01"))}
	if err := p.Decode(want.AppendBody(nil)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func packetInFrame() []byte {
	return AppendMessage(nil, 1, &PacketIn{
		BufferID: NoBuffer, TotalLen: 98, Reason: 1, TableID: 8,
		Match: NewMatch(oxm(InPort, "\x00\x00\x00\x03"), oxm(Reg0, "\x00\x00\x00\x01"), oxm(Metadata, "\x00\x00\x00\x00\x00\x00\x00\x07")),
		Data:  make([]byte, 98),
	})
}

func packetIn2Frame() []byte {
	return AppendMessage(nil, 1, &PacketIn2{
		BufferID: NoBuffer, FullLen: 98, Reason: 1, TableID: 8, Cookie: 0x5d << 56, Data: make([]byte, 98), Userdata: []byte{1, 2, 3, 4},
		Match: NewMatch(oxm(InPort, "\x00\x00\x00\x03"), oxm(Reg0, "\x00\x00\x00\x01"), oxm(Metadata, "\x00\x00\x00\x00\x00\x00\x00\x07")),
	})
}

func TestAPacketInSaysByWhichPortItCame(t *testing.T) {
	t.Parallel()
	field := OXM{Field: InPort, Len: 4, Value: [16]byte{0xff, 0xff, 0xff, 0xfe}}
	with := PacketIn{Match: NewMatch(OXM{Field: Metadata, Len: 8}, field)}
	if port, ok := with.InPort(); port != PortLocal || !ok {
		t.Errorf("InPort() = %#x, %v; want LOCAL", port, ok)
	}
	if port, ok := new(PacketIn).InPort(); ok {
		t.Errorf("InPort() = %#x of a packet-in that does not say", port)
	}
}
