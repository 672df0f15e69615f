package pipeline

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	softswitch "github.com/macloom/macloom/southbound/flow/walk"
	"github.com/macloom/macloom/southbound/openflow"
)

var vip6 = station6(100)

// toVIP is the first frame of a client of the virtual address, by the last byte of its MAC.
func toVIP(six bool, client byte, proto uint8, port uint16) softswitch.Frame {
	return softswitch.Frame{
		Src: station6(client), Dst: vip6, IPSrc: addrOf(six, client), IPDst: addrOf(six, 100), Proto: proto, SrcPort: 40000, DstPort: port, TCPFlags: softswitch.TCPSyn,
	}
}

func balancedSendings() []sent {
	where := softswitch.Frame{Src: station6(1), Dst: everybody, ARPOp: arpRequest, SHA: station6(1), IPSrc: ip("10.0.0.1"), IPDst: ip("10.0.0.100")}
	still, elsewhere, stray, echo := where, where, toVIP(false, 1, protoTCP, 81), toVIP(false, 1, protoICMP, 0)
	still.Dst = vip6
	elsewhere.Src, elsewhere.SHA, elsewhere.IPSrc = station6(3), station6(3), ip("10.0.0.3")
	echo.Type = 8
	reply := softswitch.Frame{Src: station6(11), Dst: station6(1), IPSrc: ip("10.0.0.11"), IPDst: ip("10.0.0.1"), Proto: protoTCP, SrcPort: 8080, DstPort: 40000, TCPFlags: softswitch.TCPSyn}
	return []sent{
		{"where is the virtual address", 1, 0, where, "1"},
		{"is it there still", 1, 0, still, "1"},
		{"where is it, in another network", 3, 0, elsewhere, "controller"},
		{"a client is given to a backend", 1, 0, toVIP(false, 1, protoTCP, 80), "900 77 192.0.2.2"},
		{"a backend that falls to itself", 2, 0, toVIP(false, 2, protoTCP, 80), ""},
		{"a pool of single connections", 1, 0, toVIP(false, 1, protoUDP, 53), "900 77 192.0.2.2"},
		{"a pool by MAC and address", 1, 0, toVIP(false, 1, protoTCP, 443), "900 77 192.0.2.2"},
		{"a port that no pool has", 1, 0, stray, ""},
		{"an echo request", 1, 0, echo, ""},
		{"a stranger who sends from the port of a backend", 900, 77, reply, ""},
	}
}

func balanced6Sendings() []sent {
	where := softswitch.Frame{
		Src: station6(1), Dst: [6]byte{0x33, 0x33, 0xff, 0, 0, 100}, IPSrc: addrOf(true, 1), IPDst: ip("ff02::1:ff00:64"), Proto: protoICMPv6, Type: icmp6NeighSol,
		Payload: slices.Concat(addrOf(true, 100).AsSlice(), []byte{1, 1}, func() []byte { a := station6(1); return a[:] }()),
	}
	still := where
	still.Dst, still.IPDst = vip6, addrOf(true, 100)
	return []sent{
		{"where is the virtual address", 1, 0, where, "2 900 77 192.0.2.2 controller"},
		{"is it there still", 1, 0, still, "2 900 77 192.0.2.2 controller"},
		{"a client is given to a backend", 1, 0, toVIP(true, 1, protoTCP, 80), "900 77 192.0.2.2"},
		{"a pool of single connections", 1, 0, toVIP(true, 1, protoUDP, 53), "900 77 192.0.2.2"},
		{"a pool by MAC and address", 1, 0, toVIP(true, 1, protoTCP, 443), "900 77 192.0.2.2"},
		{"a port that no pool has", 1, 0, toVIP(true, 1, protoTCP, 81), ""},
	}
}

// ends are the addresses of a frame.
func ends(frame []byte) (from, to netip.Addr) {
	if frame[12] == 0x86 {
		return netip.AddrFrom16([16]byte(frame[22:])), netip.AddrFrom16([16]byte(frame[38:]))
	}
	return netip.AddrFrom4([4]byte(frame[26:])), netip.AddrFrom4([4]byte(frame[30:]))
}

// inFamilies runs a test for pools of IPv4 and of IPv6.
func inFamilies(t *testing.T, test func(t *testing.T, six bool)) {
	t.Parallel()
	for name, six := range map[string]bool{"IPv4": false, "IPv6": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, six)
		})
	}
}

// serve sends frames through a switch and says which MAC each leaves for.
func serve(t *testing.T, sw *softswitch.Switch, port uint32, f softswitch.Frame) (dst [6]byte, tuple string) {
	t.Helper()
	trace, err := sw.Walk(softswitch.Arrival{Port: port, Frame: f.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range trace.Outputs {
		if o.Port == openflow.PortController {
			t.Errorf("the controller gets it:\n%s", trace)
			continue
		}
		from, to := ends(o.Frame)
		return [6]byte(o.Frame[:6]), from.String() + " " + to.String()
	}
	return dst, ""
}

func desiredOf(s *intent.State) flow.State {
	return Compute(s.View(dpid, append(townPorts(), intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true}), intent.UnmanagedDrop)).State
}

// A client without a pin gets a backend by its slot, and only one that takes new ones.
func TestOnlyBackendsThatAreUpGetNewClients(t *testing.T) {
	inFamilies(t, onlyBackendsThatAreUpGetNewClients)
}

func onlyBackendsThatAreUpGetNewClients(t *testing.T, six bool) {
	v, got := balanced(six), map[uint32]int{}
	var pool intent.Service
	for _, s := range v.Services {
		if s.Num == 7 {
			pool = s
		}
	}
	for _, num := range pool.Slots {
		got[num]++
	}
	var nums []uint32
	for _, b := range pool.Targets {
		nums = append(nums, b.Num)
	}
	// Three by their weight; one drains, one is down and one is bound nowhere.
	if diff := cmp.Diff(map[uint32]int{501: 43, 502: 43, 503: 42}, got); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint32{501, 502, 503, 504}, nums); diff != "" {
		t.Errorf("backends that live (-want +got):\n%s", diff)
	}
}

// A pin holds whatever becomes of the slots, for as long as its backend lives.
func TestAPinHoldsWhileItsBackendLives(t *testing.T) { inFamilies(t, aPinHoldsWhileItsBackendLives) }

func aPinHoldsWhileItsBackendLives(t *testing.T, six bool) {
	s := balancing(six)
	pool, _ := func() (intent.AffinityPool, bool) { p := s.AffinityPools("blue"); return p[0], true }()
	sw := softswitch.New(desiredOf(s))
	first, tuple := serve(t, sw, 1, toVIP(six, 1, protoTCP, 80))
	i := slices.IndexFunc(pool.Backends, func(b intent.AffinityBackend) bool {
		return first == station6(map[string]byte{"port-2": 2, "port-11": 11, "port-12": 12}[b.PortID])
	})
	if i < 0 || !strings.HasPrefix(tuple, addrOf(six, 1).String()+" ") || strings.HasSuffix(tuple, " "+addrOf(six, 100).String()) {
		t.Fatalf("the client went to %x as %s", first, tuple)
	}
	change := func(state intent.BackendState, health intent.Health) [6]byte {
		pool.Backends = slices.Clone(pool.Backends)
		pool.Backends[i].State, pool.Backends[i].Health = state, health
		pool.Slots = intent.SpreadSlots(pool.Slots, pool.Weights())
		s.PutAffinityPool(pool, nil)
		sw = softswitch.New(flow.State{Flows: flowsWithPins(t, desiredOf(s), pool.Backends[i].Num)})
		dst, _ := serve(t, sw, 1, toVIP(six, 1, protoTCP, 80))
		return dst
	}
	if got := change(intent.BackendDrain, intent.HealthUnknown); got != first {
		t.Errorf("while it drains the client goes to %x, not %x", got, first)
	}
	for _, c := range []struct {
		state  intent.BackendState
		health intent.Health
	}{{intent.BackendDown, intent.HealthUnknown}, {intent.BackendUp, intent.HealthDown}} {
		if got := change(c.state, c.health); got == first || got == ([6]byte{}) {
			t.Errorf("state %s and health %s: the client goes to %x", c.state, c.health, got)
		}
	}
	if got := change(intent.BackendUp, intent.HealthUp); got != first {
		t.Errorf("up again, it goes to %x", got)
	}
}

// flowsWithPins are flows with a pin of client 1 to a backend of pool 7.
func flowsWithPins(t *testing.T, s flow.State, backend uint32) flow.Set {
	t.Helper()
	set, err := flow.NewSet(append(slices.Clone(s.Flows), flow.Flow{
		Table: tablePins, Priority: prioAllow, Cookie: uint64(NewCookie(KindPin, backend)), IdleTimeout: 300,
		Match:        flow.NewMatch(flow.Reg(regPool, 7), flow.EthSrc(station6(1))),
		Instructions: flow.NewInstructions(flow.Apply(flow.Load(flow.Whole(reg(regBackend)), uint64(backend)))),
	}))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// The client hears from the virtual address, whatever switch its backend is on.
func TestRepliesComeFromTheVirtualAddress(t *testing.T) {
	inFamilies(t, repliesComeFromTheVirtualAddress)
}

func repliesComeFromTheVirtualAddress(t *testing.T, six bool) {
	sw := softswitch.New(desiredOf(balancing(six)))
	to, tuple := serve(t, sw, 1, toVIP(six, 1, protoTCP, 443))
	if to != station6(11) || tuple != addrOf(six, 1).String()+" "+addrOf(six, 11).String() {
		t.Fatalf("the request left for %x as %s", to, tuple)
	}
	reply := softswitch.Frame{
		Src: to, Dst: station6(1), IPSrc: addrOf(six, 11), IPDst: addrOf(six, 1), Proto: protoTCP, SrcPort: 8080, DstPort: 40000, TCPFlags: softswitch.TCPSyn | softswitch.TCPAck,
	}
	trace, err := sw.Walk(softswitch.Arrival{Port: 900, Frame: reply.Bytes(), Tunnel: softswitch.Tunnel{ID: 77, Src: ip("192.0.2.2"), Dst: ip("192.0.2.1")}})
	if err != nil || len(trace.Outputs) != 1 || trace.Outputs[0].Port != 1 {
		t.Fatalf("the reply does not come to the client: %v\n%s", err, trace)
	}
	if from, _ := ends(trace.Outputs[0].Frame); from != addrOf(six, 100) {
		t.Errorf("the reply is from %v\n%s", from, trace)
	}
}

func TestARefusedFlowOfABackendHitsItsPools(t *testing.T) {
	t.Parallel()
	v := balanced(false)
	zone := v.Services[2].Targets[0].Zone // that of 10.0.0.11:8080, which two pools lead to
	for _, c := range []struct {
		cookie Cookie
		want   []uint32
	}{
		{NewCookie(KindPool, 8), []uint32{8}}, {NewCookie(KindBackend, 502), []uint32{7}}, {NewCookie(KindTarget, uint32(zone)), []uint32{7, 9}},
		{NewCookie(KindTable, uint32(tablePinned)), []uint32{7, 8, 9}}, {NewCookie(KindPort, 1), nil},
	} {
		if diff := cmp.Diff(c.want, AffectedPools(v, c.cookie)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.cookie, diff)
		}
	}
	if Dangling(v, NewCookie(KindPin, 504)) || !Dangling(v, NewCookie(KindPin, 505)) || Dangling(v, NewCookie(KindLearned, 505)) {
		t.Error("pins to backends that live are taken for others")
	}
}
