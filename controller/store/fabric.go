package store

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
)

// FabricKey returns the key that signs the frames by which links are found. The
// first controller makes it.
func (s *Store) FabricKey(ctx context.Context) (key fabric.Key, err error) {
	made := make([]byte, 32)
	_, _ = rand.Read(made) // it never fails
	err = s.write(ctx, func(tx *writeTx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO fabric_key (key) VALUES ($1) ON CONFLICT ON CONSTRAINT fabric_key_pkey DO NOTHING`, made); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT key FROM fabric_key`).Scan((*[]byte)(&key))
	})
	return key, err
}

// SaveLinks replaces the links that are known.
func (s *Store) SaveLinks(ctx context.Context, links []fabric.Known) error {
	n := len(links)
	a, b := make([]string, n), make([]string, n)
	aPorts, bPorts := make([]int64, n), make([]int64, n)
	down, tree, since := make([]bool, n), make([]bool, n), make([]time.Time, n)
	for i, l := range links {
		a[i], b[i], aPorts[i], bPorts[i] = l.A.DPID.String(), l.B.DPID.String(), int64(l.A.Port), int64(l.B.Port)
		down[i], tree[i], since[i] = l.Down, l.Tree, l.Since
	}
	return s.write(ctx, func(tx *writeTx) error {
		_, err := tx.Exec(ctx, `
			DELETE FROM fabric_links WHERE (a_dpid, a_port, b_dpid, b_port) NOT IN (
				SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]))`, a, aPorts, b, bPorts)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO fabric_links (a_dpid, a_port, b_dpid, b_port, down, tree, since)
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::boolean[], $6::boolean[], $7::timestamptz[])
			ON CONFLICT ON CONSTRAINT fabric_links_pkey DO UPDATE SET down = excluded.down, tree = excluded.tree, since = excluded.since
			WHERE (fabric_links.down, fabric_links.tree, fabric_links.since) <> (excluded.down, excluded.tree, excluded.since)`,
			a, aPorts, b, bPorts, down, tree, since)
		return err
	})
}

// Links lists the links that are known, in order.
func (s *Store) Links(ctx context.Context) (list []fabric.Known, err error) {
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, `
			SELECT a_dpid, a_port, b_dpid, b_port, down, tree, since FROM fabric_links
			ORDER BY a_dpid COLLATE "C", a_port, b_dpid COLLATE "C", b_port`)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanLink)
		return err
	})
	return list, err
}

func scanLink(row pgx.CollectableRow) (k fabric.Known, err error) {
	var a, b string
	if err := row.Scan(&a, &k.A.Port, &b, &k.B.Port, &k.Down, &k.Tree, &k.Since); err != nil {
		return k, err
	}
	if k.A.DPID, err = intent.ParseDPID(a); err == nil {
		k.B.DPID, err = intent.ParseDPID(b)
	}
	return k, err
}
