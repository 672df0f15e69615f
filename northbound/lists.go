package northbound

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

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

var listWords = []string{wordFields, wordSortKey, wordSortDir, wordLimit, wordMarker, wordReverse}

// listing is a list as the query string asks for it.
type listing[E any] struct {
	store.Query
	possible bool // false: no object can match
	visible  table[E]
}

// listing reads the query string of a list.
func (t table[E]) listing(query url.Values, p principal) (l listing[E], err error) {
	l.visible = t.visible(p, query[wordFields])
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

// identity is the id of an object, as a marker names it.
func (t table[E]) identity(e *E) string {
	var id string
	if a := t.find("id"); a != nil {
		_ = json.Unmarshal(a.write(nil, e), &id) // what was just written as JSON
	}
	return id
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
