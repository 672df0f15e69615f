package ovsdb

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValuesTakeTheirWireForm(t *testing.T) {
	t.Parallel()
	operations := []Operation{
		Insert("Bridge", "new", Values{"name": "br-int", "ports": Set{NamedUUID("p")}, "external_ids": Map{"b": "2", "a": "1"}}),
		Select("Bridge", nil, "name"),
		Update("Bridge", []Condition{{"name", "==", "br-int"}}, Values{"fail_mode": Set{}}),
		Mutate("Open_vSwitch", nil, Mutation{"bridges", "insert", Set{UUID("0-1")}}),
		Delete("Port", []Condition{{"_uuid", "==", UUID("0-2")}}),
	}
	want := []string{
		`{"op":"insert","row":{"external_ids":["map",[["a","1"],["b","2"]]],"name":"br-int","ports":["set",[["named-uuid","p"]]]},"table":"Bridge","uuid-name":"new"}`,
		`{"columns":["name"],"op":"select","table":"Bridge","where":[]}`,
		`{"op":"update","row":{"fail_mode":["set",[]]},"table":"Bridge","where":[["name","==","br-int"]]}`,
		`{"mutations":[["bridges","insert",["set",[["uuid","0-1"]]]]],"op":"mutate","table":"Open_vSwitch","where":[]}`,
		`{"op":"delete","table":"Port","where":[["_uuid","==",["uuid","0-2"]]]}`,
	}
	for i, o := range operations {
		got, err := json.Marshal(o)
		if err != nil || string(got) != want[i] {
			t.Errorf("want %s\ngot  %s, %v", want[i], got, err)
		}
	}
}

func row(t testing.TB, text string) Row {
	t.Helper()
	var r Row
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestColumnsAreReadAsAtomsSetsAndMaps(t *testing.T) {
	t.Parallel()
	r := row(t, `{"atom":"x","none":["set",[]],"one":["set",["y"]],"two":["set",["y","z"]],"int":7,"noint":["set",[]],
		"ref":["uuid","u1"],"refs":["set",[["uuid","u1"],["uuid","u2"]]],"norefs":["set",[]],"map":["map",[["k","v"]]],"nomap":["map",[]]}`)
	check := func(what string, want, got any, err error) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, d)
		}
	}
	text := func(column, want string) {
		t.Helper()
		got, err := r.String(column)
		check(column, want, got, err)
	}
	text("atom", "x")
	text("none", "")
	text("one", "y")
	list, err := r.Strings("two")
	check("two", []string{"y", "z"}, list, err)
	n, err := r.Int("int")
	check("int", int64(7), n, err)
	n, err = r.Int("noint")
	check("noint", int64(0), n, err)
	refs, err := r.UUIDs("ref")
	check("ref", []UUID{"u1"}, refs, err)
	refs, err = r.UUIDs("refs")
	check("refs", []UUID{"u1", "u2"}, refs, err)
	refs, err = r.UUIDs("norefs")
	check("norefs", []UUID(nil), refs, err)
	m, err := r.Map("map")
	check("map", map[string]string{"k": "v"}, m, err)
	m, err = r.Map("nomap")
	check("nomap", map[string]string(nil), m, err)
}

func TestColumnsOfAnotherTypeAreErrors(t *testing.T) {
	t.Parallel()
	r := row(t, `{"number":1,"null":null,"text":"x","two":["set",["a","b"]],"pair":["uuid","u"],"list":[1,2,3],
		"badset":["set",7],"badtag":[7,[]],"badmap":["map",[["k"]]],"mixed":["set",["a",1]],"float":1.5}`)
	for what, err := range map[string]error{
		"number as string":  second(r.String("number")),
		"null as string":    second(r.String("null")),
		"two as string":     second(r.String("two")),
		"mixed as strings":  second(r.Strings("mixed")),
		"uuid as string":    second(r.String("pair")),
		"text as int":       second(r.Int("text")),
		"null as int":       second(r.Int("null")),
		"float as int":      second(r.Int("float")),
		"text as uuid":      second(r.UUIDs("text")),
		"list as strings":   second(r.Strings("list")),
		"bad set":           second(r.Strings("badset")),
		"bad tag":           second(r.Strings("badtag")),
		"bad map":           second(r.Map("badmap")),
		"text as map":       second(r.Map("text")),
		"missing":           second(r.String("missing")),
		"missing map":       second(r.Map("missing")),
		"missing reference": second(r.UUIDs("missing")),
	} {
		if err == nil {
			t.Errorf("%s: want an error", what)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// The following read values by means of encoding/json; false for what is no
// value of the kind.
func slowStrings(text []byte) (list []string, ok bool) {
	var s *string
	if json.Unmarshal(text, &s) == nil && s != nil {
		return []string{*s}, true
	}
	inner, ok := slowTagged(text, "set")
	var elements []*string
	if !ok || json.Unmarshal(inner, &elements) != nil {
		return nil, false
	}
	for _, e := range elements {
		if e == nil {
			return nil, false
		}
		list = append(list, *e)
	}
	return list, true
}

func slowInt(text []byte) (n int64, ok bool) {
	var p *int64
	if json.Unmarshal(text, &p) == nil && p != nil {
		return *p, true
	}
	return 0, false
}

func slowMap(text []byte) (map[string]string, bool) {
	inner, ok := slowTagged(text, "map")
	var pairs [][]*string
	if !ok || json.Unmarshal(inner, &pairs) != nil || pairs == nil || len(pairs) > maxElements {
		return nil, false
	}
	m := map[string]string{}
	for _, p := range pairs {
		if len(p) != 2 || p[0] == nil || p[1] == nil {
			return nil, false
		}
		m[*p[0]] = *p[1]
	}
	return m, true
}

func slowTagged(text []byte, tag string) (json.RawMessage, bool) {
	var parts []json.RawMessage
	if json.Unmarshal(text, &parts) != nil || len(parts) != 2 || string(parts[0]) != `"`+tag+`"` {
		return nil, false
	}
	return parts[1], true
}
