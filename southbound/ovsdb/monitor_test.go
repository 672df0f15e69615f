package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
)

const initial = `{
 "Open_vSwitch":{"o":{"new":{"external_ids":["map",[["system-id","sys1"],["hostname","h1"]]],"ovs_version":"3.1.0","next_cfg":4,"cur_cfg":3,"datapath_types":["set",["netdev","system"]]}}},
 "Bridge":{"b":{"new":{"name":"br0","datapath_id":"00000000000000a1","datapath_type":"netdev","fail_mode":["set",[]],"protocols":"OpenFlow13","controller":["uuid","c"],"ports":["set",[["uuid","p1"],["uuid","p2"]]]}}},
 "Controller":{"c":{"new":{"target":"tcp:192.0.2.1:6653","is_connected":true,"role":"master","external_ids":["map",[]]}}},
 "Manager":{"m":{"new":{"target":"tcp:192.0.2.1:6640","is_connected":true,"external_ids":["map",[]]}}},
 "QoS":{"q":{"new":{"type":"linux-htb","queues":["map",[[0,["uuid","u"]]]],"other_config":["map",[["max-rate","9"]]]}}},
 "Queue":{"u":{"new":{"other_config":["map",[["min-rate","3"]]]}}},
 "Port":{"p1":{"new":{"name":"vm1","interfaces":["uuid","i1"]}},"p2":{"new":{"name":"br0","interfaces":["uuid","i2"],"tag":5,"qos":["uuid","q"]}}},
 "Interface":{"i1":{"new":{"name":"vm1","ofport":1,"external_ids":["map",[["iface-id","x"]]]}},"i2":{"new":{"name":"br0","ofport":65534,"external_ids":["map",[]]}}}}`

func TestMonitorShowsTheStateAfterEachTransaction(t *testing.T) {
	t.Parallel()
	p, c := newSetup(t, Config{}).connect()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen := make(chan Snapshot)
	done := make(chan error, 1)
	go func() { done <- c.Monitor(ctx, func(s Snapshot) { seen <- s }) }()

	m := p.receive()
	var params []json.RawMessage
	if err := json.Unmarshal(m.Params, &params); err != nil || m.Method != "monitor" || len(params) != 3 {
		t.Fatalf("want a monitor request, got %s %s", m.Method, m.Params)
	}
	monitor := string(params[1])
	// The answer and an update in one portion: the update must find the state
	// of the answer already taken over.
	p.send(`{"id":` + string(m.ID) + `,"error":null,"result":` + initial + `}` +
		`{"id":null,"method":"update","params":[` + monitor + `,{"Bridge":{"b":{"old":{"fail_mode":["set",[]]},
		"new":{"name":"br0","datapath_id":"00000000000000a1","datapath_type":"netdev","fail_mode":"secure","protocols":"OpenFlow13","controller":["uuid","c"],"ports":["uuid","p2"]}}},
		"Port":{"p1":{"old":{"interfaces":["uuid","i1"]}}},"Interface":{"i1":{"old":{"name":"vm1"}}}}]}`)
	want := Snapshot{
		Root: "o", SystemID: "sys1", Hostname: "h1", OVSVersion: "3.1.0", NextCfg: 4, CurCfg: 3,
		ExternalIDs: map[string]string{"system-id": "sys1", "hostname": "h1"}, DatapathTypes: []string{"netdev", "system"},
		Bridges: []Bridge{{
			UUID: "b", Name: "br0", DatapathID: "00000000000000a1", DatapathType: "netdev", FailMode: "secure", Protocols: []string{"OpenFlow13"},
			Controllers: []Controller{{UUID: "c", Target: "tcp:192.0.2.1:6653", IsConnected: true, Role: "master"}},
			Ports:       []Port{{UUID: "p2", Name: "br0", Tag: 5, QoS: "q", Interfaces: []UUID{"i2"}}},
			Interfaces:  []Interface{{UUID: "i2", Name: "br0", OFPort: 65534}},
		}},
		QoS:      []QoS{{UUID: "q", Type: "linux-htb", Queues: map[int64]UUID{0: "u"}, OtherConfig: map[string]string{"max-rate": "9"}}},
		Queues:   []Queue{{UUID: "u", OtherConfig: map[string]string{"min-rate": "3"}}},
		Managers: []Manager{{UUID: "m", Target: "tcp:192.0.2.1:6640", IsConnected: true}},
	}
	got := <-seen
	if len(got.Bridges) == 1 && got.Bridges[0].FailMode == "" {
		got = <-seen // the first state was shown on its own
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}

	cancel()
	p.send(`{"id":` + p.request("monitor_cancel") + `,"result":{},"error":null}`)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Monitor: want %v, got %v", context.Canceled, err)
	}
}

func TestUpdateThatCanNotBeUnderstoodEndsTheConnection(t *testing.T) {
	t.Parallel()
	p, c := newSetup(t, Config{}).connect()
	done := make(chan error, 1)
	go func() { done <- c.Monitor(context.Background(), func(Snapshot) {}) }()
	p.send(`{"id":` + p.request("monitor") + `,"error":null,"result":{"Bridge":{"b":{"new":{"name":7}}}}}`)
	p.closed()
	if err := <-done; err == nil {
		t.Error("Monitor: want an error")
	}
}

func TestUpdateIsTakenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	r := newReplica()
	if err := r.apply(json.RawMessage(initial)); err != nil {
		t.Fatal(err)
	}
	before := r.snapshot()
	for _, bad := range []string{
		`{"Bridge":{"b":{"old":{}}},"Interface":{"i1":{"new":{"name":7}}}}`,
		`{"Bridge":{"b":{"old":{}}},"Flow_Table":{"f":{"new":{}}}}`,
		`{"Bridge":{"b":{"old":{}}},"Interface":[]}`,
	} {
		if err := r.apply(json.RawMessage(bad)); err == nil {
			t.Errorf("%s: want an error", bad)
		}
		if d := cmp.Diff(before, r.snapshot()); d != "" {
			t.Errorf("%s changed the state (-before +after):\n%s", bad, d)
		}
	}
}

// FuzzHandle feeds messages to a connection whose monitor waits for answers.
func FuzzHandle(f *testing.F) {
	f.Add([]byte(`{"id":1,"error":null,"result":` + initial + `}`))
	f.Add([]byte(`{"id":null,"method":"update","params":["m",` + initial + `]}`))
	f.Add([]byte(`{"id":"echo","method":"echo","params":[]}`))
	f.Add([]byte(`{"id":2,"error":null,"result":[{"uuid":["uuid","u"],"rows":[{"a":1}],"count":2},null,{"error":"x","details":null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := newConn(context.Background(), discard{}, (Config{Log: zap.NewNop()}).withDefaults(), func(int) error { return nil })
		r := newReplica()
		monitor, transact := &request{take: r.apply, reply: make(chan reply, 1)}, &request{reply: make(chan reply, 1)}
		c.waiting[1], c.waiting[2], c.replicas["m"] = monitor, transact, r
		_ = c.handle(text) // any error is an answer
		r.snapshot()
		select {
		case answer := <-transact.reply:
			results, err := decodeResults(answer.result, 3)
			if err == nil && len(results) != 3 {
				t.Fatalf("%d results without an error", len(results))
			}
			for _, result := range results {
				for _, row := range result.Rows {
					for column := range row {
						// Any error is an answer here too.
						_, _ = row.String(column)
						_, _ = row.Int(column)
						_, _ = row.UUIDs(column)
						_, _ = row.Map(column)
					}
				}
			}
		default:
		}
	})
}
