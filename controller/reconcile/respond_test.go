package reconcile

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// arpFor is an ARP request of a port for an address, as its flow sends it.
func arpFor(p intent.Port, target netip.Addr) *openflow.PacketIn {
	src, tpa := p.MAC.Bytes(), target.As4()
	frame := slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, src[:], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1},
		src[:], p.FixedIPs[0].Addr.AsSlice(), make([]byte, 6), tpa[:])
	return asked(p, pipeline.KindResolve, frame)
}

func asked(p intent.Port, kind pipeline.Kind, frame []byte) *openflow.PacketIn {
	return &openflow.PacketIn{
		BufferID: openflow.NoBuffer, TotalLen: uint16(len(frame)), TableID: 5, Data: frame,
		Cookie: uint64(pipeline.NewCookie(kind, p.Num)), Match: openflow.NewMatch(flow.InPort(p.Binding.PortNo).OXM()),
	}
}

func answers(t *testing.T, sw *switchtest.Switch, p intent.Port) bool {
	t.Helper()
	want := pipeline.Neighbour(intent.Question{VNI: 77, IP: p.FixedIPs[0].Addr}, intent.Neighbour{Num: p.Num, MAC: p.MAC})
	return at(held(t, sw), want.Key()) == want
}

func awaitAnswer(t *testing.T, sw *switchtest.Switch, p intent.Port, want bool) {
	t.Helper()
	what := "no answer"
	if want {
		what = "an answer"
	}
	sw.Await(t, what+" about "+p.FixedIPs[0].Addr.String(), func() bool { return answers(t, sw, p) == want })
}

// elsewhere is a port at another switch.
func elsewhere(num uint32) intent.Port {
	p := port(num, 4)
	p.Binding.Host = intent.DPID(99).String()
	return p
}

func TestASwitchAnswersForNeighboursForAsLongAsTheyHaveTheAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 3)
	asker, far := port(1, 1), elsewhere(9)
	put := func(p intent.Port) func(*intent.State, intent.Touched) {
		return func(s *intent.State, touched intent.Touched) { s.PutPort(p, touched) }
	}
	r.change(plugged(1))
	r.change(put(far))
	ask := func() { sw.Send(t, arpFor(asker, far.FixedIPs[0].Addr)) }
	ask()
	awaitAnswer(t, sw, far, true)

	// Another MAC, a binding that ends, another that may speak as the address, and the end of the port.
	moved := far
	moved.MAC++
	r.change(put(moved))
	awaitAnswer(t, sw, far, false)
	ask()
	awaitAnswer(t, sw, moved, true)

	unbound := moved
	unbound.Binding = intent.Binding{}
	r.change(put(unbound))
	awaitAnswer(t, sw, moved, false)

	r.change(put(far))
	ask()
	awaitAnswer(t, sw, far, true)
	other := port(2, 2)
	other.Extras.Pairs = []intent.AddressPair{{Address: far.FixedIPs[0].Addr.String()}}
	r.change(put(other))
	awaitAnswer(t, sw, far, false)
	r.change(put(port(2, 2)))

	ask()
	awaitAnswer(t, sw, far, true)
	r.change(func(s *intent.State, touched intent.Touched) { s.DeletePort(far.ID, touched) })
	awaitAnswer(t, sw, far, false)

	// Nobody is known to have it now, which a question for another shows.
	ask()
	r.change(put(port(3, 3)))
	sw.Send(t, arpFor(asker, port(3, 3).FixedIPs[0].Addr))
	awaitAnswer(t, sw, port(3, 3), true)
	if answers(t, sw, far) {
		t.Error("the switch answers for a port that is gone")
	}
}

func TestANewControllerTakesOverTheAnswersThatAreTrue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 3)
	r.change(plugged(1))
	for num := uint32(8); num <= 9; num++ {
		r.change(func(s *intent.State, touched intent.Touched) { s.PutPort(elsewhere(num), touched) })
		sw.Send(t, arpFor(port(1, 1), elsewhere(num).FixedIPs[0].Addr))
		awaitAnswer(t, sw, elsewhere(num), true)
	}
	flowMods := counted(sw)
	r.restart(sw)
	if n := flowMods(); n != 0 || !answers(t, sw, elsewhere(8)) || !answers(t, sw, elsewhere(9)) {
		t.Errorf("a restart with nothing changed sent %d flow-mods", n)
	}
	// While nobody was there, the station at 9 got another MAC.
	r.stop()
	changed := elsewhere(9)
	changed.MAC++
	r.mu.Lock()
	r.state.PutPort(changed, intent.Touched{})
	r.state.TakeMoved()
	r.mu.Unlock()
	r.restart(sw)
	awaitAnswer(t, sw, elsewhere(9), false)
	if !answers(t, sw, elsewhere(8)) {
		t.Error("the answer that was true is gone")
	}
}

func TestAnAnswerThatNobodyUsedIsForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 3)
	r.change(plugged(1, 2))
	ask := arpFor(port(1, 1), port(2, 2).FixedIPs[0].Addr)
	sw.Send(t, ask)
	awaitAnswer(t, sw, port(2, 2), true)
	r.advance(time.Hour)
	err := sw.Expire(openflow.RemovedIdleTimeout, func(s openflow.FlowStats) bool {
		return pipeline.Cookie(s.Cookie).Kind() == pipeline.KindNeighbour
	})
	if err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, sw, port(2, 2), false)
	sw.Send(t, ask)
	awaitAnswer(t, sw, port(2, 2), true)
}

func TestAPortIsGivenItsAddressAndNoOtherPortIs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 3)
	r.change(func(s *intent.State, touched intent.Touched) {
		blue(s, touched)
		s.PutSubnet(intent.Subnet{Meta: intent.Meta{ID: "sub"}, NetworkID: "blue", CIDR: netip.MustParsePrefix("10.0.0.0/24"), EnableDHCP: true}, touched)
		for num := uint32(1); num <= 2; num++ {
			p := port(num, num)
			p.FixedIPs[0].SubnetID = "sub"
			s.PutPort(p, touched)
		}
	})
	p := port(1, 1)
	discover := discoverFrom(t, p)
	// At a port that was another's when it asked, and from another's MAC, it is not answered.
	stale := asked(p, pipeline.KindConfigure, discover)
	stale.Cookie = uint64(pipeline.NewCookie(pipeline.KindConfigure, 2))
	sw.Send(t, stale)
	sw.Send(t, asked(port(2, 2), pipeline.KindConfigure, discover))
	sw.Send(t, asked(p, pipeline.KindConfigure, discover))
	sw.Await(t, "an offer", func() bool { return len(sw.PacketOuts()) > 0 })
	outs := sw.PacketOuts()
	if want := openflow.NewActions(flow.Output(1)); len(outs) != 1 || !slices.Equal(outs[0].Actions, want) {
		t.Fatalf("answers %v", outs)
	}
	m, err := dhcpv4.FromBytes(outs[0].Data[42:])
	if err != nil || m.YourIPAddr.String() != "10.0.0.1" || m.MessageType() != dhcpv4.MessageTypeOffer {
		t.Errorf("offer %v, %v", m, err)
	}
}

func discoverFrom(t *testing.T, p intent.Port) []byte {
	t.Helper()
	src := p.MAC.Bytes()
	m, err := dhcpv4.NewDiscovery(src[:])
	if err != nil {
		t.Fatal(err)
	}
	payload := m.ToBytes()
	n := uint16(len(payload))
	b := slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, src[:], []byte{8, 0, 0x45, 0})
	b = binary.BigEndian.AppendUint16(b, 28+n)
	b = append(b, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 68, 0, 67)
	b = binary.BigEndian.AppendUint16(b, 8+n)
	return append(append(b, 0, 0), payload...)
}
