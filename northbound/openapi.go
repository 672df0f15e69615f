package northbound

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// document is the OpenAPI document as it is put together from the declarations
// of resources and actions.
type document struct {
	paths   map[string]map[string]any // by path and method
	schemas map[string]schema
	// sections are the same for people, by tag.
	sections []*section
}

// parameter is a word of the query string.
type parameter struct {
	name, doc string
	value     schema
	many      bool // may be repeated
}

// content is a body by its media type.
type content map[string]schema

// asJSON is a body of JSON.
func asJSON(s schema) content { return content{"application/json": s} }

// under is an object with one key, as nearly all bodies are.
func under(key string, s schema) schema { return objectOf(map[string]schema{key: s}) }

func ref(name string) schema { return schema{"$ref": "#/components/schemas/" + name} }

// collect asks all declarations for what they say.
func (s *server) collect() *document {
	d := &document{paths: map[string]map[string]any{}, schemas: map[string]schema{
		"neutron_error": under("NeutronError", objectOf(map[string]schema{
			"type": matching(`^[A-Za-z]+$`), "message": {"type": "string"}, "detail": {"type": "string"},
		})),
		"unauthorized": under("error", objectOf(map[string]schema{
			"code": {"type": "integer", "const": http.StatusUnauthorized}, "title": {"type": "string"}, "message": {"type": "string"},
		})),
		"problem": objectOf(map[string]schema{
			"type": matching("^urn:macloom:error:[A-Za-z]+$"), "title": {"type": "string"}, "status": between(400, 599), "detail": {"type": "string"},
			"instance?": {"type": "string", "format": "uri"},
		}).with(schema{"description": "RFC 9457; for who asks for it by `Accept`."}),
	}}
	d.tag("service", "What the server says of itself.")
	for _, a := range s.open() {
		d.action("", "service", a, false)
	}
	for _, r := range s.resources {
		r.describe(d)
	}
	for _, g := range s.groups() {
		d.tag(g.name, g.doc)
		for _, a := range g.actions {
			d.action("/v2.0", g.name, a, true)
		}
	}
	projects := s.projectActions()
	d.tag(projects.name, projects.doc)
	for _, a := range projects.actions {
		d.action("", projects.name, a, true)
	}
	return d
}

// openAPI writes the document of the whole API.
func (s *server) openAPI() ([]byte, error) {
	d := s.collect()
	tags := make([]map[string]any, len(d.sections))
	for i, chapter := range d.sections {
		tags[i] = map[string]any{"name": chapter.Name, "description": chapter.Doc}
	}
	return json.Marshal(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "macloom", "version": "2.0",
			"description": "The OpenStack Networking API (Neutron v2.0), and macloom's own resources in the same style. " +
				"Where a schema has a number or a boolean, the text of it is taken in a body too (`\"1450\"`, `\"True\"`), and MAC addresses in any usual notation; integers are written without fraction and exponent. " +
				"A body that is sent to change an object holds only what is to change.",
		},
		"servers":    []any{map[string]any{"url": "/"}},
		"tags":       tags,
		"paths":      d.paths,
		"components": map[string]any{"schemas": d.schemas, "responses": commonAnswers, "parameters": commonParameters, "securitySchemes": securitySchemes},
	})
}

var securitySchemes = map[string]any{
	"token":  map[string]any{"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
	"bearer": map[string]any{"type": "http", "scheme": "bearer"},
}

var commonAnswers = map[string]any{
	"error": map[string]any{
		"description": "A refusal, with the name of the fault and what would be right.", "content": inContent(content{"application/json": ref("neutron_error"), problemType: ref("problem")}),
	},
	"unauthorized": map[string]any{
		"description": "No token, or one that is not valid.", "content": inContent(content{"application/json": ref("unauthorized"), problemType: ref("problem")}),
	},
}

var commonParameters = map[string]any{
	wordFields:   parameter{wordFields, "Cuts the objects of the answer to these attributes.", nil, true}.entry(),
	wordSortDir:  parameter{wordSortDir, "The direction of each `sort_key`.", chosen("string", "asc", "desc"), true}.entry(),
	wordLimit:    parameter{wordLimit, "At most so many; 0: all.", whole, false}.entry(),
	wordMarker:   parameter{wordMarker, "The `id` of the object after which the page begins.", nil, false}.entry(),
	wordReverse:  parameter{wordReverse, "The page that ends before `marker`.", boolean.shows, false}.entry(),
	wordWatch:    parameter{wordWatch, "Whether the answer is a stream of events, which tells the objects of the list and then every change of them (of `events`: what comes from now on). It is one, too, if only `text/event-stream` is accepted.", boolean.shows, false}.entry(),
	wordRevision: parameter{wordRevision, "The revision of the change feed after which a watch begins; without it, it begins with the objects that there are.", whole, false}.entry(),
	headerLastID: map[string]any{
		"name": headerLastID, "in": "header", "schema": whole,
		"description": "The `id` of the last event of a watch that was cut off; it counts for more than `revision` and `since`.",
	},
	keyHeader: map[string]any{
		"name": keyHeader, "in": "header", "schema": schema{"type": "string", "minLength": 1, "maxLength": maxKey, "pattern": "^[ -~]*$"},
		"description": "A text that the client has not used yet: sent again with the same key and the same content, the request is not done again but answered as the first time, with `Idempotent-Replayed: true`, for 24 hours. Another content is 422; 409 while the first is being served.",
	},
	headerIfMatch: map[string]any{
		"name": headerIfMatch, "in": "header", "schema": matching("^revision_number=[0-9]+$"),
		"description": "Only if the object still has this revision; else the answer is 412. Other conditions are ignored.",
	},
}

func commonParameter(name string) any {
	return map[string]any{"$ref": "#/components/parameters/" + name}
}

func (d *document) tag(name, doc string) {
	d.sections = append(d.sections, &section{Name: name, Doc: doc})
}

// entry is a parameter in the form of the document.
func (p parameter) entry() map[string]any {
	value := p.value
	if value == nil {
		value = schema{"type": "string"}
	}
	if p.many {
		value = arrayOf(value, 0)
	}
	return map[string]any{"name": p.name, "in": "query", "description": p.doc, "schema": value}
}

func inContent(c content) map[string]any {
	media := map[string]any{}
	for kind, s := range c {
		media[kind] = map[string]any{"schema": s}
	}
	return media
}

var pathParameter = regexp.MustCompile(`\{([^}]+)\}`)

// operation is what the document says of one method of one path.
type operation struct {
	id, tag, doc string
	parameters   []any
	query        []parameter // words of the query string that are only its own
	takes, gives content
	code         int
	withToken    bool
}

func (d *document) add(method, path string, o operation) {
	d.list(o.tag, routeEntry{method, path, o.doc, o.query})
	if method == http.MethodPost && path != "/v2.0"+importPath {
		o.parameters = append(o.parameters, commonParameter(keyHeader))
	}
	for _, p := range o.query {
		o.parameters = append(o.parameters, p.entry())
	}
	for _, name := range pathParameter.FindAllStringSubmatch(path, -1) {
		o.parameters = append(o.parameters, map[string]any{"name": name[1], "in": "path", "required": true, "schema": schema{"type": "string"}})
	}
	success := map[string]any{"description": http.StatusText(o.code)}
	if o.gives != nil {
		success["content"] = inContent(o.gives)
	}
	answers := map[string]any{strconv.Itoa(o.code): success, "default": map[string]any{"$ref": "#/components/responses/error"}}
	entry := map[string]any{"operationId": o.id, "tags": []string{o.tag}, "description": o.doc, "responses": answers}
	if o.withToken {
		answers["401"] = map[string]any{"$ref": "#/components/responses/unauthorized"}
		entry["security"] = []any{map[string]any{"token": []any{}}, map[string]any{"bearer": []any{}}}
	}
	if len(o.parameters) > 0 {
		entry["parameters"] = o.parameters
	}
	if o.takes != nil {
		entry["requestBody"] = map[string]any{"required": true, "content": inContent(o.takes)}
	}
	if d.paths[path] == nil {
		d.paths[path] = map[string]any{}
	}
	d.paths[path][strings.ToLower(method)] = entry
}

// list adds a route to the chapter of its tag.
func (d *document) list(tag string, r routeEntry) {
	for _, chapter := range d.sections {
		if chapter.Name == tag {
			chapter.Routes = append(chapter.Routes, r)
		}
	}
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// action describes a route of its own.
func (d *document) action(below, tag string, a action, withToken bool) {
	o := operation{
		id: strings.ToLower(a.method) + strings.TrimRight(notInName.ReplaceAllString(below+a.path, "_"), "_"), tag: tag, doc: a.doc,
		takes: a.takes, gives: a.gives, code: a.code, withToken: withToken, query: a.query,
	}
	if a.name != "" {
		o.id = a.name
	}
	if o.code == 0 {
		o.code = http.StatusOK
	}
	d.add(a.method, below+a.path, o)
}

// describe adds a collection to the document: schemas of its objects as they
// are shown, made and changed, and its verbs.
func (c *collection[E]) describe(d *document) {
	tag := c.plural
	d.tag(tag, c.doc+c.forWhom())
	chapter := d.sections[len(d.sections)-1]
	for i := range c.attributes {
		chapter.Attributes = append(chapter.Attributes, c.attributes[i].row())
	}
	shown, whole := c.attributes.shownSchema()
	d.schemas[c.single] = shown
	d.schemas[c.single+"_whole"] = schema{"allOf": []schema{ref(c.single)}, "required": whole}
	path := "/v2.0/" + c.path
	list := operation{
		id: "list_" + c.plural, tag: tag, parameters: c.attributes.listParameters(),
		gives: asJSON(objectOf(map[string]schema{c.plural: arrayOf(ref(c.single), 0), c.plural + "_links?": linksSchema})), code: http.StatusOK, withToken: true,
	}
	if !c.silent {
		told := "events `create`, `update` and `delete` with an object"
		list.parameters = append(list.parameters, commonParameter(wordWatch), commonParameter(headerLastID))
		if c.journal {
			told = "an event `create` with each object"
		} else {
			list.parameters = append(list.parameters, commonParameter(wordRevision))
		}
		list.gives[eventStream] = schema{"type": "string", "description": "With `watch=true`, or if nothing else is accepted: " + told + ", `bookmark` with a revision, and `error`."}
	}
	d.add(http.MethodGet, path, list)
	if c.get != nil {
		d.add(http.MethodGet, path+"/{id}", operation{
			id: "show_" + c.single, tag: tag, parameters: []any{commonParameter(wordFields)},
			gives: asJSON(under(c.single, ref(c.single))), code: http.StatusOK, withToken: true,
		})
	}
	one := under(c.single, ref(c.single+"_whole"))
	if c.create != nil || c.post != nil {
		body := ref(c.single + "_new")
		d.schemas[c.single+"_new"] = c.attributes.bodySchema(true)
		takes, gives := under(c.single, body).closed(), one
		if c.post == nil {
			bulk := arrayOf(body, maxBulk).with(schema{"minItems": 1})
			takes = anyOf(takes, under(c.plural, bulk).closed())
			gives = anyOf(gives, under(c.plural, arrayOf(ref(c.single+"_whole"), 0)))
		}
		if c.postGives != nil {
			gives = c.postGives
		}
		d.add(http.MethodPost, path, operation{id: "create_" + c.single, tag: tag, takes: asJSON(takes), gives: asJSON(gives), code: http.StatusCreated, withToken: true})
	}
	if c.update != nil {
		d.schemas[c.single+"_change"] = c.attributes.bodySchema(false)
		d.add(http.MethodPut, path+"/{id}", operation{
			id: "update_" + c.single, tag: tag, parameters: c.attributes.conditions(), takes: asJSON(under(c.single, ref(c.single+"_change")).closed()), gives: asJSON(one), code: http.StatusOK, withToken: true,
		})
	}
	if c.remove != nil {
		d.add(http.MethodDelete, path+"/{id}", operation{
			id: "delete_" + c.single, tag: tag, parameters: c.attributes.conditions(), query: c.removalQuery, code: http.StatusNoContent, withToken: true,
		})
	}
	for _, a := range c.actions {
		d.action(path, tag, a, true)
	}
	for _, a := range c.tagActions() {
		d.action("/v2.0", tag, a, true)
	}
	for i, also := range c.also {
		for _, end := range []string{"", "/{id}"} {
			d.same(path+end, "/v2.0/"+also+end, "_"+strconv.Itoa(i+2))
		}
	}
}

// same adds another path of the same operations.
func (d *document) same(path, also, suffix string) {
	d.paths[also] = map[string]any{}
	for _, method := range slices.Sorted(maps.Keys(d.paths[path])) {
		entry := d.paths[path][method]
		copied := maps.Clone(entry.(map[string]any))
		d.list(copied["tags"].([]string)[0], routeEntry{strings.ToUpper(method), also, "The same as `" + path + "`.", nil})
		copied["operationId"] = fmt.Sprint(copied["operationId"], suffix)
		d.paths[also][method] = copied
	}
}

// forWhom says who may use a collection.
func (c *collection[E]) forWhom() string {
	switch {
	case c.readBy == admins:
		return " For administrators only."
	case c.writeBy == admins:
		return " Only administrators write."
	}
	return ""
}

// shownSchema is the schema of an object in an answer, and the attributes that
// everybody sees in a whole one.
func (t table[E]) shownSchema() (shown schema, whole []string) {
	properties := map[string]schema{}
	for _, a := range t {
		if a.seen == nobody {
			continue
		}
		doc := a.doc
		if a.seen == admins {
			doc = strings.TrimSpace(doc + " Shown to administrators.")
		} else {
			whole = append(whole, a.name)
		}
		properties[a.name] = described(a.shows, doc)
	}
	slices.Sort(whole)
	return schema{"type": "object", "properties": properties}, whole
}

// bodySchema is the schema of an object in a body: of POST if it is new, else
// of PUT.
func (t table[E]) bodySchema(isNew bool) schema {
	properties := map[string]schema{}
	for _, a := range t {
		may, must, by := a.put, false, a.byPut
		if isNew {
			may, must, by = a.post != never, a.post == required, a.byPost
		}
		if !may {
			continue
		}
		doc := a.doc
		if by == admins {
			doc = strings.TrimSpace(doc + " Only administrators may give it.")
		}
		s := described(a.takes, doc)
		if isNew && a.def != "" {
			s = s.with(schema{"default": json.RawMessage(a.def)})
		}
		name := a.name
		if !must {
			name += "?"
		}
		properties[name] = s
	}
	return objectOf(properties).closed()
}

// described adds a description to a schema.
func described(s schema, doc string) schema {
	if doc == "" {
		return s
	}
	return s.with(schema{"description": doc})
}

// conditions are what a change of an object may hang on.
func (t table[E]) conditions() []any {
	if t.find("revision_number") == nil {
		return nil
	}
	return []any{commonParameter(headerIfMatch)}
}

func (t table[E]) listParameters() []any {
	all := []any{commonParameter(wordFields), commonParameter(wordSortDir), commonParameter(wordLimit), commonParameter(wordMarker), commonParameter(wordReverse)}
	var sorts []string
	for _, a := range t {
		if a.sort {
			sorts = append(sorts, a.name)
		}
		if a.toText != nil {
			doc := a.doc
			if a.seen != nobody {
				doc = fmt.Sprintf("Only those with this `%s`; any of them, if it is repeated.", a.name)
			}
			all = append(all, parameter{a.name, doc, nil, true}.entry())
		}
	}
	if len(sorts) > 0 {
		all = append(all, parameter{wordSortKey, "Sorts by these attributes, the first before the next.", chosen("string", sorts...), true}.entry())
	}
	return all
}

// group is a set of actions that belong to no collection.
type group struct {
	name, doc string
	actions   []action
}

// serveOpenAPI answers GET /openapi.json.
func (s *server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	text, err := s.document()
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, text)
	return nil
}
