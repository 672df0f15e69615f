package cli

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/macloom/macloom/cmd/macloom/client"
)

// collection is a resource as the commands need it.
type collection struct {
	path           string
	single, plural string                    // keys of its bodies
	isID           func(string) bool         // whether a word can be an id
	names          []func(string) url.Values // filters by which a word that is none may find an object, in turn
}

func (c collection) list(q *call, query url.Values) iter.Seq2[json.RawMessage, error] {
	return q.api.List(q.ctx, client.Request{Method: http.MethodGet, Path: c.at(), Query: query}, c.plural)
}

func (c collection) show(q *call, id string) (json.RawMessage, error) {
	return q.api.Object(q.ctx, client.Request{Method: http.MethodGet, Path: c.at(id)}, c.single)
}

func (c collection) create(q *call, body map[string]any) (json.RawMessage, error) {
	return q.api.Object(q.ctx, client.Request{Method: http.MethodPost, Path: c.at(), Body: map[string]any{c.single: body}}, c.single)
}

func (c collection) update(q *call, id string, body map[string]any) (json.RawMessage, error) {
	return q.api.Object(q.ctx, client.Request{Method: http.MethodPut, Path: c.at(id), Body: map[string]any{c.single: body}}, c.single)
}

func (c collection) remove(q *call, id string, query url.Values) error {
	return q.api.Do(q.ctx, client.Request{Method: http.MethodDelete, Path: c.at(id), Query: query})
}

// at is the path of the collection, or of what is below it.
func (c collection) at(below ...string) []string {
	return append(strings.Split(c.path, "/"), below...)
}

// find returns the id of the object that word names: the word itself if it
// looks like one, else that of the only object with such a name.
func (c collection) find(q *call, word string) (string, error) {
	what := strings.ReplaceAll(c.single, "_", " ")
	if word == "" {
		return "", usage("an empty word names no %s", what)
	}
	if c.isID(word) {
		return word, nil
	}
	for _, by := range c.names {
		query := by(word)
		if query == nil {
			continue
		}
		query.Set("fields", "id")
		var ids []string
		for raw, err := range c.list(q, query) {
			if err != nil {
				return "", err
			}
			r, err := parseRecord(raw)
			if err != nil {
				return "", err
			}
			ids = append(ids, r.text("id"))
		}
		switch {
		case len(ids) == 1:
			return ids[0], nil
		case len(ids) > 1:
			return "", fmt.Errorf("%d have the name %q: give the id of one: %s", len(ids), word, strings.Join(ids[:min(len(ids), 10)], ", "))
		}
	}
	return "", fmt.Errorf("there is no %s %q", what, word)
}

// complete offers the names of the objects, for the shell.
func (c collection) complete(conn *connection, name string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		api, err := conn.dial(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		for raw, err := range c.list(&call{ctx: cmd.Context(), api: api}, url.Values{"fields": {"id", name}}) {
			r, broken := parseRecord(raw)
			if err != nil || broken != nil || len(words) == 1000 {
				break
			}
			word := r.text(name)
			if word == "" {
				word = r.text("id")
			}
			if strings.HasPrefix(word, start) && !slices.Contains(args, word) {
				words = append(words, word)
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

func by(attribute string) func(string) url.Values {
	return func(word string) url.Values { return url.Values{attribute: {word}} }
}

// isUUID says whether a word has the form of a UUID.
func isUUID(word string) bool {
	if len(word) != 36 {
		return false
	}
	for i, r := range word {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (r == '-') || !dash && !strings.ContainsRune("0123456789abcdefABCDEF", r) {
			return false
		}
	}
	return true
}

// filters are the flags of a list that become its query.
type filters map[string]string // attribute by flag

// text declares a filter by an attribute; several values are alternatives.
func (fs filters) text(f *pflag.FlagSet, flag, attribute, usage string) {
	fs[flag] = attribute
	f.StringSlice(flag, nil, usage)
}

// truth declares a filter by an attribute that is true or false.
func (fs filters) truth(f *pflag.FlagSet, flag, attribute, usage string) {
	fs[flag] = attribute
	f.Bool(flag, true, usage)
}

// query returns the filters that were given.
func (fs filters) query(f *pflag.FlagSet) url.Values {
	query := url.Values{}
	for flag, attribute := range fs {
		given := f.Lookup(flag)
		if !given.Changed {
			continue
		}
		if list, ok := given.Value.(pflag.SliceValue); ok {
			query[attribute] = list.GetSlice()
			if len(query[attribute]) == 0 {
				query.Set(attribute, "") // is a value, too
			}
		} else {
			query.Set(attribute, given.Value.String())
		}
	}
	return query
}
