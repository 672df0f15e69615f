package store

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/mac"
)

// Where an address that can be any comes from, in this order: for an instance
// of an instance-hash segment, the addresses that belong to its id; then what
// was never given, out of a lease of this process; then what was released and
// has rested, the longest ago first; and last any gap, be it in the lease of
// another process. So addresses are reused as late as can be, and a segment is
// full only when it is.

// choose picks MACs where any will do.
func (pl *macPlan) choose(ctx context.Context, wanted []wantedMAC, round int) error {
	if round > 0 {
		for _, src := range pl.serving {
			src.looked, src.searched, src.dry = false, false, false
			pl.store.leases.pool.Return(src.leased...)
			src.leased = nil
		}
		if err := pl.store.leases.verify(ctx, pl.doubted); err != nil {
			return err
		}
		pl.doubted = nil
	}
	for i := range wanted {
		if len(wanted[i].from) == 0 {
			continue
		}
		if err := pl.chooseOne(ctx, &wanted[i], len(wanted)-i); err != nil {
			return err
		}
	}
	return nil
}

// instanceTries bounds how many addresses that belong to an instance are tried:
// with so many in use the segment is nearly full, and any will do.
const instanceTries = 32

// chooseOne picks an address that seems free, out of the first segment that
// has one left. need is how many are to be chosen in all.
func (pl *macPlan) chooseOne(ctx context.Context, w *wantedMAC, need int) error {
	for _, src := range w.from {
		if src.strategy == mac.InstanceHash && w.row.device != "" {
			for w.tries < min(instanceTries, src.block.Size()) {
				a := mac.InstanceAddr(src.block, w.row.device, w.tries)
				w.tries++
				if pl.claim(a) {
					w.row.addr, w.row.segment = a, src.id
					return nil
				}
			}
		}
		found, err := pl.fromLease(ctx, w, src, need)
		if found || err != nil {
			return err
		}
		if found, err = pl.rested(ctx, w, src, need); found || err != nil {
			return err
		}
		if found, err = pl.fromGap(ctx, w, src, need); found || err != nil {
			return err
		}
	}
	return &Conflict{"MacAddressGenerationFailure", w.attr, fmt.Sprintf("%s: no more addresses are free in MAC segment %s", w.attr, blocks(w.from))}
}

// fromLease takes the next address that was never given.
func (pl *macPlan) fromLease(ctx context.Context, w *wantedMAC, src *macSource, need int) (bool, error) {
	pool := pl.store.leases.pool
	for {
		for len(src.leased) > 0 {
			c := src.leased[0]
			src.leased = src.leased[1:]
			if !pl.claim(c.Addr) {
				pool.Done(c) // somebody is at it by another way
				continue
			}
			pl.used = append(pl.used, c)
			w.row.addr, w.row.segment, w.row.fence = c.Addr, src.id, c.Fence()
			return true, nil
		}
		if src.dry {
			return false, nil
		}
		if src.leased = pool.Take(src.id, need); len(src.leased) > 0 {
			continue
		}
		more, err := pl.store.leases.acquire(ctx, src.id, need)
		if err != nil {
			return false, err
		}
		src.dry = !more
	}
}

// rested takes the address that was released the longest ago. Those found are
// held by this transaction, and passed over by others.
func (pl *macPlan) rested(ctx context.Context, w *wantedMAC, src *macSource, need int) (bool, error) {
	if len(src.rested) == 0 && !src.looked {
		src.looked = true
		var b pgx.Batch
		b.Queue(expireDue, "", "", src.id)
		b.Queue(`
			SELECT address FROM mac_addresses WHERE segment_id = $1 AND state IN ('quarantined', 'free') AND free_at <= now()
			ORDER BY free_at, address LIMIT $2 FOR UPDATE SKIP LOCKED`, src.id, need).
			Query(eachAddr(func(a mac.Addr) { src.rested = append(src.rested, a) }))
		if err := pl.tx.SendBatch(ctx, &b).Close(); err != nil {
			return false, err
		}
	}
	if len(src.rested) == 0 {
		return false, nil
	}
	w.row.addr, w.row.segment, w.row.fence, w.hold = src.rested[0], src.id, 0, true
	src.rested = src.rested[1:]
	return true, nil
}

// fromGap takes an address that no row is there for.
func (pl *macPlan) fromGap(ctx context.Context, w *wantedMAC, src *macSource, need int) (bool, error) {
	for {
		for len(src.free) > 0 {
			r := &src.free[0]
			a := r.first
			if a == r.last {
				src.free = src.free[1:]
			} else {
				r.first++
			}
			if pl.claim(a) {
				w.row.addr, w.row.segment, w.row.fence = a, src.id, 0
				return true, nil
			}
		}
		if src.searched {
			return false, nil
		}
		if err := src.search(ctx, pl.tx, need+pl.store.macs.size()); err != nil {
			return false, err
		}
	}
}

// claim keeps others in this process, and this transaction itself, from trying
// an address again.
func (pl *macPlan) claim(a mac.Addr) bool {
	if _, tried := pl.mine[a]; tried || a == 0 || !pl.store.macs.claim(a) {
		return false
	}
	pl.mine[a] = struct{}{}
	pl.claimed = append(pl.claimed, a)
	return true
}

// search finds gaps between the rows of addresses: from a random address on,
// and if these are too few from the start of the block.
func (src *macSource) search(ctx context.Context, tx *writeTx, need int) error {
	src.searched = true
	src.free = nil
	start := src.block.Base()
	if src.strategy != mac.Sequential {
		start = src.block.At(rand.Uint64N(src.block.Size()))
	}
	if err := src.gaps(ctx, tx, macRange{start, src.block.Last()}, need); err != nil {
		return err
	}
	if len(src.free) < need && start != src.block.Base() {
		return src.gaps(ctx, tx, macRange{src.block.Base(), start - 1}, need)
	}
	return nil
}

// gaps appends what is free of a range, up to about a limit of gaps. The
// window runs along the primary key and stops at the limit.
func (src *macSource) gaps(ctx context.Context, tx *writeTx, r macRange, limit int) error {
	var b pgx.Batch
	b.Queue(`SELECT address FROM mac_addresses WHERE address BETWEEN $1 AND $2 ORDER BY address LIMIT 1`,
		int64(r.first), int64(r.last)).Query(func(rows pgx.Rows) error {
		lowest, found, err := one(rows, nil, pgx.RowTo[int64])
		switch {
		case err != nil:
			return err
		case !found:
			src.free = append(src.free, r)
		case mac.Addr(lowest) != r.first:
			src.free = append(src.free, macRange{r.first, mac.Addr(lowest) - 1})
		}
		return nil
	})
	b.Queue(`
		SELECT address + 1, next - 1 FROM (
			SELECT address, lead(address, 1, $2::bigint + 1) OVER (ORDER BY address) AS next
			FROM mac_addresses WHERE address BETWEEN $1 AND $2) AS used
		WHERE next <> address + 1
		ORDER BY address LIMIT $3`, int64(r.first), int64(r.last), limit).Query(func(rows pgx.Rows) error {
		var first, last int64
		_, err := pgx.ForEachRow(rows, []any{&first, &last}, func() error {
			src.free = append(src.free, macRange{mac.Addr(first), mac.Addr(last)})
			return nil
		})
		return err
	})
	return tx.SendBatch(ctx, &b).Close()
}
