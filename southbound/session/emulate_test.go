package session

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/macloom/macloom/southbound/openflow"
)

// emulation is what a process of emulated switches is told to do: the processor
// time of the process under test is the controller's alone then.
type emulation struct {
	Addr     string
	Switches int
	Window   int // packet-ins that each keeps unanswered; 0: connect and no more
	Count    int // responses to wait for, of all switches
	// Bare switches speak no OpenFlow: the answer to a packet-in is one of as
	// many bytes as a response has.
	Bare bool
}

// emulated is what came of it.
type emulated struct {
	P50, P99 time.Duration // from a packet-in to its response, where Window is 1
	Ready    time.Duration // from the first connect to the last handshake
	Error    string
}

const emulationVar = "MACLOOM_TEST_EMULATION"

func TestMain(m *testing.M) {
	spec := os.Getenv(emulationVar)
	if spec == "" {
		os.Exit(m.Run())
	}
	var e emulation
	var result emulated
	err := json.Unmarshal([]byte(spec), &e)
	if err == nil {
		result, err = e.run(os.Stdin, os.Stdout)
	}
	if err != nil {
		result.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}

// start runs the emulation in a process of its own and returns when its
// switches are ready. The function that it returns lets them begin and waits
// for what comes of it.
func (e emulation) start(tb testing.TB) (finish func() emulated) {
	tb.Helper()
	spec, err := json.Marshal(e)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), emulationVar+"="+string(spec))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		_ = cmd.Process.Kill()
		tb.Fatalf("the switches are not ready: %s", lines.Text())
	}
	return func() (result emulated) {
		in.Close()
		if lines.Scan() {
			if err := json.Unmarshal(lines.Bytes(), &result); err != nil {
				tb.Fatal(err)
			}
		}
		if err := cmd.Wait(); err != nil || result.Error != "" {
			tb.Fatalf("emulated switches: %v %s", err, result.Error)
		}
		return result
	}
}

// run is the life of the other process.
func (e emulation) run(in io.Reader, out io.Writer) (emulated, error) {
	addr, err := net.ResolveTCPAddr("tcp4", e.Addr)
	if err != nil {
		return emulated{}, err
	}
	switches := make([]*emulatedSwitch, e.Switches)
	began := time.Now()
	for i := range switches {
		if switches[i], err = dialEmulated(addr, uint64(i+1)); err != nil {
			return emulated{}, err
		}
	}
	for _, s := range switches {
		if !e.Bare {
			if err := s.handshake(); err != nil {
				return emulated{}, err
			}
		}
	}
	result := emulated{Ready: time.Since(began)}
	fmt.Fprintln(out, "ready")
	if _, err := io.ReadAll(in); err != nil {
		return emulated{}, err
	}
	if e.Window == 0 {
		return result, nil
	}
	var left atomic.Int64
	left.Store(int64(e.Count))
	var wg sync.WaitGroup
	failed := make([]error, len(switches))
	for i, s := range switches {
		wg.Go(func() {
			runtime.LockOSThread() // system calls block: no poller, no hand-over
			failed[i] = s.exchange(e, &left)
		})
	}
	wg.Wait()
	took := switches[0].took
	if len(took) > 0 {
		slices.Sort(took)
		result.P50, result.P99 = took[len(took)/2], took[len(took)*99/100]
	}
	return result, errors.Join(failed...)
}

// emulatedSwitch speaks as much OpenFlow as a controller needs to see.
type emulatedSwitch struct {
	fd       int
	dpid     uint64
	buf      []byte
	end      int
	took     []time.Duration
	flowMods int
}

func dialEmulated(addr *net.TCPAddr, dpid uint64) (*emulatedSwitch, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s := &emulatedSwitch{fd: fd, dpid: dpid, buf: make([]byte, 64<<10)}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return nil, err
	}
	return s, s.write(openflow.AppendMessage(nil, 0, &openflow.Hello{Bitmap: helloBitmap}))
}

func (s *emulatedSwitch) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(s.fd, b)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// receive reads once and calls each for every whole message.
func (s *emulatedSwitch) receive(each func(b []byte) error) error {
	n, err := unix.Read(s.fd, s.buf[s.end:])
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Read(s.fd, s.buf[s.end:])
	}
	if err != nil || n == 0 {
		return fmt.Errorf("read %d bytes: %w", n, err)
	}
	s.end += n
	at := 0
	for s.end-at >= openflow.HeaderLen {
		n := int(s.buf[at+2])<<8 | int(s.buf[at+3])
		if s.end-at < n {
			break
		}
		if err := each(s.buf[at : at+n]); err != nil {
			return err
		}
		at += n
	}
	s.end = copy(s.buf, s.buf[at:s.end])
	return nil
}

func (s *emulatedSwitch) handshake() error {
	for shaken := false; !shaken; {
		if err := s.receive(func(b []byte) error {
			if openflow.Type(b[1]) != openflow.TypeFeaturesRequest {
				return nil
			}
			shaken = true
			return s.write(openflow.AppendMessage(nil, xidOf(b), &openflow.FeaturesReply{DatapathID: s.dpid, NTables: 254}))
		}); err != nil {
			return err
		}
	}
	return nil
}

// exchange sends packet-ins until left is used up. A response is a flow-mod
// and the packet-out behind it.
func (s *emulatedSwitch) exchange(e emulation, left *atomic.Int64) error {
	frame := openflow.AppendMessage(nil, 0, packetIn(1, benchPacket()))
	many := []byte(strings.Repeat(string(frame), e.Window))
	timed := e.Window == 1
	sent := time.Now()
	if err := s.write(many); err != nil {
		return err
	}
	for {
		responses := 0
		if err := s.receive(func(b []byte) error {
			switch openflow.Type(b[1]) {
			case openflow.TypeFlowMod:
				s.flowMods++
			case openflow.TypePacketOut:
				if s.flowMods--; s.flowMods != 0 {
					return fmt.Errorf("a packet-out after %d flow-mods", s.flowMods+1)
				}
				responses++
			}
			return nil
		}); err != nil {
			return err
		}
		if timed && responses > 0 {
			now := time.Now()
			s.took = append(s.took, now.Sub(sent))
			sent = now
		}
		if left.Add(-int64(responses)) <= 0 {
			return nil // the others see the same, or get no more answers
		}
		if err := s.write(many[:responses*len(frame)]); err != nil {
			return err
		}
	}
}

// benchPacket is the packet of all packet-ins: 64 bytes of an ARP frame.
func benchPacket() []byte {
	return append([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x06"), make([]byte, 50)...)
}
