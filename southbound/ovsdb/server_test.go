package ovsdb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/ovstest"
)

// shows waits until the state is want, UUIDs and managers aside.
func (w *watched) shows(what string, want Snapshot) Snapshot {
	w.t.Helper()
	timeout := time.After(patient)
	d := "nothing was shown"
	for {
		select {
		case got := <-w.seen:
			if d = cmp.Diff(want, got, cmpopts.IgnoreTypes(UUID("")), cmpopts.EquateEmpty(), cmpopts.IgnoreTypes(map[int64]UUID{}, []UUID{}),
				cmpopts.IgnoreFields(Snapshot{}, "Managers")); d == "" {
				return got
			}
		case err := <-w.done:
			w.t.Fatalf("%s: Watch ended: %v\n%s", what, err, d)
		case <-timeout:
			w.t.Fatalf("%s: the state did not come (-want +last):\n%s", what, d)
		}
	}
}

// plain is the state of a database that nobody has changed yet.
func plain() Snapshot {
	return Snapshot{SystemID: "sys7", Hostname: "host7", ExternalIDs: map[string]string{"system-id": "sys7", "hostname": "host7"}}
}

func TestRealServerIsReachedByEveryConnectionMethod(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	dir := t.TempDir()
	key, cert, caFile := ca.files(dir, "switch")
	ssl := []string{"--private-key=" + key, "--certificate=" + cert, "--ca-cert=" + caFile}
	for name, connect := range map[string]func(t *testing.T) *Conn{
		"active unix": func(t *testing.T) *Conn {
			o := startOVS(t, ovstest.Server{})
			return o.dial("unix:"+o.Socket(), Config{})
		},
		"active tcp": func(t *testing.T) *Conn {
			o := startOVS(t, ovstest.Server{Args: []string{"--remote=ptcp:0:127.0.0.1"}})
			return o.dial("tcp:127.0.0.1:"+o.port(), Config{})
		},
		"active ssl": func(t *testing.T) *Conn {
			o := startOVS(t, ovstest.Server{Args: append(slices.Clone(ssl), "--remote=pssl:0:127.0.0.1")})
			return o.dial("ssl:127.0.0.1:"+o.port(), Config{TLS: ca.config("controller")})
		},
		"passive tcp": func(t *testing.T) *Conn {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return startOVS(t, ovstest.Server{}).manage(ln, "tcp", Config{})
		},
		"passive ssl": func(t *testing.T) *Conn {
			ln, err := tls.Listen("tcp", "127.0.0.1:0", ca.config("controller"))
			if err != nil {
				t.Fatal(err)
			}
			return startOVS(t, ovstest.Server{Args: ssl}).manage(ln, "ssl", Config{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t)
			watching(t, c).shows("state", plain())
			if _, err := c.Transact(t.Context(), Comment("hello"), Commit(true)); err != nil {
				t.Errorf("transaction: %v", err)
			}
			if c.LocalAddr() == nil || c.RemoteAddr() == nil {
				t.Errorf("addresses: %v, %v", c.LocalAddr(), c.RemoteAddr())
			}
		})
	}
}

func TestRealServerIsMonitoredByEveryMethod(t *testing.T) {
	t.Parallel()
	for method, refused := range map[string][]string{
		"monitor_cond_since": nil, "monitor_cond": {"monitor_cond_since"}, "monitor": {"monitor_cond_since", "monitor_cond"},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			o := startOVS(t, ovstest.Server{})
			r := newRelay(o, refused...)
			w := watching(t, o.dial("unix:"+r.path, Config{}))
			state := plain()
			w.shows("at first", state)
			o.Vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "datapath_id=00000000000000a1",
				"fail_mode=secure", "protocols=OpenFlow13,OpenFlow15", "external_ids:a=b", "other_config:c=d",
				"--", "set-controller", "br0", "tcp:192.0.2.1:6653", "ssl:192.0.2.2:6653")
			state.Bridges = []Bridge{{
				Name: "br0", DatapathID: "00000000000000a1", DatapathType: "netdev", FailMode: "secure", Protocols: []string{"OpenFlow13", "OpenFlow15"},
				ExternalIDs: map[string]string{"a": "b"}, OtherConfig: map[string]string{"c": "d"},
				Controllers: []Controller{{Target: "ssl:192.0.2.2:6653"}, {Target: "tcp:192.0.2.1:6653"}},
				Ports:       []Port{{Name: "br0"}}, Interfaces: []Interface{{Name: "br0", Type: "internal"}},
			}}
			w.shows("bridge", state)
			o.Vsctl("add-port", "br0", "vm1", "tag=5", "--", "set", "interface", "vm1", "external_ids:iface-id=x y", "ofport_request=3", "ofport=3",
				"--", "add-port", "br0", "vx", "--", "set", "interface", "vx", "type=vxlan", "options:remote_ip=flow", `error="no luck"`)
			b := &state.Bridges[0]
			b.Ports = append(b.Ports, Port{Name: "vm1", Tag: 5}, Port{Name: "vx"})
			b.Interfaces = append(b.Interfaces,
				Interface{Name: "vm1", OFPort: 3, OFPortRequest: 3, ExternalIDs: map[string]string{"iface-id": "x y"}},
				Interface{Name: "vx", Type: "vxlan", Options: map[string]string{"remote_ip": "flow"}, Error: "no luck"})
			w.shows("ports", state)
			o.Vsctl("set", "interface", "vm1", "external_ids:owner=é", "--", "remove", "interface", "vm1", "external_ids", "iface-id",
				"--", "clear", "interface", "vx", "error", "--", "remove", "port", "vm1", "tag", "5", "--", "set", "bridge", "br0", "protocols=OpenFlow13")
			b.Interfaces[1].ExternalIDs = map[string]string{"owner": "é"}
			b.Interfaces[2].Error, b.Ports[1].Tag, b.Protocols = "", 0, []string{"OpenFlow13"}
			w.shows("changes", state)
			o.Vsctl("del-port", "vm1", "--", "del-controller", "br0")
			b.Controllers, b.Ports, b.Interfaces = nil, slices.Delete(b.Ports, 1, 2), slices.Delete(b.Interfaces, 1, 2)
			w.shows("deletions", state)
			o.Vsctl("del-br", "br0")
			state.Bridges = nil
			w.shows("no bridge", state)
			r.until("a request by the method", func(asked, _ []string) bool { return last(asked, `"`+method+`"`) != "" })
		})
	}
}

// following is a Follow that runs, with the watches that it starts.
func following(t *testing.T, target string) chan *watched {
	watches := make(chan *watched, 10)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Follow(ctx, target, Config{Log: zap.NewNop()}, func(ctx context.Context, c *Conn) {
			w := &watched{t: t, seen: make(chan Snapshot, 100), done: make(chan error, 1)}
			watches <- w
			w.done <- c.Monitor(ctx, func(s Snapshot) { w.seen <- s })
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Follow: %v", err)
		}
	})
	return watches
}

func TestReconnectFetchesOnlyWhatChangedWhereTheServerAllowsIt(t *testing.T) {
	t.Parallel()
	for name, clustered := range map[string]bool{"clustered": true, "standalone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := startOVS(t, ovstest.Server{Clustered: clustered})
			state := plain()
			args := []string{}
			// The server remembers its last transactions as long as they are
			// smaller, together, than the database.
			for i := range 20 {
				bridge := fmt.Sprintf("br%02d", i)
				args = append(args, "--", "add-br", bridge)
				state.Bridges = append(state.Bridges, Bridge{Name: bridge, Ports: []Port{{Name: bridge}}, Interfaces: []Interface{{Name: bridge, Type: "internal"}}})
			}
			o.Vsctl(args[1:]...)
			r := newRelay(o)
			watches := following(t, "unix:"+r.path)
			w := <-watches
			w.shows("at first", state)
			o.Vsctl("set", "bridge", "br07", "external_ids:a=a")
			state.Bridges[7].ExternalIDs = map[string]string{"a": "a"}
			w.shows("a small change", state)

			reconnected := func(what string) {
				t.Helper()
				(<-watches).shows(what, state)
				var parts [4][]byte
				r.until("an answer to monitor_cond_since", func(asked, told []string) bool {
					request := parseMessage([]byte(last(asked, `"monitor_cond_since"`)))
					answer := parseMessage([]byte(last(told, `{"id":`+string(request.id)+`,`)))
					var ok bool
					parts, ok = tuple(answer.result, 3)
					return ok
				})
				found, err := parseBool(parts[0])
				if err != nil || found != clustered {
					t.Errorf("%s: want resumed %v, got %v, %v", what, clustered, found, err)
				}
				if clustered && len(parts[2]) > 200 {
					t.Errorf("%s: %d bytes were sent: %s", what, len(parts[2]), parts[2])
				}
			}
			r.cut(true)
			o.Vsctl("set", "bridge", "br07", "external_ids:a=b")
			o.Vsctl("set", "bridge", "br08", "fail_mode=secure")
			r.cut(false)
			state.Bridges[7].ExternalIDs, state.Bridges[8].FailMode = map[string]string{"a": "b"}, "secure"
			reconnected("after two changes")

			r.cut(true)
			o.RestartServer()
			o.Vsctl("set", "bridge", "br08", "external_ids:a=c")
			r.cut(false)
			state.Bridges[8].ExternalIDs = map[string]string{"a": "c"}
			reconnected("after a restart of the server and a change")
		})
	}
}

func TestSilentPeersAreDroppedAndProbesAnswered(t *testing.T) {
	t.Parallel()
	o := startOVS(t, ovstest.Server{})
	r := newRelay(o)
	c := o.dial("unix:"+r.path, Config{EchoInterval: 100 * time.Millisecond, EchoTimeout: 3 * time.Second})
	r.until("our echo and its answer, twice", func(asked, told []string) bool {
		n := 0
		for _, m := range told {
			if strings.Contains(m, `"id":"echo"`) && strings.Contains(m, `"result":[]`) {
				n++
			}
		}
		return n >= 2
	})
	if err := c.Err(); err != nil {
		t.Fatalf("a server that answers lost its connection: %v", err)
	}
	o.SuspendServer()
	select {
	case <-c.Done():
		if err := c.Err(); !strings.Contains(err.Error(), "stalls") {
			t.Errorf("want an error that says that the switch stalls, got %v", err)
		}
	case <-time.After(patient):
		t.Error("the connection to a server that stands still is still open")
	}
}

func TestProbesOfTheServerAreAnswered(t *testing.T) {
	t.Parallel()
	o := startOVS(t, ovstest.Server{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := o.manage(ln, "tcp", Config{EchoInterval: time.Hour})
	// The server probes after two seconds of silence, and drops the connection
	// after two more without an answer.
	o.Vsctl("set", "manager", ".", "inactivity_probe=2000")
	begun := c.lastRead.Load()
	for deadline := time.Now().Add(patient); c.lastRead.Load()-begun < int64(5*time.Second) && c.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server does not probe")
		}
	}
	if err := c.Err(); err != nil {
		t.Errorf("the connection ended: %v", err)
	}
}

func TestRealSwitchIsSetUp(t *testing.T) {
	t.Parallel()
	o := startOVS(t, ovstest.Server{})
	o.StartSwitch()
	c := o.dial("unix:"+o.Socket(), Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patient)
	defer cancel()
	w := watching(t, c)
	configure := func(what string, operations ...Operation) Configured {
		t.Helper()
		done, err := c.Configure(ctx, operations...)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return done
	}
	// now is the state of a moment at least as late as cfg.
	now := func(cfg int64) (s Snapshot) {
		t.Helper()
		for s = range w.seen {
			if s.CurCfg >= cfg {
				return s
			}
		}
		return s
	}
	named := func(name string) []Condition { return []Condition{{"name", "==", name}} }

	// A guard that holds, and a bridge whose fail mode is secure from the start.
	bridge := []Operation{
		Wait("Bridge", named("br-int"), []string{"name"}, "!=", Values{"name": "br-int"}),
		Insert("Interface", "i", Values{"name": "br-int", "type": "internal"}),
		Insert("Port", "p", Values{"name": "br-int", "interfaces": NamedUUID("i")}),
		Insert("Controller", "c", Values{"target": "tcp:127.0.0.1:1", "external_ids": Map{"owner": "macloom"}}),
		Insert("Bridge", "b", Values{"name": "br-int", "datapath_type": "netdev", "fail_mode": "secure", "protocols": Set{"OpenFlow13"},
			"other_config": Map{"datapath-id": "00000000000000a7"}, "ports": NamedUUID("p"), "controller": NamedUUID("c")}),
		Mutate("Open_vSwitch", nil, Mutation{"bridges", "insert", NamedUUID("b")}),
	}
	done := configure("bridge", bridge...)
	if len(done.Errors) > 0 || len(done.Results) != len(bridge) || done.Results[4].UUID == "" {
		t.Errorf("bridge: %+v", done)
	}
	s := now(done.Cfg)
	if b := s.Bridges[0]; b.UUID != done.Results[4].UUID || b.DatapathID != "00000000000000a7" || b.FailMode != "secure" || len(b.Controllers) != 1 ||
		b.Controllers[0].Target != "tcp:127.0.0.1:1" || b.Interfaces[0].OFPort != 65534 || b.Interfaces[0].MACInUse == "" {
		t.Errorf("bridge: got %+v", b)
	}

	// The guard fails now, and nothing happens.
	_, err := c.Transact(ctx, bridge...)
	failed, ok := errors.AsType[*OperationError](err)
	if !errors.Is(err, ErrGuard) || errors.Is(err, ErrConstraint) || !ok || failed.Index != 0 || failed.Operation != "wait" || failed.Table != "Bridge" {
		t.Errorf("guard: want a failure of operation 0 that is ErrGuard, got %v", err)
	}
	if _, err := c.Transact(ctx, Wait("Bridge", named("br-int"), []string{"fail_mode"}, "==", Values{"fail_mode": "secure"})); err != nil {
		t.Errorf("guard that holds: %v", err)
	}

	// A tunnel gets a port number; a patch port that leads nowhere an error.
	done = configure("ports",
		Insert("Interface", "vx", Values{"name": "vx0", "type": "vxlan", "ofport_request": 900, "options": Map{"remote_ip": "flow", "key": "flow"}}),
		Insert("Port", "pvx", Values{"name": "vx0", "interfaces": NamedUUID("vx")}),
		Insert("Interface", "no", Values{"name": "nowhere", "type": "patch"}),
		Insert("Port", "pno", Values{"name": "nowhere", "interfaces": NamedUUID("no")}),
		Mutate("Bridge", named("br-int"), Mutation{"ports", "insert", Set{NamedUUID("pvx"), NamedUUID("pno")}}))
	if len(done.Errors) != 1 || done.Errors[0].Name != "nowhere" || done.Errors[0].UUID != done.Results[2].UUID || done.Errors[0].Error == "" {
		t.Errorf("errors of interfaces: %+v", done.Errors)
	}
	s = now(done.Cfg)
	if i := s.Bridges[0].Interfaces[2]; i.Name != "vx0" || i.Type != "vxlan" || i.OFPort != 900 || i.OFPortRequest != 900 || i.Options["key"] != "flow" {
		t.Errorf("tunnel: got %+v", i)
	}

	// Queues of a port.
	done = configure("queues",
		Insert("Queue", "q0", Values{"other_config": Map{"min-rate": "1000000"}}),
		Insert("Queue", "q1", Values{"other_config": Map{"max-rate": "2000000"}, "external_ids": Map{"owner": "macloom"}}),
		Insert("QoS", "q", Values{"type": "linux-htb", "queues": Refs{0: NamedUUID("q0"), 7: NamedUUID("q1")}, "other_config": Map{"max-rate": "5000000"}}),
		Update("Port", named("br-int"), Values{"qos": NamedUUID("q")}))
	s = now(done.Cfg)
	q0, q1, qos := done.Results[0].UUID, done.Results[1].UUID, done.Results[2].UUID
	wantQoS := []QoS{{UUID: qos, Type: "linux-htb", Queues: map[int64]UUID{0: q0, 7: q1}, OtherConfig: map[string]string{"max-rate": "5000000"}}}
	if d := cmp.Diff(wantQoS, s.QoS); d != "" || len(s.Queues) != 2 || s.Bridges[0].Ports[0].QoS != qos {
		t.Errorf("queues %v of port %+v; QoS (-want +got):\n%s", s.Queues, s.Bridges[0].Ports[0], d)
	}
	done = configure("no queues",
		Update("Port", named("br-int"), Values{"qos": Set{}}),
		Delete("QoS", []Condition{{"_uuid", "==", qos}}),
		Delete("Queue", []Condition{{"_uuid", "==", q0}}), Delete("Queue", []Condition{{"_uuid", "==", q1}}))
	if s = now(done.Cfg); len(s.QoS)+len(s.Queues) != 0 || done.Results[2].Count != 1 {
		t.Errorf("deleted: still %v and %v", s.QoS, s.Queues)
	}

	// An interface is given to a port.
	done = configure("iface-id", Mutate("Interface", named("vx0"), Mutation{"external_ids", "delete", Set{"iface-id"}},
		Mutation{"external_ids", "insert", Map{"iface-id": "port-1"}}))
	if s = now(done.Cfg); s.Bridges[0].Interfaces[2].ExternalIDs["iface-id"] != "port-1" {
		t.Errorf("iface-id: got %+v", s.Bridges[0].Interfaces[2])
	}

	// All other operations, and failures of each kind.
	id := UUID("6e6d3ab2-4b0c-4f0e-9d4f-0d6f2b1c7a55")
	results, err := c.Transact(ctx, Comment("note"), InsertUUID("Queue", id, Values{}), Commit(true), Select("Queue", nil, "_uuid"),
		Delete("Queue", []Condition{{"_uuid", "==", id}}))
	if err != nil || results[1].UUID != id || len(results[3].Rows) != 1 || results[4].Count != 1 {
		t.Errorf("operations: %+v, %v", results, err)
	}
	for what, c2 := range map[string]struct {
		operations []Operation
		want       OperationError
		kind       error
	}{
		"column":     {[]Operation{Delete("Queue", nil), Update("Bridge", nil, Values{"nope": 1})}, OperationError{Index: 1, Operation: "update", Table: "Bridge", Tag: "unknown column"}, nil},
		"table":      {[]Operation{Select("Nope", nil)}, OperationError{Operation: "select", Table: "Nope", Tag: "syntax error"}, nil},
		"constraint": {[]Operation{Update("Bridge", nil, Values{"fail_mode": "brave"})}, OperationError{Operation: "update", Table: "Bridge", Tag: "constraint violation"}, ErrConstraint},
		"abort":      {[]Operation{Comment(""), Abort()}, OperationError{Index: 1, Operation: "abort", Tag: "aborted"}, nil},
		"assert":     {[]Operation{Assert("x")}, OperationError{Operation: "assert", Tag: "not owner"}, nil},
		"reference": {[]Operation{Mutate("Open_vSwitch", nil, Mutation{"bridges", "insert", Set{id}})},
			OperationError{Index: 1, Operation: "commit", Tag: "referential integrity violation"}, ErrConstraint},
	} {
		_, err := c.Transact(ctx, c2.operations...)
		failed, ok := errors.AsType[*OperationError](err)
		if !ok || cmp.Diff(c2.want, *failed, cmpopts.IgnoreFields(OperationError{}, "Details")) != "" || failed.Details == "" || c2.kind != nil && !errors.Is(err, c2.kind) {
			t.Errorf("%s: want %+v, got %v", what, c2.want, err)
		}
	}
	if _, err := c.transact(ctx, "Nowhere", Abort()); func() bool {
		refused, ok := errors.AsType[*ReplyError](err)
		return !ok || refused.Tag != "unknown database" || refused.Details == ""
	}() {
		t.Errorf("unknown database: got %v", err)
	}
}

func TestRealSchemaIsRead(t *testing.T) {
	t.Parallel()
	o := startOVS(t, ovstest.Server{})
	s, err := o.dial("unix:"+o.Socket(), Config{}).GetSchema(t.Context(), Database)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != Database || s.Version == "" || !s.Tables["QoS"].Root || s.Tables["Bridge"].Root {
		t.Errorf("schema %s %s; QoS root %v, Bridge root %v", s.Name, s.Version, s.Tables["QoS"].Root, s.Tables["Bridge"].Root)
	}
	for column, want := range map[string]ColumnType{
		"Bridge.name":                {Key: "string", Min: 1, Max: 1, Fixed: true},
		"Bridge.ports":               {Key: "uuid", RefTable: "Port", Min: 0, Max: Unlimited},
		"Interface.ofport":           {Key: "integer", Min: 0, Max: 1},
		"Interface.external_ids":     {Key: "string", Value: "string", Min: 0, Max: Unlimited},
		"QoS.queues":                 {Key: "integer", Value: "uuid", ValueRefTable: "Queue", Min: 0, Max: Unlimited},
		"Controller.is_connected":    {Key: "boolean", Min: 1, Max: 1, Ephemeral: true},
		"Port.trunks":                {Key: "integer", Min: 0, Max: 4096},
		"Open_vSwitch.next_cfg":      {Key: "integer", Min: 1, Max: 1},
		"Interface.mac_in_use":       {Key: "string", Min: 0, Max: 1, Ephemeral: true},
		"Open_vSwitch.bridges":       {Key: "uuid", RefTable: "Bridge", Min: 0, Max: Unlimited},
		"Interface.cfm_remote_mpids": {Key: "integer", Min: 0, Max: Unlimited, Ephemeral: true},
	} {
		table, name, _ := strings.Cut(column, ".")
		got, ok := s.Tables[table].Columns[name]
		if d := cmp.Diff(want, got); d != "" || !ok {
			t.Errorf("%s (-want +got):\n%s", column, d)
		}
	}
}
