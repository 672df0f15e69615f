package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Query narrows, orders and cuts a list; names are those of the API.
type Query struct {
	// Values of one attribute are alternatives, different attributes must all
	// hold.
	Filter map[string][]string

	// Sort is what the list is ordered by, the weightiest first. Objects that
	// are equal in all of it, or all if it is empty, come in an order of their
	// kind, roughly that in which they were made. The order is always total.
	Sort []SortKey

	Limit   int    // at most so many; 0: all
	Marker  string // id of the object after which the list begins; empty: at its start
	Reverse bool   // with a Marker what comes before it, else with a Limit the end of the list; the order stays
}

// SortKey is an attribute to sort by.
type SortKey struct {
	Attr string
	Desc bool
}

// term is a part of an order: an expression that is never NULL.
type term struct {
	expr string
	desc bool
}

// terms is the order of a list, total.
func (e *entity[T]) terms(keys []SortKey) ([]term, error) {
	var terms []term
	for _, k := range keys {
		expr, known := e.sorts[k.Attr]
		if !known {
			return nil, &Invalid{Attr: k.Attr, Message: fmt.Sprintf("%s is not an attribute that a list of %ss can be sorted by", k.Attr, e.kind.Words())}
		}
		terms = append(terms, term{expr, k.Desc})
		if k.Attr == "id" {
			return terms, nil
		}
	}
	// In the direction of the last key, which an index can serve as it is.
	desc := len(terms) > 0 && terms[len(terms)-1].desc
	for _, expr := range strings.Split(e.order, ", ") {
		terms = append(terms, term{expr, desc})
	}
	return terms, nil
}

// list returns what the caller may see and the query lets through.
func (e *entity[T]) list(ctx context.Context, q querier, sc Scope, query Query) ([]T, error) {
	sql, a, err := e.selection(ctx, q, sc, query)
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, sql, a...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, e.scan)
	if err == nil && e.fill != nil && len(list) > 0 {
		err = e.fill(ctx, q, list)
	}
	if query.backwards() {
		slices.Reverse(list)
	}
	return list, err
}

// filledAtOnce is for how many objects of a stream is read at once what lies
// in other tables.
const filledAtOnce = 500

// stream hands over what list returns one by one, without ever holding all of
// it; visit must not keep what it is given. Only a Reverse with a Limit is held
// as a whole.
func (e *entity[T]) stream(ctx context.Context, s *Store, sc Scope, query Query, visit func(*T) error) error {
	// Whoever takes his time to read holds a connection meanwhile. Those of
	// lists never are all that there are.
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	case <-ctx.Done():
		return ctx.Err()
	}
	begun := false
	err := s.read(ctx, func(q querier) error {
		if begun {
			return errBegun // it cannot be begun anew
		}
		sql, a, err := e.selection(ctx, q, sc, query)
		if err != nil {
			return err
		}
		// The end of ctx breaks the statement off in the server; rows that are
		// only closed would all be read first.
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		rows, err := q.Query(ctx, sql, a...)
		if err != nil {
			return err
		}
		defer func() { stop(); rows.Close() }()
		return e.visitRows(ctx, q, rows, query.backwards(), func(v *T) error { begun = true; return visit(v) })
	})
	return err
}

// errBegun ends a stream whose connection was lost on the way.
var errBegun = fmt.Errorf("%w: a list was cut off", ErrUnavailable)

func (e *entity[T]) visitRows(ctx context.Context, q querier, rows pgx.Rows, backwards bool, visit func(*T) error) error {
	var held []T
	flush := func() error {
		if e.fill != nil && len(held) > 0 {
			if err := e.fill(ctx, q, held); err != nil {
				return err
			}
		}
		if backwards {
			slices.Reverse(held)
		}
		for i := range held {
			if err := visit(&held[i]); err != nil {
				return err
			}
		}
		clear(held)
		held = held[:0]
		return nil
	}
	enough := 1
	if e.fill != nil {
		enough = filledAtOnce
	}
	for rows.Next() {
		v, err := e.scan(rows)
		if err != nil {
			return err
		}
		if held = append(held, v); len(held) >= enough && !backwards {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return flush()
}

// backwards says that the rows come in the reverse of the order of the list.
func (q *Query) backwards() bool { return q.Reverse && q.Limit > 0 }

// selection is the statement of a list.
func (e *entity[T]) selection(ctx context.Context, q querier, sc Scope, query Query) (sql string, a args, err error) {
	seen, err := e.listed(ctx, q, sc, &a)
	if err != nil {
		return "", nil, err
	}
	where := []string{seen}
	if e.always != "" {
		where = append(where, e.always)
	}
	// In one order, so that equal lists are one statement to the server.
	for _, name := range slices.Sorted(maps.Keys(query.Filter)) {
		f, known := e.filters[name]
		if !known {
			return "", nil, &Invalid{Attr: name, Message: fmt.Sprintf("%s is not an attribute that a list of %ss can be filtered by", name, e.kind.Words())}
		}
		cond, err := f(&a, name, query.Filter[name])
		if err != nil {
			return "", nil, err
		}
		where = append(where, cond)
	}
	terms, err := e.terms(query.Sort)
	if err != nil {
		return "", nil, err
	}
	beyond := slices.Clone(terms)
	if query.Reverse {
		for i := range beyond {
			beyond[i].desc = !beyond[i].desc
		}
	}
	if query.Marker != "" {
		at, err := e.place(ctx, q, sc, query.Marker, terms)
		if err != nil {
			return "", nil, err
		}
		where = append(where, after(beyond, at, &a))
	}
	if query.backwards() {
		terms = beyond
	}
	order := make([]string, len(terms))
	for i, t := range terms {
		if order[i] = t.expr; t.desc {
			order[i] += " DESC"
		}
	}
	sql = "SELECT " + e.columns + " FROM " + e.from + " WHERE " + strings.Join(where, " AND ") + " ORDER BY " + strings.Join(order, ", ")
	if query.Limit > 0 {
		// As it stands, since plans are made without the values of a statement:
		// that of a few rows is another than that of many.
		sql += " LIMIT " + strconv.Itoa(query.Limit)
	}
	sql = a.bind(sc, sql)
	return sql, a, nil
}

// listed is the condition of what the caller sees in a list, without what it
// sees besides if there is none of that.
func (e *entity[T]) listed(ctx context.Context, q querier, sc Scope, a *args) (string, error) {
	if sc.Admin || e.besides == "" {
		return e.scoped(sc, a), nil
	}
	var probe args
	var more bool
	sql := probe.bind(sc, "SELECT EXISTS (SELECT FROM "+e.table+" WHERE "+e.besides+")")
	if err := q.QueryRow(ctx, sql, probe...).Scan(&more); err != nil {
		return "", err
	}
	if more {
		return e.scoped(sc, a), nil
	}
	return "(" + a.bind(sc, e.visible) + ")", nil
}

// place is where the object of a marker stands: the values of the terms.
func (e *entity[T]) place(ctx context.Context, q querier, sc Scope, id string, terms []term) ([]any, error) {
	key, ok := e.keyOf(id)
	if !ok {
		return nil, &NotFound{e.kind, id}
	}
	exprs := make([]string, len(terms))
	for i, t := range terms {
		exprs[i] = t.expr
	}
	a := args{key}
	where := e.keyColumn() + " = $1 AND " + e.scoped(sc, &a)
	if e.always != "" {
		where += " AND " + e.always
	}
	rows, err := q.Query(ctx, "SELECT "+strings.Join(exprs, ", ")+" FROM "+e.from+" WHERE "+where, a...)
	at, found, err := one(rows, err, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if err == nil && !found {
		err = &NotFound{e.kind, id}
	}
	return at, err
}

// after is the condition that a row comes after a place in an order.
func after(terms []term, at []any, a *args) string {
	exprs, values := make([]string, len(terms)), make([]string, len(terms))
	for i := range terms {
		exprs[i], values[i] = terms[i].expr, a.add(at[i])
	}
	compare := func(t term) string {
		if t.desc {
			return " < "
		}
		return " > "
	}
	if !slices.ContainsFunc(terms, func(t term) bool { return t.desc != terms[0].desc }) {
		return "(" + strings.Join(exprs, ", ") + ")" + compare(terms[0]) + "(" + strings.Join(values, ", ") + ")" // which an index can serve
	}
	var ways []string
	same := ""
	for i, t := range terms {
		ways = append(ways, "("+same+exprs[i]+compare(t)+values[i]+")")
		same += exprs[i] + " = " + values[i] + " AND "
	}
	return "(" + strings.Join(ways, " OR ") + ")"
}

// keyColumn is what the id of an object is compared with.
func (e *entity[T]) keyColumn() string {
	if e.key != "" {
		return e.key
	}
	return e.table + ".id"
}

// metaSorts are the orders that every entity has, with those of its own; an
// empty expression takes one away. Texts are compared byte by byte.
func metaSorts(table string, own map[string]string) map[string]string {
	all := map[string]string{
		"id":              table + ".id",
		"tenant_id":       byBytes(table + ".tenant_id"),
		"project_id":      byBytes(table + ".tenant_id"),
		"name":            byBytes(table + ".name"),
		"description":     byBytes(table + ".description"),
		"created_at":      table + ".created_at",
		"updated_at":      table + ".updated_at",
		"revision_number": table + ".revision",
	}
	for name, expr := range own {
		if expr == "" {
			delete(all, name)
			continue
		}
		all[name] = expr
	}
	return all
}

// byBytes orders a text in the same way in every database.
func byBytes(expr string) string { return expr + ` COLLATE "C"` }
