package northbound

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// taggedAt is the path that the tags of a resource are under.
func (c *collection[E]) taggedAt() string { return c.tags }

func (c *collection[E]) writtenByMembers() bool { return c.writeBy == everyone }

func TestTagsAreKeptOnEveryResourceThatHasThem(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	type place struct {
		resource
		under string
	}
	var places []place
	for _, r := range resources(nil) {
		_, _, path := r.names()
		switch under := r.(interface{ taggedAt() string }).taggedAt(); under {
		case "":
		case path:
			places = append(places, place{r, under})
		default:
			places = append(places, place{r, under}, place{r, path})
		}
	}
	for _, p := range places {
		single, _, path := p.names()
		writer, under := "red", p.under
		if !p.resource.(interface{ writtenByMembers() bool }).writtenByMembers() {
			writer = "admin"
		}
		object := "/v2.0/" + path + "/" + ids[path]
		tags := "/v2.0/" + under + "/" + ids[path] + "/tags"
		revision := func() float64 {
			return a.want(200, "GET", object, "red", "").object(t)["revision_number"].(float64)
		}
		before := revision()
		steps := []struct {
			method, path, body string
			code               int
			answer             string // exact, if it is JSON; else a part of it
		}{
			{"GET", tags, "", 200, `{"tags":[]}`},
			{"PUT", tags, `{"tags": ["red", "b/l ue"]}`, 200, `{"tags":["b/l ue","red"]}`},
			{"GET", tags, "", 200, `{"tags":["b/l ue","red"]}`},
			{"GET", tags + "/red", "", 204, ""},
			{"GET", tags + "/b%2Fl%20ue", "", 204, ""},
			{"GET", tags + "/green", "", 404, "TagNotFound"},
			{"PUT", tags + "/green", "", 201, ""},
			{"PUT", tags + "/green", "", 201, ""},
			{"DELETE", tags + "/red", "", 204, ""},
			{"DELETE", tags + "/red", "", 404, "TagNotFound"},
			{"GET", tags, "", 200, `{"tags":["b/l ue","green"]}`},
			{"PUT", tags + "/" + strings.Repeat("x", 255), "", 201, ""},
			{"PUT", tags + "/" + strings.Repeat("x", 256), "", 400, "exceeds maximum length of 255"},
			{"PUT", tags + "/%ff", "", 404, "TagNotFound"},
			{"PUT", tags, `{"tags": ["a", "a"]}`, 400, "InvalidInput"},
			{"PUT", tags, `{"tags": "a"}`, 400, "InvalidInput"},
			{"PUT", tags, `{"tags": [1]}`, 400, "InvalidInput"},
			{"PUT", tags, `{"tags": [""]}`, 400, "InvalidInput"},
			{"PUT", tags, `{}`, 400, "Invalid tags body"},
			{"PUT", tags, `{"tags": [], "more": 1}`, 400, "unexpected key"},
			{"PUT", tags, ``, 400, "Resource body required"},
			{"DELETE", tags, "", 204, ""},
			{"GET", tags, "", 200, `{"tags":[]}`},
			{"PUT", tags, `{"tags": ["a"]}`, 200, `{"tags":["a"]}`},
			{"PUT", "/v2.0/" + under + "/00000000-0000-0000-0000-00000000abcd/tags", `{"tags": []}`, 404, "TagResourceNotFound"},
			{"GET", "/v2.0/" + under + "/nonsense/tags/a", "", 404, "TagResourceNotFound"},
			{"PUT", object, `{"` + single + `": {"tags": []}}`, 400, "Cannot update read-only attribute tags"},
			{"PUT", object, `{"` + single + `": {"description": "` + under + `"}}`, 200, `"tags":["a"]`},
			{"POST", tags, `{"tags": []}`, 405, ""},
		}
		for _, s := range steps {
			got := a.want(s.code, s.method, s.path, writer, s.body)
			if exact := strings.HasPrefix(s.answer, "{"); exact && got.text != s.answer || !strings.Contains(got.text, s.answer) || s.code < 205 && s.answer == "" && got.text != "" {
				t.Errorf("%s %s %s: %s, want %s", s.method, s.path, s.body, got.text, s.answer)
			}
		}
		if got := revision(); got != before+7 { // five changes of tags before the last, that one, and the description
			t.Errorf("%s: revision %v after seven changes, from %v", path, got, before)
		}
		for token, code := range map[string]int{"blue": 404, "red-reader": 403} {
			for _, c := range [][2]string{{"PUT", tags}, {"PUT", tags + "/z"}, {"DELETE", tags}, {"DELETE", tags + "/a"}} {
				a.want(code, c[0], c[1], token, `{"tags": ["z"]}`)
			}
		}
		a.want(404, "GET", tags, "blue", "")
		a.want(200, "GET", tags, "red-reader", "")
		a.want(204, "DELETE", tags, writer, "") // for the next place
	}
}

func TestListsAreFilteredByTags(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for name, tags := range map[string]string{"none": ``, "a": `"a"`, "ab": `"a", "b"`, "bc": `"c", "b"`} {
		id := idOf(a.make("/v2.0/networks", "red", `{"network": {"name": "`+name+`"}}`))
		a.want(200, "PUT", "/v2.0/networks/"+id+"/tags", "red", `{"tags": [`+tags+`]}`)
	}
	for query, want := range map[string]string{
		"tags=a":                    "a ab",
		"tags=a,b":                  "ab",
		"tags=a&tags=b":             "ab",
		"tags=x":                    "",
		"tags=":                     "",
		"tags-any=a,c":              "a ab bc",
		"not-tags=a,b":              "a bc none",
		"not-tags-any=a,c":          "none",
		"tags=b&not-tags-any=a":     "bc",
		"tags-any=a,b&name=bc":      "bc",
		"tags-any=b&tags-any=a%2Cx": "a ab bc",
	} {
		got := values(a.page("/v2.0/networks?sort_key=name&sort_dir=asc&"+query, "red").objects, "name")
		if got != want {
			t.Errorf("networks?%s: %q, want %q", query, got, want)
		}
	}
	a.want(400, "GET", "/v2.0/tenants?tags=a", "admin", "")
	a.want(400, "GET", "/v2.0/security-group-rules?tags=a", "red", "")
}

func TestPortsAreMadeWithTags(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	one := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "tags": ["b", "a"]}}`)
	many := a.want(201, "POST", "/v2.0/ports", "red", `{"ports": [{"network_id": "`+network+`", "tags": ["x"]}, {"network_id": "`+network+`"}, {"network_id": "`+network+`", "tags": ["y", "x\"'"]}]}`).list(t)
	want := map[string]any{idOf(one): []any{"a", "b"}, idOf(many[0]): []any{"x"}, idOf(many[1]): []any{}, idOf(many[2]): []any{`x"'`, "y"}}
	got := map[string]any{}
	for _, o := range append(many, one) {
		if diff := cmp.Diff(want[idOf(o)], o["tags"]); diff != "" {
			t.Errorf("tags in the answer to POST (-want +got):\n%s", diff)
		}
	}
	for _, o := range a.want(200, "GET", "/v2.0/ports?fields=id&fields=tags", "red", "").list(t) {
		got[idOf(o)] = o["tags"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	a.want(400, "POST", "/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "tags": ["a", "a"]}}`)
	a.want(400, "POST", "/v2.0/networks", "red", `{"network": {"tags": ["a"]}}`)
}

func TestAChangeMayHangOnTheRevision(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	try := func(method, path, condition, body string) answer {
		req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", "admin")
		req.Header.Set("If-Match", condition)
		return a.send(req)
	}
	for _, r := range resources(nil) {
		single, _, path := r.names()
		s := r.(shaped).shape(t)
		if !s.verbs["PUT"] {
			continue
		}
		attr, value := "", func(letter string) string { return letter }
		for _, attr = range []string{"description", "target_tenant", "weight"} {
			if slices.ContainsFunc(s.attributes, func(a attributeShape) bool { return a.name == attr }) {
				break
			}
		}
		if attr == "weight" {
			value = func(letter string) string { return fmt.Sprint(letter[0] - 'a' + 2) } // another one than it has
		}
		object := "/v2.0/" + a.place(path) + "/" + ids[path]
		revision, has := a.want(200, "GET", object, "admin", "").object(t)["revision_number"].(float64)
		if !has {
			continue
		}
		is := func(n float64) string { return "revision_number=" + jsonNumber(n) }
		body := func(d string) string { return `{"` + single + `": {"` + attr + `": "` + value(d) + `"}}` }
		for _, c := range []struct {
			method, condition, body string
			code                    int
		}{
			{"PUT", is(revision + 1), body("a"), 412},
			{"DELETE", is(revision + 1), "", 412},
			{"DELETE", is(revision - 1), "", 412},
			{"PUT", is(revision), body("b"), 200},
			{"PUT", is(revision), body("c"), 412},
			{"PUT", "*", body("d"), 200},
			{"PUT", `"abc"`, body("e"), 200},
			{"PUT", "revision_number=x", body("f"), 200},
		} {
			got := try(c.method, object, c.condition, c.body)
			if got.code != c.code {
				t.Errorf("%s %s if %s: code %d, want %d: %s", c.method, object, c.condition, got.code, c.code, got.text)
			}
			if c.code == 412 {
				if kind, _ := got.message(t); kind != "RevisionNumberConstraintFailed" {
					t.Errorf("type %s", kind)
				}
			}
		}
		if got := a.want(200, "GET", object, "admin", "").object(t)[attr]; fmt.Sprint(got) != value("f") {
			t.Errorf("%s: "+attr+" %v, want that of the last change that was let through", path, got)
		}
		if under := r.(interface{ taggedAt() string }).taggedAt(); under != "" {
			if got := try("PUT", "/v2.0/"+under+"/"+ids[path]+"/tags/x", is(revision), ""); got.code != 412 {
				t.Errorf("tag of %s at a revision of before: code %d, want 412", path, got.code)
			}
		}
	}
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	subnet := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.9.0.0/24"}}`))
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	group := idOf(a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "gone"}}`))
	rule := idOf(a.make("/v2.0/security-group-rules", "red", `{"security_group_rule": {"security_group_id": "`+group+`", "direction": "ingress"}}`))
	// In the order in which they can go.
	for _, path := range []string{"ports/" + port, "security-group-rules/" + rule, "security-groups/" + group, "subnets/" + subnet, "networks/" + network} {
		object := "/v2.0/" + path
		o := a.want(200, "GET", object, "admin", "").object(t)
		if got := try("DELETE", object, "revision_number="+jsonNumber(o["revision_number"].(float64)), ""); got.code != 204 {
			t.Errorf("DELETE %s at its revision: code %d: %s", path, got.code, got.text)
		}
	}
}

func jsonNumber(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
