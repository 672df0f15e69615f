package northbound

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// shape is what the tests that go over all resources know of one: all of it is
// read from its declaration.
type shape struct {
	single, plural, path string
	key                  string // attribute that names an object
	public               bool   // everybody who reads sees all
	rule                 func(verb string) string
	verbs                map[string]bool // POST, PUT, DELETE
	readBy, writeBy      audience
	bulk                 bool // POST takes a list
	nested               bool // within every object of another collection
	attributes           []attributeShape
}

type attributeShape struct {
	name         string
	post         presence
	put          bool
	byPost       audience
	def          string
	byPut        audience
	seen         audience
	takes, shows schema
	// refuses says whether no notation of this JSON is a value.
	refuses func(text string) bool
}

type shaped interface{ shape(t testing.TB) shape }

func (c *collection[E]) shape(t testing.TB) shape {
	d, err := theDocument()
	if err != nil {
		t.Fatal(err)
	}
	s := shape{
		single: c.single, plural: c.plural, path: c.path, key: c.keyed(), public: c.public, rule: c.rule, nested: c.nested(), readBy: c.readBy, writeBy: c.writeBy, bulk: c.create != nil && c.post == nil,
		verbs: map[string]bool{"POST": c.create != nil || c.post != nil, "PUT": c.update != nil, "DELETE": c.remove != nil},
	}
	for _, a := range c.attributes {
		takes := d.inline(t, a.takes)
		s.attributes = append(s.attributes, attributeShape{
			name: a.name, post: a.post, put: a.put, byPost: a.byPost, byPut: a.byPut, seen: a.seen, def: a.def, takes: a.takes, shows: a.shows,
			refuses: func(text string) bool {
				v, err := parseJSON([]byte(text))
				if err != nil {
					return true
				}
				if a.canonical != nil {
					if _, err := a.canonical(v); err == nil {
						return false
					}
				}
				plain, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
				return err != nil || takes.Validate(plain) != nil
			},
		})
	}
	return s
}

func shapes(t testing.TB) []shape {
	var all []shape
	for _, r := range resources(nil) {
		all = append(all, r.(shaped).shape(t))
	}
	return all
}

// missingVerb is the code of a verb that a resource does not have; 0: it has it.
func (s *shape) missingVerb(method string) int {
	if method != http.MethodGet && !s.verbs[method] {
		return http.StatusMethodNotAllowed
	}
	return 0
}

// shown is what a member is answered who asks for one object that is its own, or everybody's.
func (s *shape) shown() int {
	if s.path == "qos/rule-types" {
		return http.StatusForbidden // in lists only, as in Neutron
	}
	return http.StatusOK
}

// change is a body of PUT that every member may send as far as its attributes
// go; empty: there is none.
func (s *shape) change() string {
	var best string
	for _, a := range s.attributes {
		if !a.put || a.byPut != everyone {
			continue
		}
		body := `{"` + s.single + `": {"` + a.name + `": ` + sample(a.takes) + `}}`
		if best == "" || a.name == "description" {
			best = body
		}
	}
	return best
}

// sample is a value that a schema allows.
func sample(s schema) string {
	if named := examples(s); len(named) > 0 && s["properties"] == nil { // an empty object, where it may be: its members may need others
		return named[0]
	}
	if forms, ok := s["anyOf"].([]schema); ok {
		return sample(forms[0])
	}
	kind := s["type"]
	if several, ok := kind.([]any); ok {
		kind = several[0]
	}
	switch kind {
	case "string":
		return `"x"`
	case "boolean":
		return `false`
	case "integer", "number":
		if least, ok := s["minimum"]; ok {
			text, err := json.Marshal(least)
			if err != nil {
				panic(err) // declared in this program
			}
			return string(text)
		}
		return `0`
	case "array":
		return `[]`
	case "object":
		return `{}`
	}
	return `null`
}

// put returns a body of one object with an attribute that has this value.
func put(t testing.TB, body, attr, value string) string {
	t.Helper()
	return edit(t, body, func(o map[string]json.RawMessage) { o[attr] = json.RawMessage(value) })
}

// edit changes the object in a body. A value need not be JSON.
func edit(t testing.TB, body string, change func(map[string]json.RawMessage)) string {
	t.Helper()
	var root map[string]map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &root); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for key, o := range root {
		change(o)
		pairs := make([]string, 0, len(o))
		for name, value := range o {
			pairs = append(pairs, `"`+name+`": `+string(value))
		}
		slices.Sort(pairs)
		return `{"` + key + `": {` + strings.Join(pairs, ", ") + `}}`
	}
	t.Fatalf("%s has no object", body)
	return ""
}
