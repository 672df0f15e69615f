package northbound

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// writable names the attributes that a body may hold.
func (c *collection[E]) writable() []string {
	var names []string
	for _, a := range c.attributes {
		if a.post != never || a.put {
			names = append(names, a.name)
		}
	}
	return names
}

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
		for _, r := range resources(nil) {
			single, _, path := r.names()
			place := a.place(path)
			if method == "POST" && bodies[path] == "" { // nothing is made there
				continue
			}
			for _, attr := range r.(interface{ writable() []string }).writable() {
				for _, value := range hostile {
					pair := `"` + attr + `": ` + value
					at, body := place+"/"+ids[path], `{"`+single+`": {`+pair+`}}`
					if method == "POST" {
						at, body = place, swap(bodies[path], attr, pair)
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

// swap puts a pair into a body of one flat object, in the place of the
// attribute if it is there.
func swap(body, attr, pair string) string {
	start := strings.LastIndex(body, `": {`) + len(`": {`)
	if inner := strings.Index(body, `": {`) + len(`": {`); inner < start {
		start = inner
	}
	kept := []string{pair}
	for _, p := range strings.Split(strings.TrimSuffix(body[start:], "}}"), `, "`) {
		p = `"` + strings.TrimPrefix(p, `"`)
		if !strings.HasPrefix(p, `"`+attr+`":`) {
			kept = append(kept, p)
		}
	}
	return body[:start] + strings.Join(kept, ", ") + "}}"
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
