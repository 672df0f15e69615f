package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// forgetProbes is for a pool, which is locked, that is probed otherwise than before, or not
// at all: what was found in another way says nothing.
func forgetProbes(ctx context.Context, tx *writeTx, pool string) error {
	_, err := tx.Exec(ctx, `UPDATE affinity_backends SET probed = 'unknown', probed_at = NULL, probe_reason = '' WHERE pool_id = $1 AND probed <> 'unknown'`, pool)
	return err
}

// RecordHealth takes down what probes have found of backends. It is passed over of those that
// are gone, or not probed any more. What follows from it is told as an event: that a backend went
// down, or is up again.
func (s *Store) RecordHealth(ctx context.Context, found []intent.HealthVerdict) error {
	n := len(found)
	ids, states, reasons, times := make([]string, n), make([]string, n), make([]string, n), make([]time.Time, n)
	for i, v := range found {
		ids[i], states[i], reasons[i], times[i] = v.BackendID, string(v.Health), v.Reason, v.At
	}
	return s.write(ctx, func(tx *writeTx) error {
		// Pools come first, as for who changes a backend.
		if _, err := tx.Exec(ctx, `
			SELECT FROM affinity_pools WHERE id IN (SELECT pool_id FROM affinity_backends WHERE id = ANY($1::uuid[])) ORDER BY id FOR NO KEY UPDATE`, ids); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			UPDATE affinity_backends b SET probed = f.state, probed_at = f.at, probe_reason = f.reason, revision = b.revision + 1, updated_at = now()
			FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS f (id, state, reason, at), affinity_backends o JOIN affinity_pools p ON p.id = o.pool_id
			WHERE b.id = f.id AND o.id = f.id AND p.monitor IS NOT NULL AND b.probed <> f.state
			RETURNING b.id::text, b.pool_id::text, p.tenant_id, p.network_id::text, coalesce(b.port_id::text, ''), o.probed, b.probed, b.probe_reason`, ids, states, reasons, times)
		if err != nil {
			return err
		}
		var events []intent.Event
		var pools []string
		var id, pool, tenant, network, port, was, is, reason string
		_, err = pgx.ForEachRow(rows, []any{&id, &pool, &tenant, &network, &port, &was, &is, &reason}, func() error {
			tx.changed(KindPoolBackend, id, tenant, OpUpdate)
			pools = append(pools, pool)
			if was == string(intent.HealthDown) || is == string(intent.HealthDown) {
				e := intent.Event{Kind: intent.EventBackendHealth, TenantID: tenant, NetworkID: network, PortID: port, Details: map[string]any{
					"backend_id": id, "pool_id": pool, "health": is, "was": was,
				}}
				if reason != "" {
					e.Details["reason"] = reason
				}
				events = append(events, e)
			}
			return nil
		})
		if err != nil || len(pools) == 0 {
			return err
		}
		slices.Sort(pools)
		if err := affinityPools.touch(ctx, tx, Scope{Admin: true}, slices.Compact(pools)); err != nil {
			return err
		}
		return tx.happened(events...)
	})
}
