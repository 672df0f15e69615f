package northbound

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

const (
	maxTags   = 500
	maxTagLen = 255
)

// tagList is a list of different words.
var tagList = func() valueType[[]string] {
	t := different(list(filled(maxTagLen), maxTags))
	t.name = fmt.Sprintf("list of at most %d different strings, each 1 to %d characters", maxTags, maxTagLen)
	parse := t.parse
	t.parse = func(v any) ([]string, error) {
		tags, err := parse(v)
		return slices.Sorted(slices.Values(tags)), err
	}
	t.filter = func(s string) (string, bool, error) { return s, true, nil }
	return t
}()

// tagged adds to the attributes of a resource its tags and the filters by
// them; a says whether a body may have tags.
func tagged[E any](meta func(*E) *intent.Meta, a access, t table[E]) table[E] {
	at := func(e *E) *[]string { return &meta(e).Tags }
	a.filter = true
	word := access{seen: nobody, filter: true}
	return append(t,
		stored("tags", tagList, at, a, "Words of its users, put in by `PUT …/{id}/tags`. Filter: all of the words with commas between them."),
		derived("tags-any", tagList, func(e *E) []string { return *at(e) }, word, "Finds what has one of the tags."),
		derived("not-tags", tagList, func(e *E) []string { return *at(e) }, word, "Finds what does not have all of the tags."),
		derived("not-tags-any", tagList, func(e *E) []string { return *at(e) }, word, "Finds what has none of the tags."),
	)
}

// tagActions are the routes of the tags of a resource: where Neutron has them,
// and below the resource's own path if that is another one, where clients that
// make no exceptions look for them.
func (c *collection[E]) tagActions() []action {
	switch c.tags {
	case "":
		return nil
	case c.path:
		return c.tagActionsAt(c.path)
	}
	return append(c.tagActionsAt(c.tags), c.tagActionsAt(c.path)...)
}

func (c *collection[E]) tagActionsAt(path string) []action {
	all := "/" + path + "/{id}/tags"
	one := all + "/{tag}"
	answer := asJSON(under("tags", tagList.shows))
	return []action{
		{method: http.MethodGet, path: all, serve: c.serveTags, doc: "The tags of an object.", gives: answer},
		{method: http.MethodPut, path: all, serve: c.serveSetTags, doc: "Replaces the tags of an object.", takes: asJSON(under("tags", tagList.shows).closed()), gives: answer},
		{method: http.MethodDelete, path: all, serve: c.serveClearTags, doc: "Takes all tags from an object.", code: http.StatusNoContent},
		{method: http.MethodGet, path: one, serve: c.serveTag, doc: "Whether an object has a tag; 404 if not.", code: http.StatusNoContent},
		{method: http.MethodPut, path: one, serve: c.serveAddTag, doc: "Gives an object a tag.", code: http.StatusCreated},
		{method: http.MethodDelete, path: one, serve: c.serveRemoveTag, doc: "Takes a tag from an object; 404 if it has not got it.", code: http.StatusNoContent},
	}
}

func (c *collection[E]) serveTags(w http.ResponseWriter, r *http.Request) error {
	e, err := c.seek(r, principalOf(r.Context()))
	if err != nil {
		return c.untaggable(r, err)
	}
	answerTags(w, c.meta(&e).Tags)
	return nil
}

func (c *collection[E]) serveTag(w http.ResponseWriter, r *http.Request) error {
	tag, err := tagOf(r)
	if err != nil {
		return err
	}
	e, err := c.seek(r, principalOf(r.Context()))
	if err != nil {
		return c.untaggable(r, err)
	}
	if !slices.Contains(c.meta(&e).Tags, tag) {
		return noTag(tag)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *collection[E]) serveSetTags(w http.ResponseWriter, r *http.Request) error {
	text, err := readText(r)
	if err != nil {
		return err
	}
	root, err := parseRoot(text)
	if err != nil {
		return err
	}
	value, ok := root.get("tags")
	if !ok {
		return invalid("InvalidInput", "Invalid input for operation: Invalid tags body; want {\"tags\": […]}.")
	}
	if err := alone(root, "tags"); err != nil {
		return err
	}
	tags, err := tagList.parse(value)
	if err != nil {
		return invalid("InvalidInput", "Invalid input for operation: %v.", err)
	}
	if tags, err = c.retag(r, func([]string) ([]string, error) { return tags, nil }); err != nil {
		return err
	}
	answerTags(w, tags)
	return nil
}

func (c *collection[E]) serveClearTags(w http.ResponseWriter, r *http.Request) error {
	if _, err := c.retag(r, func([]string) ([]string, error) { return nil, nil }); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *collection[E]) serveAddTag(w http.ResponseWriter, r *http.Request) error {
	tag, err := tagOf(r)
	if err != nil {
		return err
	}
	_, err = c.retag(r, func(tags []string) ([]string, error) {
		at, there := slices.BinarySearch(tags, tag)
		switch {
		case there:
			return tags, nil
		case len(tags) >= maxTags:
			return nil, invalid("InvalidInput", "Invalid input for operation: tags: %d are the most that an object may have.", maxTags)
		}
		return slices.Insert(slices.Clone(tags), at, tag), nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (c *collection[E]) serveRemoveTag(w http.ResponseWriter, r *http.Request) error {
	tag, err := tagOf(r)
	if err != nil {
		return err
	}
	_, err = c.retag(r, func(tags []string) ([]string, error) {
		at, there := slices.BinarySearch(tags, tag)
		if !there {
			return nil, noTag(tag)
		}
		return slices.Delete(slices.Clone(tags), at, at+1), nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// retag changes the tags of the object that the URL names, and returns them.
func (c *collection[E]) retag(r *http.Request, change func([]string) ([]string, error)) ([]string, error) {
	p := principalOf(r.Context())
	key, err := c.key(p, chi.URLParam(r, "id"))
	if err != nil {
		return nil, c.untaggable(r, err)
	}
	// Whoever owns an object may tag it, even one that only administrators change.
	if !p.writer {
		return nil, c.untaggable(r, c.refuse(r, p, key, c.rule("update")+":tags"))
	}
	e, err := c.update(conditional(r, key), p.scope(), key, func(e *E) (err error) {
		m := c.meta(e)
		m.Tags, err = change(m.Tags)
		return err
	})
	if err != nil {
		return nil, c.untaggable(r, err)
	}
	return c.meta(&e).Tags, nil
}

// untaggable gives the absence of an object the words that Neutron has for it
// here.
func (c *collection[E]) untaggable(r *http.Request, err error) error {
	var absent *store.NotFound
	var said *apiError
	if errors.As(err, &absent) || errors.As(err, &said) && said.code == http.StatusNotFound && said.kind != "TagNotFound" {
		return &apiError{http.StatusNotFound, "TagResourceNotFound", fmt.Sprintf("Resource %s %s could not be found.", c.tags, clip(chi.URLParam(r, "id")))}
	}
	return err
}

// tagOf is the tag that a URL names.
func tagOf(r *http.Request) (string, error) {
	name := chi.URLParam(r, "tag")
	tag, err := url.PathUnescape(name)
	if err != nil || !storable(tag) {
		return "", noTag(name)
	}
	if _, err := filled(maxTagLen).parse(tag); err != nil {
		return "", invalid("InvalidInput", "Invalid input for operation: %v.", err)
	}
	return tag, nil
}

func noTag(tag string) error {
	return &apiError{http.StatusNotFound, "TagNotFound", fmt.Sprintf("Tag %s could not be found.", clip(tag))}
}

func answerTags(w http.ResponseWriter, tags []string) {
	writeJSON(w, http.StatusOK, append(tagList.append([]byte(`{"tags":`), tags), '}'))
}
