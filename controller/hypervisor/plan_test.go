package hypervisor

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/ovsdb"
)

var update = flag.Bool("update", false, "write testdata")

const controllerTarget = "tcp:192.0.2.1:6653"

// right is a host that is as it should be, with a bridge that we made.
func right() ovsdb.Snapshot {
	return ovsdb.Snapshot{
		Root: "root", SystemID: "h1", ExternalIDs: map[string]string{"system-id": "h1"}, DatapathTypes: []string{"netdev", "system"}, NextCfg: 7, CurCfg: 7,
		Bridges: []ovsdb.Bridge{
			{UUID: "b-br0", Name: "br0", DatapathID: "00000000000000b0"},
			{
				UUID: "b-int", Name: "br-int", DatapathID: "00000000000000a1", DatapathType: "system", FailMode: "secure", Protocols: []string{"OpenFlow13"},
				OtherConfig: map[string]string{"datapath-id": "00000000000000a1", "disable-in-band": "true"}, ExternalIDs: map[string]string{"owner": "macloom"},
				Controllers: []ovsdb.Controller{ours("c-1", controllerTarget)},
			},
		},
	}
}

func ours(id ovsdb.UUID, target string) ovsdb.Controller {
	return ovsdb.Controller{UUID: id, Target: target, ExternalIDs: map[string]string{"owner": "macloom"}}
}

func theirs(id ovsdb.UUID, target string) ovsdb.Controller {
	return ovsdb.Controller{UUID: id, Target: target}
}

func vxlan(options map[string]string) ovsdb.Interface {
	return ovsdb.Interface{UUID: "i-vx", Name: "macloom-vxlan", Type: "vxlan", Options: options, ExternalIDs: map[string]string{"owner": "macloom"}}
}

// plans are states of a host, made from one that is right, with what is wanted.
var plans = map[string]func(s *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want){
	"right":        func(*ovsdb.Snapshot, *ovsdb.Bridge, *Want) {},
	"never-run":    func(s *ovsdb.Snapshot, _ *ovsdb.Bridge, _ *Want) { *s = ovsdb.Snapshot{} },
	"no-system-id": func(s *ovsdb.Snapshot, _ *ovsdb.Bridge, _ *Want) { s.SystemID, s.Bridges = "", nil },
	"no-bridge":    func(s *ovsdb.Snapshot, _ *ovsdb.Bridge, _ *Want) { s.Bridges = s.Bridges[:1] },
	"no-bridge-no-kernel": func(s *ovsdb.Snapshot, _ *ovsdb.Bridge, _ *Want) {
		s.Bridges, s.DatapathTypes = nil, []string{"netdev"}
	},
	"no-bridge-netdev-asked": func(s *ovsdb.Snapshot, _ *ovsdb.Bridge, w *Want) { s.Bridges, w.DatapathType = nil, "netdev" },
	"no-bridge-host-asks-netdev": func(s *ovsdb.Snapshot, _ *ovsdb.Bridge, w *Want) {
		s.Bridges, w.DatapathType, s.ExternalIDs = nil, "system", map[string]string{"macloom-datapath-type": "netdev"}
	},
	"other-name":        func(_ *ovsdb.Snapshot, _ *ovsdb.Bridge, w *Want) { w.Bridge = "br-cloud" },
	"made-not-realized": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) { b.DatapathID, b.Controllers = "", nil },
	"kernel-cannot": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		b.DatapathID, b.Controllers, w.Applied = "", nil, true
	},
	"userspace-cannot": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		b.DatapathID, b.DatapathType, b.Controllers, w.Applied = "", "netdev", nil, true
	},
	"kernel-asked-cannot": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		b.DatapathID, w.DatapathType, w.Applied = "", "system", true
	},
	"datapath-changed":   func(_ *ovsdb.Snapshot, _ *ovsdb.Bridge, w *Want) { w.DatapathType = "netdev" },
	"made-no-controller": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) { b.Controllers = nil },
	"switch-down":        func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) { b.DatapathID, b.ExternalIDs = "", nil },
	"standalone-by-hand": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) { b.FailMode = "standalone" },
	"address-changed":    func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) { w.Controller = "ssl:192.0.2.2:6653" },
	"controller-by-hand": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) {
		b.Controllers = []ovsdb.Controller{theirs("c-9", controllerTarget)}
	},
	"foreign": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) {
		b.FailMode, b.Controllers = "", []ovsdb.Controller{theirs("c-9", "tcp:198.51.100.1:6633")}
	},
	"foreign-beside-ours": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) {
		b.FailMode = ""
		b.Controllers = append(b.Controllers, theirs("c-9", "tcp:198.51.100.1:6633"))
	},
	"ours-of-earlier-too": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) {
		b.Controllers = append(b.Controllers, ours("c-2", "tcp:192.0.2.9:6653"))
	},
	"ours-twice-both-old": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) {
		b.Controllers = []ovsdb.Controller{ours("c-2", "tcp:192.0.2.8:6653"), ours("c-3", "tcp:192.0.2.9:6653")}
	},
	"ovn": func(s *ovsdb.Snapshot, _ *ovsdb.Bridge, _ *Want) {
		s.ExternalIDs, s.Bridges = map[string]string{"ovn-remote": "tcp:192.0.2.5:6642"}, nil
	},
	"ovn-elsewhere": func(s *ovsdb.Snapshot, _ *ovsdb.Bridge, _ *Want) {
		s.ExternalIDs = map[string]string{"ovn-remote": "tcp:192.0.2.5:6642", "ovn-bridge": "br-ovn"}
	},
	"no-tunnel": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		b.Ports, w.Tunnel = []ovsdb.Port{{UUID: "p-1", Name: "br-int"}}, netip.MustParseAddr("192.0.2.7")
	},
	"no-tunnel-stated": func(_ *ovsdb.Snapshot, _ *ovsdb.Bridge, w *Want) {
		w.Tunnel, w.TunnelStated = netip.MustParseAddr("2001:db8::7"), true
	},
	"tunnel": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		w.Tunnel = netip.MustParseAddr("192.0.2.7")
		b.Interfaces = []ovsdb.Interface{vxlan(map[string]string{"remote_ip": "flow", "key": "flow", "tos": "inherit"})}
	},
	"tunnel-moved": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		w.Tunnel, w.TunnelStated = netip.MustParseAddr("192.0.2.8"), true
		b.Interfaces = []ovsdb.Interface{vxlan(map[string]string{"remote_ip": "flow", "key": "flow", "local_ip": "192.0.2.7"})}
	},
	"tunnel-by-hand": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		w.Tunnel = netip.MustParseAddr("192.0.2.7")
		b.Interfaces = []ovsdb.Interface{{UUID: "i-9", Name: "macloom-vxlan", Type: "geneve"}}
	},
	"tunnel-cannot": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		w.Tunnel = netip.MustParseAddr("192.0.2.7")
		b.Interfaces = []ovsdb.Interface{vxlan(map[string]string{"remote_ip": "flow", "key": "flow", "tos": "inherit"})}
		b.Interfaces[0].Error = "could not add network device (File exists)"
	},
	"tunnel-elsewhere": func(s *ovsdb.Snapshot, _ *ovsdb.Bridge, w *Want) {
		w.Tunnel = netip.MustParseAddr("192.0.2.7")
		s.Bridges[0].Interfaces = []ovsdb.Interface{vxlan(nil)}
	},
	"queues": func(s *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		mine, rate := map[string]string{"owner": "macloom"}, map[string]string{"max-rate": "1000"}
		port := func(name string, qos ovsdb.UUID) {
			b.Ports = append(b.Ports, ovsdb.Port{UUID: ovsdb.UUID("p-" + name), Name: name, QoS: qos, Interfaces: []ovsdb.UUID{ovsdb.UUID("i-" + name)}})
			b.Interfaces = append(b.Interfaces, ovsdb.Interface{UUID: ovsdb.UUID("i-" + name), Name: name, OFPort: int64(len(b.Ports))})
		}
		port("limited", "")
		port("not-any-more", "q-old")
		port("theirs", "q-theirs")
		port("uplink", "")
		b.Interfaces[3].ExternalIDs = map[string]string{"macloom-rate-kbps": "1000000"}
		s.QoS = []ovsdb.QoS{
			{UUID: "q-lost", Type: "linux-htb", OtherConfig: rate, ExternalIDs: mine}, {UUID: "q-old", Type: "linux-htb", OtherConfig: rate, ExternalIDs: mine, Queues: map[int64]ovsdb.UUID{0: "u-old"}},
			{UUID: "q-theirs", Type: "linux-htb", Queues: map[int64]ovsdb.UUID{0: "u-theirs"}},
		}
		s.Queues = []ovsdb.Queue{{UUID: "u-old", ExternalIDs: mine}, {UUID: "u-theirs"}}
		w.Queues = &intent.Queues{Limits: map[uint32]uint32{1: 3000, 3: 5000}, Minimums: []intent.MinimumQueue{{Number: 9, Kbps: 20000, Class: intent.ClassOf(4)}}}
	},
	"queues-without-uplink": func(_ *ovsdb.Snapshot, _ *ovsdb.Bridge, w *Want) {
		w.Queues = &intent.Queues{Minimums: []intent.MinimumQueue{{Number: 9, Kbps: 20000}}}
	},
	"adopted": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, _ *Want) {
		*b = ovsdb.Bridge{UUID: "b-int", Name: "br-int", DatapathID: "00000000000000a1"}
	},
	"adopted-with-settings": func(_ *ovsdb.Snapshot, b *ovsdb.Bridge, w *Want) {
		w.DatapathType = "system"
		*b = ovsdb.Bridge{
			UUID: "b-int", Name: "br-int", DatapathID: "00000000000000a1", DatapathType: "netdev", FailMode: "secure", Protocols: []string{"OpenFlow10", "OpenFlow14"},
			OtherConfig: map[string]string{"datapath-id": "00000000000000a1", "disable-in-band": "false"},
		}
	},
}

func planOf(change func(*ovsdb.Snapshot, *ovsdb.Bridge, *Want)) (ovsdb.Snapshot, Want) {
	s, w := right(), Want{Bridge: "br-int", Controller: controllerTarget, DatapathType: DatapathAuto, SystemID: "fresh"}
	change(&s, &s.Bridges[1], &w)
	return s, w
}

func TestPlansBringHostsToWhatIsWanted(t *testing.T) {
	t.Parallel()
	for name, change := range plans {
		s, w := planOf(change)
		steps, err := Plan(s, w)
		var b strings.Builder
		for _, step := range steps {
			fmt.Fprintf(&b, "%s: %s\n", step.Kind, step.Text)
			for _, op := range step.Ops {
				text, err := json.Marshal(op)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "\t%s\n", text)
			}
		}
		if err != nil {
			fmt.Fprintf(&b, "obstacle: %v\n", err)
		}
		path := filepath.Join("testdata", name+".plan")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The order matters: a bridge is secure before anything else, and has its
// datapath id for good before it has a controller.
func TestNoStepComesBeforeWhatItNeeds(t *testing.T) {
	t.Parallel()
	order := map[string]int{"system-id": 0, "bridge": 1, "fail-mode": 2, "datapath-type": 3, "apply": 3, "protocols": 4, "settings": 5, "controller": 6, "tunnel": 7, "queues": 8}
	for name, change := range plans {
		steps, _ := Plan(planOf(change))
		last := -1
		for _, step := range steps {
			at, known := order[step.Kind]
			if !known || at < last {
				t.Errorf("%s: step %q out of order", name, step.Kind)
			}
			last = at
			if text, _ := json.Marshal(step.Ops); !strings.Contains(string(text), `"op":"wait"`) && step.Kind != "settings" && step.Kind != "system-id" && step.Kind != "apply" {
				t.Errorf("%s: step %q has no guard", name, step.Kind)
			}
		}
	}
}

func TestWhoKeepsUndoingAStepIsNotRaced(t *testing.T) {
	t.Parallel()
	p, now := pace{}, time.Unix(0, 0)
	var waits []string
	for range 14 {
		wait := p.wait("fail-mode", now)
		waits = append(waits, wait.String())
		now = now.Add(wait)
		p.taken("fail-mode", now)
		if p.wait("controller", now) != 0 {
			t.Error("another kind of step has to wait")
		}
	}
	want := "0s 0s 1s 2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 5m0s 5m0s 5m0s"
	if got := strings.Join(waits, " "); got != want {
		t.Errorf("waits\n%s, want\n%s", got, want)
	}
	now = now.Add(forgiven + time.Second)
	p.taken("fail-mode", now)
	if wait := p.wait("fail-mode", now); wait != 0 {
		t.Errorf("after a long time in peace: %v", wait)
	}
}
