package northbound

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// page is a list with its links.
type page struct {
	objects []map[string]any
	links   map[string]string // by rel
}

func (a *api) page(path, token string) page {
	a.t.Helper()
	path = strings.TrimPrefix(path, a.url)
	got := a.want(http.StatusOK, "GET", path, token, "")
	var root map[string]json.RawMessage
	if err := json.Unmarshal([]byte(got.text), &root); err != nil {
		a.t.Fatal(err)
	}
	p := page{links: map[string]string{}}
	for key, text := range root {
		if !strings.HasSuffix(key, "_links") {
			if err := json.Unmarshal(text, &p.objects); err != nil {
				a.t.Fatalf("%s: %v", key, err)
			}
			continue
		}
		var links []link
		if err := json.Unmarshal(text, &links); err != nil || len(links) == 0 {
			a.t.Fatalf("%s: %v: %s", key, err, text)
		}
		for _, l := range links {
			p.links[l.Rel] = l.Href
		}
	}
	return p
}

func values(objects []map[string]any, attr string) string {
	var list []string
	for _, o := range objects {
		s, _ := o[attr].(string)
		list = append(list, s)
	}
	return strings.Join(list, " ")
}

func TestListsAreSortedByTheKeysThatAreAskedFor(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for _, body := range []string{`"name": "b"`, `"name": "B", "mtu": 1400`, `"name": "a", "mtu": 1400`, `"name": "10"`, `"name": "9", "description": "x"`} {
		a.make("/v2.0/networks", "red", `{"network": {`+body+`}}`)
	}
	for query, want := range map[string]string{
		"":                             "b B a 10 9",
		"?sort_key=name&sort_dir=asc":  "10 9 B a b",
		"?sort_key=name&sort_dir=desc": "b a B 9 10",
		"?sort_key=mtu&sort_dir=asc":   "B a b 10 9",
		"?sort_key=mtu&sort_dir=desc":  "9 10 b a B",
		"?sort_key=mtu&sort_key=name&sort_dir=desc&sort_dir=asc":                                   "10 9 b B a",
		"?sort_key=mtu&sort_key=name&sort_dir=desc&sort_dir=asc&limit=2":                           "10 9",
		"?sort_key=mtu&sort_key=name&sort_dir=desc&sort_dir=asc&limit=2&page_reverse=1":            "B a",
		"?sort_key=description&sort_dir=desc&limit=1":                                              "9",
		"?sort_key=created_at&sort_dir=asc":                                                        "b B a 10 9",
		"?sort_key=id&sort_dir=desc":                                                               "9 10 a B b",
		"?sort_key=project_id&sort_key=name&sort_key=name&sort_dir=asc&sort_dir=asc&sort_dir=desc": "10 9 B a b",
		"?limit=0":                   "b B a 10 9",
		"?limit=3":                   "b B a",
		"?limit=2&page_reverse=True": "10 9",
		"?limit=99999999999999999999&fields=name": "b B a 10 9",
		"?fields=": "b B a 10 9",
	} {
		if got := values(a.page("/v2.0/networks"+query, "red").objects, "name"); got != want {
			t.Errorf("networks%s: %s, want %s", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"sort_key=name": "HTTPBadRequest: The number of sort_keys and sort_dirs must be same",
		"sort_key=name&sort_dir=asc&sort_dir=asc": "HTTPBadRequest: The number of sort_keys and sort_dirs must be same",
		"sort_key=colour&sort_dir=asc":            "HTTPBadRequest: ['colour'] is invalid attribute for sort_keys",
		"sort_key=subnets&sort_dir=asc":           "HTTPBadRequest: ['subnets'] is invalid attribute for sort_keys",
		"sort_key=name&sort_dir=up":               "HTTPBadRequest: ['up'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'",
		"limit=-1":                                "BadRequest: Bad limit request: Limit must be an integer 0 or greater and not '-1'.",
		"limit=many":                              "BadRequest: Bad limit request: Limit must be an integer 0 or greater and not 'many'.",
		"page_reverse=maybe":                      "HTTPBadRequest: Invalid input for page_reverse. Reason: 'maybe' cannot be converted to boolean",
		"limit=1&colour=red":                      "HTTPBadRequest: ['colour'] is invalid attribute for filtering",
	} {
		kind, message := a.want(http.StatusBadRequest, "GET", "/v2.0/networks?"+query, "red", "").message(t)
		if got := kind + ": " + message; got != want {
			t.Errorf("networks?%s: %s, want %s", query, got, want)
		}
	}
}

func TestPagesFollowEachOtherByTheirLinks(t *testing.T) {
	t.Parallel()
	a := setup(t)
	var names []string
	for _, n := range []string{"c", "a", "e", "b", "d", "f"} {
		a.make("/v2.0/networks", "red", `{"network": {"name": "`+n+`", "description": "tie"}}`)
		names = append(names, n)
	}
	a.make("/v2.0/networks", "blue", `{"network": {"name": "x", "description": "tie"}}`)
	for query, want := range map[string][]string{
		"":                                    names,
		"&sort_key=name&sort_dir=desc":        {"f", "e", "d", "c", "b", "a"},
		"&sort_key=description&sort_dir=asc":  names,
		"&sort_key=description&sort_dir=desc": {"f", "d", "b", "e", "a", "c"},
		"&sort_key=admin_state_up&sort_key=name&sort_dir=desc&sort_dir=asc": {"a", "b", "c", "d", "e", "f"},
		"&fields=name": names,
	} {
		for _, limit := range []int{1, 2, 3, 4, 6, 7} {
			next := "/v2.0/networks?description=tie&limit=" + string(rune('0'+limit)) + query
			var forth, back []string
			var at page
			for next != "" {
				at = a.page(next, "red")
				forth = append(forth, strings.Fields(values(at.objects, "name"))...)
				if len(forth) > len(want) {
					break
				}
				next = at.links["next"]
			}
			if diff := cmp.Diff(want, forth); diff != "" {
				t.Fatalf("limit %d%s by next (-want +got):\n%s", limit, query, diff)
			}
			if got := len(at.objects); got >= limit || at.links["previous"] == "" {
				t.Errorf("limit %d%s: the last page has %d objects and links %v", limit, query, got, at.links)
			}
			back = strings.Fields(values(at.objects, "name"))
			slices.Reverse(back)
			for at.links["previous"] != "" {
				at = a.page(at.links["previous"], "red")
				objects := strings.Fields(values(at.objects, "name"))
				slices.Reverse(objects)
				back = append(back, objects...)
				if len(back) > len(want) {
					break
				}
			}
			slices.Reverse(back)
			if diff := cmp.Diff(want, back); diff != "" {
				t.Fatalf("limit %d%s by previous (-want +got):\n%s", limit, query, diff)
			}
		}
	}
}

func TestLinksKeepTheQueryAndTheAddressOfTheClient(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for _, n := range []string{"a b", "c"} {
		a.make("/v2.0/networks", "red", `{"network": {"name": "`+n+`"}}`)
	}
	req, err := http.NewRequest("GET", a.url+"/v2.0/networks.json?limit=1&fields=name&name=a+b&name=c&sort_key=name&sort_dir=asc", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "net.example:9696"
	req.Header.Set("X-Auth-Token", "red")
	var got struct {
		Links []link `json:"networks_links"`
	}
	if err := json.Unmarshal([]byte(a.send(req).text), &got); err != nil {
		t.Fatal(err)
	}
	id := idOf(a.want(200, "GET", "/v2.0/networks?name=a+b", "red", "").list(t)[0])
	want := []link{
		{"next", "http://net.example:9696/v2.0/networks.json?fields=name&limit=1&marker=" + id + "&name=a+b&name=c&sort_dir=asc&sort_key=name"},
		{"previous", "http://net.example:9696/v2.0/networks.json?fields=name&limit=1&marker=" + id + "&name=a+b&name=c&page_reverse=True&sort_dir=asc&sort_key=name"},
	}
	if diff := cmp.Diff(want, got.Links); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestAMarkerNamesAnObjectThatTheCallerSees(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	for _, r := range resources(nil) {
		_, _, path := r.names()
		place := a.place(path)
		s := r.(shaped).shape(t)
		blue := 404
		if s.visibleTo("blue") {
			blue = 200
		}
		for _, c := range []struct {
			token, marker string
			code          int
		}{
			{"admin", ids[path], 200}, {"admin", "nonsense", 404}, {"admin", "00000000-0000-0000-0000-00000000abcd", 404}, {"admin", "\x00", 404}, {"admin", "", 200}, {"blue", ids[path], blue},
		} {
			got := a.do("GET", "/v2.0/"+place+"?limit=1&marker="+url.QueryEscape(c.marker), c.token, "")
			if got.code != c.code {
				t.Errorf("%s after %q by %s: code %d, want %d: %s", path, c.marker, c.token, got.code, c.code, got.text)
			}
		}
	}
}

// sortable names the attributes that lists sort by.
func (c *collection[E]) sortable() []string {
	var names []string
	for _, a := range c.attributes {
		if a.sort {
			names = append(names, a.name)
		}
	}
	return names
}

// Every order that is declared is there, and total: pages of one in it are the
// whole list.
func TestEveryDeclaredOrderIsTotal(t *testing.T) {
	t.Parallel()
	a := setup(t)
	owned(a)
	for _, r := range resources(nil) {
		_, _, path := r.names()
		path = a.place(path)
		keys := r.(interface{ sortable() []string }).sortable()
		id := r.(shaped).shape(t).key
		if !slices.Contains(keys, id) {
			t.Errorf("%s cannot be sorted by %s", path, id)
		}
		for _, key := range keys {
			for _, dir := range []string{"asc", "desc"} {
				query := "/v2.0/" + a.place(path) + "?sort_key=" + url.QueryEscape(key) + "&sort_dir=" + dir
				all := a.page(query, "admin")
				var walked []map[string]any
				for next := query + "&limit=1"; next != "" && len(walked) <= len(all.objects); {
					p := a.page(next, "admin")
					walked = append(walked, p.objects...)
					next = p.links["next"]
				}
				if diff := cmp.Diff(values(all.objects, id), values(walked, id)); diff != "" {
					t.Errorf("%s (-whole +walked):\n%s", query, diff)
				}
			}
		}
	}
}

// A list that is longer than what is held of it comes whole.
func TestALongListIsWrittenWhileItIsRead(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	many := strings.Repeat(`{"network_id": "`+network+`", "name": "`+strings.Repeat("n", 255)+`"},`, 600)
	made := a.want(201, "POST", "/v2.0/ports", "red", `{"ports": [`+strings.TrimSuffix(many, ",")+`]}`).list(t)
	got := a.want(200, "GET", "/v2.0/ports", "red", "")
	if len(got.text) < 2*maxHeld {
		t.Fatalf("the list has %d bytes, too few to be a long one", len(got.text))
	}
	if diff := cmp.Diff(values(made, "id"), values(got.list(t), "id")); diff != "" {
		t.Errorf("listed (-made +listed):\n%s", diff)
	}
	if p := a.page("/v2.0/ports?limit=599", "red"); len(p.objects) != 599 || p.links["next"] == "" {
		t.Errorf("page of %d with links %v, want 599 and a next", len(p.objects), p.links)
	}
}

// A client that does not take its answer gives its place to others.
func TestAClientThatGoesEndsItsList(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	many := strings.Repeat(`{"network_id": "`+network+`", "name": "`+strings.Repeat("n", 255)+`"},`, 1000)
	for range 4 {
		a.want(201, "POST", "/v2.0/ports", "red", `{"ports": [`+strings.TrimSuffix(many, ",")+`]}`)
	}
	for range 30 { // more than there are places
		conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET /v2.0/ports HTTP/1.1\r\nHost: x\r\nX-Auth-Token: red\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	if got := a.page("/v2.0/ports?fields=id", "red"); len(got.objects) != 4000 {
		t.Errorf("%d ports, want 4000", len(got.objects))
	}
}
