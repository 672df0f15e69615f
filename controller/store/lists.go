package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

// backwards says that the rows come in the reverse of the order of the list.
func (q *Query) backwards() bool { return q.Reverse && (q.Limit > 0 || q.Marker != "") }

// selection is the statement of a list.
func (e *entity[T]) selection(ctx context.Context, q querier, sc Scope, query Query) (sql string, a args, err error) {
	where := []string{e.scoped(sc, &a)}
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
	if query.backwards() {
		for i := range terms {
			terms[i].desc = !terms[i].desc
		}
	}
	if query.Marker != "" {
		at, err := e.place(ctx, q, sc, query.Marker, terms)
		if err != nil {
			return "", nil, err
		}
		where = append(where, after(terms, at, &a))
	}
	order := make([]string, len(terms))
	for i, t := range terms {
		if order[i] = t.expr; t.desc {
			order[i] += " DESC"
		}
	}
	sql = "SELECT " + e.columns + " FROM " + e.from + " WHERE " + strings.Join(where, " AND ") + " ORDER BY " + strings.Join(order, ", ")
	if query.Limit > 0 {
		sql += " LIMIT " + a.add(query.Limit)
	}
	return sql, a, nil
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
