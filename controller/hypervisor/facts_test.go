package hypervisor

import (
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/ovsdb"
)

func TestBridgesAreGivenAnAddressThatTheirHostCanReach(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		openflow, advertise, local, remote string
		tls                                bool
		want                               string
	}{
		{openflow: "0.0.0.0:6653", local: "192.0.2.1:6640", remote: "192.0.2.7:4", want: "tcp:192.0.2.1:6653"},
		{openflow: "[::]:6653", local: "[::ffff:192.0.2.1]:6640", remote: "192.0.2.7:4", want: "tcp:192.0.2.1:6653"},
		{openflow: "[::]:6653", local: "[2001:db8::1]:6640", remote: "[2001:db8::7]:4", tls: true, want: "ssl:[2001:db8::1]:6653"},
		{openflow: "198.51.100.1:16653", local: "192.0.2.1:6640", remote: "192.0.2.7:4", want: "tcp:198.51.100.1:16653"},
		{openflow: "0.0.0.0:6653", advertise: "ctl.example.org", local: "192.0.2.1:6640", remote: "192.0.2.7:4", want: "tcp:ctl.example.org:6653"},
		{openflow: "0.0.0.0:6653", advertise: "2001:db8::9", local: "192.0.2.1:6640", remote: "192.0.2.7:4", want: "tcp:[2001:db8::9]:6653"},
		{openflow: "127.0.0.1:6653", local: "127.0.0.1:6640", remote: "127.0.0.1:4", want: "tcp:127.0.0.1:6653"},
		{openflow: "127.0.0.1:6653", local: "192.0.2.1:6640", remote: "192.0.2.7:4", want: "error: --openflow 0.0.0.0:6653"},
		{openflow: "[::]:6653", local: "[fe80::1%eth0]:6640", remote: "[fe80::7%eth0]:4", want: "error: --advertise"},
		{openflow: "0.0.0.0:6653", local: "/run/db.sock", remote: "/run/db.sock", want: "tcp:127.0.0.1:6653"},
	} {
		cfg := &Config{OpenFlow: address(t, c.openflow), Advertise: c.advertise, TLS: c.tls}
		got, err := target(cfg, address(t, c.local), address(t, c.remote))
		word, fails := strings.CutPrefix(c.want, "error: ")
		switch {
		case fails && (err == nil || !strings.Contains(err.Error(), word)):
			t.Errorf("%+v: %q, error %v", c, got, err)
		case !fails && (err != nil || got != c.want):
			t.Errorf("%+v: %q, error %v", c, got, err)
		}
	}
}

func TestTunnelsEndWhereTheHostSaysOrConnectsFrom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		said, remote, want string
		stated             bool
	}{
		{"", "192.0.2.7:4", "192.0.2.7", false},
		{"", "[::ffff:192.0.2.7]:4", "192.0.2.7", false},
		{"", "[2001:db8::7]:4", "2001:db8::7", false},
		{"", "127.0.0.1:4", "invalid IP", false},
		{"", "[fe80::7%eth0]:4", "invalid IP", false},
		{"", "/run/db.sock", "invalid IP", false},
		{"198.51.100.7", "192.0.2.7:4", "198.51.100.7", true},
		{"224.0.0.1, 198.51.100.7,198.51.100.8", "192.0.2.7:4", "198.51.100.7", true},
		{"127.0.0.1", "/run/db.sock", "127.0.0.1", true},
		{"eth0", "192.0.2.7:4", "192.0.2.7", false},
		{"0.0.0.0", "192.0.2.7:4", "192.0.2.7", false},
	} {
		s := &ovsdb.Snapshot{ExternalIDs: map[string]string{"ovn-encap-ip": c.said}}
		if got, stated := endpoint(s, address(t, c.remote)); got.String() != c.want || stated != c.stated {
			t.Errorf("%q from %s: %s, stated %v, want %s", c.said, c.remote, got, stated, c.want)
		}
	}
}

func address(t *testing.T, text string) net.Addr {
	t.Helper()
	if strings.HasPrefix(text, "/") {
		return &net.UnixAddr{Name: text, Net: "unix"}
	}
	a, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOnlyInterfacesWithAnIDAreReportedAndTheirTextIsHarmless(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 200)
	b := &ovsdb.Bridge{Interfaces: []ovsdb.Interface{
		{Name: "br-int", OFPort: 65534},
		{Name: "tap1", OFPort: 3, ExternalIDs: map[string]string{"iface-id": "x\x00y", "attached-mac": "02:00:00:00:00:01"}, MACInUse: "02:00:00:00:00:02"},
		{Name: "tap2", OFPort: -1, ExternalIDs: map[string]string{"iface-id": long}, Error: "\xff" + long},
		{Name: long, OFPort: 4, ExternalIDs: map[string]string{"iface-id": "x"}},
	}}
	want := []intent.Attachment{
		{Interface: "tap1", IfaceID: "xy", OFPort: 3, MACInUse: "02:00:00:00:00:02"},
		{Interface: "tap2", IfaceID: strings.Repeat("ä", 127), OFPort: -1, Error: strings.Repeat("ä", 127)},
	}
	if diff := cmp.Diff(want, attachments(b)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// ovsdb-server forgets datapath_id when it restarts; nobody must be unbound by that.
func TestABridgeIsKnownByItsConfiguredIDWhileTheSwitchIsDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b    ovsdb.Bridge
		want intent.DPID
	}{
		{ovsdb.Bridge{DatapathID: "00000000000000a1", OtherConfig: map[string]string{"datapath-id": "00000000000000a2"}}, 0xa1},
		{ovsdb.Bridge{OtherConfig: map[string]string{"datapath-id": "00000000000000a2"}}, 0xa2},
		{ovsdb.Bridge{OtherConfig: map[string]string{"datapath-id": "a2"}}, 0},
		{ovsdb.Bridge{}, 0},
	} {
		if got := datapathID(&c.b); got != c.want {
			t.Errorf("%+v: %s, want %s", c.b, got, c.want)
		}
	}
}
