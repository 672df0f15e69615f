package lab

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects from the host to an address, which must be a literal one.
func (h *Host) Dial(network, addr string, timeout time.Duration) (conn net.Conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err = inNamespace(h.ns, func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Listen listens on the host until the test ends.
func (h *Host) Listen(network, addr string) net.Listener {
	h.l.t.Helper()
	var ln net.Listener
	// One that was closed just now lives on in every process that was forked meanwhile, until that is another program.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := inNamespace(h.ns, func() (err error) {
			ln, err = net.Listen(network, addr)
			return err
		})
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(deadline) {
			h.l.t.Fatalf("lab: host %s: %v", h.Name, err)
		}
	}
	h.l.t.Cleanup(func() { ln.Close() })
	return ln
}

// ListenPacket takes datagrams on the host until the test ends.
func (h *Host) ListenPacket(network, addr string) net.PacketConn {
	h.l.t.Helper()
	var conn net.PacketConn
	err := inNamespace(h.ns, func() (err error) {
		conn, err = net.ListenPacket(network, addr)
		return err
	})
	if err != nil {
		h.l.t.Fatalf("lab: host %s: %v", h.Name, err)
	}
	h.l.t.Cleanup(func() { _ = conn.Close() })
	return conn
}
