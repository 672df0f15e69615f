package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
)

// initialRFC and initialDiffs are the same state in the two forms.
const initialRFC = `{
 "Open_vSwitch":{"o":{"new":{"external_ids":["map",[["system-id","sys1"],["hostname","h1"]]],"ovs_version":"3.1.0","next_cfg":4,"cur_cfg":3,"datapath_types":["set",["netdev","system"]]}}},
 "Bridge":{"b":{"new":{"name":"br0","datapath_id":"00000000000000a1","datapath_type":"netdev","fail_mode":["set",[]],"protocols":"OpenFlow13","other_config":["map",[]],"controller":["uuid","c"],"ports":["set",[["uuid","p1"],["uuid","p2"]]]}}},
 "Controller":{"c":{"new":{"target":"tcp:192.0.2.1:6653","is_connected":true,"role":"master","external_ids":["map",[]]}}},
 "Manager":{"m":{"new":{"target":"tcp:192.0.2.1:6640","is_connected":true,"external_ids":["map",[]]}}},
 "QoS":{"q":{"new":{"type":"linux-htb","queues":["map",[[0,["uuid","u"]]]],"other_config":["map",[["max-rate","9"]]]}}},
 "Queue":{"u":{"new":{"other_config":["map",[["min-rate","3"]]]}}},
 "Port":{"p1":{"new":{"name":"vm1","interfaces":["uuid","i1"]}},"p2":{"new":{"name":"br0","interfaces":["uuid","i2"],"tag":5,"qos":["uuid","q"]}}},
 "Interface":{"i1":{"new":{"name":"vm1","type":"","ofport":1,"external_ids":["map",[["iface-id","x"]]]}},"i2":{"new":{"name":"br0","type":"internal","ofport":65534,"external_ids":["map",[]]}}}}`

var initialDiffs = strings.NewReplacer(`"new":`, `"initial":`, `"fail_mode":["set",[]],`, "", `"other_config":["map",[]],`, "",
	`,"external_ids":["map",[]]`, "", `"type":"",`, "").Replace(initialRFC)

// initialState is what they mean.
func initialState() Snapshot {
	return Snapshot{
		Root: "o", SystemID: "sys1", Hostname: "h1", OVSVersion: "3.1.0", NextCfg: 4, CurCfg: 3,
		ExternalIDs: map[string]string{"system-id": "sys1", "hostname": "h1"}, DatapathTypes: []string{"netdev", "system"},
		Bridges: []Bridge{{
			UUID: "b", Name: "br0", DatapathID: "00000000000000a1", DatapathType: "netdev", Protocols: []string{"OpenFlow13"},
			Controllers: []Controller{{UUID: "c", Target: "tcp:192.0.2.1:6653", IsConnected: true, Role: "master"}},
			Ports: []Port{{UUID: "p2", Name: "br0", Tag: 5, QoS: "q", Interfaces: []UUID{"i2"}},
				{UUID: "p1", Name: "vm1", Interfaces: []UUID{"i1"}}},
			Interfaces: []Interface{{UUID: "i2", Name: "br0", Type: "internal", OFPort: 65534},
				{UUID: "i1", Name: "vm1", OFPort: 1, ExternalIDs: map[string]string{"iface-id": "x"}}},
		}},
		QoS:      []QoS{{UUID: "q", Type: "linux-htb", Queues: map[int64]UUID{0: "u"}, OtherConfig: map[string]string{"max-rate": "9"}}},
		Queues:   []Queue{{UUID: "u", OtherConfig: map[string]string{"min-rate": "3"}}},
		Managers: []Manager{{UUID: "m", Target: "tcp:192.0.2.1:6640", IsConnected: true}},
	}
}

// schemaText is a schema with just the columns that are monitored, without
// those that are given as table or table.column.
func schemaText(without ...string) string {
	types := func(field any) any {
		switch field.(type) {
		case *string:
			return map[string]any{"key": "string", "min": 0}
		case *int64:
			return "integer"
		case *bool:
			return map[string]any{"key": map[string]any{"type": "boolean"}}
		case *UUID:
			return map[string]any{"key": map[string]any{"type": "uuid", "refTable": "X"}, "min": 0, "max": 1}
		case *[]string:
			return map[string]any{"key": "string", "min": 0, "max": "unlimited"}
		case *[]UUID:
			return map[string]any{"key": "uuid", "min": 0, "max": "unlimited"}
		case *map[string]string:
			return map[string]any{"key": "string", "value": "string", "min": 0, "max": "unlimited"}
		}
		return map[string]any{"key": "integer", "value": map[string]any{"type": "uuid", "refTable": "Y"}, "min": 0, "max": 10}
	}
	tables := map[string]any{}
	add := func(name string, fields map[string]any) {
		columns := map[string]any{}
		for column, field := range fields {
			columns[column] = map[string]any{"type": types(field)}
		}
		for _, w := range without {
			if table, column, _ := strings.Cut(w, "."); table == name {
				delete(columns, column)
			}
		}
		if !strings.Contains(" "+strings.Join(without, " ")+" ", " "+name+" ") {
			tables[name] = map[string]any{"columns": columns}
		}
	}
	r := emptyReplica()
	add("Open_vSwitch", fieldsOf(r.system))
	add("Bridge", fieldsOf(r.bridges))
	add("Port", fieldsOf(r.ports))
	add("Interface", fieldsOf(r.interfaces))
	add("Controller", fieldsOf(r.controllers))
	add("Manager", fieldsOf(r.managers))
	add("QoS", fieldsOf(r.qos))
	add("Queue", fieldsOf(r.queues))
	text, err := json.Marshal(map[string]any{"name": "Open_vSwitch", "version": "7.1.2", "tables": tables})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func fieldsOf[T any](t *table[T]) map[string]any {
	fields := map[string]any{}
	for _, c := range t.columns {
		fields[c.name] = c.field(new(T))
	}
	return fields
}

func emptyReplica() *replica {
	return newReplica(64<<20, func(int) error { return nil })
}

// watched is a Watch that runs, with what it showed.
type watched struct {
	t      *testing.T
	seen   chan Snapshot
	change chan Changes
	done   chan error
	cancel context.CancelFunc
}

func watching(t *testing.T, c *Conn) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	w := &watched{t, make(chan Snapshot, 100), make(chan Changes, 100), make(chan error, 1), cancel}
	go func() {
		w.done <- c.Watch(ctx, func(ch Changes) {
			w.change <- ch
			w.seen <- ch.Snapshot()
		})
	}()
	return w
}

// until waits until want is shown.
func (w *watched) until(want Snapshot) {
	w.t.Helper()
	var last Snapshot
	for {
		select {
		case last = <-w.seen:
			if cmp.Equal(want, last) {
				return
			}
		case err := <-w.done:
			w.t.Fatalf("Watch ended: %v; last state (-want +got):\n%s", err, cmp.Diff(want, last))
		}
	}
}

// schema answers the request for it.
func (p *peer) schema(without ...string) {
	p.t.Helper()
	p.send(`{"id":` + p.request("get_schema") + `,"error":null,"result":` + schemaText(without...) + `}`)
}

// refuse answers a request of a method that the peer does not have.
func (p *peer) refuse(method string) {
	p.t.Helper()
	p.send(`{"id":` + p.request(method) + `,"result":null,"error":"unknown method"}`)
}

// monitor receives a request to monitor and returns its id, the monitor's
// name and all parameters.
func (p *peer) monitor(method string) (id, name string, params []json.RawMessage) {
	p.t.Helper()
	m := p.receive()
	if err := json.Unmarshal(m.Params, &params); err != nil || m.Method != method || len(params) < 3 {
		p.t.Fatalf("want a request %s, got %s %s", method, m.Method, m.Params)
	}
	return string(m.ID), string(params[1]), params
}

func TestMonitorShowsTheStateAfterEachTransactionByAnyMethod(t *testing.T) {
	t.Parallel()
	changed := initialState()
	changed.Bridges[0].FailMode = "secure"
	changed.Bridges[0].Ports, changed.Bridges[0].Interfaces = changed.Bridges[0].Ports[:1], changed.Bridges[0].Interfaces[:1]
	changed.Bridges[0].Interfaces[0].ExternalIDs = map[string]string{"k": "v"}
	const rfc = `{"Bridge":{"b":{"old":{"fail_mode":["set",[]]},"new":{"name":"br0","datapath_id":"00000000000000a1","datapath_type":"netdev",
		"fail_mode":"secure","protocols":"OpenFlow13","controller":["uuid","c"],"ports":["uuid","p2"]}}},
		"Port":{"p1":{"old":{"interfaces":["uuid","i1"]}}},"Interface":{"i1":{"old":{"name":"vm1"}},
		"i2":{"new":{"name":"br0","type":"internal","ofport":65534,"external_ids":["map",[["k","v"]]]}}}}`
	const diffs = `{"Bridge":{"b":{"modify":{"fail_mode":"secure","ports":["uuid","p1"]}}},
		"Port":{"p1":{"delete":null}},"Interface":{"i1":{"delete":null},"i2":{"modify":{"external_ids":["map",[["k","v"]]]}}}}`
	const txn = `"00000000-0000-0000-0000-000000000000"`
	for method, c := range map[string]struct{ refused, initial, update, params string }{
		"monitor_cond_since": {"", `[false,` + txn + `,` + initialDiffs + `]`, "update3", txn + `,` + diffs},
		"monitor_cond":       {"monitor_cond_since", initialDiffs, "update2", diffs},
		"monitor":            {"monitor_cond_since monitor_cond", initialRFC, "update", rfc},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			p, conn := newSetup(t, Config{}).connect()
			w := watching(t, conn)
			p.t = t
			p.schema()
			for _, other := range strings.Fields(c.refused) {
				p.refuse(other)
			}
			id, name, _ := p.monitor(method)
			// The answer and an update in one portion: the update must find the
			// state of the answer already taken over.
			p.send(`{"id":` + id + `,"error":null,"result":` + c.initial + `}` +
				`{"id":null,"method":"` + c.update + `","params":[` + name + `,` + c.params + `]}`)
			w.until(changed)

			w.cancel()
			p.send(`{"id":` + p.request("monitor_cancel") + `,"result":{},"error":null}`)
			if err := <-w.done; !errors.Is(err, context.Canceled) {
				t.Errorf("Watch: want %v, got %v", context.Canceled, err)
			}
		})
	}
}

func TestOnlyWhatTheSchemaHasIsMonitored(t *testing.T) {
	t.Parallel()
	p, c := newSetup(t, Config{}).connect()
	watching(t, c)
	p.schema("Interface.bfd_status", "Open_vSwitch.datapath_types", "QoS", "Queue")
	_, _, params := p.monitor("monitor_cond_since")
	var requests map[string][]struct{ Columns []string }
	if err := json.Unmarshal(params[2], &requests); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for table, r := range requests {
		got[table] = fmt.Sprint(r[0].Columns)
	}
	want := map[string]string{
		"Open_vSwitch": "[cur_cfg external_ids next_cfg ovs_version]",
		"Bridge":       "[controller datapath_id datapath_type external_ids fail_mode name other_config ports protocols]",
		"Port":         "[external_ids interfaces name qos tag]",
		"Interface":    "[admin_state error external_ids link_state mac_in_use name ofport ofport_request options type]",
		"Controller":   "[external_ids is_connected role target]",
		"Manager":      "[external_ids is_connected target]",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("monitored columns (-want +got):\n%s", d)
	}
}

func TestSchemaWithoutWhatIsNecessaryIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for lacking, want := range map[string]string{
		"Interface":       "version 7.1.2 has no table Interface",
		"Interface.name":  "version 7.1.2 has no column name in table Interface",
		"Bridge.ports":    "version 7.1.2 has no column ports in table Bridge",
		"Controller":      "version 7.1.2 has no table Controller",
		"Open_vSwitch":    "version 7.1.2 has no table Open_vSwitch",
		"Bridge.external": "",
	} {
		p, c := newSetup(t, Config{}).connect()
		w := watching(t, c)
		p.schema(lacking)
		if want == "" {
			p.monitor("monitor_cond_since")
			continue
		}
		if err := <-w.done; !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: want an error with %q, got %v", lacking, want, err)
		}
		if err := c.Err(); err != nil {
			t.Errorf("without %s: the connection ended: %v", lacking, err)
		}
	}
}

func TestUpdateThatCanNotBeUnderstoodEndsTheConnection(t *testing.T) {
	t.Parallel()
	for name, result := range map[string]string{
		"bad value":   `[false,"t",{"Bridge":{"b":{"initial":{"name":7}}}}]`,
		"bad update":  `[false,"t",{"Bridge":{"b":{"begin":{"name":"x"}}}}]`,
		"bad row":     `[false,"t",{"Bridge":{"b":{"initial":7}}}]`,
		"bad UUID":    `[false,"t",{"Bridge":{"` + strings.Repeat("b", 40) + `":{"initial":{}}}}]`,
		"other table": `[false,"t",{"SSL":{"b":{"initial":{}}}}]`,
		"no row":      `[false,"t",{"Bridge":{"b":{"modify":{"name":"x"}}}}]`,
		"two parts":   `[false,"t"]`,
		"no found":    `[7,"t",{}]`,
		"nothing":     `null`,
	} {
		p, c := newSetup(t, Config{}).connect()
		w := watching(t, c)
		p.schema()
		p.send(`{"id":` + p.request("monitor_cond_since") + `,"error":null,"result":` + result + `}`)
		p.closed()
		if err := <-w.done; err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

// clustered answers the question which cluster the database is of.
func (p *peer) clustered(cid string) {
	p.t.Helper()
	p.send(`{"id":` + p.request("transact") + `,"error":null,"result":[{"rows":[{"model":"clustered","cid":["uuid","` + cid + `"]}]}]}`)
}

// connectServer plays a peer that knows of clusters.
func (s *setup) connectServer() (*peer, *Conn) {
	s.t.Helper()
	p := s.dial()
	p.send(`{"id":` + p.request("list_dbs") + `,"result":["_Server","Open_vSwitch"],"error":null}`)
	return p, <-s.conns
}

func TestClusteredServerIsAskedOnlyForWhatChangedSince(t *testing.T) {
	t.Parallel()
	s := newSetup(t, Config{})
	p, c := s.connectServer()
	w := watching(t, c)
	p.schema()
	p.clustered("c1")
	id, name, params := p.monitor("monitor_cond_since")
	if string(params[3]) != `"`+zeroTxn+`"` {
		t.Errorf("first request: want no transaction, got %s", params[3])
	}
	p.send(`{"id":` + id + `,"error":null,"result":[false,"t1",` + initialDiffs + `]}`)
	w.until(initialState())
	p.send(`{"id":null,"method":"update3","params":[` + name + `,"t2",{"Open_vSwitch":{"o":{"modify":{"cur_cfg":4}}}}]}`)
	state := initialState()
	state.CurCfg = 4
	w.until(state)
	p.nc.Close()
	if err := <-w.done; !errors.Is(err, ErrPeerClosed) {
		t.Errorf("Watch: want %v, got %v", ErrPeerClosed, err)
	}

	// Another cluster gets nothing of it, whatever its address is.
	p, c = s.connectServer()
	watching(t, c)
	p.schema()
	p.clustered("c2")
	if _, _, params = p.monitor("monitor_cond_since"); string(params[3]) != `"`+zeroTxn+`"` {
		t.Errorf("another cluster: want no transaction, got %s", params[3])
	}
	// And a server that has other columns neither.
	p, c = s.connectServer()
	watching(t, c)
	p.schema("Interface.bfd_status")
	p.clustered("c1")
	if _, _, params = p.monitor("monitor_cond_since"); string(params[3]) != `"`+zeroTxn+`"` {
		t.Errorf("other columns: want no transaction, got %s", params[3])
	}

	p, c = s.connectServer()
	w = watching(t, c)
	p.schema()
	p.clustered("c1")
	id, _, params = p.monitor("monitor_cond_since")
	if string(params[3]) != `"t2"` {
		t.Errorf("same server: want transaction t2, got %s", params[3])
	}
	p.send(`{"id":` + id + `,"error":null,"result":[true,"t3",{"Interface":{"i1":{"modify":{"ofport":9}}}}]}`)
	state.Bridges[0].Interfaces[1].OFPort = 9
	w.until(state)
	if ch := <-w.change; len(ch.Interfaces) != 2 || len(ch.Tables) != 8 {
		t.Errorf("the first changes tell of %d interfaces and the tables %v; want 2, and all", len(ch.Interfaces), ch.Tables)
	}
	p.nc.Close()
	<-w.done

	// What the server has forgotten is sent anew, and replaces what was kept.
	p, c = s.connectServer()
	w = watching(t, c)
	p.schema()
	p.clustered("c1")
	id, _, params = p.monitor("monitor_cond_since")
	if string(params[3]) != `"t3"` {
		t.Errorf("same server again: want transaction t3, got %s", params[3])
	}
	p.send(`{"id":` + id + `,"error":null,"result":[false,"t9",{"Open_vSwitch":{"o":{"initial":{"ovs_version":"4"}}}}]}`)
	w.until(Snapshot{Root: "o", OVSVersion: "4"})
}

func TestStateThatAnUpdateBrokeIsNotResumed(t *testing.T) {
	t.Parallel()
	s := newSetup(t, Config{})
	p, c := s.connectServer()
	w := watching(t, c)
	p.schema()
	p.clustered("c1")
	id, name, _ := p.monitor("monitor_cond_since")
	p.send(`{"id":` + id + `,"error":null,"result":[false,"t1",` + initialDiffs + `]}`)
	w.until(initialState())
	p.send(`{"id":null,"method":"update3","params":[` + name + `,"t2",{"Interface":{"nobody":{"modify":{"ofport":9}}}}]}`)
	p.closed()
	<-w.done
	p, c = s.connectServer()
	watching(t, c)
	p.schema()
	p.clustered("c1")
	if _, _, params := p.monitor("monitor_cond_since"); string(params[3]) != `"`+zeroTxn+`"` {
		t.Errorf("want no transaction, got %s", params[3])
	}
}

func TestConfigureWaitsUntilTheSwitchHasCaughtUp(t *testing.T) {
	t.Parallel()
	p, c := newSetup(t, Config{}).connect()
	type outcome struct {
		Configured
		err error
	}
	done := make(chan outcome, 1)
	configure := func(ctx context.Context) {
		go func() {
			got, err := c.Configure(ctx, Delete("Port", nil))
			done <- outcome{got, err}
		}()
	}
	configure(context.Background())
	id, name, _ := p.monitor("monitor")
	p.send(`{"id":` + id + `,"error":null,"result":{"Open_vSwitch":{"o":{"new":{"cur_cfg":3}}}}}`)
	p.send(`{"id":` + p.request("transact") + `,"error":null,"result":[{"count":1},{"count":1},{"rows":[{"next_cfg":5}]}]}`)
	p.send(`{"id":null,"method":"update","params":[` + name + `,{"Open_vSwitch":{"o":{"new":{"cur_cfg":4}}}}]}`)
	p.send(`{"id":null,"method":"update","params":[` + name + `,{"Open_vSwitch":{"o":{"new":{"cur_cfg":5}}}}]}`)
	p.send(`{"id":` + p.request("transact") + `,"error":null,"result":[{"rows":[
		{"_uuid":["uuid","i2"],"name":"vm2","error":"none"},{"_uuid":["uuid","i1"],"name":"vm1","error":["set",["no such device"]]}]}]}`)
	got := <-done
	want := Configured{Results: []Result{{Count: 1}}, Cfg: 5, Errors: []InterfaceError{{"i1", "vm1", "no such device"}, {"i2", "vm2", "none"}}}
	if d := cmp.Diff(want, got.Configured); d != "" || got.err != nil {
		t.Errorf("%v (-want +got):\n%s", got.err, d)
	}

	// The second one has its monitor already, and gives up with its context.
	ctx, cancel := context.WithCancel(context.Background())
	configure(ctx)
	p.send(`{"id":` + p.request("transact") + `,"error":null,"result":[{"count":2},{"count":1},{"rows":[{"next_cfg":6}]}]}`)
	cancel()
	if got = <-done; !errors.Is(got.err, context.Canceled) {
		t.Errorf("want %v, got %v", context.Canceled, got.err)
	}
}

// FuzzHandle feeds messages to a connection whose monitor waits for answers.
func FuzzHandle(f *testing.F) {
	f.Add([]byte(`{"id":1,"error":null,"result":[true,"t",` + initialDiffs + `]}`))
	f.Add([]byte(`{"id":null,"method":"update2","params":["m",` + initialDiffs + `]}`))
	f.Add([]byte(`{"id":null,"method":"update3","params":["m","t",` + initialDiffs + `]}`))
	f.Add([]byte(`{"id":null,"method":"update","params":["rfc",` + initialRFC + `]}`))
	f.Add([]byte(`{"id":null,"method":"update","params":["cfg",{"Open_vSwitch":{"o":{"new":{"cur_cfg":4}}}}]}`))
	f.Add([]byte(`{"id":"echo","method":"echo","params":[]}`))
	f.Add([]byte(`{"id":2,"error":null,"result":[{"uuid":["uuid","u"],"rows":[{"a":1}],"count":2},{},{"error":"x","details":null}]}`))
	f.Add([]byte(`{"id":3,"error":null,"result":` + schemaText() + `}`))
	f.Add([]byte(`{"id":3,"error":{"error":"syntax error","details":"x"}}`))
	operations := []Operation{Comment(""), Delete("Port", nil), Abort()}
	f.Fuzz(func(t *testing.T, text []byte) {
		share, _ := newLimits((Config{}).withDefaults()).join("")
		c := newConn(context.Background(), discard{}, (Config{Log: zap.NewNop()}).withDefaults(), share.grow, &memory{})
		w := &watch{form: formDiffs, r: newReplica(1<<20, share.grow)}
		rfc := &watch{r: newReplica(1<<20, share.grow)}
		w.r.begin(w)
		rfc.r.begin(rfc)
		c.monitors["m"], c.monitors["rfc"] = w.update, rfc.update
		c.monitors["cfg"] = (&cfgFollower{changed: make(chan struct{})}).update
		var results []Result
		reply := func() chan error { return make(chan error, 1) }
		c.waiting[1] = &request{take: func(b []byte) error { return w.first(b, formDiffs, "t", false) }, reply: reply()}
		c.waiting[2] = &request{take: func(b []byte) (err error) { results, err = decodeResults(b, operations); return err }, reply: reply()}
		c.waiting[3] = &request{take: func(b []byte) error { _, err := decodeSchema(b); return err }, reply: reply()}
		_ = c.handle(text) // any error is an answer
		w.r.changes()
		w.r.snapshot()
		if results != nil && len(results) != len(operations) {
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
					_, _ = row.References(column)
				}
			}
		}
		w.r.release()
		rfc.r.release()
		if share.memory != 0 {
			t.Fatalf("%d bytes are accounted for when nothing is left", share.memory)
		}
	})
}
