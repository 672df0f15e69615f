package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
)

// Attribute is an attribute of an object by its name in the API.
type Attribute struct {
	Name string
	JSON []byte
}

// Describer tells the attributes of an object that a request can give. The
// object is a pointer to the store's type of its kind.
type Describer func(kind Kind, object any) []Attribute

// DescribeBy sets how objects are told in the audit log. Until then the log
// says only that they changed.
func (s *Store) DescribeBy(d Describer) { s.describer.Store(&d) }

// reader reads objects of one kind.
type reader interface {
	// byIDs returns pointers to those that exist, of all tenants.
	byIDs(ctx context.Context, q querier, ids []string) (map[string]any, error)
	sight
}

// readers are the kinds whose objects the audit log can read for itself.
var readers = map[Kind]reader{
	KindTenant:        &tenants,
	KindSegment:       &segments,
	KindNetwork:       &networks,
	KindSubnet:        &subnets,
	KindPort:          &ports,
	KindSecurityGroup: &groups,
	KindRule:          &rules,
	KindQoSPolicy:     &qosPolicies.entity,
	KindQoSRule:       &qosRules.entity,
	KindTrunk:         &trunks.entity,
	KindMACAllowList:  &allowLists.entity,
	KindBlock:         &blockRecords.entity,
	KindMACGuard:      &macGuards.entity,
	KindAffinityPool:  &affinityPools.entity,
	KindPoolBackend:   &affinityBackends.entity,
	KindAddressGroup:  &addressGroups.entity,
	KindAddressScope:  &addressScopes.entity,
	KindSubnetPool:    &subnetPools.entity,
	KindRBACPolicy:    &rbacPolicies.entity,
}

func (e *entity[T]) byIDs(ctx context.Context, q querier, ids []string) (map[string]any, error) {
	kind := "uuid"
	if e.textID {
		kind = "text"
	}
	list, err := e.query(ctx, q, e.table+".id = ANY($1::"+kind+"[])", args{ids})
	if err != nil {
		return nil, err
	}
	found := make(map[string]any, len(list))
	for i := range list {
		found[any(&list[i]).(interface{ Common() *intent.Meta }).Common().ID] = &list[i]
	}
	return found, nil
}

func (e *entity[T]) private() bool {
	return e.visible == e.table+".tenant_id = $tenant" && e.besides == ""
}

// noted is a change with the object before and after it, as far as they are
// known: a pointer, or the attributes of what has no type of its own.
type noted struct {
	Change
	before, after any
	request       string // that asked for it; empty: that of the transaction
}

// from tells what the object was; needed only if the transaction has not read
// it by its entity.
func (n *noted) from(object any) *noted { n.before = object; return n }

// to tells where the object is when the transaction commits; without it, it is
// read again then.
func (n *noted) to(object any) *noted { n.after = object; return n }

// by tells which request asked for the change, in a transaction of several.
func (n *noted) by(request string) *noted { n.request = request; return n }

type objectKey struct {
	kind Kind
	id   string
}

// saw notes an object as it was before the transaction changed it: as it was
// read last, since the row is locked by then.
func (tx *writeTx) saw(kind Kind, id string, object any) {
	key := objectKey{kind, id}
	if _, again := tx.seen[key]; again && slices.ContainsFunc(tx.changes, func(c noted) bool { return c.Kind == kind && c.ID == id }) {
		return
	}
	if tx.seen == nil {
		tx.seen = map[objectKey]any{}
	}
	tx.seen[key] = object
}

// before is what is known of the object of a change before it.
func (tx *writeTx) before(n *noted) any {
	if n.before != nil {
		return n.before
	}
	return tx.seen[objectKey{n.Kind, n.ID}]
}

// complete reads the objects that the audit log tells of and nobody handed
// over.
func (tx *writeTx) complete(ctx context.Context) error {
	if tx.describe == nil {
		return nil
	}
	var missing map[Kind][]string
	for i := range tx.changes {
		c := &tx.changes[i]
		if c.after != nil || c.Op == OpDelete || c.Op == OpUpdate && tx.before(c) == nil || readers[c.Kind] == nil {
			continue
		}
		if missing == nil {
			missing = map[Kind][]string{}
		}
		missing[c.Kind] = append(missing[c.Kind], c.ID)
	}
	for kind, ids := range missing {
		found, err := readers[kind].byIDs(ctx, tx, ids)
		if err != nil {
			return err
		}
		for i := range tx.changes {
			if c := &tx.changes[i]; c.Kind == kind && c.after == nil {
				c.after = found[c.ID]
			}
		}
	}
	return nil
}

// audited is a row of the audit log; empty texts are NULL.
type audited struct {
	*noted
	was, became string
}

// audit returns what the audit log tells of the transaction: changes of
// objects, but not that something changed in what belongs to them.
func (tx *writeTx) audit() []audited {
	list := make([]audited, 0, len(tx.changes))
	for i := range tx.changes {
		c := &tx.changes[i]
		before := tx.before(c)
		if c.Op == OpUpdate && (before == nil || c.after == nil) {
			continue
		}
		row := audited{noted: c}
		if tx.describe != nil {
			switch c.Op {
			case OpCreate:
				if c.after != nil {
					row.became = whole(tx.tell(c.Kind, c.after))
				}
			case OpDelete:
				if before != nil {
					row.was = whole(tx.tell(c.Kind, before))
				}
			case OpUpdate:
				if row.was, row.became = difference(tx.tell(c.Kind, before), tx.tell(c.Kind, c.after)); row.became == "" {
					continue
				}
			}
		}
		list = append(list, row)
	}
	return list
}

// tell returns the attributes of an object.
func (tx *writeTx) tell(kind Kind, object any) []Attribute {
	if told, ok := object.([]Attribute); ok {
		return told
	}
	return tx.describe(kind, object)
}

// whole writes the attributes that are not empty.
func whole(attributes []Attribute) string {
	var b attributeWriter
	for i := range attributes {
		switch a := &attributes[i]; string(a.JSON) {
		case `""`, "null", "[]", "{}":
		default:
			b.add(a)
		}
	}
	return b.object()
}

// difference writes the attributes whose values differ; both lists are of one
// kind of object.
func difference(before, after []Attribute) (was, became string) {
	var a, b attributeWriter
	for i := range min(len(before), len(after)) {
		if !bytes.Equal(before[i].JSON, after[i].JSON) {
			a.add(&before[i])
			b.add(&after[i])
		}
	}
	if b.Len() == 0 {
		return "", ""
	}
	return a.object(), b.object()
}

// attributeWriter writes a JSON object.
type attributeWriter struct{ strings.Builder }

func (w *attributeWriter) add(a *Attribute) {
	if w.Len() == 0 {
		w.WriteString(`{"`)
	} else {
		w.WriteString(`,"`)
	}
	w.WriteString(a.Name) // no name needs escapes
	w.WriteString(`":`)
	w.Write(a.JSON)
}

func (w *attributeWriter) object() string {
	if w.Len() == 0 {
		return "{}"
	}
	w.WriteByte('}')
	return w.String()
}

// queueAudit adds rows to the audit log.
func queueAudit(ctx context.Context, b *pgx.Batch, list []audited) {
	n := len(list)
	if n == 0 {
		return
	}
	tenants, kinds, ids, ops := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	was, became, requests := make([]string, n), make([]string, n), make([]string, n)
	for i := range list {
		r := &list[i]
		requests[i] = cmp.Or(r.request, requestID(ctx))
		tenants[i], kinds[i], ids[i], ops[i], was[i], became[i] = r.TenantID, string(r.Kind), r.ID, string(r.Op), r.was, r.became
	}
	b.Queue(`
		INSERT INTO audit_log (actor, request_id, tenant_id, kind, object_id, op, was, became)
		SELECT $1, request_id, tenant_id, kind, object_id, op, nullif(was, '')::json, nullif(became, '')::json
		FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) AS r (request_id, tenant_id, kind, object_id, op, was, became)`,
		Actor(ctx), requests, tenants, kinds, ids, ops, was, became)
}

// AuditEntry is one change in the audit log.
type AuditEntry struct {
	ID          int64
	At          time.Time
	Actor       string // who did it; empty: the system itself
	RequestID   string
	TenantID    string // owner of the object; empty: the operator
	Kind        Kind
	ObjectID    string
	Op          Op
	Was, Became []byte // attributes by their names in the API, as JSON objects; nil: none
}

var auditLog = entity[AuditEntry]{
	kind:    KindAuditEntry,
	table:   "audit_log",
	columns: "audit_log.id, at, actor, request_id, tenant_id, kind, object_id, op, was, became",
	from:    "audit_log",
	visible: "audit_log.tenant_id = $tenant",
	order:   "audit_log.id",
	sorts:   map[string]string{"at": "audit_log.id", "id": "audit_log.id"},
	filters: map[string]filter{
		"id":          byNumber("audit_log.id"),
		"tenant_id":   byText("audit_log.tenant_id"),
		"actor":       byText("audit_log.actor"),
		"request_id":  byText("audit_log.request_id"),
		"resource":    byText("audit_log.kind"),
		"resource_id": byText("audit_log.object_id"),
		"action":      byText("audit_log.op"),
		"since":       byTime("audit_log.at >="),
		"until":       byTime("audit_log.at <"),
	},
	scan: func(row pgx.CollectableRow) (e AuditEntry, err error) {
		return e, row.Scan(&e.ID, &e.At, &e.Actor, &e.RequestID, &e.TenantID, &e.Kind, &e.ObjectID, &e.Op, &e.Was, &e.Became)
	},
	parseID: func(id string) (any, bool) {
		n, err := strconv.ParseInt(id, 10, 64)
		return n, err == nil
	},
	textID: true,
}

// maxAudit is how many entries an answer has at most that no limit bounds.
const maxAudit = 1000

// byTime finds what lies on one side of a time; of several times all must hold.
func byTime(side string) filter {
	return func(a *args, attr string, values []string) (string, error) {
		conds := make([]string, len(values))
		for i, v := range values {
			t, err := time.Parse(time.RFC3339Nano, v)
			if err != nil {
				return "", &Invalid{attr, attr + " must be a time such as 2026-01-31T12:00:00Z"}
			}
			conds[i] = side + " " + a.add(t)
		}
		return "(" + strings.Join(conds, " AND ") + ")", nil
	}
}

// AuditLog lists changes, the latest first unless the query has an order, and
// at most 1,000 unless it has a limit. A tenant sees those of its own objects.
func (s *Store) AuditLog(ctx context.Context, sc Scope, q Query) (list []AuditEntry, err error) {
	if len(q.Sort) == 0 {
		q.Sort = []SortKey{{Attr: "at", Desc: true}}
	}
	if q.Limit == 0 {
		q.Limit = maxAudit
	}
	err = s.read(ctx, func(db querier) (err error) {
		list, err = auditLog.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// AuditEntry returns one change.
func (s *Store) AuditEntry(ctx context.Context, sc Scope, id string) (e AuditEntry, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		e, err = auditLog.get(ctx, db, sc, id)
		return err
	})
	return e, err
}

// auditMonths is the table of KeepAuditLog.
var auditMonths = monthly{"audit_log", lockAudit}

// auditUpkeep is how often the months of the audit log are looked at.
const auditUpkeep = time.Hour

// KeepAuditLog makes the partitions of the audit log for the months to come
// and, with a retention, drops those that ended longer ago.
func (s *Store) KeepAuditLog(ctx context.Context, now time.Time, retention time.Duration) error {
	return auditMonths.keep(ctx, s, now, retention)
}

// MaintainAuditLog keeps the audit log in order until ctx ends. Several
// processes may do it at a time.
func (s *Store) MaintainAuditLog(ctx context.Context, retention time.Duration) error {
	tick := time.NewTicker(auditUpkeep)
	defer tick.Stop()
	for {
		if err := s.KeepAuditLog(ctx, time.Now(), retention); err != nil && ctx.Err() == nil {
			s.log.Warn("the months of the audit log were not put in order; it will be tried again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
