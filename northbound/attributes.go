package northbound

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

// audience is who may write or see something.
type audience uint8

const (
	everyone audience = iota
	admins
	nobody // as who sees it: it is a word of the request only
)

func (a audience) admits(p principal) bool { return a == everyone || a == admins && p.admin }

// presence says whether a body of POST holds an attribute.
type presence uint8

const (
	never presence = iota
	optional
	required
)

// access says when an attribute may be given and by whom, who sees it, and
// what it is when not given.
type access struct {
	post   presence
	put    bool
	byPost audience // may give it in POST
	byPut  audience // may give it in PUT
	seen   audience // finds it in answers and may filter by it
	def    string   // value when not given, as JSON; empty: the server chooses or the zero value is meant
	filter bool     // lists filter by it
	sort   bool     // lists sort by it
	single bool     // lists do not show it
}

// attribute is one attribute of a resource whose values are kept in an E.
type attribute[E any] struct {
	access
	name string
	typ  string // of its value, in words
	// Schemas of its value in an answer and in a body, and the notation of the
	// answer for a value of a body.
	shows, takes schema
	canonical    func(v any) ([]byte, error)
	doc          string
	// parse checks a value and returns how to put it into an E; checking needs
	// no object, so that a bad value is refused before the object is looked up.
	// Its error is the reason, or an apiError if Neutron has a name for the fault.
	parse  func(v any) (func(*E), error)
	write  func(b []byte, e *E) []byte
	toText func(query string) (canonical string, possible bool, err error) // nil: lists do not filter by it
	preset func(*E)                                                        // puts the declared default; nil: there is none
	normal []byte                                                          // the declared default as answers show it
}

// mapped declares an attribute by how it is read from an E and put into it; a
// nil put makes it read-only.
func mapped[E, V any](name string, t valueType[V], get func(*E) V, put func(*E, V), a access, doc string) attribute[E] {
	attr := attribute[E]{
		access: a, name: name, typ: t.name, shows: t.shows, takes: t.taken(), doc: doc,
		write: func(b []byte, e *E) []byte { return t.append(b, get(e)) },
	}
	if put != nil && t.parse != nil {
		attr.canonical = func(v any) ([]byte, error) {
			value, err := t.parse(v)
			if err != nil {
				return nil, err
			}
			return t.append(nil, value), nil
		}
		attr.parse = func(v any) (func(*E), error) {
			value, err := t.parse(v)
			if err != nil {
				return nil, err
			}
			return func(e *E) { put(e, value) }, nil
		}
	}
	if a.filter {
		attr.toText = t.filter
	}
	if a.def != "" {
		// The default goes through the attribute's own type, so that it can
		// never be a value that a client could not give.
		v, err := parseJSON([]byte(a.def))
		if err == nil {
			attr.preset, err = attr.parse(v)
		}
		if err == nil {
			attr.normal, err = attr.canonical(v)
		}
		if err != nil {
			panic(fmt.Sprintf("northbound: default of %s: %v", name, err))
		}
	}
	return attr
}

// stored declares an attribute that is a field of E.
func stored[E, V any](name string, t valueType[V], at func(*E) *V, a access, doc string) attribute[E] {
	return mapped(name, t, func(e *E) V { return *at(e) }, func(e *E, v V) { *at(e) = v }, a, doc)
}

// derived declares a read-only attribute.
func derived[E, V any](name string, t valueType[V], get func(*E) V, a access, doc string) attribute[E] {
	return mapped(name, t, get, nil, a, doc)
}

// says tells whether a value is the declared default, which is as if it were
// not given.
func (a *attribute[E]) says(v any) bool {
	if a.preset == nil {
		return false
	}
	text, err := a.canonical(v)
	return err == nil && bytes.Equal(text, a.normal)
}

// given is the set of attributes that a body held.
type given map[string]bool

// table is the attributes of a resource in the order of its answers.
type table[E any] []attribute[E]

// standard returns the attributes of a resource: what every resource has
// around its own.
func standard[E any](meta func(*E) *intent.Meta, own ...attribute[E]) table[E] {
	tenant := func(e *E) *string { return &meta(e).TenantID }
	owner := access{post: optional, filter: true, sort: true}
	t := table[E]{
		derived("id", id, func(e *E) string { return meta(e).ID }, access{filter: true, sort: true}, "Identifies the object; made by the server."),
		stored("tenant_id", filled(255), tenant, owner, "The tenant that owns the object; only an administrator may name another than his own."),
		stored("project_id", filled(255), tenant, owner, "The same as `tenant_id`, in newer words."),
		description(meta),
	}
	return append(append(t, own...), history(meta)...)
}

// without takes attributes away that a resource does not have.
func (t table[E]) without(names ...string) table[E] {
	return slices.DeleteFunc(t, func(a attribute[E]) bool { return slices.Contains(names, a.name) })
}

// part returns the attributes of a resource whose objects belong to another
// object and so to its tenant: what all such have before their own.
func part[E any](meta func(*E) *intent.Meta, of string, own ...attribute[E]) table[E] {
	tenant := func(e *E) *string { return &meta(e).TenantID }
	owner := access{post: optional, filter: true}
	return append(table[E]{
		derived("id", id, func(e *E) string { return meta(e).ID }, access{filter: true, sort: true}, "Identifies the object; made by the server."),
		stored("tenant_id", filled(255), tenant, owner, "The tenant that owns the "+of+"."),
		stored("project_id", filled(255), tenant, owner, "The same as `tenant_id`, in newer words."),
	}, own...)
}

func name[E any](meta func(*E) *intent.Meta) attribute[E] {
	return stored("name", text(255), func(e *E) *string { return &meta(e).Name },
		access{post: optional, put: true, def: `""`, filter: true, sort: true}, "A name for people; it need not be unique.")
}

func description[E any](meta func(*E) *intent.Meta) attribute[E] {
	return stored("description", text(255), func(e *E) *string { return &meta(e).Description },
		access{post: optional, put: true, def: `""`, filter: true, sort: true}, "Free text.")
}

func history[E any](meta func(*E) *intent.Meta) table[E] {
	return table[E]{
		derived("created_at", timestamp, func(e *E) time.Time { return meta(e).CreatedAt }, access{sort: true}, "When it was made."),
		derived("updated_at", timestamp, func(e *E) time.Time { return meta(e).UpdatedAt }, access{sort: true}, "When it last changed."),
		derived("revision_number", number[int64](0, 1<<62), func(e *E) int64 { return meta(e).Revision }, access{filter: true, sort: true}, "Rises with every change, and with a change of what belongs to it."),
	}
}

func (t table[E]) find(name string) *attribute[E] {
	for i := range t {
		if t[i].name == name {
			return &t[i]
		}
	}
	return nil
}

// change is a checked body: what to put into an object.
type change[E any] struct {
	given   given
	apply   []func(*E)
	onlyFor string // an attribute that the caller may not give; empty: none
}

func (c change[E]) to(e *E) {
	for _, set := range c.apply {
		set(e)
	}
}

// parsePost checks the body of one new object.
func (t table[E]) parsePost(o object, p principal) (change[E], error) {
	if err := t.known(o); err != nil {
		return change[E]{}, err
	}
	for _, m := range o {
		if t.find(m.key).post == never {
			return change[E]{}, badRequest("Attribute '%s' not allowed in POST", m.key)
		}
	}
	for _, a := range t {
		if _, ok := o.get(a.name); !ok && a.post == required {
			return change[E]{}, badRequest("Failed to parse request. Required attribute '%s' not specified", a.name)
		}
	}
	// Whoever says only what is so anyway, as clients do that send all that they
	// know of, is not asked for the right to choose.
	return t.parse(o, func(a *attribute[E], v any) bool { return a.byPost.admits(p) || a.says(v) })
}

// parsePut checks the body of a partial update.
func (t table[E]) parsePut(o object, p principal) (change[E], error) {
	if err := t.known(o); err != nil {
		return change[E]{}, err
	}
	for _, m := range o {
		if !t.find(m.key).put {
			return change[E]{}, badRequest("Cannot update read-only attribute %s", m.key)
		}
	}
	return t.parse(o, func(a *attribute[E], _ any) bool { return a.byPut.admits(p) })
}

func (t table[E]) known(o object) error {
	var unknown []string
	for _, m := range o {
		if t.find(m.key) == nil {
			unknown = append(unknown, clip(m.key))
		}
	}
	if len(unknown) > 0 {
		return badRequest("Unrecognized attribute(s) '%s'", clip(strings.Join(unknown, ", ")))
	}
	return nil
}

func (t table[E]) parse(o object, may func(a *attribute[E], v any) bool) (change[E], error) {
	c := change[E]{given: given{}}
	for _, m := range o {
		a := t.find(m.key)
		set, err := a.parse(m.value)
		if said, ok := errors.AsType[*apiError](err); ok {
			return change[E]{}, said
		}
		if err != nil {
			return change[E]{}, invalidValue(m.key, "%v", err)
		}
		if c.onlyFor == "" && !may(a, m.value) {
			c.onlyFor = m.key
		}
		c.given[m.key] = true
		c.apply = append(c.apply, set)
	}
	return c, nil
}

// presets puts the declared defaults into a new object.
func (t table[E]) presets(e *E) {
	for i := range t {
		if t[i].preset != nil {
			t[i].preset(e)
		}
	}
}

// visible returns the attributes that p sees, cut to fields if there are any;
// an empty one names none.
func (t table[E]) visible(p principal, fields []string) table[E] {
	cut := slices.ContainsFunc(fields, func(name string) bool { return name != "" })
	shown := make(table[E], 0, len(t))
	for _, a := range t {
		if a.seen.admits(p) && (!cut || slices.Contains(fields, a.name)) {
			shown = append(shown, a)
		}
	}
	return shown
}

// append writes e as a JSON object.
func (t table[E]) append(b []byte, e *E) []byte {
	b = append(b, '{')
	for i := range t {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), t[i].name...), `":`...) // no name needs escapes
		b = t[i].write(b, e)
	}
	return append(b, '}')
}

// filters reads the filters of a list. possible is false when no object can
// match.
func (t table[E]) filters(query url.Values, p principal) (filter map[string][]string, possible bool, err error) {
	filter, possible = map[string][]string{}, true
	for name, values := range query {
		if slices.Contains(listWords, name) {
			continue
		}
		a := t.find(name)
		if a == nil || a.toText == nil || !a.seen.admits(p) && a.seen != nobody {
			return nil, false, badRequest("['%s'] is invalid attribute for filtering", clip(name))
		}
		var canonical []string
		for _, v := range values {
			if !storable(v) {
				continue // equal to nothing that is stored
			}
			text, ok, err := a.toText(v)
			if err != nil {
				return nil, false, invalidValue(name, "%v", err)
			}
			if ok {
				canonical = append(canonical, text)
			}
		}
		if name == "project_id" {
			name = "tenant_id"
		}
		if both, again := filter[name]; again { // tenant_id and project_id: both must hold
			canonical = slices.DeleteFunc(canonical, func(v string) bool { return !slices.Contains(both, v) })
		}
		filter[name] = canonical
		possible = possible && len(canonical) > 0
	}
	return filter, possible, nil
}
