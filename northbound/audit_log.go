package northbound

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/macloom/macloom/controller/store"
)

// told is a resource whose objects the audit log tells.
type told interface {
	kindOf() store.Kind
	// tell gives the attributes that a request can give; false: the object
	// is none of this resource.
	tell(object any) ([]store.Attribute, bool)
	// hidden are attributes that only administrators see.
	hidden() []string
}

func (c *collection[E]) tell(object any) ([]store.Attribute, bool) {
	e, ok := object.(*E)
	if c.fromStore != nil {
		e, ok = c.fromStore(object)
	}
	if !ok {
		return nil, false
	}
	list := make([]store.Attribute, 0, len(c.attributes))
	b := make([]byte, 0, 1024)
	for i := range c.attributes {
		a := &c.attributes[i]
		if a.post == never && !a.put && a.name != "tags" || a.seen == nobody || a.name == "id" || a.name == "project_id" {
			continue
		}
		from := len(b)
		b = a.write(b, e)
		list = append(list, store.Attribute{Name: a.name, JSON: b[from:len(b):len(b)]})
	}
	return list, true
}

func (c *collection[E]) hidden() []string {
	var names []string
	for i := range c.attributes {
		if c.attributes[i].seen == admins {
			names = append(names, c.attributes[i].name)
		}
	}
	return names
}

// wrappedAs declares how the store's value of an object is wrapped for the API.
func wrappedAs[V, E any](wrap func(V) E) func(any) (*E, bool) {
	return func(object any) (*E, bool) {
		v, ok := object.(*V)
		if !ok {
			return nil, false
		}
		e := wrap(*v)
		return &e, true
	}
}

// describer tells objects of all resources in the words of their tables.
func describer(all []resource) store.Describer {
	of := map[store.Kind][]told{}
	for _, r := range all {
		if d, ok := r.(told); ok {
			of[d.kindOf()] = append(of[d.kindOf()], d)
		}
	}
	return func(kind store.Kind, object any) []store.Attribute {
		for _, d := range of[kind] {
			if list, ok := d.tell(object); ok {
				return list
			}
		}
		return nil
	}
}

// auditLog declares the audit log over all other resources.
func auditLog(st *store.Store, all []resource) *collection[store.AuditEntry] {
	type entry = store.AuditEntry
	found, word := access{filter: true}, access{seen: nobody, filter: true}
	hidden := map[store.Kind][]string{}
	for _, r := range all {
		if d, ok := r.(told); ok {
			hidden[d.kindOf()] = append(hidden[d.kindOf()], d.hidden()...)
		}
	}
	// shown takes out of an entry what its reader would not see in the object.
	shown := func(sc store.Scope, e *entry) {
		if names := hidden[e.Kind]; !sc.Admin && len(names) > 0 {
			e.Was, e.Became = without(e.Was, names), without(e.Became, names)
		}
	}
	return &collection[entry]{
		single: "audit_entry", plural: "audit_log", path: "audit-log",
		silent: true,
		doc: "Who changed what, the latest first. An entry is written in the transaction of the change, so there is none without the other. " +
			"`from` and `to` hold the attributes that a request can give, as far as they changed; of a new object and of a deleted one, all that are not empty. " +
			"What the controller itself does for an object (its status, its revision) is no entry; what becomes of MAC addresses is told by `/v2.0/mac-lineage`. " +
			"Members see the changes of their own objects, also those made by administrators.",
		attributes: table[entry]{
			derived("id", serial, func(e *entry) int64 { return e.ID }, access{filter: true, sort: true}, "Rises with time."),
			derived("at", exactTime, func(e *entry) time.Time { return e.At }, access{sort: true}, "When it was done."),
			derived("actor", text(255), func(e *entry) string { return e.Actor }, found, "The user who did it; empty: the controller itself."),
			derived("request_id", text(255), func(e *entry) string { return e.RequestID }, found, "The request that did it, as in its `X-Openstack-Request-Id`."),
			derived("tenant_id", text(255), func(e *entry) string { return e.TenantID }, found, "Who owned the object; empty: the operator."),
			derived("project_id", text(255), func(e *entry) string { return e.TenantID }, found, "The same as `tenant_id`."),
			derived("resource", text(64), func(e *entry) string { return string(e.Kind) }, found, "What kind of object, such as `port`."),
			derived("resource_id", text(255), func(e *entry) string { return e.ObjectID }, found, "Its id."),
			derived("action", oneOf(store.OpCreate, store.OpUpdate, store.OpDelete), func(e *entry) store.Op { return e.Op }, found, "What was done to it."),
			derived("from", objectOrNull, func(e *entry) []byte { return e.Was }, access{}, "What it was; null: new."),
			derived("to", objectOrNull, func(e *entry) []byte { return e.Became }, access{}, "What it became; null: deleted."),
			derived("since", exactTime, func(e *entry) time.Time { return e.At }, word, "Only what was done then or later."),
			derived("until", exactTime, func(e *entry) time.Time { return e.At }, word, "Only what was done before."),
		},
		backend: backend[entry]{
			list: func(ctx context.Context, sc store.Scope, q store.Query) ([]entry, error) {
				list, err := st.AuditLog(ctx, sc, q)
				for i := range list {
					shown(sc, &list[i])
				}
				return list, err
			},
			get: func(ctx context.Context, sc store.Scope, id string) (entry, error) {
				e, err := st.AuditEntry(ctx, sc, id)
				shown(sc, &e)
				return e, err
			},
		},
	}
}

// serial is a number that identifies: a string like all ids.
var serial = valueType[int64]{
	name:  "string of digits",
	shows: matching(`^[0-9]+$`),
	append: func(b []byte, n int64) []byte {
		return append(strconv.AppendInt(append(b, '"'), n, 10), '"')
	},
	filter: func(s string) (string, bool, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		return strconv.FormatInt(n, 10), err == nil && n > 0, nil
	},
}

// without takes attributes out of a JSON object.
func without(text []byte, names []string) []byte {
	if text == nil {
		return nil
	}
	value, err := parseJSON(text)
	o, ok := value.(object)
	if err != nil || !ok {
		return nil // better nothing than what may not be seen
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return nil
	}
	b := []byte{'{'}
	for _, m := range o {
		if slices.Contains(names, m.key) {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendString(b, m.key), ':')
		b = append(b, values[m.key]...)
	}
	return append(b, '}')
}

// objectOrNull is a JSON object as it is stored.
var objectOrNull = valueType[[]byte]{
	name:  "object or null",
	shows: schema{"type": []any{"object", "null"}},
	append: func(b []byte, text []byte) []byte {
		if text == nil {
			return append(b, "null"...)
		}
		return append(b, text...)
	},
}
