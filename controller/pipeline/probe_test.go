package pipeline

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	softswitch "github.com/macloom/macloom/southbound/flow/walk"
)

// probed is the view of a host with a backend that several pools probe: two of them by the same
// requests, one by pings, and one by pings from the address of a station that is there.
func probed() *intent.View {
	s := balancing(false)
	monitored := func(num uint32, vip string, port uint16, kind intent.MonitorKind, backend intent.AffinityBackend) {
		p := balancedPool(num, vip, port, intent.TransportTCP, intent.AffinityMAC, backend)
		p.Monitor = intent.Monitor{Kind: kind, Delay: 5, Timeout: 2, Rise: 2, Fall: 3}
		s.PutAffinityPool(p, nil)
	}
	monitored(10, "port-100", 81, intent.MonitorTCP, backendOf(531, 2, 8080, intent.BackendUp))
	monitored(11, "port-100", 82, intent.MonitorTCP, backendOf(541, 2, 8080, intent.BackendDrain))
	monitored(12, "port-100", 83, intent.MonitorPing, backendOf(551, 2, 8080, intent.BackendUp))
	monitored(13, "port-1", 84, intent.MonitorPing, backendOf(561, 2, 8080, intent.BackendUp))
	monitored(14, "port-100", 85, intent.MonitorTCP, backendOf(571, 2, 8081, intent.BackendDown))
	monitored(15, "port-100", 86, intent.MonitorTCP, backendOf(581, 11, 8080, intent.BackendUp))
	v := s.View(dpid, append(townPorts(), intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true}), intent.UnmanagedDrop)
	v.Meters = true
	return v
}

func probedSendings() []sent {
	says := func(change func(*softswitch.Frame)) softswitch.Frame {
		f := softswitch.Frame{Src: station6(2), Dst: vip6, IPSrc: ip("10.0.0.2"), IPDst: ip("10.0.0.100"), Proto: protoTCP, SrcPort: 8080, DstPort: intent.FirstProbePort + 5, TCPFlags: softswitch.TCPSyn}
		change(&f)
		return f
	}
	echo := func(f *softswitch.Frame) { f.Proto, f.SrcPort, f.DstPort, f.TCPFlags, f.Type = protoICMP, 0, 0, 0, 0 }
	return []sent{
		{"a backend answers a probe, whatever its rules are", 2, 0, says(func(*softswitch.Frame) {}), "controller"},
		{"to the last port of probes", 2, 0, says(func(f *softswitch.Frame) { f.DstPort = intent.FirstProbePort + intent.ProbePorts - 1 }), "controller"},
		{"to a port beyond", 2, 0, says(func(f *softswitch.Frame) { f.DstPort = intent.FirstProbePort + intent.ProbePorts }), ""},
		{"from another port of the backend", 2, 0, says(func(f *softswitch.Frame) { f.SrcPort = 8081 }), ""},
		{"somebody who is no backend", 1, 0, says(func(f *softswitch.Frame) { f.Src, f.IPSrc = station6(1), ip("10.0.0.1") }), ""},
		{"somebody who says to be the backend", 1, 0, says(func(*softswitch.Frame) {}), ""},
		{"to another MAC", 2, 0, says(func(f *softswitch.Frame) { f.Dst = station6(77) }), ""},
		{"an echo", 2, 0, says(echo), "controller"},
		{"an echo to somebody who may have asked for it", 2, 0, says(func(f *softswitch.Frame) {
			echo(f)
			f.Dst, f.IPDst = station6(1), ip("10.0.0.1")
		}), "controller"},
	}
}

// A backend is probed where its port is, once for each pool, and answers are caught once.
func TestBackendsAreProbedWhereTheyAre(t *testing.T) {
	t.Parallel()
	v, got := probed(), map[uint32]string{}
	for _, p := range v.Probes {
		words := p.Addr.String()
		if p.Catches {
			words += " caught"
		}
		if p.Shared {
			words += " shared"
		}
		got[p.Backend] = words
	}
	want := map[uint32]string{531: "10.0.0.2 caught", 541: "10.0.0.2", 551: "10.0.0.2 caught", 561: "10.0.0.2 caught shared"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	meters := 0
	for id, owner := range Compute(v).MeterOwners {
		if owner.Kind() == KindProbe {
			meters++
			if !OurMeter(id) || id >= firstMeter {
				t.Errorf("meter %d is none of those for probes", id)
			}
		}
	}
	if meters != 1 {
		t.Errorf("%d meters for the answers of one port", meters)
	}
}

// What a probe finds changes who serves, and nothing of what is caught.
func TestWhoIsFoundDownServesNobody(t *testing.T) {
	t.Parallel()
	s := balancing(false)
	pool := s.AffinityPools("blue")[0]
	pool.Monitor = intent.Monitor{Kind: intent.MonitorTCP, Delay: 5, Timeout: 2, Rise: 2, Fall: 3}
	view := func(h intent.Health) *intent.View {
		p := pool
		p.Backends = append([]intent.AffinityBackend(nil), pool.Backends...)
		p.Backends[0].Probed = h
		s.PutAffinityPool(p, nil)
		return s.View(dpid, append(townPorts(), intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true}), intent.UnmanagedDrop)
	}
	before, after := view(intent.HealthUp), view(intent.HealthDown)
	serves := func(v *intent.View) (hit bool) {
		for _, b := range v.Services[0].Targets {
			hit = hit || b.Num == pool.Backends[0].Num
		}
		return hit
	}
	if !serves(before) || serves(after) {
		t.Errorf("it serves: while up %t, while down %t", serves(before), serves(after))
	}
	gone, come, ok := Change(before, after)
	if !ok {
		t.Fatal("all must be compiled anew")
	}
	if plan := flow.Diff(flow.State{Flows: gone}, flow.State{Flows: come}); slices.ContainsFunc(slices.Concat(plan.Add, plan.Delete), func(f flow.Flow) bool { return Cookie(f.Cookie).Kind() == KindProbe }) {
		t.Error("answers are caught otherwise than before")
	}
}
