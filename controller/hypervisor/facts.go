package hypervisor

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/ovsdb"
)

// maxText bounds what is taken over from a host, in bytes.
const maxText = 255

// ifaceKey is the key of external_ids of an interface that holds the id of its port.
const ifaceKey = "iface-id"

// attachments are the interfaces of a bridge that carry the id of a port.
func attachments(b *ovsdb.Bridge) []intent.Attachment {
	var list []intent.Attachment
	for i := range b.Interfaces {
		iface := &b.Interfaces[i]
		id := iface.ExternalIDs[ifaceKey]
		if id == "" || len(iface.Name) > maxText {
			continue
		}
		list = append(list, intent.Attachment{
			Interface: plain(iface.Name), IfaceID: plain(id), OFPort: iface.OFPort, MACInUse: plain(iface.MACInUse), Error: plain(iface.Error),
		})
	}
	return list
}

// plain makes text of a host fit to be stored and shown.
func plain(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}

// datapathID is what the bridge is known by; 0 if that cannot be said yet. The
// id that is configured counts while ovs-vswitchd has not made the bridge: it
// forgets the other one with every restart of ovsdb-server.
func datapathID(b *ovsdb.Bridge) intent.DPID {
	for _, text := range []string{b.DatapathID, b.OtherConfig["datapath-id"]} {
		if d, err := intent.ParseDPID(text); err == nil {
			return d
		}
	}
	return 0
}

// integration finds the integration bridge, nil if there is none, and the
// datapath id that it has or will have; 0 if that cannot be said yet.
func integration(s *ovsdb.Snapshot, name string) (*ovsdb.Bridge, intent.DPID) {
	if name == "" {
		return nil, 0
	}
	for i := range s.Bridges {
		if b := &s.Bridges[i]; b.Name == name {
			return b, datapathID(b)
		}
	}
	if s.SystemID == "" {
		return nil, 0
	}
	return nil, intent.DPIDOfSystem(s.SystemID)
}

// facts are what is recorded of a bridge.
func facts(s *ovsdb.Snapshot, b *ovsdb.Bridge, d intent.DPID) intent.Bridge {
	out := intent.Bridge{DPID: d, SystemID: plain(s.SystemID), Hostname: plain(s.Hostname), Version: plain(s.OVSVersion), Connected: true}
	if b != nil {
		// Defaults of ovs-vswitchd.conf.db(5).
		out.FailMode = cmp.Or(plain(b.FailMode), "standalone")
		out.DatapathType = cmp.Or(plain(b.DatapathType), DatapathSystem)
	}
	return out
}

// target is the controller that a host is given: where it has reached us, or
// where we say.
func target(cfg *Config, local, remote net.Addr) (string, error) {
	scheme := "tcp:"
	if cfg.TLS {
		scheme = "ssl:"
	}
	listener, err := netip.ParseAddrPort(cfg.OpenFlow.String())
	if err != nil {
		return "", fmt.Errorf("hypervisor: address of the OpenFlow listener: %w", err)
	}
	port := fmt.Sprint(listener.Port())
	if cfg.Advertise != "" {
		return scheme + net.JoinHostPort(cfg.Advertise, port), nil
	}
	if ip := listener.Addr(); !ip.IsUnspecified() {
		if ip.IsLoopback() && !near(remote) {
			return "", fmt.Errorf("OpenFlow is served on %s, which this host cannot reach: start macloom with --openflow 0.0.0.0:%s or with --advertise", listener, port)
		}
		return scheme + net.JoinHostPort(ip.Unmap().String(), port), nil
	}
	if tcp, ok := local.(*net.TCPAddr); ok {
		ip := tcp.AddrPort().Addr().Unmap()
		if ip.Zone() != "" {
			return "", errors.New("the host has reached macloom at a link-local address, which says nothing without its link: start macloom with --advertise")
		}
		return scheme + net.JoinHostPort(ip.String(), port), nil
	}
	return scheme + net.JoinHostPort("127.0.0.1", port), nil // by a socket of the same machine
}

// near says whether a peer is on this machine.
func near(remote net.Addr) bool {
	tcp, ok := remote.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}
