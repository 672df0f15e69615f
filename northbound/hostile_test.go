package northbound

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/store/storetest"
)

// Whatever is put into whichever attribute, the answer is never a fault of
// the server's.
func TestNoValueOfAnyAttributeBreaksTheServer(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, bodies := owned(a)
	hostile := []string{
		`null`, `true`, `-1`, `1.5`, `1e999`, `9223372036854775808`, `""`, `" "`, `"0"`, `"` + strings.Repeat("x", 300) + `"`, `"\ud800"`, `"'; --"`,
		`[]`, `[null]`, `[{}]`, `[""]`, `{}`, `{"a": {}}`, `"ffffffff-ffff-ffff-ffff-ffffffffffff"`, `["ffffffff-ffff-ffff-ffff-ffffffffffff"]`,
		`"::ffff:1.2.3.4"`, `"fe80::1%eth0"`, `"::/0"`, `"255.255.255.255/32"`, `"fe:ff:ff:ff:ff:ff"`, `[{"subnet_id": null}]`, `[{"start": "::", "end": "::"}]`, `{"port_no": 0}`,
	}
	for _, method := range []string{"POST", "PUT"} { // first while what they refer to is sane
		for _, s := range shapes(t) {
			place := a.place(s.path)
			for _, attr := range s.attributes {
				if method == "POST" && bodies[s.path] == "" || attr.post == never && !attr.put {
					continue
				}
				for _, value := range hostile {
					at, body := place+"/"+ids[s.path], `{"`+s.single+`": {"`+attr.name+`": `+value+`}}`
					if method == "POST" {
						at, body = place, put(t, bodies[s.path], attr.name, value)
					}
					if got := a.do(method, "/v2.0/"+at, "admin", body); got.code >= 500 {
						t.Errorf("%s %s %s: %d %s", method, at, body, got.code, got.text)
					}
				}
			}
		}
	}
	for _, e := range a.logs.FilterMessage("request failed").All() {
		t.Errorf("logged: %v", e.ContextMap())
	}
}

// Bodies that are wrong in one of many ways are refused, and leave no trace.
func TestTenThousandBadBodiesChangeNothing(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, bodies := owned(a)
	for _, token := range []string{"red", "blue", "admin"} { // makes the default groups
		a.want(200, "GET", "/v2.0/security-groups", token, "")
	}
	all, places := shapes(t), map[string]string{}
	for _, s := range all {
		places[s.path] = a.place(s.path)
	}
	before := storetest.Digest(t, a.pg)
	const seed = 20260504
	rng := rand.New(rand.NewPCG(seed, 0))
	const wanted = 10_000
	sent, byCode := 0, map[int]int{}
	for try := 0; sent < wanted && try < 20*wanted; try++ {
		s := &all[rng.IntN(len(all))]
		method, at, base := "POST", places[s.path], bodies[s.path]
		if rng.IntN(2) == 0 {
			method, at, base = "PUT", at+"/"+ids[s.path], `{"`+s.single+`": {}}`
		}
		if base == "" || s.missingVerb(method) != 0 {
			continue
		}
		body := spoil(t, rng, s, method, base)
		if change := s.change(); method == "PUT" && change != "" && rng.IntN(8) == 0 { // nothing wrong but the id
			at, body = places[s.path]+"/"+[]string{"x", "00000000-0000-0000-0000-00000000abcd", "%00", "%ff", "'--", strings.Repeat("9", 2000), "0a:0a:0a:0a:0a:0a"}[rng.IntN(7)], change
		}
		if body == "" {
			continue
		}
		sent++
		token := []string{"admin", "red"}[rng.IntN(2)]
		got := a.do(method, "/v2.0/"+at, token, body)
		byCode[got.code]++
		if got.code < 400 || got.code >= 500 {
			t.Errorf("%s %s by %s: %d to %.300q: %.300s", method, at, token, got.code, body, got.text)
		}
	}
	if sent < wanted {
		t.Errorf("only %d of %d bodies could be made", sent, wanted)
	}
	t.Logf("answers by code: %v", byCode)
	after := storetest.Digest(t, a.pg)
	delete(before, "mac_leases") // which the store renews by itself
	delete(after, "mac_leases")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the database changed (-before +after):\n%s", diff)
	}
	for _, e := range a.logs.FilterMessage("request failed").All() {
		t.Errorf("logged: %v", e.ContextMap())
	}
}

// spoil makes of a body one that must be refused; empty: this time there was no
// way.
func spoil(t *testing.T, rng *rand.Rand, s *shape, method, base string) string {
	attr := s.attributes[rng.IntN(len(s.attributes))]
	may := attr.put
	if method == "POST" {
		may = attr.post != never
	}
	switch rng.IntN(13) {
	case 0: // broken JSON
		return base[:rng.IntN(len(base))]
	case 1: // another root key
		return strings.Replace(base, `"`+s.single+`"`, `"`+s.single+"\u200b"+`"`, 1)
	case 2: // no object
		return `{"` + s.single + `": ` + []string{`null`, `[]`, `"x"`, `1`, `[{}]`, `true`}[rng.IntN(6)] + `}`
	case 3: // an attribute that there is not
		return put(t, base, []string{"colour", "Name", "name ", "__proto__", "\u0438d", ""}[rng.IntN(6)], wild(rng))
	case 4: // the same key twice
		one := `"` + attr.name + `": ` + wild(rng)
		return `{"` + s.single + `": {` + one + `, ` + one + `}}`
	case 5: // a good object before a bad one
		if method == "PUT" || !s.bulk {
			return ""
		}
		good := strings.TrimSuffix(strings.TrimPrefix(base, `{"`+s.single+`": `), `}`)
		return `{"` + s.plural + `": [` + good + `, ` + []string{`null`, `{"colour": 1}`, `{"id": "x", "created_at": 1}`, `[]`}[rng.IntN(4)] + `]}`
	case 6: // without what is required
		if method == "PUT" || attr.post != required {
			return ""
		}
		return edit(t, base, func(o map[string]json.RawMessage) { delete(o, attr.name) })
	case 7: // an id of nothing
		if method == "PUT" || attr.post != required || attr.takes["format"] != "uuid" {
			return ""
		}
		return put(t, base, attr.name, `"00000000-0000-4000-8000-00000000abcd"`)
	default:
		value := wild(rng)
		if may && !attr.refuses(value) {
			return ""
		}
		return put(t, base, attr.name, value)
	}
}

// wild is a value of JSON that few attributes can have, or almost JSON.
func wild(rng *rand.Rand) string {
	text := func(n int) string {
		runes := []rune("aZ09 -_./:%'\u00e9\u200f\u202e\u0301\ufeff\U0001f600\u4e2d\u0000\u0001\u007f\ufffd")
		var b strings.Builder
		for range n {
			b.WriteRune(runes[rng.IntN(len(runes))])
		}
		quoted, err := json.Marshal(b.String())
		if err != nil {
			panic(err) // a string always marshals
		}
		return string(quoted)
	}
	switch rng.IntN(14) {
	case 0:
		return text(rng.IntN(20))
	case 1:
		return text(256 + rng.IntN(2000))
	case 2:
		return `"` + strings.Repeat("x", 100_000) + `"`
	case 3:
		depth := 1 + rng.IntN(60)
		return strings.Repeat("[", depth) + strings.Repeat("]", depth)
	case 4:
		depth := 1 + rng.IntN(60)
		return strings.Repeat(`{"a":`, depth) + "null" + strings.Repeat("}", depth)
	case 5:
		return "[" + strings.Repeat(`"",`, rng.IntN(3000)) + text(3) + "]"
	case 6:
		return "\"\xff\xfe\"" // no UTF-8
	case 7:
		return []string{`"\ud800"`, `"\udc00\ud800"`, `"\u0000"`, `NaN`, `Infinity`, `01`, `0x10`, `'x'`, `"\x41"`}[rng.IntN(9)]
	case 8:
		return []string{`-1`, `1e400`, `-0`, `1.0000001`, `99999999999999999999999999`, `-9223372036854775809`, `18446744073709551616`}[rng.IntN(7)]
	default:
		return valuePool[rng.IntN(len(valuePool)-1)] // the last is too long to send often
	}
}

func TestNoQueryBreaksTheServer(t *testing.T) {
	t.Parallel()
	a := setup(t)
	owned(a)
	values := []string{"", "%00", "%ff", "null", "True", "-1", "99999999999999999999", "1.5", "ip_address%3D", "subnet_id%3D", "ip_address_substr%3D%25", "[]", "::1", "10.0.0.0%2F99", "%27--", strings.Repeat("x", 4000)}
	for _, r := range resources(nil) {
		_, _, path := r.names()
		path = a.place(path)
		names := maps.Keys(a.want(200, "GET", "/v2.0/"+path+"?", "admin", "").firstOr(t, map[string]any{"id": ""}))
		for _, name := range slices.Sorted(names) {
			for _, value := range values {
				for _, token := range []string{"admin", "red"} {
					got := a.do("GET", "/v2.0/"+path+"?"+name+"="+value, token, "")
					if got.code != 200 && got.code != 400 {
						t.Errorf("%s?%s=%.40s: %d %s", path, name, value, got.code, got.text)
					}
				}
			}
		}
	}
}

func (r answer) firstOr(t *testing.T, none map[string]any) map[string]any {
	t.Helper()
	if l := r.list(t); len(l) > 0 {
		return l[0]
	}
	return none
}
