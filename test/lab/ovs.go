package lab

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	vswitchSchema = "/usr/share/openvswitch/vswitch.ovsschema"
	ovsTimeout    = "--timeout=30"
)

// startOVS starts ovsdb-server and ovs-vswitchd as children of the test.
func (l *Lab) startOVS() {
	l.t.Helper()
	db := filepath.Join(l.ovsDir, "conf.db")
	l.must(l.run(context.Background(), "", "ovsdb-tool", "create", db, vswitchSchema))
	l.start(l.ns, "ovsdb-server", db,
		"--remote=punix:"+filepath.Join(l.ovsDir, "db.sock"),
		"--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
		"--private-key=db:Open_vSwitch,SSL,private_key", "--certificate=db:Open_vSwitch,SSL,certificate", "--ca-cert=db:Open_vSwitch,SSL,ca_cert",
		"--no-chdir", "--pidfile", "-vconsole:off",
		"--log-file="+filepath.Join(l.ovsDir, "ovsdb-server.log"))
	Wait(l.t, "ovsdb-server", 20*time.Second, func() error {
		_, err := l.run(context.Background(), "", "ovs-vsctl", ovsTimeout, "--no-wait", "init")
		return err
	})
	l.Vsctl("--no-wait", "set", "Open_vSwitch", ".", "external_ids:system-id="+l.id, "external_ids:hostname="+l.ns,
		"ovs_version="+version(l.tool("ovs-vsctl", "--version"))) // as ovs-ctl(8) does
	l.startVswitchd()
}

// version is the last word of the first line, such as "3.1.0".
func version(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line[strings.LastIndex(line, " ")+1:]
}

func (l *Lab) startVswitchd() {
	l.t.Helper()
	l.vswitchd = l.start(l.ns, "ovs-vswitchd", "--no-chdir", "--pidfile", "-vconsole:off",
		"--log-file="+filepath.Join(l.ovsDir, "ovs-vswitchd.log"))
	Wait(l.t, "ovs-vswitchd", 20*time.Second, func() error {
		_, err := l.run(context.Background(), "", "ovs-appctl", "-t", "ovs-vswitchd", "version")
		return err
	})
}

// RestartSwitch kills ovs-vswitchd, starts it again and waits for the bridges:
// they come back from the database, their flows do not.
func (l *Lab) RestartSwitch() {
	l.t.Helper()
	l.vswitchd.kill()
	l.startVswitchd()
	l.mu.Lock()
	bridges := slices.Collect(maps.Keys(l.bridges))
	l.mu.Unlock()
	for _, name := range bridges {
		Wait(l.t, "bridge "+name, 20*time.Second, func() error {
			_, err := l.run(context.Background(), "", "ovs-ofctl", ovsTimeout, "-O", "OpenFlow13", "show", name)
			return err
		})
	}
}

// Vsctl runs ovs-vsctl on the lab's Open vSwitch and returns its output
// without the last newline.
func (l *Lab) Vsctl(args ...string) string {
	l.t.Helper()
	return l.tool("ovs-vsctl", append([]string{ovsTimeout}, args...)...)
}

// Ofctl runs ovs-ofctl with OpenFlow 1.3 on the lab's Open vSwitch.
func (l *Lab) Ofctl(args ...string) string {
	l.t.Helper()
	return l.tool("ovs-ofctl", append([]string{ovsTimeout, "-O", "OpenFlow13"}, args...)...)
}

// Appctl runs ovs-appctl on the lab's ovs-vswitchd.
func (l *Lab) Appctl(args ...string) string {
	l.t.Helper()
	return l.tool("ovs-appctl", append([]string{ovsTimeout, "-t", "ovs-vswitchd"}, args...)...)
}

func (l *Lab) tool(name string, args ...string) string {
	l.t.Helper()
	return strings.TrimRight(l.must(l.run(context.Background(), "", name, args...)), "\n")
}

// Flows returns the flows of a bridge as ovs-ofctl prints them without
// statistics, sorted.
func (l *Lab) Flows(bridge *Bridge) []string {
	l.t.Helper()
	var flows []string
	for line := range strings.Lines(l.Ofctl("--no-stats", "--no-names", "dump-flows", bridge.Name)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "OFPST_FLOW reply") {
			flows = append(flows, line)
		}
	}
	slices.Sort(flows)
	return flows
}

// BridgeOptions says how a bridge is made. The zero value makes a bridge that
// has no controller.
type BridgeOptions struct {
	DPID       string // 16 hex digits; chosen by OVS when empty
	Controller string // such as "tcp:127.0.0.1:6653"; none when empty
	FailMode   string // "secure" when empty
	Protocols  string // "OpenFlow13" when empty
}

// Bridge is a bridge of the lab's Open vSwitch.
type Bridge struct {
	Name string
	DPID string // 16 hex digits
}

// Bridge makes a bridge with the datapath of all labs. The fail mode is set
// before the controller, as the first controller of a standalone bridge
// flushes its flows.
func (l *Lab) Bridge(name string, o BridgeOptions) *Bridge {
	l.t.Helper()
	if o.FailMode == "" {
		o.FailMode = "secure"
	}
	if o.Protocols == "" {
		o.Protocols = "OpenFlow13"
	}
	args := []string{"add-br", name, "--", "set", "bridge", name, "datapath_type=" + Datapath,
		"fail_mode=" + o.FailMode, "protocols=" + o.Protocols, "other_config:disable-in-band=true"}
	if o.DPID != "" {
		args = append(args, "other_config:datapath-id="+o.DPID)
	}
	if o.Controller != "" {
		args = append(args, "--", "set-controller", name, o.Controller,
			"--", "set", "controller", name, "connection_mode=out-of-band", "max_backoff=1000")
	}
	l.Vsctl(args...)
	b := &Bridge{Name: name, DPID: strings.Trim(l.Vsctl("get", "bridge", name, "datapath_id"), `"`)}
	l.mu.Lock()
	l.bridges[name] = b
	l.mu.Unlock()
	return b
}

// PortNumber is the OpenFlow number that the switch gave an interface.
func (l *Lab) PortNumber(iface string) int {
	l.t.Helper()
	text := l.Vsctl("wait-until", "interface", iface, "ofport>0", "--", "get", "interface", iface, "ofport")
	n, err := strconv.Atoi(text)
	if err != nil {
		l.t.Fatalf("lab: port number of %s: %v", iface, err)
	}
	return n
}

// Link connects two bridges by a veth pair and returns the names of its ends.
func (l *Lab) Link(a, b *Bridge) (endA, endB string) {
	l.t.Helper()
	l.mu.Lock()
	n := len(l.bridges) // a link's name needs to differ from other links only
	l.mu.Unlock()
	for ; ; n++ {
		endA, endB = fmt.Sprintf("l%d-%s", n, a.Name), fmt.Sprintf("l%d-%s", n, b.Name)
		if a == b {
			endB += "x"
		}
		if _, err := l.Exec(context.Background(), "sh", "-c", "ip link show "+endA+" || ip link show "+endB); err != nil {
			break // both names are free
		}
	}
	l.must(l.Exec(context.Background(), "sh", "-ec", fmt.Sprintf(
		"ip link add name %[1]s type veth peer name %[2]s; ip link set dev %[1]s up; ip link set dev %[2]s up", endA, endB)))
	l.Vsctl("add-port", a.Name, endA, "--", "add-port", b.Name, endB)
	l.PortNumber(endA)
	l.PortNumber(endB)
	return endA, endB
}

// ControllerAddr is where a controller of this lab listens for switches, in
// the form that ovs-vsctl set-controller takes.
const ControllerAddr = "tcp:127.0.0.1:6653"

// HostOptions says how a host is made.
type HostOptions struct {
	MAC       string   // drawn by the kernel when empty
	Addrs     []string // such as "10.0.0.1/24"
	Interface string   // name of its port on the switch; the host's name when empty
	Port      int      // OpenFlow port number to ask for; chosen by OVS when 0
	IPv6      bool     // leave IPv6 on
}

// Host makes a namespace that has one interface, eth0, plugged into a bridge.
func (l *Lab) Host(bridge *Bridge, name string, o HostOptions) *Host {
	l.t.Helper()
	if o.Interface == "" {
		o.Interface = name
	}
	h := &Host{l: l, Name: name, Interface: o.Interface, bridge: bridge, ns: l.namespace(name)}
	mac := ""
	if o.MAC != "" {
		mac = "address " + o.MAC
	}
	l.must(l.Exec(context.Background(), "sh", "-ec", fmt.Sprintf(
		"ip link add name %s type veth peer name eth0 %s netns %s; ip link set dev %[1]s up", o.Interface, mac, h.ns)))
	// Without checksum offload at the host's end TCP cannot pass a userspace
	// datapath: the checksum would never be filled in.
	script := "ethtool -K eth0 tx off >/dev/null; "
	if o.IPv6 {
		script += "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0; "
	}
	for _, a := range o.Addrs {
		prefix, err := netip.ParsePrefix(a)
		if err != nil {
			l.t.Fatalf("lab: address of host %s: %v", name, err)
		}
		if !h.Addr.IsValid() {
			h.Addr = prefix.Addr()
		}
		script += "ip addr add " + a + " dev eth0"
		if prefix.Addr().Is6() {
			script += " nodad"
		}
		script += "; "
	}
	script += "ip link set eth0 up; cat /sys/class/net/eth0/address"
	h.MAC = strings.TrimSpace(l.must(l.run(context.Background(), h.ns, "sh", "-ec", script)))
	h.plug(o.Port)
	return h
}
