package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
)

// Host is a namespace with one interface, eth0, on a bridge.
type Host struct {
	Name      string
	MAC       string
	Addr      netip.Addr // its first address
	Interface string     // name of its port on the switch
	Port      int        // OpenFlow number of that port

	l      *Lab
	ns     string
	dev    string // empty: eth0
	bridge *Bridge

	sending sync.Mutex
	sender  int // the socket of SendFrame; 0: none yet
}

// plug adds the host's interface to its bridge.
func (h *Host) plug(number int) {
	h.l.t.Helper()
	args := []string{"add-port", h.bridge.Name, h.Interface}
	if number != 0 {
		args = append(args, "--", "set", "interface", h.Interface, "ofport_request="+strconv.Itoa(number))
	}
	h.l.Vsctl(args...)
	h.Port = h.l.PortNumber(h.Interface)
}

// Unplug takes the host's interface off its bridge.
func (h *Host) Unplug() {
	h.l.t.Helper()
	h.l.Vsctl("del-port", h.bridge.Name, h.Interface)
}

// Plug puts the host's interface into a bridge, after Unplug.
func (h *Host) Plug(bridge *Bridge) {
	h.l.t.Helper()
	h.bridge = bridge
	h.plug(0)
}

// Exec runs a command on the host and returns its standard output.
func (h *Host) Exec(ctx context.Context, name string, args ...string) (string, error) {
	return h.l.run(ctx, h.ns, name, args...)
}

// Start starts a background process on the host; it ends with the lab.
func (h *Host) Start(name string, args ...string) *Process {
	h.l.t.Helper()
	return h.l.start(h.ns, name, args...)
}

// SetMAC changes the MAC of eth0, as a guest that wants to be another would.
func (h *Host) SetMAC(mac string) {
	h.l.t.Helper()
	h.l.must(h.Exec(context.Background(), "ip", "link", "set", "eth0", "address", mac))
	h.MAC = mac
}

// String names the host with its address.
func (h *Host) String() string { return fmt.Sprintf("%s(%s)", h.Name, h.Addr) }
