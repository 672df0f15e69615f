package northbound

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/store"
)

// declared is the OpenAPI document of the API, to check real answers against.
// In it objects are closed: an answer with more than the document says fails.
type declared struct {
	paths    map[string]any
	routes   []string
	compiler *jsonschema.Compiler
	compiled sync.Map // *jsonschema.Schema by pointer
	mu       sync.Mutex
}

const documentURL = "http://macloom/openapi.json"

var theDocument = sync.OnceValues(func() (*declared, error) {
	text, err := (&server{resources: resources(nil)}).openAPI()
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	closeObjects(doc)
	d := &declared{paths: doc.(map[string]any)["paths"].(map[string]any), compiler: newCompiler()}
	for path := range d.paths {
		d.routes = append(d.routes, path)
	}
	slices.Sort(d.routes)
	return d, d.compiler.AddResource(documentURL, doc)
})

// newCompiler reads schemas as OpenAPI 3.1 has them, and takes formats for more
// than remarks.
func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	return c
}

// closeObjects makes every object with properties refuse all others.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		_, open := v["additionalProperties"]
		if properties, ok := v["properties"].(map[string]any); ok && len(properties) > 0 && v["type"] != nil && !open {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

// route finds the path of the document that a request's is of: the one with
// the fewest variables.
func (d *declared) route(path string) string {
	parts := strings.Split(path, "/")
	best, fewest := "", len(parts)+1
	for _, route := range d.routes {
		candidate := strings.Split(route, "/")
		variables := 0
		fits := slices.EqualFunc(candidate, parts, func(want, is string) bool {
			if strings.HasPrefix(want, "{") {
				variables++
				return is != ""
			}
			return want == is
		})
		if fits && variables < fewest {
			best, fewest = route, variables
		}
	}
	return best
}

// schema compiles what is at a place of the document.
func (d *declared) schema(place ...string) (*jsonschema.Schema, error) {
	pointer := "#"
	for _, p := range place {
		pointer += "/" + url.PathEscape(strings.ReplaceAll(strings.ReplaceAll(p, "~", "~0"), "/", "~1"))
	}
	if s, ok := d.compiled.Load(pointer); ok {
		return s.(*jsonschema.Schema), nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.compiler.Compile(documentURL + pointer)
	if err == nil {
		d.compiled.Store(pointer, s)
	}
	return s, err
}

// check says in what an answer is other than the document says.
func (d *declared) check(method string, u *url.URL, got answer) error {
	path := plain(u)
	if path == "/v2.0" {
		path = "/v2.0/"
	}
	route := d.route(path)
	op, _ := at(d.paths, route, strings.ToLower(method)).(map[string]any)
	var name string
	place := []string{"components", "responses", "error"}
	answers, _ := op["responses"].(map[string]any)
	switch code := strconv.Itoa(got.code); {
	case answers[code] != nil:
		name = code
	case got.code >= 400 && op != nil:
		name = "default"
	case got.code == http.StatusUnauthorized:
		place[2] = "unauthorized"
	case got.code < 400:
		return fmt.Errorf("%s %s is answered %d, which the document does not have", method, path, got.code)
	}
	if name != "" {
		place = []string{"paths", route, strings.ToLower(method), "responses", name}
		if ref, ok := at(answers, name, "$ref").(string); ok {
			place = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
		} else if at(answers, name, "content") == nil {
			if got.text != "" {
				return fmt.Errorf("%s %s: a body where the document has none", method, path)
			}
			return nil
		}
	}
	kind, _, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type: %w", err)
	}
	s, err := d.schema(append(slices.Clone(place), "content", kind, "schema")...)
	if err != nil {
		return fmt.Errorf("%s %s: %d of type %s: %w", method, path, got.code, kind, err)
	}
	if kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(got.text))
	if err != nil {
		return err
	}
	if err := s.Validate(value); err != nil {
		return fmt.Errorf("%s %s: %d is not as the document says: %w\n%.500s", method, path, got.code, err, got.text)
	}
	return nil
}

// at walks down maps.
func at(v any, keys ...string) any {
	for _, key := range keys {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

func TestTheDocumentIsValidOpenAPI(t *testing.T) {
	t.Parallel()
	a := setup(t)
	text := a.want(200, "GET", "/openapi.json", "", "").text
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater(), openapi3.EnableSchemaFormatValidation(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
	names := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if other := names[op.OperationID]; other != "" {
				t.Errorf("%s %s is called %s as %s is", method, path, op.OperationID, other)
			}
			names[op.OperationID] = method + " " + path
		}
	}
}

// What answers is in the document, and what is in the document answers.
func TestTheDocumentHasEveryRoute(t *testing.T) {
	t.Parallel()
	d, err := theDocument()
	if err != nil {
		t.Fatal(err)
	}
	routes := New(Options{Store: new(store.Store), Tokens: &Tokens{}, Log: zap.NewNop(), Metrics: prometheus.NewRegistry()}).(chi.Routes)
	served := map[string]bool{}
	err = chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		served[method+" "+route] = true
		if at(d.paths, route, strings.ToLower(method)) == nil {
			t.Errorf("%s %s is not in the document", method, route)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range d.paths {
		for method := range item.(map[string]any) {
			if !served[strings.ToUpper(method)+" "+path] {
				t.Errorf("%s %s is in the document and not served", method, path)
			}
		}
	}
}

// valueChecker looks at the types of a resource's attributes.
type valueChecker interface {
	checkValues(t *testing.T, pool []string)
}

func (c *collection[E]) checkValues(t *testing.T, pool []string) {
	d, err := theDocument()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range c.attributes {
		if a.shows == nil || a.takes == nil {
			t.Errorf("%s.%s: its type has no schema", c.single, a.name)
			continue
		}
		taken, shown := d.inline(t, a.takes), d.inline(t, a.shows)
		if a.parse == nil {
			continue
		}
		values, allowed := append(examples(a.takes), pool...), 0
		for _, text := range values {
			v, err := parseJSON([]byte(text))
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			plain, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			refused := taken.Validate(plain)
			shownAs, err := a.canonical(v)
			if refused == nil {
				allowed++
			}
			switch {
			case refused == nil && err != nil:
				t.Errorf("%s.%s: the schema allows %.100s, which is refused: %v", c.single, a.name, text, err)
			case err == nil:
				back, err := jsonschema.UnmarshalJSON(bytes.NewReader(shownAs))
				if err != nil {
					t.Errorf("%s.%s: %.100s is shown as %s: %v", c.single, a.name, text, shownAs, err)
					continue
				}
				if err := shown.Validate(back); err != nil && (scalar(plain) || shown.Validate(plain) == nil) { // else the server is to complete it
					t.Errorf("%s.%s: %.100s is shown as %s, which the schema does not say: %v", c.single, a.name, text, shownAs, err)
				}
				if refused != nil && taken.Validate(back) != nil {
					t.Errorf("%s.%s: %.100s is taken though the schema forbids it: %v", c.single, a.name, text, refused)
				}
			}
		}
		if allowed == 0 {
			t.Errorf("%s.%s: the schema allows none of %d values; give it an example", c.single, a.name, len(values))
		}
	}
}

func scalar(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return false
	}
	return true
}

// inline compiles a schema that stands by itself.
func (d *declared) inline(t testing.TB, s schema) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	name := "http://macloom/inline/" + url.PathEscape(string(text))
	if compiled, ok := d.compiled.Load(name); ok {
		return compiled.(*jsonschema.Schema)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(bytes.ReplaceAll(text, []byte(`"#/components`), []byte(`"`+documentURL+`#/components`))))
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	err = d.compiler.AddResource(name, doc)
	if again := (*jsonschema.ResourceExistsError)(nil); err != nil && !errors.As(err, &again) {
		t.Fatal(err)
	}
	compiled, err := d.compiler.Compile(name)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	d.compiled.Store(name, compiled)
	return compiled
}

// examples are values that a schema names: examples and choices, also of what
// lists hold.
func examples(s schema) []string {
	var values []string
	for _, key := range []string{"examples", "enum"} {
		named, _ := s[key].([]any)
		for _, v := range named {
			text, err := json.Marshal(v)
			if err != nil {
				panic(err) // declared in this program
			}
			values = append(values, string(text))
		}
	}
	if of, ok := s["items"].(schema); ok {
		for _, v := range examples(of) {
			values = append(values, "["+v+"]", "["+v+","+v+"]")
		}
	}
	if forms, ok := s["anyOf"].([]schema); ok {
		for _, f := range forms {
			values = append(values, examples(f)...)
		}
	}
	return values
}

// valuePool is values of all kinds, right for one type and wrong for another.
var valuePool = []string{
	`null`, `true`, `false`, `"true"`, `"False"`, `"1"`, `"yes"`, `0`, `1`, `2`, `4`, `6`, `"4"`, `-1`, `-2`, `1.5`, `68`, `67`, `1450`, `"1450"`, `9000`, `9001`, `24`, `47`, `65535`, `65536`, `255`, `256`,
	`16777215`, `16777216`, `2147483647`, `2147483648`, `4294967295`, `4294967296`, `9223372036854775807`, `9223372036854775808`, `1e999`,
	`""`, `" "`, `"x"`, `"ü"`, `"\ud83d\ude00"`, `"tcp"`, `"TCP"`, `"icmpv6"`, `"17"`, `"256"`, `"ingress"`, `"IPv4"`, `"ipv4"`, `"active"`, `"quarantined"`, `"normal"`,
	`"` + strings.Repeat("é", 255) + `"`, `"` + strings.Repeat("é", 256) + `"`, `"` + strings.Repeat("x", 2000) + `"`,
	`"7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11"`, `"7E0D5D5E-9F3C-4B8F-8F0E-3F5F1F0A2B11"`, `"7e0d5d5e9f3c4b8f8f0e3f5f1f0a2b11"`, `"{7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11}"`, `"7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b1g"`,
	`"02:00:05:00:00:01"`, `"02-00-05-00-00-01"`, `"0200.0500.0001"`, `"020005000001"`, `"01:00:5e:00:00:01"`, `"00:00:00:00:00:00"`, `"ff:ff:ff:ff:ff:ff"`, `"02:00:05:00:00"`, `"02:00:05:00:00:0g"`, `"FE:FF:FF:FF:FF:FE"`,
	`"10.0.0.1"`, `"010.0.0.1"`, `"256.0.0.1"`, `"::"`, `"::1"`, `"2001:DB8::1"`, `"fe80::1%eth0"`, `"::ffff:1.2.3.4"`, `"::ffff:0102:0304"`, `"1::2::3"`, `"1:2:3:4:5:6:7:8"`, `"1:2:3:4:5:6:7::"`, `"1:2:3:4:5:6:7:8:9"`, `"::1.2.3.4"`,
	`"10.0.0.0/24"`, `"10.0.0.7/24"`, `"10.0.0.0/33"`, `"10.0.0.0/08"`, `"10.0.0/8"`, `"0.0.0.0/0"`, `"::/0"`, `"2001:db8::/64"`, `"2001:db8::/129"`, `"::ffff:0:0/96"`, `"::ffff:1.2.3.4/128"`, `"02:00:05:00:00:00/24"`,
	`"00000000000000a1"`, `"00000000000000A1"`, `"0000000000000000"`, `"a1"`, `"000000000000000g"`,
	`"2026-05-04T12:00:00Z"`, `"2026-05-04T12:00:00+02:00"`, `"2026-05-04"`, `"2026-13-04T12:00:00Z"`, `"9999-12-31T23:59:59Z"`, `"now"`,
	`[]`, `[null]`, `[""]`, `["x"]`, `[1]`, `[[]]`, `[{}]`, `{}`, `{"a": 1}`, `{"a": {}}`,
	`["7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11"]`, `["10.0.0.1"]`, `["10.0.0.0/24"]`, `["10.0.0.1", "x"]`,
	`[{"start": "10.0.0.2", "end": "10.0.0.9"}]`, `[{"start": "10.0.0.2"}]`, `[{"start": "10.0.0.2", "end": null}]`, `[{"start": "10.0.0.2", "end": "10.0.0.9", "more": 1}]`,
	`[{"subnet_id": "7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11"}]`, `[{"ip_address": "10.0.0.1", "subnet_id": "7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11"}]`, `[{"ip_address": 1}]`, `[{"ip_address": "10.0.0.1", "x": 1}]`,
	`{"port_no": 1}`, `{"port_no": 0}`, `{"port_no": 4294967040}`, `{"port_no": 4294967041}`, `{"interface_name": "eth0"}`, `{"interface_name": ""}`, `{"interface_name": "eth0", "port_no": 1}`,
	`[` + strings.TrimSuffix(strings.Repeat(`"7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11",`, 1000), ",") + `]`,
}

// What a schema allows is taken, and what is taken is as it says.
func TestSchemasAndTypesAgree(t *testing.T) {
	t.Parallel()
	for _, r := range resources(nil) {
		r.(valueChecker).checkValues(t, valuePool)
	}
}

// The page says all that the document does, and asks nobody else for anything.
func TestThePageForPeopleStandsByItself(t *testing.T) {
	t.Parallel()
	a := setup(t)
	got := a.want(200, "GET", "/docs", "", "")
	d, err := theDocument()
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range d.routes {
		if !strings.Contains(got.text, ">"+route+"<") {
			t.Errorf("the page does not name %s", route)
		}
	}
	for _, s := range shapes(t) {
		for _, attr := range s.attributes {
			if !strings.Contains(got.text, "<code>"+attr.name+"</code>") {
				t.Errorf("the page does not name %s.%s", s.single, attr.name)
			}
		}
	}
	for _, bad := range []string{"<script", "src=", "http://", "https://", "url(", "@import", "<link"} {
		if strings.Contains(got.text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if policy := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none';") {
		t.Errorf("Content-Security-Policy %q", policy)
	}
}
