package northbound

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"
)

// section is a chapter of the page /docs: the routes of a tag and, of a
// collection, the attributes.
type section struct {
	Name, Doc  string
	Routes     []routeEntry
	Attributes []attributeRow
}

type routeEntry struct {
	Method, Path, Doc string
	Query             []parameter
}

// attributeRow describes an attribute for people.
type attributeRow struct {
	Name, Value, Post, Put, Default, Lists, Doc string
}

func (a *attribute[E]) row() attributeRow {
	when := func(given bool, word string, by audience) string {
		switch {
		case !given:
			return "–"
		case by == admins:
			return word + ", admin"
		}
		return word
	}
	post := "may"
	if a.post == required {
		post = "must"
	}
	lists := "–"
	switch {
	case a.toText != nil && a.sort:
		lists = "filter, sort"
	case a.toText != nil:
		lists = "filter"
	case a.sort:
		lists = "sort"
	}
	doc := a.doc
	if a.seen == admins {
		doc += " Shown to administrators."
	}
	return attributeRow{a.name, a.typ, when(a.post != never, post, a.byPost), when(a.put, "may", a.byPut), a.def, lists, doc}
}

// Name and Doc are for the page.
func (p parameter) Name() string { return p.name }

// Doc says what the word is for.
func (p parameter) Doc() string { return p.doc }

//go:embed docs.html
var docsText string

var docsPage = template.Must(template.New("docs").Funcs(template.FuncMap{"text": withCode}).Parse(docsText))

// withCode shows what stands between backquotes as code.
func withCode(s string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		escaped := template.HTMLEscapeString(part)
		if i%2 == 1 {
			escaped = "<code>" + escaped + "</code>"
		}
		b.WriteString(escaped)
	}
	return template.HTML(b.String())
}

// docs writes the page of the whole API.
func (s *server) docs() ([]byte, error) {
	var b bytes.Buffer
	err := docsPage.Execute(&b, s.collect().sections)
	return b.Bytes(), err
}

// serveDocs answers GET /docs. The page has no script and nothing from
// elsewhere.
func (s *server) serveDocs(w http.ResponseWriter, _ *http.Request) error {
	page, err := s.page()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	writeBody(w, http.StatusOK, "text/html; charset=utf-8", page)
	return nil
}
