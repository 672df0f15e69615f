package ovsdb

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func loaded(t testing.TB) *replica {
	t.Helper()
	r := emptyReplica()
	r.begin(&watch{})
	if err := r.apply([]byte(initialDiffs), formDiffs); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUpdateIsTakenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	r := loaded(t)
	before, used := r.snapshot(), r.used
	for _, bad := range []string{
		`{"Bridge":{"b":{"delete":null}},"Interface":{"i1":{"insert":{"name":7}}}}`,
		`{"Bridge":{"b":{"delete":null}},"Flow_Table":{"f":{"insert":{}}}}`,
		`{"Bridge":{"b":{"delete":null}},"Interface":[]}`,
		`{"Interface":{"i9":{"insert":{"name":"x"}},"i1":{"modify":{"ofport":1}},"i8":{"modify":{"ofport":1}}}}`,
	} {
		if err := r.apply([]byte(bad), formDiffs); err == nil {
			t.Errorf("%s: want an error", bad)
		}
		if d := cmp.Diff(before, r.snapshot()); d != "" || r.used != used {
			t.Errorf("%s changed the state, or %d bytes to %d (-before +after):\n%s", bad, used, r.used, d)
		}
	}
}

func TestDifferencesOfSetsAndMapsAreApplied(t *testing.T) {
	t.Parallel()
	r := loaded(t)
	if err := r.apply([]byte(`{
		"Open_vSwitch":{"o":{"modify":{"external_ids":["map",[["hostname","h2"],["system-id","sys1"],["new","1"]]],"datapath_types":["set",["netdev","dpdk"]]}}},
		"Bridge":{"b":{"modify":{"protocols":["set",["OpenFlow13"]],"controller":["uuid","c"]}}},
		"Controller":{"c":{"delete":null}},
		"QoS":{"q":{"modify":{"queues":["map",[[0,["uuid","u"]],[7,["uuid","u"]]]]}}},
		"Port":{"p2":{"modify":{"tag":["set",[]],"qos":["set",[]]}}}}`), formDiffs); err != nil {
		t.Fatal(err)
	}
	want := initialState()
	want.ExternalIDs = map[string]string{"hostname": "h2", "new": "1"}
	want.SystemID, want.Hostname, want.DatapathTypes = "", "h2", []string{"dpdk", "system"}
	want.Bridges[0].Protocols, want.Bridges[0].Controllers = nil, nil
	want.Bridges[0].Ports[0].Tag, want.Bridges[0].Ports[0].QoS = 0, ""
	want.QoS[0].Queues = map[int64]UUID{7: "u"}
	if d := cmp.Diff(want, r.snapshot()); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
}

func TestSnapshotsStayAsTheyWereAndShareWhatDidNotChange(t *testing.T) {
	t.Parallel()
	r := loaded(t)
	if err := r.apply([]byte(`{"Bridge":{"b2":{"insert":{"name":"br1","ports":["uuid","p3"]}}},"Port":{"p3":{"insert":{"name":"x","interfaces":["uuid","i3"]}}},
		"Interface":{"i3":{"insert":{"name":"x"}}}}`), formDiffs); err != nil {
		t.Fatal(err)
	}
	first := r.snapshot()
	if err := r.apply([]byte(`{"Interface":{"i1":{"modify":{"external_ids":["map",[["iface-id","y"]]],"name":"a"}}}}`), formDiffs); err != nil {
		t.Fatal(err)
	}
	second := r.snapshot()
	if got := first.Bridges[0].Interfaces[1]; got.Name != "vm1" || got.ExternalIDs["iface-id"] != "x" {
		t.Errorf("the first snapshot changed to %+v", got)
	}
	if got := second.Bridges[0].Interfaces[0]; got.Name != "a" || got.ExternalIDs["iface-id"] != "y" {
		t.Errorf("want interface a with id y first, got %+v", got)
	}
	if &first.Bridges[1].Interfaces[0] != &second.Bridges[1].Interfaces[0] || &first.Bridges[0].Ports[0] != &second.Bridges[0].Ports[0] {
		t.Error("lists that did not change were copied")
	}
}

func TestChangesTellWhatCameChangedMovedAndWent(t *testing.T) {
	t.Parallel()
	r := loaded(t)
	tell := func() (list []string) {
		c := r.changes()
		for _, i := range c.Interfaces {
			text := ""
			for _, side := range []struct {
				bridge UUID
				i      *Interface
			}{{i.BridgeBefore, i.Before}, {i.Bridge, i.After}} {
				if side.i == nil {
					text += " -"
				} else {
					text += fmt.Sprintf(" %s/%s:%d", side.bridge, side.i.Name, side.i.OFPort)
				}
			}
			list = append(list, text[1:])
		}
		return append(list, strings.Join(c.Tables, " "))
	}
	apply := func(update string) {
		t.Helper()
		if err := r.apply([]byte(update), formDiffs); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, tell()); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	check("all at first", "- b/br0:65534", "- b/vm1:1", "Bridge Controller Interface Manager Open_vSwitch Port QoS Queue")
	check("nothing", "")
	apply(`{"Interface":{"i1":{"modify":{"ofport":2}}}}`)
	apply(`{"Interface":{"i1":{"modify":{"ofport":3}}}}`)
	check("two changes folded", "b/vm1:1 b/vm1:3", "Interface")
	apply(`{"Bridge":{"b2":{"insert":{"name":"br1","ports":["uuid","p1"]}},"b":{"modify":{"ports":["uuid","p1"]}}}}`)
	check("moved with its port", "b/vm1:3 b2/vm1:3", "Bridge")
	apply(`{"Interface":{"i3":{"insert":{"name":"new"}}},"Port":{"p3":{"insert":{"name":"new","interfaces":["uuid","i3"]}}},"Bridge":{"b2":{"modify":{"ports":["uuid","p3"]}}}}`)
	apply(`{"Interface":{"i1":{"delete":null}},"Port":{"p1":{"delete":null}},"Bridge":{"b2":{"modify":{"ports":["uuid","p1"]}}}}`)
	check("came and went", "- b2/new:0", "b2/vm1:3 -", "Bridge Interface Port")
	apply(`{"Interface":{"i4":{"insert":{"name":"lost"}}}}`)
	check("on no bridge", "Interface")
	apply(`{"Bridge":{"b2":{"delete":null}}}`)
	check("gone with its bridge", "b2/new:0 -", "Bridge")
	apply(`{"Interface":{"i2":{"delete":null},"i5":{"insert":{"name":"brief"}}}}`)
	apply(`{"Interface":{"i2":{"insert":{"name":"br0","type":"internal","ofport":65534}},"i5":{"delete":null}}}`)
	check("came back", "b/br0:65534 b/br0:65534", "Interface")
}

func TestReplicaIsBoundedInBytesAndRows(t *testing.T) {
	t.Parallel()
	var total int
	grow := func(n int) error { total += n; return nil }
	rows := func(n int, name string) []byte {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%s%d":{"insert":{"name":"%[1]s"}}`, name, i)
		}
		return []byte(`{"Interface":{` + b.String()[1:] + `}}`)
	}
	r := newReplica(100*(rowCost+100), grow)
	if err := r.apply(rows(50, "a"), formDiffs); err != nil {
		t.Fatal(err)
	}
	held := total
	if err := r.apply(rows(100, "b"), formDiffs); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("too many bytes: want an error, got %v", err)
	}
	if total != held || held < 50*rowCost {
		t.Errorf("accounted for: want %d, got %d", held, total)
	}
	refusal := errors.New("no room")
	r.grow = func(n int) error {
		if n > 0 {
			return refusal
		}
		return grow(n)
	}
	if err := r.apply(rows(1, "c"), formDiffs); !errors.Is(err, refusal) {
		t.Errorf("no room: want %v, got %v", refusal, err)
	}
	r.grow = grow
	if r.release(); total != 0 {
		t.Errorf("released: want 0 bytes accounted for, got %d", total)
	}
	r = newReplica(1<<40, grow)
	if err := r.apply(rows(maxRows+1, "d"), formDiffs); err == nil || !strings.Contains(err.Error(), "rows") {
		t.Errorf("too many rows: want an error, got %v", err)
	}
	r.release()
	long := `{"Open_vSwitch":{"o":{"insert":{"datapath_types":["set",[` + strings.Repeat(`"x",`, maxElements) + `"y"]]}}}}`
	if err := r.apply([]byte(long), formDiffs); err == nil || !strings.Contains(err.Error(), "values") {
		t.Errorf("too long a set: want an error, got %v", err)
	}
}

func TestRowsThatComeAndGoUnseenLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	r := loaded(t)
	r.changes()
	r.snapshot()
	for i := range 100 {
		for _, op := range []string{`"insert":{"name":"x","interfaces":["uuid","y%[1]d"]}`, `"delete":null`} {
			text := fmt.Sprintf(`{"Interface":{"y%[1]d":{`+op+`}},"Port":{"y%[1]d":{`+op+`}},"Bridge":{"y%[1]d":{`+op+`}}}`, i)
			if err := r.apply([]byte(text), formDiffs); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, j := range []journal{r.unseen, r.undone} {
		if n := len(j.interfaces) + len(j.ports) + len(j.bridges); n != 0 {
			t.Errorf("%d rows that are gone are remembered", n)
		}
	}
	if len(r.portOf) != 2 || len(r.bridgeOf) != 2 {
		t.Errorf("want 2 interfaces and 2 ports placed, got %d and %d", len(r.portOf), len(r.bridgeOf))
	}
}

// script turns bytes into updates of few rows, so that they meet.
func script(data []byte) (updates []string) {
	for len(data) >= 4 {
		op, row, a, b := data[0], data[1]%4, data[2]%4, data[3]%4
		data = data[4:]
		kind := []string{"insert", "modify", "delete"}[op>>4%3]
		var table, columns string
		switch op % 4 {
		case 0:
			table, columns = "Interface", fmt.Sprintf(`{"name":"n%d","ofport":%d}`, a, b)
		case 1:
			table, columns = "Port", fmt.Sprintf(`{"name":"n%d","interfaces":["set",[["uuid","%d"],["uuid","%d"]]]}`, a, a, b)
		case 2:
			table, columns = "Bridge", fmt.Sprintf(`{"name":"n%d","ports":["set",[["uuid","%d"],["uuid","%d"]]],"controller":["uuid","%d"]}`, a, a, b, b)
		case 3:
			table, columns = "Controller", fmt.Sprintf(`{"target":"t%d","external_ids":["map",[["k%d","v%d"]]]}`, a, a, b)
		}
		if kind == "delete" {
			columns = "null"
		}
		updates = append(updates, fmt.Sprintf(`{"%s":{"%d":{"%s":%s}}}`, table, row, kind, columns))
	}
	return updates
}

// FuzzUpdates checks that what is made step by step is what is made at once.
func FuzzUpdates(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 1}, uint8(1))
	f.Add([]byte{0, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 0, 0, 34, 0, 0, 0, 16, 0, 2, 2, 33, 0, 0, 0}, uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, every uint8) {
		if len(data) > 400 {
			return
		}
		r := emptyReplica()
		r.begin(&watch{})
		type placed struct {
			bridge UUID
			i      Interface
		}
		seen := map[UUID]placed{}
		for n, update := range script(data) {
			_ = r.apply([]byte(update), formDiffs) // a change of nothing is an error
			if n%(int(every)%5+1) != 0 {
				continue
			}
			for _, c := range r.changes().Interfaces {
				was, ok := seen[c.row().UUID]
				if ok != (c.Before != nil) || ok && (was.bridge != c.BridgeBefore || !cmp.Equal(was.i, *c.Before)) {
					t.Fatalf("%s: the change does not begin with what was told before: %+v", update, c)
				}
				if c.After == nil {
					delete(seen, c.Before.UUID)
				} else {
					seen[c.After.UUID] = placed{c.Bridge, *c.After}
				}
			}
			stepwise := r.snapshot()
			r.shown = nil
			if d := cmp.Diff(r.snapshot(), stepwise); d != "" {
				t.Fatalf("%s: (-at once +step by step):\n%s", update, d)
			}
			told := map[UUID]placed{}
			for _, b := range stepwise.Bridges {
				for _, i := range b.Interfaces {
					told[i.UUID] = placed{b.UUID, i}
				}
			}
			if !maps.EqualFunc(told, seen, func(x, y placed) bool { return x.bridge == y.bridge && cmp.Equal(x.i, y.i) }) {
				t.Fatalf("%s: the snapshot has %v, changes told %v", update, told, seen)
			}
		}
		if r.release(); r.used != 0 {
			t.Fatalf("%d bytes are accounted for after release", r.used)
		}
	})
}

// FuzzValues compares the readers of values with encoding/json.
func FuzzValues(f *testing.F) {
	for _, text := range []string{
		`"x"`, `"\u00e9\n\ud800"`, `7`, `-9223372036854775808`, `1e3`, `1.5`, `true`, `["uuid","u"]`, `["set",[]]`, ` [ "set" , [ "a" , "b" ] ] `,
		`["map",[["k","v"],["k","w"]]]`, `["map",[[1,["uuid","u"]]]]`, `["set",[["uuid","u"],["uuid","v"]]]`, `[[]`, `["set",[1,2,]]`, `{"a":1}`, `["map",[["a"]]]`, `,`, `[}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(compareWithJSON)
}

func compareWithJSON(t *testing.T, text []byte) {
	text = bytes.Trim(text, " \t\r\n") // as values are
	r := Row{"c": text}
	// Broken text must do no harm.
	if s, err := r.Strings("c"); err == nil {
		want, ok := slowStrings(text)
		if ok && !slices.Equal(want, s) {
			t.Fatalf("%s: want strings %q, got %q", text, want, s)
		}
	}
	if n, err := r.Int("c"); err == nil {
		if want, ok := slowInt(text); ok && want != n {
			t.Fatalf("%s: want %d, got %d", text, want, n)
		}
	}
	if m, err := r.Map("c"); err == nil {
		if want, ok := slowMap(text); ok && !maps.Equal(want, m) {
			t.Fatalf("%s: want %v, got %v", text, want, m)
		}
	} else if want, ok := slowMap(text); ok {
		t.Fatalf("%s: want %v, got %v", text, want, err)
	}
	_, _ = r.Bool("c")
	_, _ = r.UUIDs("c")
	_, _ = r.References("c")
}
