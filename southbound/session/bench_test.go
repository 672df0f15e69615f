package session

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/macloom/macloom/southbound/openflow"
)

// respond answers every packet-in of c with a flow-mod, the way a learning
// switch does: a batch in, a batch out.
func respond(ctx context.Context, c *Conn) {
	var (
		batch []PacketIn
		mods  []openflow.FlowMod
		msgs  []openflow.Message
		err   error
	)
	actions := openflow.NewInstructions(openflow.ApplyActions{openflow.ActionOutput{Port: 2}})
	for {
		if batch, err = c.PacketIns(0).Take(ctx, batch); err != nil {
			return
		}
		for len(mods) < len(batch) {
			mods = append(mods, openflow.FlowMod{})
		}
		msgs = msgs[:0]
		for i := range batch {
			p, m := &batch[i], &mods[i]
			in, _ := p.Match.Find(openflow.InPort)
			src := openflow.OXM{Field: openflow.EthSrc, Len: 6}
			copy(src.Value[:], p.Data[6:12])
			*m = openflow.FlowMod{
				Cookie: p.Cookie, Priority: 100, IdleTimeout: 60, BufferID: openflow.NoBuffer,
				OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
				Match: m.Match[:0].Append(in).Append(src), Instructions: actions,
			}
			msgs = append(msgs, m)
		}
		if err := c.Send(msgs...); err != nil {
			c.Close(err)
			return
		}
	}
}

// emulator is a switch that keeps a number of packet-ins unanswered and counts
// flow-mods. It runs on a system thread of its own with blocking system
// calls, so that its processor time can be told from the controller's.
type emulator struct {
	fd     int
	window int
	cpu    time.Duration // of its thread, when it is done
}

func (e *emulator) run(addr *net.TCPAddr, left *atomic.Int64, ready *sync.WaitGroup, start <-chan struct{}) error {
	runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	e.fd = fd
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	hello := openflow.AppendMessage(nil, 0, &openflow.Hello{Bitmap: helloBitmap})
	if err := e.write(hello); err != nil {
		return err
	}
	data := make([]byte, 64)
	copy(data, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00")
	frame := openflow.AppendMessage(nil, 0, packetIn(1, data))
	var many []byte
	for range e.window {
		many = append(many, frame...)
	}

	buf := make([]byte, 256<<10)
	end, flowMods := 0, 0
	// receive reads once and calls each for every whole message.
	receive := func(each func(b []byte) error) error {
		n, err := unix.Read(fd, buf[end:])
		for err == unix.EINTR {
			n, err = unix.Read(fd, buf[end:])
		}
		if err != nil || n == 0 {
			return fmt.Errorf("read %d bytes: %v", n, err)
		}
		end += n
		at := 0
		for end-at >= openflow.HeaderLen {
			n := int(buf[at+2])<<8 | int(buf[at+3])
			if end-at < n {
				break
			}
			if err := each(buf[at : at+n]); err != nil {
				return err
			}
			at += n
		}
		end = copy(buf, buf[at:end])
		return nil
	}
	shaken := false
	for !shaken {
		if err := receive(func(b []byte) error {
			if openflow.Type(b[1]) == openflow.TypeFeaturesRequest {
				shaken = true
				return e.write(openflow.AppendMessage(nil, xidOf(b), &openflow.FeaturesReply{DatapathID: uint64(fd), NTables: 254}))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	ready.Done()
	<-start
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &before); err != nil {
		return err
	}
	if err := e.write(many); err != nil {
		return err
	}
	for {
		flowMods = 0
		if err := receive(func(b []byte) error {
			if openflow.Type(b[1]) == openflow.TypeFlowMod {
				flowMods++
			}
			return nil
		}); err != nil {
			return err
		}
		if left.Add(-int64(flowMods)) <= 0 {
			break
		}
		if err := e.write(many[:flowMods*len(frame)]); err != nil {
			return err
		}
	}
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &after); err != nil {
		return err
	}
	e.cpu = cpuTime(after) - cpuTime(before)
	// The others end as soon as they see that nothing is left.
	return nil
}

func (e *emulator) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(e.fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func cpuTime(u unix.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPacketInFlowMod measures packet-in to flow-mod over loopback TCP.
// responses/cpu-s is per second of processor time of the controller: that of
// the process less that of the emulated switches' threads.
func BenchmarkPacketInFlowMod(b *testing.B) {
	for _, switches := range []int{1, 16} {
		for _, window := range []int{1, 64} {
			b.Run(fmt.Sprintf("switches=%d/window=%d", switches, window), func(b *testing.B) {
				ln, err := net.Listen("tcp4", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				served := make(chan error, 1)
				go func() { served <- Serve(ctx, ln, Config{}, respond) }()
				var (
					left  atomic.Int64
					ready sync.WaitGroup
					done  sync.WaitGroup
				)
				left.Store(int64(b.N))
				start := make(chan struct{})
				all := make([]emulator, switches)
				ready.Add(switches)
				for i := range all {
					all[i].window = window
					done.Go(func() {
						if err := all[i].run(ln.Addr().(*net.TCPAddr), &left, &ready, start); err != nil {
							b.Error(err)
						}
					})
				}
				ready.Wait()
				var before, after unix.Rusage
				if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				close(start)
				done.Wait()
				b.StopTimer()
				if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
					b.Fatal(err)
				}
				cpu := cpuTime(after) - cpuTime(before)
				for i := range all {
					cpu -= all[i].cpu
				}
				n := float64(b.N)
				b.ReportMetric(n/b.Elapsed().Seconds(), "responses/s")
				b.ReportMetric(n/cpu.Seconds(), "responses/cpu-s")
				cancel()
				if err := <-served; err != nil {
					b.Error(err)
				}
			})
		}
	}
}
