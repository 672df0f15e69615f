package northbound

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/store"
)

// The words of the query string of a list that are no filters.
const (
	wordFields  = "fields"
	wordSortKey = "sort_key"
	wordSortDir = "sort_dir"
	wordLimit   = "limit"
	wordMarker  = "marker"
	wordReverse = "page_reverse"
)

var listWords = []string{wordFields, wordSortKey, wordSortDir, wordLimit, wordMarker, wordReverse, wordWatch, wordRevision}

// listing is a list as the query string asks for it.
type listing[E any] struct {
	store.Query
	possible bool // false: no object can match
	visible  table[E]
}

// listing reads the query string of a list.
func (t table[E]) listing(query url.Values, p principal) (l listing[E], err error) {
	l.visible = slices.DeleteFunc(t.visible(p, query[wordFields]), func(a attribute[E]) bool { return a.single })
	if l.Filter, l.possible, err = t.filters(query, p); err != nil {
		return l, err
	}
	if l.Sort, err = t.sorting(query[wordSortKey], query[wordSortDir], p); err != nil {
		return l, err
	}
	if l.Limit, err = readLimit(last(query[wordLimit])); err != nil {
		return l, err
	}
	l.Marker = last(query[wordMarker])
	if reverse := last(query[wordReverse]); reverse != "" {
		var ok bool
		if l.Reverse, ok = truth(reverse); !ok {
			return l, invalidValue(wordReverse, "%s cannot be converted to boolean", show(reverse))
		}
	}
	if l.Reverse {
		l.Limit = min(l.Limit, maxReversed)
	}
	return l, nil
}

// last is the value that counts of a word that is given several times.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// sorting reads what a list is to be sorted by, in Neutron's words.
func (t table[E]) sorting(keys, dirs []string, p principal) ([]store.SortKey, error) {
	if len(keys) != len(dirs) {
		return nil, badRequest("The number of sort_keys and sort_dirs must be same")
	}
	var sort []store.SortKey
	for i, key := range keys {
		a := t.find(key)
		if a == nil || !a.sort || !a.seen.admits(p) {
			return nil, badRequest("['%s'] is invalid attribute for sort_keys", clip(key))
		}
		if dirs[i] != "asc" && dirs[i] != "desc" {
			return nil, badRequest("['%s'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'", clip(dirs[i]))
		}
		if !slices.ContainsFunc(sort, func(k store.SortKey) bool { return k.Attr == key }) {
			sort = append(sort, store.SortKey{Attr: key, Desc: dirs[i] == "desc"})
		}
	}
	return sort, nil
}

// readLimit reads how many objects a page may have; 0: all.
func readLimit(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	const most = 1 << 31 // more than a list has
	if strings.Trim(text, "0123456789") != "" {
		return 0, invalid("BadRequest", "Bad limit request: Limit must be an integer 0 or greater and not '%s'.", clip(text))
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > most {
		n = most
	}
	return int(n), nil
}

// links are the pages beside one whose objects begin with first and end with
// end, as Neutron has them: a full page has both, so that the last one may
// lead to an empty one, which only leads back.
func (l *listing[E]) links(r *http.Request, query url.Values, n int, first, end string) []link {
	if l.Limit == 0 {
		return nil
	}
	page := func(marker string, reverse bool) string {
		q := url.Values{}
		for name, values := range query {
			if name != wordMarker && name != wordReverse {
				q[name] = values
			}
		}
		if marker != "" {
			q.Set(wordMarker, marker)
		}
		if reverse {
			q.Set(wordReverse, "True")
		}
		return endpoint(r) + r.URL.EscapedPath() + "?" + q.Encode()
	}
	var links []link
	if n >= l.Limit || l.Reverse {
		links = append(links, link{"next", page(end, false)})
	}
	if n >= l.Limit || !l.Reverse {
		links = append(links, link{"previous", page(first, true)})
	}
	return links
}

// appendLinks writes the links of a page after its list.
func appendLinks(b []byte, plural string, links []link) []byte {
	if len(links) == 0 {
		return b
	}
	b = append(b, ',')
	b = appendString(b, plural+"_links")
	b = append(b, ":["...)
	for i, l := range links {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"rel":`...)
		b = appendString(b, l.Rel)
		b = append(b, `,"href":`...)
		b = appendString(b, l.Href)
		b = append(b, '}')
	}
	return append(b, ']')
}

// Limits of lists. What is longer than maxHeld is written while it is read
// from the database, and may take as long as it gets on: so much of it must
// come within requestTimeout, and be taken by the client within listIdle.
const (
	maxHeld     = 256 << 10 // bytes
	listIdle    = 10 * time.Second
	maxReversed = 10_000 // objects of a page that is read from its end, and so held whole
)

func (c *collection[E]) serveList(w http.ResponseWriter, r *http.Request, s *server) error {
	p := principalOf(r.Context())
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("Invalid query string: %v", err)
	}
	watch, err := readWatch(r, query)
	if err != nil {
		return err
	}
	if watch {
		return c.serveWatch(w, r, s, query)
	}
	l, err := c.attributes.listing(query, p)
	if err != nil {
		return err
	}
	for _, since := range l.Filter[wordSince] {
		if from, err := strconv.ParseInt(since, 10, 64); c.journal && err == nil {
			if err := reaches(r.Context(), s.store, from); err != nil {
				return err
			}
		}
	}
	if c.within != nil {
		around, err := c.around(r, p)
		if err != nil {
			return err
		}
		l.Filter[c.within.attr] = []string{around}
	}
	if !c.readBy.admits(p) {
		l.possible = false
		if l.Marker != "" {
			return missing(c.kindOf(), l.Marker)
		}
	}
	out := listWriter[E]{w: w, code: http.StatusOK, plural: c.plural, visible: l.visible}
	var first, final string
	n := 0
	if l.possible {
		err = c.each(w, r, p.scope(), l.Query, &out, func(e *E) error {
			n++
			if n == 1 && l.Limit > 0 {
				first = c.attributes.shown(e, c.keyed())
			}
			if n == l.Limit || l.Reverse { // then the next page begins after it
				final = c.attributes.shown(e, c.keyed())
			}
			return out.add(e)
		})
	}
	switch {
	case err == nil:
		out.end(l.links(r, query, n, first, final))
	case out.begun:
		panic(http.ErrAbortHandler) // too late for another answer: cut this one off
	}
	return err
}

// each hands over the objects of a list, as they come from the database if the
// resource can do so.
func (c *collection[E]) each(w http.ResponseWriter, r *http.Request, sc store.Scope, q store.Query, out *listWriter[E], visit func(*E) error) error {
	if c.stream != nil {
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
		defer cancel(nil)
		client := clientOf(r)
		defer context.AfterFunc(client, func() { cancel(context.Cause(client)) })()
		out.bounds = http.NewResponseController(w)
		out.patience = time.AfterFunc(requestTimeout, func() { cancel(context.DeadlineExceeded) })
		defer out.patience.Stop()
		return c.stream(ctx, sc, q, visit)
	}
	all, err := c.list(r.Context(), sc, q)
	for i := range all {
		if err = visit(&all[i]); err != nil {
			break
		}
	}
	return err
}

// listWriter writes a list through a buffer of bounded size. A list that fits
// into it is complete before the answer begins, so that it can still fail.
type listWriter[E any] struct {
	w        http.ResponseWriter
	code     int
	plural   string
	visible  table[E]
	bounds   *http.ResponseController // of a list that may take long; may be nil
	patience *time.Timer              // ends the list when nothing comes

	b     []byte
	some  bool // there was an object
	begun bool // a part has been written
}

func (o *listWriter[E]) add(e *E) error {
	if o.some {
		o.b = append(o.b, ',')
	} else {
		o.open()
		o.some = true
	}
	o.b = o.visible.append(o.b, e)
	if len(o.b) < maxHeld {
		return nil
	}
	return o.flush()
}

func (o *listWriter[E]) open() {
	o.b = append(make([]byte, 0, 4096), '{')
	o.b = appendString(o.b, o.plural)
	o.b = append(o.b, ":["...)
}

func (o *listWriter[E]) flush() error {
	if o.bounds != nil {
		// A writer without deadlines, as in tests, has none to be lifted. That
		// of reading would end the request, too.
		_ = o.bounds.SetWriteDeadline(time.Now().Add(listIdle))
		_ = o.bounds.SetReadDeadline(time.Now().Add(2 * requestTimeout))
	}
	if !o.begun {
		o.begun = true
		o.w.Header().Set("Content-Type", "application/json")
		o.w.WriteHeader(o.code)
	}
	_, err := o.w.Write(o.b)
	o.b = o.b[:0]
	if o.patience != nil {
		o.patience.Reset(requestTimeout)
	}
	return err
}

// end writes what is left, and the links of a page.
func (o *listWriter[E]) end(links []link) {
	if !o.some {
		o.open()
	}
	o.b = append(appendLinks(append(o.b, ']'), o.plural, links), '}')
	_ = o.flush() // a client that has gone away reads no error either
}

// shown is what an object shows as an attribute, as a text: a string without
// its quotes, anything else as JSON.
func (t table[E]) shown(e *E, name string) string {
	a := t.find(name)
	if a == nil {
		return ""
	}
	b := a.write(nil, e)
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return string(b)
	}
	return text
}

// heldList selects from a list that is held in memory by what its objects show.
func (c *collection[E]) heldList(all []E, q store.Query) ([]E, error) {
	shows := map[string]func(*E) string{}
	for _, a := range c.attributes {
		shows[a.name] = func(e *E) string { return c.attributes.shown(e, a.name) }
	}
	return selectFrom(c.kindOf(), all, q, shows[c.keyed()], shows)
}

// heldObject finds an object in a list that is held in memory.
func (c *collection[E]) heldObject(all []E, key string) (e E, err error) {
	for i := range all {
		if c.attributes.shown(&all[i], c.keyed()) == key {
			return all[i], nil
		}
	}
	return e, missing(c.kindOf(), key)
}

// selectFrom selects from a list that is held in memory as the store does from
// tables. shows are the attributes that it may be filtered and sorted by, as
// texts.
func selectFrom[E any](kind store.Kind, all []E, q store.Query, id func(*E) string, shows map[string]func(*E) string) ([]E, error) {
	for name, values := range q.Filter {
		all = slices.DeleteFunc(all, func(e E) bool { return !slices.Contains(values, shows[name](&e)) })
	}
	slices.SortFunc(all, func(a, b E) int {
		for _, k := range q.Sort {
			c := strings.Compare(shows[k.Attr](&a), shows[k.Attr](&b))
			if k.Desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return strings.Compare(id(&a), id(&b))
	})
	if q.Marker != "" {
		at := slices.IndexFunc(all, func(e E) bool { return id(&e) == q.Marker })
		switch {
		case at < 0:
			return nil, missing(kind, q.Marker)
		case q.Reverse:
			all = all[:at]
		default:
			all = all[at+1:]
		}
	}
	switch {
	case q.Limit == 0 || len(all) <= q.Limit:
		return all, nil
	case q.Reverse:
		return all[len(all)-q.Limit:], nil
	}
	return all[:q.Limit], nil
}
