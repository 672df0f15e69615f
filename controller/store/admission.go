package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// maxRejections is how many switches are remembered that were turned away
// without anybody having decided on them: whoever can reach the listeners can
// invent any number.
const maxRejections = 1000

// decided are the rows of switches that say who may connect.
const decided = `SELECT dpid, system_id, admitted, integration FROM switches WHERE (admitted OR judged_at IS NOT NULL)`

func collectAdmissions(rows pgx.Rows, err error) ([]intent.Admission, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a intent.Admission, err error) {
		var dpid string
		if err := row.Scan(&dpid, &a.SystemID, &a.Admitted, &a.Integration); err != nil {
			return a, err
		}
		a.DPID, err = intent.ParseDPID(dpid)
		return a, err
	})
}

// AdmissionsByID returns the decisions on datapaths, of those that there are.
func (s *Store) AdmissionsByID(ctx context.Context, ids []string) (list []intent.Admission, err error) {
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, decided+` AND dpid = ANY($1::text[])`, ids)
		list, err = collectAdmissions(rows, err)
		return err
	})
	return list, err
}

// SaveRejection remembers that a switch was turned away. The oldest of those
// that nobody has decided on give way.
func (s *Store) SaveRejection(ctx context.Context, c intent.Candidate, reason string) error {
	return s.write(ctx, func(tx *writeTx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO switches (dpid, admitted, address, system_id, hostname, version, turned_away_at, turned_away_reason)
			VALUES ($1, false, $2, $3, $4, $5, now(), $6)
			ON CONFLICT ON CONSTRAINT switches_pkey DO UPDATE SET
				address = excluded.address, turned_away_at = excluded.turned_away_at, turned_away_reason = excluded.turned_away_reason,
				system_id = CASE WHEN excluded.system_id <> '' THEN excluded.system_id ELSE switches.system_id END,
				hostname = CASE WHEN excluded.hostname <> '' THEN excluded.hostname ELSE switches.hostname END,
				version = CASE WHEN excluded.version <> '' THEN excluded.version ELSE switches.version END,
				updated_at = now()
			WHERE NOT switches.admitted`,
			c.DPID.String(), c.Address, c.SystemID, c.Hostname, c.Version, reason)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			DELETE FROM switches WHERE dpid IN (
				SELECT dpid FROM switches WHERE NOT admitted AND judged_at IS NULL AND note = ''
				ORDER BY turned_away_at DESC NULLS LAST OFFSET $1)`, maxRejections)
		return err
	})
}

// CreateSwitches lists datapaths that have not connected yet, all or none.
func (s *Store) CreateSwitches(ctx context.Context, in []intent.Switch) ([]intent.Switch, error) {
	out := make([]intent.Switch, len(in))
	err := s.write(ctx, func(tx *writeTx) error {
		for i, sw := range in {
			sw.Judged = true
			err := tx.QueryRow(ctx, `
				INSERT INTO switches (dpid, system_id, admitted, judged_at) VALUES ($1, $2, $3, now())
				RETURNING updated_at`, sw.DPID.String(), sw.SystemID, sw.Admitted).Scan(&sw.UpdatedAt)
			if err != nil {
				return err
			}
			out[i] = sw
			tx.changed(KindSwitch, sw.DPID.String(), "", OpCreate).to(&out[i])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateSwitch decides whether a datapath may connect, by Judge, or notes something
// about it; all else of it is fact.
// change may run more than once.
func (s *Store) UpdateSwitch(ctx context.Context, dpid intent.DPID, change func(*intent.Switch) error) (intent.Switch, error) {
	err := s.write(ctx, func(tx *writeTx) error {
		sw, err := getSwitch(ctx, tx, dpid, " FOR UPDATE")
		if err != nil {
			return err
		}
		before := sw
		if err := change(&sw); err != nil {
			return err
		}
		tx.changed(KindSwitch, dpid.String(), "", OpUpdate).from(&before).to(&sw)
		_, err = tx.Exec(ctx, `
			UPDATE switches SET admitted = $2, judged_at = CASE WHEN $3 THEN coalesce(judged_at, now()) END, note = $4, updated_at = now()
			WHERE dpid = $1`, dpid.String(), sw.Admitted, sw.Judged, sw.Note)
		return err
	})
	if err != nil {
		return intent.Switch{}, err
	}
	return s.Switch(ctx, dpid)
}

// DeleteSwitch forgets a datapath that is not connected, and with it what was
// attached there: its ports are free for other interfaces.
func (s *Store) DeleteSwitch(ctx context.Context, dpid intent.DPID) error {
	return s.write(ctx, func(tx *writeTx) error {
		sw, err := getSwitch(ctx, tx, dpid, " FOR UPDATE")
		if err != nil {
			return err
		}
		if sw.Connected || sw.OVSDBConnected {
			return &InUse{KindSwitch, dpid.String(), "a connection"}
		}
		if err := saveAttachments(ctx, tx, dpid, nil); err != nil {
			return err
		}
		if err := tellForgotten(ctx, tx, dpid); err != nil {
			return err
		}
		tx.changed(KindSwitch, dpid.String(), "", OpDelete).from(&sw)
		_, err = tx.Exec(ctx, `DELETE FROM switches WHERE dpid = $1`, dpid.String())
		return err
	})
}
