package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// monthsAhead is for how many months partitions are made before they begin.
const monthsAhead = 3

const monthLayout = "2006_01"

// monthly is a table with a partition for each month of UTC, by its column at,
// and a default one.
type monthly struct {
	table string
	lock  int64 // key of the advisory lock of whoever makes a month
}

// partition is the table of a month. The name needs no quoting: the month is
// made of numbers alone.
func (m monthly) partition(month time.Time) string { return m.table + "_" + month.Format(monthLayout) }

// keep makes the partitions for the months to come and, with a retention, drops
// those that ended longer ago. Writers never wait for it: what there is no
// month for goes to the default partition, and is moved out of it here.
func (m monthly) keep(ctx context.Context, s *Store, now time.Time, retention time.Duration) error {
	now = now.UTC()
	first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	months, err := m.months(ctx, s)
	if err != nil {
		return err
	}
	for i := range monthsAhead + 1 {
		if month := first.AddDate(0, i, 0); !months[month] {
			if err := m.make(ctx, s, month); err != nil {
				return err
			}
		}
	}
	if retention <= 0 {
		return nil
	}
	for month := range months {
		if month.AddDate(0, 1, 0).After(now.Add(-retention)) {
			continue
		}
		// This needs the table to itself for a moment. Writers would stand in
		// line behind it, so it does not wait long; there is another time.
		err := s.write(ctx, func(tx *writeTx) error {
			if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '200ms'`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `DROP TABLE `+m.partition(month))
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.write(ctx, func(tx *writeTx) error {
		_, err := tx.Exec(ctx, `DELETE FROM `+m.table+`_default WHERE at < $1`, now.Add(-retention))
		return err
	})
}

// months are those that have a partition.
func (m monthly) months(ctx context.Context, s *Store) (months map[time.Time]bool, err error) {
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, `
			SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '`+m.table+`'::regclass`)
		if err != nil {
			return err
		}
		months = map[time.Time]bool{}
		var name string
		_, err = pgx.ForEachRow(rows, []any{&name}, func() error {
			if month, err := time.Parse(m.table+"_"+monthLayout, name); err == nil {
				months[month] = true
			}
			return nil
		})
		return err
	})
	return months, err
}

// make makes a partition beside the table and attaches it: that holds up no
// writer, as CREATE TABLE … PARTITION OF would.
func (m monthly) make(ctx context.Context, s *Store, month time.Time) error {
	from, to := month.Format(time.RFC3339), month.AddDate(0, 1, 0).Format(time.RFC3339)
	table := m.partition(month)
	return s.write(ctx, func(tx *writeTx) error {
		for _, sql := range []string{
			fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, m.lock),
			`SET LOCAL lock_timeout = '200ms'`,
			`CREATE TABLE IF NOT EXISTS ` + table + ` (LIKE ` + m.table + ` INCLUDING ALL)`,
			`WITH moved AS (DELETE FROM ` + m.table + `_default WHERE at >= '` + from + `' AND at < '` + to + `' RETURNING *)
			 INSERT INTO ` + table + ` SELECT * FROM moved`,
			`DO $$ BEGIN
				IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = '` + table + `'::regclass) THEN
					ALTER TABLE ` + m.table + ` ATTACH PARTITION ` + table + ` FOR VALUES FROM ('` + from + `') TO ('` + to + `');
				END IF;
			END $$`,
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
}
