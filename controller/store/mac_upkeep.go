package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/mac"
)

// MACUpkeep says how MaintainMACs does its work.
type MACUpkeep struct {
	Every     time.Duration // default: 10 s
	Retention time.Duration // how long the lineage is kept, and what ForgetMACs forgets; 0: for ever
}

const (
	// forgetAfter is how long the row of a free address is kept, for the order
	// of reuse, when nobody needs the address.
	forgetAfter   = 7 * 24 * time.Hour
	foldBatch     = 50_000
	upkeepBatch   = 10_000
	upkeepDefault = 10 * time.Second
)

// MACSweep is what a sweep found.
type MACSweep struct {
	Expired    int        // reservations whose time had come
	Freed      int        // quarantines that were over
	Orphans    []mac.Addr // addresses of ports without their port: released
	Reassigned []mac.Addr // addresses that ports gave up to another party
	Forgotten  int        // free addresses whose last use lies far back
}

// MaintainMACs keeps the addresses in order until ctx ends: it sweeps, folds
// the counters, and makes and drops the months of the lineage. Several
// processes may do it at a time.
func (s *Store) MaintainMACs(ctx context.Context, cfg MACUpkeep) error {
	if cfg.Every <= 0 {
		cfg.Every = upkeepDefault
	}
	tick := time.NewTicker(cfg.Every)
	defer tick.Stop()
	log := s.log.Named("macs")
	var months time.Time // when the partitions were last looked at
	for {
		if err := s.FoldUsage(ctx); err != nil && ctx.Err() == nil {
			log.Warn("counters of MAC addresses were not folded; it will be tried again", zap.Error(err))
		}
		switch found, err := s.SweepMACs(ctx); {
		case err != nil && ctx.Err() == nil:
			log.Warn("MAC addresses were not swept; it will be tried again", zap.Error(err))
		case len(found.Orphans) > 0:
			log.Warn("MAC addresses without their ports were released", zap.Stringers("addresses", found.Orphans))
		}
		if time.Since(months) > time.Hour {
			err := s.KeepLineage(ctx, time.Now(), cfg.Retention)
			if err == nil {
				err = s.ForgetMACs(ctx, time.Now(), cfg.Retention)
			}
			if err == nil {
				months = time.Now()
			} else if ctx.Err() == nil {
				log.Warn("the lineage was not put in order; it will be tried again", zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// SweepMACs ends reservations and quarantines whose time has come, releases
// addresses whose port is gone without them, and ends conflicts by giving ports
// other addresses where the segment says so.
//
// Nobody waits for it: an address whose time has come can be given at once.
func (s *Store) SweepMACs(ctx context.Context) (found MACSweep, err error) {
	if found.Reassigned, err = s.reassignDue(ctx); err != nil {
		return found, err
	}
	for _, step := range []struct {
		sql  string
		args []any
		note func(mac.Addr)
	}{
		{expireDue, []any{nil}, func(mac.Addr) { found.Expired++ }},
		{freeDue, nil, func(mac.Addr) { found.Freed++ }},
		{releaseOrphans, nil, func(a mac.Addr) { found.Orphans = append(found.Orphans, a) }},
	} {
		for n := upkeepBatch; n == upkeepBatch; {
			err := s.write(ctx, func(tx *writeTx) error {
				n = 0
				rows, err := tx.Query(ctx, step.sql, append([]any{"", ""}, step.args...)...)
				if err != nil {
					return err
				}
				var address int64
				var port, tenant string
				var swept []mac.Addr
				_, err = pgx.ForEachRow(rows, []any{&address, &port, &tenant}, func() error { swept = append(swept, mac.Addr(address)); return nil })
				n = len(swept)
				tx.after = append(tx.after, func(committed bool) {
					for i := range swept {
						if committed {
							step.note(swept[i])
						}
					}
				})
				return err
			})
			if err != nil {
				return found, err
			}
		}
	}
	err = s.write(ctx, func(tx *writeTx) error {
		tag, err := tx.Exec(ctx, `
			DELETE FROM mac_addresses WHERE address IN (
				SELECT address FROM mac_addresses WHERE state = 'free' AND free_at < now() - $1::interval ORDER BY free_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			forgetAfter, upkeepBatch)
		found.Forgotten = int(tag.RowsAffected())
		return err
	})
	return found, err
}

// FoldUsage adds the changes of counters to the counters. Reading is right with
// and without it, but cheaper with it.
func (s *Store) FoldUsage(ctx context.Context) error {
	for n := int64(foldBatch); n == foldBatch; {
		err := s.write(ctx, func(tx *writeTx) error {
			err := tx.QueryRow(ctx, `
				WITH gone AS (
					DELETE FROM mac_usage_changes WHERE id IN (SELECT id FROM mac_usage_changes ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
					RETURNING segment_id, tenant_id, active, reserved, quarantined),
				folded AS (
					INSERT INTO mac_usage AS u (segment_id, tenant_id, active, reserved, quarantined)
					SELECT segment_id, tenant_id, sum(active), sum(reserved), sum(quarantined) FROM gone GROUP BY 1, 2 ORDER BY 1, 2
					ON CONFLICT ON CONSTRAINT mac_usage_pkey DO UPDATE SET active = u.active + excluded.active,
						reserved = u.reserved + excluded.reserved, quarantined = u.quarantined + excluded.quarantined)
				SELECT count(*) FROM gone`, foldBatch).Scan(&n)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `DELETE FROM mac_usage WHERE active = 0 AND reserved = 0 AND quarantined = 0`)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lineage is the table of KeepLineage.
var lineage = monthly{"mac_events", lockLineage}

// KeepLineage makes the partitions of the lineage for the months to come and,
// with a retention, drops those that ended longer ago. No writer waits for it.
func (s *Store) KeepLineage(ctx context.Context, now time.Time, retention time.Duration) error {
	return lineage.keep(ctx, s, now, retention)
}
