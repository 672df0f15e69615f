package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

var blockRecords = record[intent.Block]{
	entity: entity[intent.Block]{
		kind:  KindBlock,
		table: "blocks",
		columns: `blocks.id, '', '', '', '{}'::text[], blocks.revision, blocks.created_at, blocks.updated_at,
			blocks.num, coalesce(blocks.address, 0), coalesce(blocks.dpid, ''), coalesce(blocks.port, 0), blocks.cause, blocks.reason, blocks.seconds, blocks.expires_at`,
		from:    "blocks",
		visible: "false AND $tenant = ''", // they are the operator's
		order:   "blocks.num",
		filters: map[string]filter{
			"id":          byUUID("blocks.id"),
			"mac_address": byMAC("blocks.address"),
			"switch":      byText("blocks.dpid"),
			"port":        byNumber("blocks.port"),
			"cause":       byText("blocks.cause"),
		},
		sorts: map[string]string{
			"id":          "blocks.id",
			"mac_address": "coalesce(blocks.address, 0)",
			"switch":      byBytes("coalesce(blocks.dpid, '')"),
			"port":        "coalesce(blocks.port, 0)",
			"cause":       byBytes("blocks.cause"),
			"expires_at":  "coalesce(blocks.expires_at, 'infinity')",
			"created_at":  "blocks.created_at",
		},
		scan: func(row pgx.CollectableRow) (b intent.Block, err error) {
			var address, seconds int64
			var dpid string
			var expires *time.Time
			err = row.Scan(append(metaTargets(&b.Meta), &b.Num, &address, &dpid, &b.At.Port, &b.Cause, &b.Reason, &seconds, &expires)...)
			if err == nil && dpid != "" {
				b.At.Switch, err = intent.ParseDPID(dpid)
			}
			b.MAC, b.Term = mac.Addr(address), time.Duration(seconds)*time.Second
			if expires != nil {
				b.ExpiresAt = *expires
			}
			return b, err
		},
	},
	meta:   func(b *intent.Block) *intent.Meta { return &b.Meta },
	fields: []string{"address", "dpid", "port", "cause", "reason", "seconds", "expires_at"},
	values: func(b *intent.Block) []any {
		var address, dpid, port, expires any
		if b.MAC != 0 {
			address = int64(b.MAC)
		}
		if b.At != (intent.Place{}) {
			dpid, port = b.At.Switch.String(), int64(b.At.Port)
		}
		if !b.ExpiresAt.IsZero() {
			expires = b.ExpiresAt
		}
		return []any{address, dpid, port, string(b.Cause), b.Reason, int64(b.Term / time.Second), expires}
	},
	settle: func(ctx context.Context, tx *writeTx, _ Scope, b, _ *intent.Block) error {
		if b.Cause == "" {
			b.Cause = intent.BlockByHand
		}
		if b.At == (intent.Place{}) {
			return nil
		}
		_, err := getSwitch(ctx, tx, b.At.Switch, "")
		return err
	},
	written: func(ctx context.Context, tx *writeTx, b, _ *intent.Block) error {
		return tellBlock(ctx, tx, b, intent.MACBlocked, b.Reason)
	},
	leave: func(ctx context.Context, tx *writeTx, _ Scope, b *intent.Block) error {
		return tellBlock(ctx, tx, b, intent.MACUnblocked, "lifted")
	},
	ownerless: true,
}

// tellBlock tells of a block, or of the end of one: as an event, and in the lineage of a
// managed address.
func tellBlock(ctx context.Context, tx *writeTx, b *intent.Block, kind intent.MACEventKind, detail string) error {
	by := Actor(ctx)
	if by == "" {
		by = "guard"
	}
	e := intent.Event{Kind: intent.EventBlockLifted, MAC: b.MAC, Switch: b.At.Switch, Port: b.At.Port, Details: map[string]any{"block_id": b.ID, "by": by, "reason": detail}}
	if kind == intent.MACBlocked {
		e.Kind = intent.EventBlockAdded
		if !b.ExpiresAt.IsZero() {
			e.Details["until"] = b.ExpiresAt.UTC().Format(time.RFC3339)
		}
	}
	if err := tx.happened(e); err != nil || b.MAC == 0 {
		return err
	}
	datapath := ""
	if b.At != (intent.Place{}) {
		datapath = b.At.Switch.String()
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO mac_events (address, kind, state, segment_id, tenant_id, port_id, device_id, datapath, switch_port, actor, request_id, detail)
		SELECT address, $2, state, segment_id, tenant_id, port_id, device_id, $3, $4, $5, $6, $7 FROM mac_addresses WHERE address = $1`,
		int64(b.MAC), string(kind), datapath, int64(b.At.Port), Actor(ctx), requestID(ctx), detail)
	return err
}

// Blocks lists blocks.
func (s *Store) Blocks(ctx context.Context, sc Scope, q Query) ([]intent.Block, error) {
	return blockRecords.all(ctx, s, sc, q)
}

// Block returns one block.
func (s *Store) Block(ctx context.Context, sc Scope, id string) (intent.Block, error) {
	return blockRecords.show(ctx, s, sc, id)
}

// CreateBlocks makes blocks, all or none.
func (s *Store) CreateBlocks(ctx context.Context, sc Scope, in []intent.Block) ([]intent.Block, error) {
	return blockRecords.create(ctx, s, sc, in)
}

// DeleteBlock lifts a block, whoever has made it. Nobody is held to have relapsed
// because of it.
func (s *Store) DeleteBlock(ctx context.Context, sc Scope, id string) error {
	return blockRecords.remove(ctx, s, sc, id)
}

// BlocksByID returns those of the blocks that exist.
func (s *Store) BlocksByID(ctx context.Context, ids []string) (m map[string]intent.Block, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		m, err = blockRecords.byID(ctx, q, ids, func(b *intent.Block) string { return b.ID })
		return err
	})
	return m, err
}

// mostBlocks bounds the addresses that the guard blocks at a port: who uses those of more stations there makes no
// more work by it.
const mostBlocks = 256

// AddBlock makes a block of the guard, for as long as term says of when the last one of the
// same ended and how long that one was; 0 if there was none lately. made is false, and nothing is done, if
// there is such a block, or as many at the port as there may be.
func (s *Store) AddBlock(ctx context.Context, b intent.Block, term func(now time.Time, before time.Duration, ended time.Time) time.Duration) (_ intent.Block, made bool, err error) {
	in := b
	err = s.write(ctx, func(tx *writeTx) error {
		b, made = in, false
		var now, ended time.Time
		var there bool
		var before int64
		err := tx.QueryRow(ctx, `
			SELECT now(), EXISTS (SELECT FROM blocks WHERE coalesce(address, 0) = $1 AND dpid = $2 AND port = $3)
					OR $1 <> 0 AND (SELECT count(*) FROM blocks WHERE dpid = $2 AND port = $3 AND seconds > 0) >= $4,
				coalesce((SELECT seconds FROM block_terms WHERE address = $1 AND dpid = $2 AND port = $3), 0),
				coalesce((SELECT ended_at FROM block_terms WHERE address = $1 AND dpid = $2 AND port = $3), now())`,
			int64(b.MAC), b.At.Switch.String(), int64(b.At.Port), mostBlocks).Scan(&now, &there, &before, &ended)
		if err != nil || there {
			return err
		}
		b.Term = term(now, time.Duration(before)*time.Second, ended)
		b.ExpiresAt = now.Add(b.Term)
		list := []intent.Block{b}
		if err := blockRecords.prepare(ctx, tx, Scope{Admin: true}, list); err != nil {
			return err
		}
		b, made = list[0], true
		return blockRecords.insert(ctx, tx, Scope{Admin: true}, &b)
	})
	if c, taken := errors.AsType[*Conflict](err); taken && c.Type == blockExists {
		return b, false, nil // by another controller, just now
	}
	return b, made && err == nil, err
}

// ExpireBlocks ends the blocks whose time is over, and returns them.
func (s *Store) ExpireBlocks(ctx context.Context) (over []intent.Block, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		rows, err := tx.Query(ctx, `
			WITH due AS (SELECT id FROM blocks WHERE expires_at <= now() ORDER BY id FOR UPDATE SKIP LOCKED),
			over AS (DELETE FROM blocks USING due WHERE blocks.id = due.id RETURNING blocks.*),
			kept AS (
				INSERT INTO block_terms (address, dpid, port, seconds, ended_at)
				SELECT coalesce(address, 0), dpid, port, seconds, expires_at FROM over WHERE seconds > 0 AND dpid IS NOT NULL
				ON CONFLICT ON CONSTRAINT block_terms_pkey DO UPDATE SET seconds = excluded.seconds, ended_at = excluded.ended_at),
			forgotten AS (DELETE FROM block_terms WHERE ended_at < now() - make_interval(secs => seconds))
			SELECT `+blockRecords.columns+` FROM over AS blocks`)
		if err != nil {
			return err
		}
		if over, err = pgx.CollectRows(rows, blockRecords.scan); err != nil {
			return err
		}
		for i := range over {
			b := &over[i]
			tx.changed(KindBlock, b.ID, "", OpDelete).from(b)
			if err := tellBlock(ctx, tx, b, intent.MACUnblocked, "expired"); err != nil {
				return err
			}
		}
		return nil
	})
	return over, err
}
