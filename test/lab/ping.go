package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// PingOptions says how to ping. The zero value sends three requests, 50 ms
// apart, and waits up to a second for the last replies.
type PingOptions struct {
	Count    int
	Interval time.Duration
	Timeout  time.Duration // for replies after the last request
}

// Pings is the outcome of a series of pings.
type Pings struct {
	Sent, Received int
	Lost           []int // sequence numbers, from 0, without a reply
	// Gap is the longest time between two replies.
	Gap time.Duration
}

func (p Pings) String() string {
	return fmt.Sprintf("%d sent, %d received, longest gap %v, lost %v", p.Sent, p.Received, p.Gap, p.Lost)
}

// Ping sends ICMP echo requests from the host's first address of the family of
// dst and counts the replies.
func (h *Host) Ping(dst string, o PingOptions) Pings {
	h.l.t.Helper()
	if o.Count == 0 {
		o.Count = 3
	}
	r := h.ping(dst, o)
	<-r.sent
	return r.collect()
}

// StartPing pings until Stop.
func (h *Host) StartPing(dst string, interval time.Duration) *RunningPing {
	h.l.t.Helper()
	return h.ping(dst, PingOptions{Interval: interval})
}

// RunningPing is a series of pings under way.
type RunningPing struct {
	conn    *net.IPConn
	to      *net.IPAddr
	timeout time.Duration
	id      uint16
	t       testing.TB

	stop chan struct{}
	sent chan struct{} // closed after the last request
	read chan struct{} // closed when the reader has ended

	mu       sync.Mutex
	requests int
	replied  map[int]bool
	last     time.Time
	gap      time.Duration
	complete chan struct{} // closed when all requests have a reply
	ended    bool
}

const pingPayload = 16 // 8 bytes that tell one series from another and padding

func (h *Host) ping(dst string, o PingOptions) *RunningPing {
	h.l.t.Helper()
	if o.Interval == 0 {
		o.Interval = 50 * time.Millisecond
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	addr, err := netip.ParseAddr(dst)
	if err != nil {
		h.l.t.Fatalf("lab: ping %s: %v", dst, err)
	}
	r := &RunningPing{
		to: &net.IPAddr{IP: addr.AsSlice()}, timeout: o.Timeout, id: uint16(rand.Uint32()), t: h.l.t,
		stop: make(chan struct{}), sent: make(chan struct{}), read: make(chan struct{}),
		replied: map[int]bool{}, complete: make(chan struct{}),
	}
	network := "ip4:icmp"
	if addr.Is6() {
		network = "ip6:ipv6-icmp"
	}
	err = inNamespace(h.ns, func() error {
		r.conn, err = net.ListenIP(network, nil)
		return err
	})
	if err != nil {
		h.l.t.Fatalf("lab: ping %s from %s: %v", dst, h, err)
	}
	h.l.t.Cleanup(func() { r.conn.Close() })
	go r.receive(addr.Is6())
	go r.transmit(addr.Is6(), o)
	return r
}

// Stop sends no more requests, waits for the replies that are due, and reports.
func (r *RunningPing) Stop() Pings {
	select {
	case <-r.sent:
	default:
		close(r.stop)
		<-r.sent
	}
	return r.collect()
}

func (r *RunningPing) transmit(v6 bool, o PingOptions) {
	defer close(r.sent)
	tick := time.NewTicker(o.Interval)
	defer tick.Stop()
	for seq := 0; o.Count == 0 || seq < o.Count; seq++ {
		request := make([]byte, 8+pingPayload)
		request[0] = 8 // echo request
		if v6 {
			request[0] = 128 // its checksum is the kernel's work
		}
		binary.BigEndian.PutUint16(request[4:], r.id)
		binary.BigEndian.PutUint16(request[6:], uint16(seq))
		binary.BigEndian.PutUint64(request[8:], uint64(seq))
		if !v6 {
			binary.BigEndian.PutUint16(request[2:], checksum(request))
		}
		r.mu.Lock()
		if seq == 0 {
			r.last = time.Now()
		}
		r.requests++
		r.mu.Unlock()
		// Errors are pings lost: the kernel reports an address that no ARP
		// found, and a full queue, in this way.
		_, _ = r.conn.WriteTo(request, r.to)
		if o.Count != 0 && seq == o.Count-1 {
			return
		}
		select {
		case <-r.stop:
			return
		case <-tick.C:
		}
	}
}

func (r *RunningPing) receive(v6 bool) {
	defer close(r.read)
	want := byte(0)
	if v6 {
		want = 129
	}
	buf := make([]byte, 2048)
	for {
		n, from, err := r.conn.ReadFromIP(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // such as an ICMP error that the kernel reports here
		}
		if n < 16 || buf[0] != want || binary.BigEndian.Uint16(buf[4:]) != r.id || !from.IP.Equal(r.to.IP) {
			continue
		}
		r.reply(int(binary.BigEndian.Uint64(buf[8:])))
	}
}

func (r *RunningPing) reply(seq int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq < 0 || seq >= r.requests || r.replied[seq] {
		return
	}
	now := time.Now()
	r.gap, r.last = max(r.gap, now.Sub(r.last)), now
	r.replied[seq] = true
	if r.ended && len(r.replied) == r.requests {
		close(r.complete)
	}
}

// collect waits for the replies that are due and makes up the account.
func (r *RunningPing) collect() Pings {
	r.mu.Lock()
	if !r.ended {
		r.ended = true
		if len(r.replied) == r.requests {
			close(r.complete)
		}
	}
	r.mu.Unlock()
	select {
	case <-r.complete:
	case <-time.After(r.timeout):
	}
	if err := r.conn.Close(); err == nil {
		<-r.read
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Pings{Sent: r.requests, Received: len(r.replied), Gap: r.gap}
	for seq := range r.requests {
		if !r.replied[seq] {
			p.Lost = append(p.Lost, seq)
		}
	}
	if p.Received < p.Sent {
		p.Gap = max(p.Gap, time.Since(r.last)-r.timeout)
	}
	return p
}

// checksum is the Internet checksum (RFC 1071) of a message whose checksum
// field is zero.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Await waits until so many more requests were sent.
func (r *RunningPing) Await(more int, within time.Duration) {
	r.t.Helper()
	until := r.Sent() + more
	Wait(r.t, "requests to be sent", within, func() error {
		if n := r.Sent(); n < until {
			return fmt.Errorf("%d of %d", n, until)
		}
		return nil
	})
}

// Sent is the number of requests sent so far.
func (r *RunningPing) Sent() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}
