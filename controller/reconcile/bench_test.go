package reconcile

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/guard"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/learn"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// watched is a guard as the controller has it, but for what becomes of what it hears.
type watched struct{ *guard.Watch }

func (w watched) Seen(now time.Time, a mac.Addr, at intent.Place) { w.Watch.Seen(now, a, at) }

func (watched) Limited(intent.Place, string, int) {}

// BenchmarkLearn is what a frame from a station that is new costs, from the decoded packet-in
// to the bytes of the flow-mods: without limits, with a limit, and with a limit and a guard that hears of each.
func BenchmarkLearn(b *testing.B) {
	for _, c := range []struct {
		name    string
		most    int
		guarded bool
	}{{"plain", 0, false}, {"limited", 1 << 15, false}, {"guarded", 1 << 15, true}} {
		b.Run(c.name, func(b *testing.B) {
			const batch, stations, ports = 64, 1 << 14, 4
			cfg := Config{MaxMACs: c.most}
			w := guard.NewWatch(guard.NewPolicy(guard.Preset, nil))
			if c.guarded {
				cfg.Guard = watched{w}
			}
			r := New(nil, nil, zap.NewNop(), NewMetrics(prometheus.NewRegistry()), cfg)
			d := &datapath{r: r, log: r.log, learned: learn.NewTable(c.most)}
			news := make([]openflow.PacketIn2, batch)
			matches := make([]openflow.Match, ports)
			for no := range matches {
				matches[no] = openflow.NewMatch(flow.InPort(uint32(no + 1)).OXM())
			}
			for i := range news {
				news[i] = openflow.PacketIn2{Data: make([]byte, 60)}
			}
			now := time.Now()
			var mods []openflow.Message
			var came []mac.Addr
			var wire []byte
			b.ReportAllocs()
			for n := 0; n < b.N; n += batch {
				if n%stations == 0 { // all go, so that there is room
					d.learned.SetPorts(nil)
					d.learned.SetPorts([]uint32{1, 2, 3, 4})
				}
				if n%(8*batch) == 0 { // as every 50 ms, at 10,000 a second
					w.Take()
				}
				for i := range news {
					addr := (flood + mac.Addr(n+i)).Bytes()
					copy(news[i].Data[6:], addr[:])
					news[i].Match = matches[i%ports]
				}
				mods, came = d.lessons(now, news, mods[:0], came[:0])
				wire = wire[:0]
				for _, m := range mods {
					wire = openflow.AppendMessage(wire, 0, m)
				}
				if len(mods) != 2*batch {
					b.Fatalf("%d flow-mods for %d stations", len(mods), batch)
				}
			}
		})
	}
}

// many returns n flows as the exact table has them: an address leads to a port.
func many(n int) []flow.Flow {
	flows := make([]flow.Flow, n)
	for i := range flows {
		addr := [6]byte{2, 0, 5, byte(i >> 16), byte(i >> 8), byte(i)}
		flows[i] = flow.Flow{
			Table: 31, Priority: 100, Cookie: uint64(pipeline.NewCookie(pipeline.KindPort, uint32(i))),
			Match:        flow.NewMatch(flow.Metadata(77), flow.EthDst(addr)),
			Instructions: flow.NewInstructions(flow.Apply(flow.SetReg(15, uint32(i)), flow.SetReg(9, 3)), flow.Goto(40)),
		}
	}
	return flows
}

const crowd = 100_000

func perSecond(b *testing.B, n int, took time.Duration, unit string) {
	b.Helper()
	b.ReportMetric(float64(n)*float64(b.N)/took.Seconds(), unit)
}

// BenchmarkOpenVSwitch fills a real switch with 100,000 flows, beside ovs-ofctl with
// the same flows in one bundle, and reconnects it with nothing to change.
func BenchmarkOpenVSwitch(b *testing.B) {
	needOVS(b)
	flows := many(crowd)

	b.Run("fill", func(b *testing.B) {
		r, s, o := scripted(b)
		path := o.Path("flows")
		var text strings.Builder
		for _, f := range flows {
			text.WriteString(f.String() + "\n")
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			b.Fatal(err)
		}
		o.AddBridge("br1")
		var ours, theirs time.Duration
		for b.Loop() {
			start := time.Now()
			s.set(r, nil, nil, flows...)
			ours += time.Since(start)
			start = time.Now()
			o.Ofctl("--bundle", "add-flows", "br1", path)
			theirs += time.Since(start)
			b.StopTimer()
			s.set(r, nil, nil)
			o.Ofctl("del-flows", "br1")
			b.StartTimer()
		}
		perSecond(b, crowd, ours, "flows/s")
		perSecond(b, crowd, theirs, "ovs-ofctl-flows/s")
	})

	b.Run("reconnect", func(b *testing.B) {
		r, s, o := scripted(b, func(c *Config) { c.Now = time.Now })
		s.set(r, nil, nil, flows...)
		var took time.Duration
		for b.Loop() {
			took += o.timeReconnect(r)
		}
		b.ReportMetric(took.Seconds()/float64(b.N), "s/reconnect")
		if n := r.logs.FilterMessage("flows changed").Len(); n != 1 {
			b.Errorf("flows were changed %d times, want only at first", n)
		}
	})
}

// needOVS leaves a benchmark out on a machine without Open vSwitch. Tests do not.
func needOVS(b *testing.B) {
	b.Helper()
	if _, err := exec.LookPath("ovs-vsctl"); err != nil {
		b.Skip(err)
	}
}

// timeReconnect drops the connection and returns the time from the switch's return until all
// is known to be right again.
func (o *ovs) timeReconnect(r *rig) time.Duration {
	o.reconnect(r)
	r.await("the switch to be realized", func() bool { return r.saved.Connected && r.saved.Realized == r.state.Revision })
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.saved.ConnectedAt)
}

// BenchmarkMemory reports what a flow of a switch costs the controller between
// passes, with all that belongs to a switch.
func BenchmarkMemory(b *testing.B) {
	needOVS(b)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what finalizers kept
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	compute := func(*intent.View) pipeline.Desired {
		set, err := flow.NewSet(many(crowd))
		if err != nil {
			panic(err)
		}
		return pipeline.Desired{State: flow.State{Flows: set}}
	}
	for b.Loop() {
		r := newRig(b, func(c *Config) { c.Compute, c.Now = compute, time.Now })
		o := startOVS(b)
		before := heap()
		o.addBridge(r.addr)
		r.await("the switch to be realized", func() bool { return r.saved.Connected && len(r.saved.Ports) > 0 })
		r.change(blue)
		o.timeReconnect(r)
		b.ReportMetric(float64(heap()-before)/crowd, "B/flow")
		runtime.KeepAlive(r)
	}
}

// BenchmarkReconnectEmulated reconnects an emulated switch that holds 100,000
// flows. Most of the time is the emulation's.
func BenchmarkReconnectEmulated(b *testing.B) {
	s := &script{}
	r := newRig(b, func(c *Config) { c.Compute = s.compute })
	sw := switchtest.Dial(b, r.addr, switchtest.Options{DPID: uint64(dpid), Ports: switchtest.Ports(2)})
	r.await("the switch to connect", func() bool { return r.saved.Connected })
	s.set(r, nil, nil, many(crowd)...)
	applied := counted(sw)
	for b.Loop() {
		r.mu.Lock()
		r.saved = intent.Switch{}
		r.mu.Unlock()
		sw.Connect(b, r.addr)
		r.await("the switch to be back", func() bool { return r.saved.Connected && r.saved.Realized == r.state.Revision })
	}
	if n := applied(); n != 0 {
		b.Errorf("%d flow-mods, want none", n)
	}
}

// BenchmarkThousandSwitches connects 1,000 emulated switches and waits until
// all hold their flows, and until all have said what they can do.
func BenchmarkThousandSwitches(b *testing.B) {
	const n = 1000
	for b.Loop() {
		f := &fleet{rig: newRig(b), ready: map[intent.DPID]bool{}, known: map[intent.DPID]bool{}}
		f.reconciler.facts = f
		start := time.Now()
		switches := make([]*switchtest.Switch, n)
		for i := range switches {
			switches[i] = switchtest.Dial(b, f.addr, switchtest.Options{DPID: uint64(i + 1), Ports: switchtest.Ports(4)})
		}
		f.await(fmt.Sprintf("%d switches to be ready", n), func() bool { return len(f.ready) == n })
		b.ReportMetric(time.Since(start).Seconds(), "s/ready")
		f.await("all to be known", func() bool { return len(f.known) == n })
		b.ReportMetric(time.Since(start).Seconds(), "s/known")
		for _, sw := range switches {
			sw.Disconnect()
		}
		f.stop()
	}
}

// fleet records which of many switches are ready and known.
type fleet struct {
	*rig
	ready, known map[intent.DPID]bool
}

func (f *fleet) SaveSwitch(_ context.Context, s intent.Switch) error {
	f.fact(func() {
		f.ready[s.DPID] = s.Connected
		f.known[s.DPID] = s.Capabilities[capBundle] != unknown
		if !f.known[s.DPID] {
			delete(f.known, s.DPID)
		}
	})
	return nil
}
