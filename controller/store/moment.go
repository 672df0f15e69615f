package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Moment is a state of the database as the feed sees it.
type Moment struct {
	Revision int64 // the state holds all changes up to it
	ahead    []int64
}

// Holds says whether the state of the moment holds a change: it may also hold
// some that had no revision yet.
func (m *Moment) Holds(revision int64) bool {
	return revision <= m.Revision || slices.Contains(m.ahead, revision)
}

// At lets all that read asks of the store with the context that it is given see
// the state of one moment. It cannot write.
func (s *Store) At(ctx context.Context, read func(context.Context, *Moment) error) error {
	// Like the reader of a list, it may take its time.
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	case <-ctx.Done():
		return ctx.Err()
	}
	tx, m, unnumbered, err := s.moment(ctx)
	if isUnavailable(err) && ctx.Err() == nil { // a connection of before a restart of the server
		s.pool.Reset()
		tx, m, unnumbered, err = s.moment(ctx)
	}
	if err != nil {
		return mapError(err)
	}
	defer tx.leave(ctx)
	if m.ahead, err = s.numbered(ctx, unnumbered); err != nil {
		return err
	}
	return read(context.WithValue(ctx, heldKey{}, tx), m)
}

// moment begins a transaction that sees one state, and returns the rows of the
// outbox in it that have no revision yet.
func (s *Store) moment(ctx context.Context) (_ *writeTx, m *Moment, unnumbered []int64, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	tx := &writeTx{conn: conn, begun: true}
	m = &Moment{}
	var b pgx.Batch
	b.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY`)
	b.Queue(`SELECT coalesce(max(revision), 0) FROM outbox`).QueryRow(func(row pgx.Row) error { return row.Scan(&m.Revision) })
	b.Queue(`SELECT id FROM outbox WHERE revision IS NULL`).Query(func(rows pgx.Rows) (err error) {
		unnumbered, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	if err := conn.SendBatch(ctx, &b).Close(); err != nil {
		tx.leave(ctx)
		return nil, nil, nil, err
	}
	return tx, m, unnumbered, nil
}

// numbered waits until rows of the outbox that are committed have their
// revisions.
func (s *Store) numbered(ctx context.Context, rows []int64) (revisions []int64, err error) {
	for len(revisions) < len(rows) {
		s.feed.poke()
		err := s.read(ctx, func(q querier) error {
			found, err := q.Query(ctx, `SELECT revision FROM outbox WHERE id = ANY($1) AND revision IS NOT NULL`, rows)
			if err == nil {
				revisions, err = pgx.CollectRows(found, pgx.RowTo[int64])
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(revisions) == len(rows) {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(publishGap):
		}
	}
	return revisions, nil
}

// Reach returns the first and the last revision that the feed holds, 0 and 0
// if none. It can be read from any revision from first-1 on.
func (s *Store) Reach(ctx context.Context) (first, last int64, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRow(ctx, `SELECT coalesce(min(revision), 0), coalesce(max(revision), 0) FROM outbox`).Scan(&first, &last)
	})
	return first, last, err
}

// Steady says whether a tenant has seen nothing of others of a kind since a
// revision that it does not see now: no policy has changed by which it could.
func (s *Store) Steady(ctx context.Context, kind Kind, tenant string, since int64) (steady bool, err error) {
	condition := `NOT EXISTS (SELECT FROM outbox WHERE kind = '` + string(KindRBACPolicy) + `' AND (revision > $1 OR revision IS NULL))`
	switch kind {
	case KindNetwork, KindSubnet, KindSecurityGroup, KindRule, KindAddressGroup, KindAddressScope, KindSubnetPool, KindQoSPolicy, KindQoSRule:
		condition += ` AND $2 <> ''`
	case KindPort: // those on networks of one's own, which others may only use if they are shared
		condition += ` AND NOT EXISTS (SELECT FROM rbac_policies p JOIN networks n ON n.id = p.network_id WHERE n.tenant_id = $2)`
	default:
		return false, nil
	}
	err = s.read(ctx, func(q querier) error {
		return q.QueryRow(ctx, `SELECT `+condition, since, tenant).Scan(&steady)
	})
	return steady, err
}

// sight says who may see objects of a kind.
type sight interface {
	// private says whether nobody but their owners and administrators ever see
	// them.
	private() bool
	viewers(ctx context.Context, q querier, ids, tenants []string) (map[string][]string, error)
}

// sights are the kinds without a reader that others than their owners may see.
var sights = map[Kind]sight{
	KindMeteringLabel:  &meteringLabels.entity,
	KindMeteringRule:   &meteringRules.entity,
	KindFlavor:         &flavors.entity,
	KindServiceProfile: &serviceProfiles.entity,
}

func sightOf(kind Kind) sight {
	if r, ok := readers[kind]; ok {
		return r
	}
	return sights[kind]
}

// Private says whether nobody but their owners and administrators ever see
// objects of a kind.
func Private(kind Kind) bool {
	of := sightOf(kind)
	return of == nil || of.private()
}

// Visible returns for each of some tenants which objects of a kind it sees, of
// those with the given owners by their ids. It takes one statement at most.
func (s *Store) Visible(ctx context.Context, kind Kind, owners map[string]string, tenants []string) (seen map[string][]string, err error) {
	if len(owners) == 0 || len(tenants) == 0 {
		return nil, nil
	}
	if Private(kind) {
		seen = make(map[string][]string, len(tenants))
		for _, t := range tenants {
			seen[t] = nil
		}
		for id, owner := range owners {
			if _, asked := seen[owner]; asked {
				seen[owner] = append(seen[owner], id)
			}
		}
		return seen, nil
	}
	ids := make([]string, 0, len(owners))
	for id := range owners {
		ids = append(ids, id)
	}
	err = s.read(ctx, func(q querier) (err error) {
		seen, err = sightOf(kind).viewers(ctx, q, ids, tenants)
		return err
	})
	return seen, err
}

// viewers returns by tenant the ids of the objects that it sees.
func (e *entity[T]) viewers(ctx context.Context, q querier, ids, tenants []string) (map[string][]string, error) {
	sqlType := "uuid"
	if e.textID {
		sqlType = "text"
	} else {
		ids = uuids(ids)
	}
	rows, err := q.Query(ctx, `SELECT viewer.tenant, `+e.table+`.id::text FROM unnest($2::text[]) AS viewer (tenant), `+e.from+`
		WHERE `+e.table+`.id = ANY($1::`+sqlType+`[]) AND `+e.seenBy("viewer.tenant"), ids, tenants)
	if err != nil {
		return nil, err
	}
	seen := map[string][]string{}
	var tenant, id string
	_, err = pgx.ForEachRow(rows, []any{&tenant, &id}, func() error { seen[tenant] = append(seen[tenant], id); return nil })
	return seen, err
}
