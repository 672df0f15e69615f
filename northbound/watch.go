package northbound

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/store"
)

// The words by which the query string of a list asks for a watch, and the
// header by which one is resumed.
const (
	wordWatch    = "watch"
	wordRevision = "revision"
	wordSince    = "since" // the same of a journal, of which a list takes it, too
	headerLastID = "Last-Event-ID"

	eventStream = "text/event-stream"
)

// Watches bound the watches of a server; what is 0 has a default.
type Watches struct {
	Most      int           // at a time
	PerCaller int           // at a time, of one user of one tenant
	Buffer    int           // changes that may wait for a client before it is cut off
	KeepAlive time.Duration // between signs of life, at each of which the caller is checked
}

// Defaults of Watches, and bounds of a stream.
const (
	defaultWatches    = 4096
	defaultPerCaller  = 1024
	defaultBuffer     = 4096
	defaultKeepAlive  = 15 * time.Second
	watchBatch        = 1000      // changes that are read at once to catch up
	watchPage         = 500       // objects of the state at the beginning that are read at once
	watchChunk        = 256 << 10 // bytes that are written at once
	watchRetry        = time.Second
	watchWriteTimeout = 10 * time.Second
)

var (
	errWatchMany = &apiError{http.StatusTooManyRequests, "TooManyWatches", "Too many watches of this caller are open."}
	errWatchFull = &apiError{http.StatusServiceUnavailable, "TooManyWatches", "Too many watches are open."}
	errTooOld    = &apiError{http.StatusGone, "RevisionTooOld", "The changes after this revision are not kept any more; list or watch anew, without a revision."}
	errTooNew    = &apiError{http.StatusGone, "RevisionTooOld", "There has been no such revision; list or watch anew, without a revision."}
	errUnshared  = &apiError{http.StatusGone, "RevisionTooOld", "Objects of other tenants have changed, and whether they were visible is not known; list or watch anew, without a revision."}
	errSlow      = &apiError{http.StatusServiceUnavailable, "WatchTooSlow", "More changes wait than are kept for one client; go on from the last revision."}
	errRights    = &apiError{http.StatusForbidden, "PolicyNotAuthorized", "The rights of the token have changed; watch anew."}
	errClosing   = &apiError{http.StatusServiceUnavailable, "ServiceUnavailable", "The server ends; go on from the last revision."}
)

// readWatch says whether a list is asked for as a stream of events: in so many
// words, or by a client that takes nothing else.
func readWatch(r *http.Request, query url.Values) (bool, error) {
	text := last(query[wordWatch])
	on, ok := truth(text)
	switch {
	case !ok && query.Has(wordWatch):
		return false, invalidValue(wordWatch, "%s cannot be converted to boolean", show(text))
	case !ok:
		accept := r.Header.Get("Accept")
		on = strings.Contains(accept, eventStream) && !strings.Contains(accept, "json") && !strings.Contains(accept, "*")
	}
	switch {
	case !on && query.Has(wordRevision):
		return false, badRequest("%s is for a watch; give watch=true with it", wordRevision)
	}
	return on, nil
}

// takesEvents says whether a client that takes no JSON takes what it asks for.
func takesEvents(r *http.Request) bool {
	if !strings.Contains(r.Header.Get("Accept"), eventStream) {
		return false
	}
	on, err := readWatch(r, r.URL.Query())
	return on && err == nil
}

// watching is a watch as a request asks for it.
type watching struct {
	*view
	single string
	key    string                                                  // attribute that names an object
	owned  bool                                                    // objects tell whose they are
	empty  bool                                                    // there is nothing in it, and never will be
	filter bool                                                    // not all of the kind that the caller sees are in it
	state  func(ctx context.Context, visit func(seen) error) error // hands over all objects of the view
}

// seen is an object of a view.
type seen struct {
	id, tenant string
	object     []byte
}

// watchWords are the words of a list that a watch does not take.
var watchWords = []string{wordSortKey, wordSortDir, wordLimit, wordMarker, wordReverse}

// watching reads the query string of a watch.
func (c *collection[E]) watching(r *http.Request, p principal, query url.Values) (*watching, error) {
	if c.silent {
		return nil, badRequest("%s cannot be watched: the change feed does not tell of them", c.plural)
	}
	for _, word := range watchWords {
		if query.Has(word) {
			return nil, badRequest("%s does not go with watch: a watch has all objects, in the order of their changes", word)
		}
	}
	if c.journal {
		query = maps.Clone(query)
		delete(query, wordSince) // where it begins, and no filter
	}
	l, err := c.attributes.listing(query, p)
	if err != nil {
		return nil, err
	}
	if c.within != nil {
		around, err := c.around(r, p)
		if err != nil {
			return nil, err
		}
		l.Filter[c.within.attr] = []string{around}
	}
	l.possible = l.possible && c.readBy.admits(p)
	sc := p.scope()
	list := func(ctx context.Context, q store.Query) ([]E, error) {
		if !l.possible {
			return nil, nil
		}
		return c.list(ctx, sc, q)
	}
	name := []string{c.path, strconv.FormatBool(p.admin)}
	if !p.admin {
		name = append(name, p.tenantID)
	}
	words := maps.Clone(query)
	delete(words, wordWatch)
	delete(words, wordRevision)
	w := &watching{
		view: &view{
			name: strings.Join(append(name, r.URL.EscapedPath(), words.Encode()), "\n"), kind: c.kindOf(), scope: sc, every: p.admin || c.public,
		},
		single: c.single, key: c.keyed(), owned: c.attributes.find("tenant_id") != nil, empty: !l.possible, filter: !c.journal && (len(l.Filter) > 0 || c.partial),
	}
	w.read = func(ctx context.Context, ids []string) (map[string][]byte, error) {
		q := store.Query{Filter: maps.Clone(l.Filter)}
		if own, both := l.Filter[c.keyed()]; both {
			ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !slices.Contains(own, id) })
		}
		if len(ids) == 0 {
			return nil, nil
		}
		q.Filter[c.keyed()] = ids
		all, err := list(ctx, q)
		objects := make(map[string][]byte, len(all))
		for i := range all {
			objects[c.attributes.shown(&all[i], c.keyed())] = l.visible.append(nil, &all[i])
		}
		return objects, err
	}
	w.state = func(ctx context.Context, visit func(seen) error) error {
		q := store.Query{Filter: l.Filter, Limit: watchPage}
		for {
			q.Filter = maps.Clone(l.Filter)
			all, err := list(ctx, q)
			if err != nil {
				return err
			}
			for i := range all {
				s := seen{id: c.attributes.shown(&all[i], c.keyed()), object: l.visible.append(nil, &all[i])}
				if w.owned {
					s.tenant = c.attributes.shown(&all[i], "tenant_id")
				}
				if err := visit(s); err != nil {
					return err
				}
				q.Marker = s.id
			}
			if len(all) < watchPage {
				return nil
			}
		}
	}
	// Some lists make what everybody has when they are first asked for; that of
	// a moment could not.
	_, err = list(r.Context(), store.Query{Filter: maps.Clone(l.Filter), Limit: 1})
	return w, err
}

// serveWatch answers a list by a stream of its changes.
func (c *collection[E]) serveWatch(w http.ResponseWriter, r *http.Request, s *server, query url.Values) error {
	p := principalOf(r.Context())
	word := wordRevision
	if c.journal && query.Has(wordSince) {
		word = wordSince
	}
	from, resumed, err := resumeFrom(r, query, word)
	if err != nil {
		return err
	}
	if err := s.watches.enter(p); err != nil {
		if errors.Is(err, errWatchMany) {
			w.Header().Set("Retry-After", "10")
		}
		return err
	}
	defer s.watches.exit(p)
	of, err := c.watching(r, p, query)
	if err != nil {
		return err
	}
	switch {
	case resumed:
		if err := reaches(r.Context(), s.store, from); err != nil {
			return err
		}
	case c.journal:
		if _, from, err = s.store.Reach(r.Context()); err != nil {
			return err
		}
		resumed = true
	}
	// It lasts as long as its client stays and the server runs.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(nil)
	client := clientOf(r)
	defer context.AfterFunc(client, func() { cancel(context.Cause(client)) })()
	if closing, ok := client.Value(closingKey{}).(context.Context); ok {
		defer context.AfterFunc(closing, func() { cancel(errClosing) })()
	}
	if rec := recordOf(ctx); rec != nil {
		rec.lasting = true
	}
	x := &watcher{
		watches: s.watches, watching: of, caller: p, r: r.WithContext(ctx), at: from,
		sub: &subscription{view: of.view, wake: make(chan struct{}, 1)},
		out: w, bounds: http.NewResponseController(w),
	}
	defer s.watches.hub.leave(x.sub)
	err = x.run(ctx, resumed)
	if refusal := x.why(ctx, err); refusal != nil {
		x.cuts.WithLabelValues(refusal.kind).Inc()
		x.fail(refusal)
	}
	return nil
}

// reaches refuses to go on from a revision from which the feed does not reach.
func reaches(ctx context.Context, st *store.Store, from int64) error {
	first, last, err := st.Reach(ctx)
	switch {
	case err != nil:
		return err
	case from > last:
		return errTooNew
	case first > 0 && from < first-1:
		return errTooOld
	}
	return nil
}

// resumeFrom reads from which revision on a client wants to go; without one,
// it begins with the state.
func resumeFrom(r *http.Request, query url.Values, word string) (revision int64, resumed bool, _ error) {
	name, text := headerLastID, r.Header.Get(headerLastID)
	if text == "" {
		if !query.Has(word) {
			return 0, false, nil
		}
		name, text = word, last(query[word])
	}
	revision, err := strconv.ParseInt(text, 10, 64)
	if err != nil || revision < 0 {
		return 0, false, invalidValue(name, "%s is not a revision: a whole number from 0 on", show(text))
	}
	return revision, true, nil
}
