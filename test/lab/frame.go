package lab

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// SendFrame sends Ethernet frames out of the host's eth0 as they are, whatever
// addresses they claim. Frames shorter than Ethernet's minimum are padded.
func (h *Host) SendFrame(frames ...[]byte) {
	h.l.t.Helper()
	h.sending.Lock()
	defer h.sending.Unlock()
	if h.sender == 0 {
		// It stays open: to close one takes the kernel as long as a thousand frames.
		fd, err := h.packetSocket(0) // protocol 0: receives nothing
		if err != nil {
			h.l.t.Fatalf("lab: sending a frame from %s: %v", h, err)
		}
		h.l.t.Cleanup(func() { _ = unix.Close(fd) })
		h.sender = fd
	}
	fd := h.sender
	for _, frame := range frames {
		if len(frame) < 60 {
			frame = append(append(make([]byte, 0, 60), frame...), make([]byte, 60-len(frame))...)
		}
		n, err := unix.Write(fd, frame)
		for errors.Is(err, unix.EAGAIN) {
			if _, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err == nil || errors.Is(err, unix.EINTR) {
				n, err = unix.Write(fd, frame)
			}
		}
		if err != nil || n != len(frame) {
			h.l.t.Fatalf("lab: sending a frame from %s: %d of %d bytes: %v", h, n, len(frame), err)
		}
	}
}

// packetSocket makes a non-blocking AF_PACKET socket on the host's interface.
func (h *Host) packetSocket(protocol uint16) (fd int, err error) {
	err = inNamespace(h.ns, func() error {
		dev, err := net.InterfaceByName(cmp.Or(h.dev, "eth0"))
		if err != nil {
			return err
		}
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("AF_PACKET socket: %w", err)
		}
		if protocol != 0 {
			// What the host itself sends is not a frame received.
			err = errors.Join(
				unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
				unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
				unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
		}
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(protocol), Ifindex: dev.Index})
		}
		if err == nil && protocol != 0 {
			// Frames to foreign MACs count too.
			err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
				&unix.PacketMreq{Ifindex: int32(dev.Index), Type: unix.PACKET_MR_PROMISC})
		}
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		return nil
	})
	return fd, err
}

func bigEndian(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// Capture is a running capture of the frames that a host receives.
type Capture struct {
	t    testing.TB
	file *os.File
	done chan struct{}

	mu     sync.Mutex
	frames [][]byte
}

// captureLimit bounds the frames that one capture keeps.
const captureLimit = 100_000

// Capture collects the frames that arrive at the host's eth0 and for which
// want says yes; nil takes all. It runs until Stop or the end of the test.
func (h *Host) Capture(want func(frame []byte) bool) *Capture {
	h.l.t.Helper()
	fd, err := h.packetSocket(unix.ETH_P_ALL)
	if err != nil {
		h.l.t.Fatalf("lab: capturing at %s: %v", h, err)
	}
	c := &Capture{t: h.l.t, file: os.NewFile(uintptr(fd), "capture at "+h.Name), done: make(chan struct{})}
	raw, err := c.file.SyscallConn()
	if err != nil {
		h.l.t.Fatalf("lab: capturing at %s: %v", h, err)
	}
	h.l.t.Cleanup(func() { c.Stop() })
	go func() {
		defer close(c.done)
		buf, oob := make([]byte, 65536), make([]byte, 256)
		for {
			var n, oobn int
			var rerr error
			err := raw.Read(func(fd uintptr) bool {
				n, oobn, _, _, rerr = unix.Recvmsg(int(fd), buf, oob, 0)
				return !errors.Is(rerr, unix.EAGAIN)
			})
			if err != nil {
				return // closed
			}
			if rerr != nil {
				continue // such as ENETDOWN while the interface is down
			}
			frame := withTag(buf[:n], oob[:oobn])
			if want != nil && !want(frame) {
				continue
			}
			c.mu.Lock()
			if len(c.frames) < captureLimit {
				c.frames = append(c.frames, frame)
			}
			c.mu.Unlock()
		}
	}()
	return c
}

// withTag copies a frame and puts back the VLAN tag that the kernel hands over
// beside it.
func withTag(frame, oob []byte) []byte {
	const tagValid, tpidValid = 1 << 4, 1 << 6 // TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID
	messages, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range messages {
			if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 {
				continue
			}
			// struct tpacket_auxdata: status, len, snaplen u32; mac, net, vlan_tci, vlan_tpid u16
			status := binary.NativeEndian.Uint32(m.Data)
			if status&tagValid == 0 || len(frame) < 14 {
				continue
			}
			tpid := uint16(0x8100)
			if status&tpidValid != 0 {
				tpid = binary.NativeEndian.Uint16(m.Data[18:])
			}
			tagged := append(make([]byte, 0, len(frame)+4), frame[:12]...)
			tagged = binary.BigEndian.AppendUint16(tagged, tpid)
			tagged = binary.BigEndian.AppendUint16(tagged, binary.NativeEndian.Uint16(m.Data[16:]))
			return append(tagged, frame[12:]...)
		}
	}
	return append([]byte(nil), frame...)
}

// Count is the number of frames captured so far.
func (c *Capture) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.frames)
}

// Frames are the frames captured so far, oldest first.
func (c *Capture) Frames() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.frames...)
}

// Wait fails the test if fewer than n frames have come within the given time.
func (c *Capture) Wait(n int, within time.Duration) {
	c.t.Helper()
	Wait(c.t, fmt.Sprintf("%d frames (%s)", n, c.file.Name()), within, func() error {
		if got := c.Count(); got < n {
			return fmt.Errorf("%d came", got)
		}
		return nil
	})
}

// Stop ends the capture and returns its frames.
func (c *Capture) Stop() [][]byte {
	_ = c.file.Close() // an error means that it was stopped before
	<-c.done
	return c.Frames()
}
