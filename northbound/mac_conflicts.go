package northbound

import (
	"context"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func macConflicts(st *store.Store) *collection[intent.MACConflict] {
	type conflict = intent.MACConflict
	found, place := access{filter: true, sort: true}, access{seen: admins}
	filteredPlace := place
	filteredPlace.filter, filteredPlace.sort = true, true
	return &collection[conflict]{
		single: "mac_conflict", plural: "mac_conflicts", path: "mac-conflicts",
		silent: true,
		doc: "A conflict is an address that two parties have: the managed one, and one that was seen at a switch or imported. The policy of the segment says what becomes of it. " +
			"DELETE resolves an open one by hand; it stays to be read. Members see those about their own addresses.",
		attributes: table[conflict]{
			derived("id", id, func(c *conflict) string { return c.ID }, found, "Identifies the conflict."),
			derived("address", macAddress, func(c *conflict) mac.Addr { return c.Addr }, found, "The address."),
			derived("kind", text(16), func(c *conflict) string { return string(c.Kind) }, found, "How the other party turned up: `seen` at a switch, or `import`."),
			derived("policy", text(16), func(c *conflict) string { return string(c.Policy) }, found, "The policy of the segment when it was found."),
			derived("status", oneOf("open", "resolved"), conflictStatus, found, "`open` or `resolved`."),
			derived("resolution", text(255), func(c *conflict) string { return c.Resolution }, access{}, "How it was resolved."),
			derived("tenant_id", text(255), func(c *conflict) string { return c.TenantID }, found, "Who has the address here."),
			derived("project_id", text(255), func(c *conflict) string { return c.TenantID }, found, "The same as `tenant_id`."),
			derived("segment_id", idOrNull, func(c *conflict) string { return c.SegmentID }, found, "The segment of the address."),
			derived("port_id", idOrNull, func(c *conflict) string { return c.PortID }, found, "The port that had it."),
			derived("device_id", text(255), func(c *conflict) string { return c.DeviceID }, found, "The instance that had it."),
			derived("state", text(16), func(c *conflict) string { return string(c.State) }, access{}, "The state that the address was in."),
			derived("source", text(255), func(c *conflict) string { return c.Source }, found, "The foreign system that it was imported from."),
			derived("external_id", text(255), func(c *conflict) string { return c.ExternalID }, found, "What that system calls the other party."),
			derived("datapath", text(16), func(c *conflict) string { return c.Datapath }, filteredPlace, "The switch that it was seen at."),
			derived("switch_port", number[uint32](0, 1<<32-1), func(c *conflict) uint32 { return c.SwitchPort }, place, "The OpenFlow number of the port there."),
			derived("interface", text(255), func(c *conflict) string { return c.Interface }, place, "The name of that port."),
			derived("reassigned", macOrNull, func(c *conflict) mac.Addr { return c.Reassigned }, access{}, "What the managed party got instead."),
			derived("due_at", timeOrNull, func(c *conflict) time.Time { return c.DueAt }, access{}, "When the managed party is to get another address."),
			derived("times", number[int64](0, 1<<62), func(c *conflict) int64 { return c.Times }, access{sort: true}, "How often the other party was seen."),
			derived("seen_at", timestamp, func(c *conflict) time.Time { return c.SeenAt }, access{sort: true}, "When it was seen last."),
			derived("created_at", timestamp, func(c *conflict) time.Time { return c.CreatedAt }, access{sort: true}, "When it was found."),
			derived("resolved_at", timeOrNull, func(c *conflict) time.Time { return c.ResolvedAt }, access{}, "When it was resolved."),
		},
		backend: backend[conflict]{
			list: st.MACConflicts,
			get:  st.MACConflict,
			remove: func(ctx context.Context, sc store.Scope, id string) error {
				_, err := st.ResolveMACConflict(ctx, sc, id, "by hand")
				return err
			},
		},
	}
}

func conflictStatus(c *intent.MACConflict) string {
	if c.Resolved {
		return "resolved"
	}
	return "open"
}
