package session

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/macloom/macloom/southbound/openflow"
)

// responder answers packet-ins the way a learning switch does, each with a
// flow-mod and a packet-out: a batch in, a batch out.
type responder struct {
	mods         []openflow.FlowMod
	outs         []openflow.PacketOut
	msgs         []openflow.Message
	instructions openflow.Instructions
	actions      openflow.Actions
}

func newResponder() *responder {
	return &responder{
		instructions: openflow.NewInstructions(openflow.ApplyActions{openflow.ActionOutput{Port: 2}}),
		actions:      openflow.NewActions(openflow.ActionOutput{Port: 2}),
	}
}

// answer returns the responses to batch. They are valid until the next call.
func (r *responder) answer(batch []openflow.PacketIn2) []openflow.Message {
	for len(r.mods) < len(batch) {
		r.mods = append(r.mods, openflow.FlowMod{})
		r.outs = append(r.outs, openflow.PacketOut{})
	}
	r.msgs = r.msgs[:0]
	for i := range batch {
		p, m, o := &batch[i], &r.mods[i], &r.outs[i]
		in, _ := p.Match.Find(openflow.InPort)
		src := openflow.OXM{Field: openflow.EthSrc, Len: 6}
		copy(src.Value[:], p.Data[6:12])
		*m = openflow.FlowMod{
			Cookie: p.Cookie, Priority: 100, IdleTimeout: 60, BufferID: openflow.NoBuffer,
			OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
			Match: m.Match[:0].Append(in).Append(src), Instructions: r.instructions,
		}
		*o = openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: uint32(in.Uint()), Actions: r.actions, Data: p.Data}
		r.msgs = append(r.msgs, m, o)
	}
	return r.msgs
}

func respond(ctx context.Context, c *Conn) {
	r := newResponder()
	var batch []openflow.PacketIn2
	for {
		var err error
		if batch, err = c.PacketIns(0).Take(ctx, batch); err != nil {
			return
		}
		if err := c.Send(r.answer(batch)...); err != nil {
			c.Close(err)
			return
		}
	}
}

func cpuTime(tb testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchServe serves ln until the end of the benchmark.
func benchServe(b *testing.B, cfg Config, handle func(context.Context, *Conn)) (addr string) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, ln, cfg, handle) }()
	b.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return ln.Addr().String()
}

// measure runs e and reports what a response costs. The processor time is that
// of this process, which holds the controller and nothing else.
func (e emulation) measure(b *testing.B) {
	e.Count = b.N
	finish := e.start(b)
	b.ReportAllocs()
	before := cpuTime(b)
	b.ResetTimer()
	result := finish()
	b.StopTimer()
	cpu := cpuTime(b) - before
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "responses/s")
	b.ReportMetric(float64(b.N)/cpu.Seconds(), "responses/cpu-s")
	if e.Window == 1 {
		b.ReportMetric(float64(result.P50)/1e3, "p50-µs")
		b.ReportMetric(float64(result.P99)/1e3, "p99-µs")
	}
}

// BenchmarkPacketInResponse measures packet-in to flow-mod and packet-out over
// loopback TCP, the switches in another process.
func BenchmarkPacketInResponse(b *testing.B) {
	for _, e := range []emulation{{Switches: 1, Window: 1}, {Switches: 1, Window: 64}, {Switches: 16, Window: 64}, {Switches: 64, Window: 64}} {
		b.Run(fmt.Sprintf("switches=%d/window=%d", e.Switches, e.Window), func(b *testing.B) {
			e.Addr = benchServe(b, Config{}, respond)
			e.measure(b)
		})
	}
}

// BenchmarkBareExchange is the floor under the first case of
// BenchmarkPacketInResponse: the same processes and bytes without OpenFlow, one
// goroutine that reads and writes.
func BenchmarkBareExchange(b *testing.B) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	r := newResponder()
	var response []byte
	for _, m := range r.answer([]openflow.PacketIn2{{Match: packetIn(1, nil).Match, Data: benchPacket()}}) {
		response = openflow.AppendMessage(response, 0, m)
	}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				buf := make([]byte, 4096)
				_, err := io.ReadFull(nc, buf[:len(openflow.AppendMessage(nil, 0, &openflow.Hello{Bitmap: helloBitmap}))])
				for err == nil {
					if _, err = nc.Read(buf); err == nil {
						_, err = nc.Write(response)
					}
				}
			}()
		}
	}()
	b.Run("switches=1/window=1", func(b *testing.B) {
		emulation{Addr: ln.Addr().String(), Switches: 1, Window: 1, Bare: true}.measure(b)
	})
}

// BenchmarkConnect measures how long many switches take that connect at once.
func BenchmarkConnect(b *testing.B) {
	const switches = 1000
	var ready atomic.Int64
	addr := benchServe(b, Config{}, func(ctx context.Context, c *Conn) {
		ready.Add(1)
		<-ctx.Done()
	})
	var took time.Duration
	for range b.N {
		ready.Store(0)
		began := time.Now()
		finish := emulation{Addr: addr, Switches: switches}.start(b)
		for ready.Load() < switches {
			time.Sleep(100 * time.Microsecond)
		}
		took += time.Since(began)
		finish()
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/1000-switches")
}
