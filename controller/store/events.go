package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// happened adds events to the feed, in the transaction of what they tell. They go
// with its end, so they cost no round trip.
func (tx *writeTx) happened(list ...intent.Event) error {
	if len(list) == 0 {
		return nil
	}
	n := len(list)
	kinds, tenants, abouts := make([]string, n), make([]string, n), make([]string, n)
	for i := range list {
		about, err := writeAbout(&list[i])
		if err != nil {
			return err
		}
		kinds[i], tenants[i], abouts[i] = string(list[i].Kind), list[i].TenantID, string(about)
	}
	tx.last.Queue(`
		INSERT INTO outbox (kind, object_id, tenant_id, op, fact, event, about)
		SELECT '`+string(KindEvent)+`', '', tenant_id, '`+string(OpCreate)+`', true, event, about::json
		FROM unnest($1::text[], $2::text[], $3::text[]) AS e (event, tenant_id, about)`, kinds, tenants, abouts)
	tx.told = true
	return nil
}

// Happened records events that go with no other change.
func (s *Store) Happened(ctx context.Context, list ...intent.Event) error {
	if len(list) == 0 {
		return nil
	}
	return s.write(ctx, func(tx *writeTx) error { return tx.happened(list...) })
}

// about is what an event is about, as it is stored. Statements that write events
// themselves build the same.
type about struct {
	PortID    string         `json:"port_id,omitempty"`
	NetworkID string         `json:"network_id,omitempty"`
	MAC       uint64         `json:"mac_address,omitempty"`
	Switch    string         `json:"switch,omitempty"`
	Port      uint32         `json:"port,omitempty"`
	Interface string         `json:"interface,omitempty"`
	Details   map[string]any `json:"details,omitempty"`
}

func writeAbout(e *intent.Event) ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	a := about{e.PortID, e.NetworkID, uint64(e.MAC), "", e.Port, e.Interface, e.Details}
	if e.Switch != 0 {
		a.Switch = e.Switch.String()
	}
	return json.Marshal(a)
}

// events are read by a view: their rows lie in the outbox.
var events = entity[intent.Event]{
	kind:    KindEvent,
	table:   "events",
	columns: "events.id, events.at, events.kind, events.tenant_id, events.about",
	from:    "events",
	visible: "events.tenant_id = $tenant AND events.tenant_id <> ''",
	order:   "events.id",
	sorts:   map[string]string{"id": "events.id", "at": "events.id"},
	filters: map[string]filter{
		"id":          byNumber("events.id"),
		"since":       afterNumber("events.id"),
		"kind":        byText("events.kind"),
		"tenant_id":   byText("events.tenant_id"),
		"project_id":  byText("events.tenant_id"),
		"port_id":     byText("coalesce(events.about->>'port_id', '')"),
		"network_id":  byText("coalesce(events.about->>'network_id', '')"),
		"mac_address": byMAC("(events.about->>'mac_address')::bigint"),
		"switch":      byText("coalesce(events.about->>'switch', '')"),
		"port":        byNumber("coalesce((events.about->>'port')::bigint, 0)"),
		"interface":   byText("coalesce(events.about->>'interface', '')"),
	},
	scan:    scanHappened,
	parseID: auditLog.parseID,
	textID:  true,
}

func scanHappened(row pgx.CollectableRow) (e intent.Event, err error) {
	var text []byte
	if err := row.Scan(&e.Revision, &e.At, &e.Kind, &e.TenantID, &text); err != nil {
		return e, err
	}
	var a about
	if err := json.Unmarshal(text, &a); err != nil {
		return e, fmt.Errorf("event %d: %w", e.Revision, err)
	}
	e.PortID, e.NetworkID, e.MAC, e.Port, e.Interface, e.Details = a.PortID, a.NetworkID, mac.Addr(a.MAC), a.Port, a.Interface, a.Details
	if a.Switch != "" {
		e.Switch, err = intent.ParseDPID(a.Switch)
	}
	return e, err
}

// afterNumber finds what is greater than each of the numbers.
func afterNumber(expr string) filter {
	return func(a *args, attr string, values []string) (string, error) {
		after := int64(0)
		for _, v := range values {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return "", &Invalid{attr, fmt.Sprintf("%s must be a number, not %q", attr, v)}
			}
			after = max(after, n)
		}
		return expr + " > " + a.add(after), nil
	}
}

// maxEvents is how many events an answer has at most that no limit bounds.
const maxEvents = 1000

// Events lists what happened, the earliest first unless the query has an order, and
// at most 1,000 unless it has a limit. A tenant sees what concerns its own
// objects.
func (s *Store) Events(ctx context.Context, sc Scope, q Query) (list []intent.Event, err error) {
	if q.Limit == 0 {
		q.Limit = maxEvents
	}
	err = s.read(ctx, func(db querier) (err error) {
		list, err = events.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// Event returns one event by its revision.
func (s *Store) Event(ctx context.Context, sc Scope, id string) (e intent.Event, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		e, err = events.get(ctx, db, sc, id)
		return err
	})
	return e, err
}
