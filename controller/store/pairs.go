package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// checkPairBlocks refuses MAC prefixes in the address pairs of a port out of which
// others may get addresses: those must lie in a segment of the port's tenant or
// network, or where there is none. An administrator may name any, but for the segments
// of hosts: what is for an address there goes to that host.
func checkPairBlocks(ctx context.Context, tx *writeTx, sc Scope, p *intent.Port) error {
	for _, pair := range p.Extras.Pairs {
		if pair.MACBits == 0 {
			continue
		}
		block := pair.Block(p.MAC)
		rows, err := tx.Query(ctx, `
			SELECT s.host <> '', (s.block @> int8range($1, $2, '[]')) AS around
			FROM mac_segments s
			WHERE s.block && int8range($1, $2, '[]')
			  AND (s.host <> '' OR NOT $5 AND s.tenant_id IS DISTINCT FROM $3 AND s.network_id IS DISTINCT FROM $4::uuid)
			  -- Of those around the prefix the narrowest says whose it is.
			  AND NOT (s.block @> int8range($1, $2, '[]') AND EXISTS (
			      SELECT FROM mac_segments c WHERE c.parent_id = s.id AND c.block @> int8range($1, $2, '[]')))
			LIMIT 1`, int64(block.Base()), int64(block.Last()), p.TenantID, p.NetworkID, sc.Admin)
		if err != nil {
			return err
		}
		var ofHost, around bool
		found := false
		_, err = pgx.ForEachRow(rows, []any{&ofHost, &around}, func() error { found = true; return nil })
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		whose := "another tenant's or the operator's"
		if ofHost {
			whose = "a host's"
		}
		where := "holds"
		if around {
			where = "lies in"
		}
		return &Invalid{"allowed_address_pairs", fmt.Sprintf(
			"Invalid input for allowed_address_pairs. Reason: mac_address %s %s a MAC segment that is %s; a prefix must lie in a segment of the tenant or the network of the port, or where there is none",
			block, where, whose)}
	}
	return nil
}
