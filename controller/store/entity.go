package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// entity says how the rows of one kind are found and read.
type entity[T any] struct {
	kind    Kind
	table   string // also the alias that the other expressions use
	columns string // what scan reads, meta first
	from    string
	visible string // condition for a caller that is not admin; "$tenant" is the tenant, here and in columns and filters
	// besides is a condition of what such a caller sees too, where that is rare:
	// a list asks first whether there is any, so that else an index serves its order.
	besides string
	owner   string // the tenant that may change and delete an object; empty: whoever sees it may
	order   string // total and ascending: expressions that are never NULL, with ", " between them
	filters map[string]filter
	sorts   map[string]string // attribute to expression that is never NULL, in the terms of from
	scan    func(pgx.CollectableRow) (T, error)
	fill    func(ctx context.Context, q querier, list []T) error // reads what lies in other tables; may be nil
	textID  bool                                                 // ids are not UUIDs
	always  string                                               // condition of every list; may be empty
	key     string                                               // column of the id; empty: id
	parseID func(id string) (key any, ok bool)                   // nil: by textID
}

// query reads objects as nobody in particular.
func (e *entity[T]) query(ctx context.Context, q querier, where string, a args) ([]T, error) {
	return e.queryAs(ctx, q, Scope{}, where, a)
}

// queryAs reads objects as the caller sees them.
func (e *entity[T]) queryAs(ctx context.Context, q querier, sc Scope, where string, a args) ([]T, error) {
	sql := a.bind(sc, e.sql(where))
	rows, err := q.Query(ctx, sql, a...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, e.scan)
	if err != nil || e.fill == nil || len(list) == 0 {
		return list, err
	}
	return list, e.fill(ctx, q, list)
}

func (e *entity[T]) sql(where string) string {
	return "SELECT " + e.columns + " FROM " + e.from + " WHERE " + where + " ORDER BY " + e.order
}

// scoped is the condition of what the caller may see.
func (e *entity[T]) scoped(sc Scope, a *args) string {
	if sc.Admin || e.visible == "true" {
		return "true"
	}
	return e.seenBy(a.add(sc.TenantID))
}

// seenBy is the condition of what a tenant sees who is no administrator, given
// as an expression.
func (e *entity[T]) seenBy(tenant string) string {
	visible := e.visible
	if e.besides != "" {
		visible += " OR " + e.besides
	}
	return "(" + strings.ReplaceAll(visible, "$tenant", tenant) + ")"
}

// owned is the condition of what the caller may change.
func (e *entity[T]) owned(sc Scope, a *args) string {
	if sc.Admin || e.owner == "" {
		return e.scoped(sc, a)
	}
	return e.owner + " = " + a.add(sc.TenantID)
}

// canonical is the form in which ids are stored; ok is false for what cannot
// be an id.
func (e *entity[T]) canonical(id string) (_ string, ok bool) {
	if e.textID {
		return id, id != "" && !strings.ContainsRune(id, 0)
	}
	u, err := uuid.Parse(id)
	return u.String(), err == nil && len(id) == 36
}

// keyOf is what the column of the id holds for an object.
func (e *entity[T]) keyOf(id string) (key any, ok bool) {
	if e.parseID != nil {
		return e.parseID(id)
	}
	return e.canonical(id)
}

// ref makes the id of an object that another one refers to canonical.
func (e *entity[T]) ref(id *string) error {
	canonical, ok := e.canonical(*id)
	if !ok {
		return &NotFound{e.kind, *id}
	}
	*id = canonical
	return nil
}

// get returns one object; in a transaction that writes, as everybody sees it.
func (e *entity[T]) get(ctx context.Context, q querier, sc Scope, id string) (v T, err error) {
	canonical, ok := e.canonical(id)
	if !ok {
		return v, &NotFound{e.kind, id}
	}
	a := args{canonical}
	where := e.table + ".id = $1 AND " + e.scoped(sc, &a)
	tx, writes := q.(*writeTx)
	if writes {
		sc = Scope{} // what is written of an object does not depend on who sees it
	}
	list, err := e.queryAs(ctx, q, sc, where, a)
	switch {
	case err != nil:
		return v, err
	case len(list) == 0:
		return v, &NotFound{e.kind, id}
	}
	if writes {
		before := list[0]
		tx.saw(e.kind, canonical, &before)
	}
	return list[0], nil
}

// lock locks the row of an object against change and deletion, and then reads
// it: whoever held the lock before has then been heard.
func (e *entity[T]) lock(ctx context.Context, tx *writeTx, sc Scope, id string) (v T, err error) {
	canonical, ok := e.canonical(id)
	own := true
	if ok {
		a, mine := args{canonical}, "true"
		if e.owner != "" {
			mine = e.owned(sc, &a)
		}
		rows, err := tx.Query(ctx, "SELECT "+mine+" FROM "+e.table+" WHERE id = $1 FOR UPDATE", a...)
		its, found, err := one(rows, err, pgx.RowTo[bool])
		if err != nil {
			return v, err
		}
		own = its || !found
	}
	if v, err = e.get(ctx, tx, sc, id); err != nil {
		return v, err
	}
	if !own {
		return v, &Denied{Kind: e.kind}
	}
	return v, e.expect(ctx, tx, canonical)
}

// see reads an object for the audit log alone, as part of a batch. What lies in
// other tables and is not among the columns is not told then.
func (e *entity[T]) see(tx *writeTx, b *pgx.Batch, id string) {
	if tx.describe == nil {
		return
	}
	a := args{id}
	sql := a.bind(Scope{}, e.sql(e.table+".id = $1"))
	b.Queue(sql, a...).Query(func(rows pgx.Rows) error {
		v, found, err := one(rows, nil, e.scan)
		if found {
			tx.saw(e.kind, id, &v)
		}
		return err
	})
}

// touch counts a change of entities because of what belongs to them, in the
// order of ids, after it made sure that they are the caller's.
func (e *entity[T]) touch(ctx context.Context, tx *writeTx, sc Scope, ids []string) error {
	rows, err := tx.Query(ctx, `
		WITH locked AS (
			SELECT id FROM `+e.table+` WHERE id = ANY($1::uuid[]) AND (tenant_id = $2 OR $3) ORDER BY id FOR NO KEY UPDATE)
		UPDATE `+e.table+` AS t SET revision = revision + 1, updated_at = now() FROM locked
		WHERE t.id = locked.id RETURNING t.id, t.tenant_id`, ids, sc.TenantID, sc.Admin)
	if err != nil {
		return err
	}
	owner := map[string]string{}
	var id, tenant string
	_, err = pgx.ForEachRow(rows, []any{&id, &tenant}, func() error {
		owner[id] = tenant
		tx.changed(e.kind, id, tenant, OpUpdate)
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, own := owner[id]; !own {
			if _, err := e.get(ctx, tx, sc, id); err != nil {
				return err
			}
			return &Denied{Kind: e.kind}
		}
	}
	return nil
}

// byID returns the objects that exist, of all tenants.
func (e *entity[T]) byID(ctx context.Context, q querier, ids []string, idOf func(*T) string) (map[string]T, error) {
	if len(ids) == 0 {
		return nil, nil // most changes are of one kind: no round trip for the others
	}
	// How many are in an array PostgreSQL does not know before it is told, so it plans anew
	// each time. For one object with much around it that takes longer than to read it.
	known := uuids(ids)
	where, a := e.table+".id = ANY($1::uuid[])", args{known}
	if len(known) == 1 {
		where, a = e.table+".id = $1", args{known[0]}
	}
	list, err := e.query(ctx, q, where, a)
	if err != nil {
		return nil, err
	}
	m := make(map[string]T, len(list))
	for i := range list {
		m[idOf(&list[i])] = list[i]
	}
	return m, nil
}

// args are the values of a statement in the making.
type args []any

// add appends a value and returns its placeholder.
func (a *args) add(v any) string {
	*a = append(*a, v)
	return "$" + strconv.Itoa(len(*a))
}

// bind puts the tenant of the caller into a part of a statement.
func (a *args) bind(sc Scope, sql string) string {
	if !strings.Contains(sql, "$tenant") {
		return sql
	}
	return strings.ReplaceAll(sql, "$tenant", a.add(sc.TenantID))
}

// uuids keeps what can be an id of a stored object.
func uuids(texts []string) []string {
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		if u, err := uuid.Parse(t); err == nil && len(t) == 36 {
			out = append(out, u.String())
		}
	}
	return out
}

// filter makes the condition that an attribute has one of the values.
type filter func(a *args, attr string, values []string) (string, error)

// metaFilters are the filters that every entity has, with those of its own.
func metaFilters(table string, own map[string]filter) map[string]filter {
	all := map[string]filter{
		"id":              byUUID(table + ".id"),
		"tenant_id":       byText(table + ".tenant_id"),
		"project_id":      byText(table + ".tenant_id"),
		"name":            byText(table + ".name"),
		"description":     byText(table + ".description"),
		"revision_number": byNumber(table + ".revision"),
		"tags":            byTags(table, false, "@>"),
		"tags-any":        byTags(table, false, "&&"),
		"not-tags":        byTags(table, true, "@>"),
		"not-tags-any":    byTags(table, true, "&&"),
	}
	for name, f := range own {
		if f == nil {
			delete(all, name)
			continue
		}
		all[name] = f
	}
	return all
}

func byText(expr string) filter {
	return func(a *args, _ string, values []string) (string, error) {
		return among(a, expr, "text", values), nil
	}
}

// byFilledText is byText where an index holds what is not empty.
func byFilledText(expr string) filter {
	return func(a *args, _ string, values []string) (string, error) {
		cond := among(a, expr, "text", values)
		if !slices.Contains(values, "") {
			cond += " AND " + expr + " <> ''" // the index is not taken without
		}
		return cond, nil
	}
}

// among is the condition that an expression has one of the values of an SQL
// type. What is equal to one value comes out of an index in its order.
func among[V any](a *args, expr, sqlType string, values []V) string {
	if len(values) == 1 {
		return expr + " = " + a.add(values[0]) + "::" + sqlType
	}
	return expr + " = ANY(" + a.add(values) + "::" + sqlType + "[])"
}

// byTags compares all tags that the values name, each with commas between
// them, with those of an object.
func byTags(table string, not bool, operator string) filter {
	return func(a *args, _ string, values []string) (string, error) {
		tags := a.add(strings.Split(strings.Join(values, ","), ",")) + "::text[]"
		if not {
			return "NOT " + table + ".tags " + operator + " " + tags, nil
		}
		// The index holds only what has tags.
		return table + ".tags <> '{}' AND " + table + ".tags " + operator + " " + tags, nil
	}
}

// untagged takes the filters away that a kind without tags does not have.
func untagged(filters map[string]filter) map[string]filter {
	for _, name := range []string{"tags", "tags-any", "not-tags", "not-tags-any"} {
		delete(filters, name)
	}
	return filters
}

// byOptionalUUID also finds objects without the attribute, asked for by "".
func byOptionalUUID(expr string) filter {
	return func(a *args, _ string, values []string) (string, error) {
		cond := among(a, expr, "uuid", uuids(values))
		for _, v := range values {
			if v == "" {
				return "(" + cond + " OR " + expr + " IS NULL)", nil
			}
		}
		return cond, nil
	}
}

func byUUID(expr string) filter {
	return func(a *args, _ string, values []string) (string, error) {
		return among(a, expr, "uuid", uuids(values)), nil
	}
}

func byNumber(expr string) filter {
	return func(a *args, attr string, values []string) (string, error) {
		numbers := make([]int64, len(values))
		for i, v := range values {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return "", &Invalid{attr, fmt.Sprintf("%s must be filtered by a number, not %q", attr, v)}
			}
			numbers[i] = n
		}
		return among(a, expr, "bigint", numbers), nil
	}
}

func byBool(expr string) filter {
	return func(a *args, attr string, values []string) (string, error) {
		truths := make([]bool, len(values))
		for i, v := range values {
			switch strings.ToLower(v) {
			case "true", "1":
				truths[i] = true
			case "false", "0":
			default:
				return "", &Invalid{attr, fmt.Sprintf("%s must be filtered by True or False, not %q", attr, v)}
			}
		}
		return expr + " = ANY(" + a.add(truths) + "::boolean[])", nil
	}
}

func byMAC(expr string) filter {
	return func(a *args, attr string, values []string) (string, error) {
		numbers := make([]int64, len(values))
		for i, v := range values {
			m, err := mac.Parse(v)
			if err != nil {
				return "", &Invalid{attr, fmt.Sprintf("%s must be filtered by a MAC address, not %q", attr, v)}
			}
			numbers[i] = int64(m)
		}
		return among(a, expr, "bigint", numbers), nil
	}
}

// metaColumns are the columns that scanMeta reads.
func metaColumns(t string) string {
	return fmt.Sprintf("%[1]s.id, coalesce(%[1]s.tenant_id, ''), %[1]s.name, %[1]s.description, %[1]s.tags, %[1]s.revision, %[1]s.created_at, %[1]s.updated_at", t)
}

// untaggedColumns are metaColumns of a kind without tags.
func untaggedColumns(t string) string {
	return strings.Replace(metaColumns(t), t+".tags", "'{}'::text[]", 1)
}

func metaTargets(m *intent.Meta) []any {
	return []any{&m.ID, &m.TenantID, &m.Name, &m.Description, &m.Tags, &m.Revision, &m.CreatedAt, &m.UpdatedAt}
}

// prepareMeta fills what a new object gets: an id, its owner.
func prepareMeta(sc Scope, m *intent.Meta) error {
	if m.TenantID == "" {
		m.TenantID = sc.TenantID
	}
	if m.TenantID == "" {
		return &Invalid{"tenant_id", "tenant_id is required: the caller has no tenant of its own"}
	}
	return prepareOwned(sc, m)
}

func prepareOwned(sc Scope, m *intent.Meta) error {
	if !sc.Admin && m.TenantID != sc.TenantID {
		return &Invalid{"tenant_id", "tenant_id must be that of the caller"}
	}
	if len(m.TenantID) > 255 {
		return &Invalid{"tenant_id", "tenant_id has more than 255 characters"}
	}
	m.Revision = 1
	if m.ID != "" {
		return nil
	}
	// Version 7: ids made one after the other lie together in the indexes.
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("store: making an id: %w", err)
	}
	m.ID = id.String()
	return nil
}

// ensureTenants makes the rows of tenants that are seen for the first time.
func ensureTenants(ctx context.Context, tx *writeTx, ids []string) error {
	rows, err := tx.Query(ctx, `
		INSERT INTO tenants (id)
		SELECT DISTINCT id FROM unnest($1::text[]) AS t (id)
		WHERE NOT EXISTS (SELECT FROM tenants WHERE tenants.id = t.id)
		ORDER BY id
		ON CONFLICT ON CONSTRAINT tenants_pkey DO NOTHING
		RETURNING id`, ids)
	if err != nil {
		return err
	}
	made, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, id := range made {
		tx.changed(KindTenant, id, id, OpCreate)
	}
	return err
}
