package northbound

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// collection declares a resource: its names, its attributes, who may do what,
// and the functions of the store behind it; a nil function is a verb that the
// resource does not have (405).
type collection[E any] struct {
	single, plural string     // keys in bodies: "security_group", "security_groups"
	path           string     // in URLs: "security-groups"
	also           []string   // further paths of the same
	kind           store.Kind // in errors; empty: single
	within         *within[E] // nil: a collection of its own
	keyAttr        string     // the attribute that URLs name an object by; empty: id
	doc            string     // what it is, for the reference
	attributes     table[E]
	meta           func(*E) *intent.Meta // nil: has no owner
	readBy         audience              // to anybody else the collection is empty
	writeBy        audience              // create, update, delete
	tags           string                // path that its tags are changed under, mostly its own; empty: it has none
	ownerless      bool                  // an object without tenant_id is not the caller's, but the operator's or that of what it is a part of
	public         bool                  // whoever reads sees every object
	coy            bool                  // to change what is another's is 404, not 403, also for who sees it
	silent         bool                  // the change feed does not tell of its objects
	partial        bool                  // other collections have objects of the same kind
	journal        bool                  // objects are only added, each with the feed's revision of its own as id: a watch begins where the caller is, not with all that there is

	// fromStore makes an E of what the store has of an object, a pointer to its
	// own type; nil: that is an E already.
	fromStore func(any) (*E, bool)

	// check ties attributes to each other. It runs on the object with the
	// changes in it; before is nil when it is new.
	check func(before, e *E, given given) error

	// stream hands over what list returns one by one; nil: list does.
	stream func(ctx context.Context, sc store.Scope, q store.Query, visit func(*E) error) error
	// post serves POST in the place of create, with one object and not with a
	// list; postGives is the schema of its answer where that is another than the
	// object.
	post      func(http.ResponseWriter, *http.Request) error
	postGives schema
	// removal chooses by the query string how DELETE removes; nil: remove does.
	removal      func(url.Values) (func(context.Context, store.Scope, string) error, error)
	removalQuery []parameter // that removal reads
	// actions are what a client can do beside the verbs.
	actions []action

	backend[E]
}

// within makes a collection a part of every object of another one: its path
// has the id of that object in it, "qos/policies/{policy_id}/dscp_marking_rules".
type within[E any] struct {
	param  string // in the path: "policy_id"
	single string // what it is a part of: "policy"
	kind   store.Kind
	attr   string           // by which the store filters for it
	id     func(*E) *string // of it in an object
	see    func(ctx context.Context, sc store.Scope, id string) error
}

// action is a route beside the verbs, with what the OpenAPI document says of it.
// Its path is below that of its collection, or below /v2.0 if it has none.
type action struct {
	method, path string
	name         string // in the OpenAPI document; empty: it follows from the path
	serve        func(http.ResponseWriter, *http.Request) error
	doc          string
	query        []parameter
	takes, gives content // bodies; nil: none
	code         int     // of success; 0: 200
}

// resource is a collection of whatever type.
type resource interface {
	names() (single, plural, path string)
	nested() bool // the path has a parameter
	mount(r chi.Router, s *server)
	describe(d *document)
}

func (c *collection[E]) names() (single, plural, path string) { return c.single, c.plural, c.path }

func (c *collection[E]) nested() bool { return c.within != nil }

func (c *collection[E]) mount(r chi.Router, s *server) {
	for _, path := range append([]string{c.path}, c.also...) {
		c.mountAt("/"+path, r, s)
	}
	for _, a := range c.tagActions() {
		r.Method(a.method, a.path, s.handle(a.serve))
	}
	for _, a := range c.actions {
		r.Method(a.method, "/"+c.path+a.path, s.handle(a.serve))
	}
}

func (c *collection[E]) mountAt(path string, r chi.Router, s *server) {
	r.Get(path, s.handle(func(w http.ResponseWriter, r *http.Request) error { return c.serveList(w, r, s) }))
	if c.get != nil {
		r.Get(path+"/{id}", s.handle(c.serveShow))
	}
	if c.create != nil {
		r.Post(path, s.handle(c.serveCreate))
	}
	if c.post != nil {
		r.Post(path, s.handle(c.post))
	}
	if c.update != nil {
		r.Put(path+"/{id}", s.handle(c.serveUpdate))
	}
	if c.remove != nil {
		r.Delete(path+"/{id}", s.handle(c.serveDelete))
	}
}

func (c *collection[E]) serveShow(w http.ResponseWriter, r *http.Request) error {
	p := principalOf(r.Context())
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("Invalid query string: %v", err)
	}
	e, err := c.seek(r, p)
	if err != nil {
		return err
	}
	c.answer(w, http.StatusOK, c.attributes.visible(p, query["fields"]), &e)
	return nil
}

// seek finds the object that a URL names, if the caller may see it.
func (c *collection[E]) seek(r *http.Request, p principal) (e E, err error) {
	key, err := c.key(p, chi.URLParam(r, "id"))
	if err != nil {
		return e, err
	}
	return c.fetch(r, p, key)
}

// fetch returns an object, if it lies where the URL says.
func (c *collection[E]) fetch(r *http.Request, p principal, key string) (e E, err error) {
	around, err := c.around(r, p)
	if err != nil {
		return e, err
	}
	if e, err = c.get(r.Context(), p.scope(), key); err != nil {
		return e, err
	}
	return e, c.lies(&e, around, key)
}

// around is the object that a URL names before the collection, which the
// caller must see; empty: there is none.
func (c *collection[E]) around(r *http.Request, p principal) (string, error) {
	if c.within == nil {
		return "", nil
	}
	name := chi.URLParam(r, c.within.param)
	canonical, err := readUUID(name)
	if err != nil {
		return "", missing(c.within.kind, name)
	}
	return canonical, c.within.see(r.Context(), p.scope(), canonical)
}

// lies refuses an object that lies elsewhere than the URL says.
func (c *collection[E]) lies(e *E, around, key string) error {
	if around == "" || *c.within.id(e) == around {
		return nil
	}
	return missing(c.kindOf(), key)
}

// keyed is the attribute that names an object.
func (c *collection[E]) keyed() string {
	if c.keyAttr == "" {
		return "id"
	}
	return c.keyAttr
}

func (c *collection[E]) kindOf() store.Kind {
	if c.kind == "" {
		return store.Kind(c.single)
	}
	return c.kind
}

// rule is the name of the policy rule for a verb.
func (c *collection[E]) rule(verb string) string {
	if c.within == nil {
		return verb + "_" + c.single
	}
	return verb + "_" + c.within.single + "_" + c.single
}

// key turns the last part of a URL into an id. What cannot be an id is 404
// rather than 400: clients try names there first.
func (c *collection[E]) key(p principal, name string) (string, error) {
	// The router matches the escaped path if there are escapes in it.
	plain, err := url.PathUnescape(name)
	if err != nil || !c.readBy.admits(p) || !storable(plain) {
		return "", missing(c.kindOf(), name)
	}
	canonical, possible, err := c.attributes.find(c.keyed()).toText(plain)
	if err != nil || !possible {
		return "", missing(c.kindOf(), plain)
	}
	return canonical, nil
}

func (c *collection[E]) serveCreate(w http.ResponseWriter, r *http.Request) error {
	p := principalOf(r.Context())
	text, err := readText(r)
	if err != nil {
		return err
	}
	bodies, bulk, err := c.postBodies(text)
	if err != nil {
		return err
	}
	made, err := c.newObjects(bodies, p)
	if err != nil {
		return err
	}
	if c.within != nil {
		around, err := c.around(r, p)
		if err != nil {
			return err
		}
		for i := range made {
			*c.within.id(&made[i]) = around
		}
	}
	made, err = c.create(r.Context(), p.scope(), made)
	if err != nil {
		return c.denied(err, "create")
	}
	visible := c.attributes.visible(p, nil)
	if bulk {
		c.answerAll(w, http.StatusCreated, visible, made)
	} else {
		c.answer(w, http.StatusCreated, visible, &made[0])
	}
	return nil
}

// newObjects checks the bodies of a POST and makes objects of them: all that
// can be said without looking into the database.
func (c *collection[E]) newObjects(bodies []object, p principal) ([]E, error) {
	made, named := make([]E, len(bodies)), make([]given, len(bodies))
	var denied string
	for i, body := range bodies {
		e := &made[i]
		owner, err := c.owner(body, p)
		if err != nil {
			return nil, err
		}
		ch, err := c.attributes.parsePost(body, p)
		if err != nil {
			return nil, err
		}
		if ch.onlyFor != "" && denied == "" {
			denied = ":" + ch.onlyFor
		}
		c.attributes.presets(e)
		ch.to(e)
		if c.meta != nil {
			c.meta(e).TenantID = owner
		}
		named[i] = ch.given
	}
	if !p.writer || !c.writeBy.admits(p) {
		return nil, forbidden(c.rule("create"))
	}
	if denied != "" {
		return nil, forbidden(c.rule("create") + denied)
	}
	// Attributes against each other only for who may give them, as in Neutron.
	for i := range made {
		if c.check != nil {
			if err := c.check(nil, &made[i], named[i]); err != nil {
				return nil, err
			}
		}
	}
	return made, nil
}

// owner settles whose a new object is.
func (c *collection[E]) owner(body object, p principal) (string, error) {
	owner := p.tenantID
	if c.ownerless {
		owner = ""
	}
	tenant, hasTenant := body.get("tenant_id")
	project, hasProject := body.get("project_id")
	if !hasTenant && !hasProject {
		return owner, nil
	}
	if !hasTenant {
		tenant = project
	}
	id, ok := tenant.(string)
	if !ok {
		return owner, nil // the attribute's own type refuses it
	}
	if other, ok := project.(string); hasProject && ok && other != id {
		return "", badRequest("'project_id' and 'tenant_id' do not match")
	}
	if id != p.tenantID && !p.admin {
		return "", badRequest("Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges")
	}
	return id, nil
}

func (c *collection[E]) serveUpdate(w http.ResponseWriter, r *http.Request) error {
	p := principalOf(r.Context())
	text, err := readText(r)
	if err != nil {
		return err
	}
	body, err := c.putBody(text)
	if err != nil {
		return err
	}
	ch, err := c.attributes.parsePut(body, p)
	if err != nil {
		return err
	}
	key, err := c.key(p, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	if rule := c.refusal(p, "update", ch.onlyFor); rule != "" {
		return c.refuse(r, p, key, rule)
	}
	around, err := c.around(r, p)
	if err != nil {
		return err
	}
	e, err := c.update(conditional(r, key), p.scope(), key, func(e *E) error {
		if err := c.lies(e, around, key); err != nil {
			return err
		}
		before := *e
		ch.to(e)
		if c.check == nil {
			return nil
		}
		return c.check(&before, e, ch.given)
	})
	if err != nil {
		return c.denied(err, "update")
	}
	c.answer(w, http.StatusOK, c.attributes.visible(p, nil), &e)
	return nil
}

func (c *collection[E]) serveDelete(w http.ResponseWriter, r *http.Request) error {
	p := principalOf(r.Context())
	remove := c.remove
	if c.removal != nil {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return badRequest("Invalid query string: %v", err)
		}
		if remove, err = c.removal(query); err != nil {
			return err
		}
	}
	key, err := c.key(p, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	if rule := c.refusal(p, "delete", ""); rule != "" {
		return c.refuse(r, p, key, rule)
	}
	if c.within != nil { // once and for all: an object does not move
		if _, err := c.fetch(r, p, key); err != nil {
			return err
		}
	}
	if err := remove(conditional(r, key), p.scope(), key); err != nil {
		return c.denied(err, "delete")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// denied names the rule by which the store refused a verb.
func (c *collection[E]) denied(err error, verb string) error {
	var denied *store.Denied
	if errors.As(err, &denied) && denied.Rule == "" {
		if c.coy {
			return &apiError{http.StatusNotFound, "HTTPNotFound", "The resource could not be found."}
		}
		return forbidden(c.rule(verb))
	}
	return err
}

// refusal names the rule by which p may not do verb; empty: p may.
func (c *collection[E]) refusal(p principal, verb, attr string) string {
	rule := c.rule(verb)
	switch {
	case !p.writer || !c.writeBy.admits(p):
		return rule
	case attr != "":
		return rule + ":" + attr
	}
	return ""
}

// refuse answers 403 for an object that p sees and 404 for any other.
func (c *collection[E]) refuse(r *http.Request, p principal, key, rule string) error {
	if _, err := c.fetch(r, p, key); err != nil {
		return err
	}
	return forbidden(rule)
}

// postBodies takes the text of a POST apart: one object, or a list of them.
func (c *collection[E]) postBodies(text []byte) (bodies []object, bulk bool, err error) {
	root, err := parseRoot(text)
	if err != nil {
		return nil, false, err
	}
	value, bulk := root.get(c.plural)
	if !bulk {
		body, err := c.unwrap(root, len(text))
		return []object{body}, false, err
	}
	if err := alone(root, c.plural); err != nil {
		return nil, false, err
	}
	items, ok := value.([]any)
	switch {
	case !ok:
		return nil, false, badRequest("Body contains invalid data: '%s' is not a list", c.plural)
	case len(items) == 0:
		return nil, false, badRequest("Resources required: '%s' is empty", c.plural)
	case len(items) > maxBulk:
		return nil, false, badRequest("'%s' has %d entries; at most %d are taken at once", c.plural, len(items), maxBulk)
	}
	for i, item := range items {
		body, ok := item.(object)
		if !ok {
			return nil, false, badRequest("Body contains invalid data: entry %d of '%s' is not an object", i, c.plural)
		}
		// Some clients name each entry, {"ports": [{"port": {…}}]}, and Neutron lets them.
		if inner, named := body.get(c.single); named && len(body) == 1 {
			if body, ok = inner.(object); !ok {
				return nil, false, badRequest("Body contains invalid data: '%s' in entry %d of '%s' is not an object", c.single, i, c.plural)
			}
		}
		bodies = append(bodies, body)
	}
	return bodies, true, nil
}

// putBody takes the text of a PUT apart.
func (c *collection[E]) putBody(text []byte) (object, error) {
	root, err := parseRoot(text)
	if err != nil {
		return nil, err
	}
	return c.unwrap(root, len(text))
}

func (c *collection[E]) unwrap(root object, size int) (object, error) {
	value, ok := root.get(c.single)
	if !ok {
		return nil, badRequest("Unable to find '%s' in request body", c.single)
	}
	if err := alone(root, c.single); err != nil {
		return nil, err
	}
	body, ok := value.(object)
	if !ok {
		return nil, badRequest("Body contains invalid data: '%s' is not an object", c.single)
	}
	if size > maxSingleBody {
		return nil, errTooLarge
	}
	return body, nil
}

func alone(root object, key string) error {
	for _, m := range root {
		if m.key != key {
			return badRequest("Body contains invalid data: unexpected key '%s' beside '%s'", clip(m.key), key)
		}
	}
	return nil
}

// readText reads the body of a request whole.
func readText(r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBulkBody+1))
	switch {
	case err != nil:
		return nil, badRequest("The body could not be read: it ended early or came too slowly")
	case len(text) > maxBulkBody:
		return nil, errTooLarge
	}
	return text, nil
}

func parseRoot(text []byte) (object, error) {
	if len(text) == 0 {
		return nil, badRequest("Resource body required")
	}
	value, err := parseJSON(text)
	if err != nil {
		return nil, badRequest("Body contains invalid data: %v", err)
	}
	root, ok := value.(object)
	if !ok {
		return nil, badRequest("Body contains invalid data: it is not an object")
	}
	return root, nil
}

func (c *collection[E]) answer(w http.ResponseWriter, code int, visible table[E], e *E) {
	b := make([]byte, 0, 1024)
	b = append(b, '{')
	b = appendString(b, c.single)
	b = append(b, ':')
	b = visible.append(b, e)
	writeJSON(w, code, append(b, '}'))
}

// answerAll writes a list that is held whole.
func (c *collection[E]) answerAll(w http.ResponseWriter, code int, visible table[E], all []E) {
	out := listWriter[E]{w: w, code: code, plural: c.plural, visible: visible}
	for i := range all {
		if out.add(&all[i]) != nil {
			return // the client has gone away
		}
	}
	out.end(nil)
}
