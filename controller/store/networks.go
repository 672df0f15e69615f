package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// maxVNI is the highest VXLAN network identifier, RFC 7348 §5.
const maxVNI = 1<<24 - 1

// defaultMTU leaves room for VXLAN over IPv4 on an Ethernet of 1500.
const defaultMTU = 1450

var networks = entity[intent.Network]{
	kind:  KindNetwork,
	table: "networks",
	columns: metaColumns("networks") + `, networks.vni, networks.mtu, networks.admin_up,
		ARRAY(SELECT subnets.id FROM subnets WHERE subnets.network_id = networks.id ORDER BY subnets.created_at, subnets.id)`,
	from:    "networks",
	visible: "networks.tenant_id = $tenant",
	order:   "networks.id",
	filters: metaFilters("networks", map[string]filter{
		"admin_state_up":            byBool("networks.admin_up"),
		"mtu":                       byNumber("networks.mtu"),
		"provider:segmentation_id":  byNumber("networks.vni"),
		"provider:network_type":     byText("'vxlan'"),
		"provider:physical_network": byText("NULL"),
		"status":                    byText("'ACTIVE'"),
		"shared":                    byBool("false"),
		"router:external":           byBool("false"),
		"is_default":                byBool("false"),
	}),
	sorts: metaSorts("networks", map[string]string{
		"admin_state_up": "networks.admin_up",
		"mtu":            "networks.mtu",
		"status":         "'ACTIVE'::text",
	}),
	scan: func(row pgx.CollectableRow) (n intent.Network, err error) {
		return n, row.Scan(append(metaTargets(&n.Meta), &n.VNI, &n.MTU, &n.AdminUp, &n.Subnets)...)
	},
}

// Networks lists networks.
func (s *Store) Networks(ctx context.Context, sc Scope, q Query) (list []intent.Network, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = networks.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// Network returns one network.
func (s *Store) Network(ctx context.Context, sc Scope, id string) (n intent.Network, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		n, err = networks.get(ctx, db, sc, id)
		return err
	})
	return n, err
}

// CreateNetworks makes networks, all or none. Without a VNI they get a free
// one, without an MTU that of VXLAN.
func (s *Store) CreateNetworks(ctx context.Context, sc Scope, in []intent.Network) ([]intent.Network, error) {
	var out []intent.Network
	err := s.write(ctx, func(tx *writeTx) error {
		out = slices.Clone(in)
		owners := make([]string, len(out))
		for i := range out {
			n := &out[i]
			if err := prepareMeta(sc, &n.Meta); err != nil {
				return err
			}
			if n.MTU == 0 {
				n.MTU = defaultMTU
			}
			if n.VNI > maxVNI {
				return &Invalid{"provider:segmentation_id", fmt.Sprintf("provider:segmentation_id %d is not between 1 and %d", n.VNI, maxVNI)}
			}
			n.Subnets = []string{}
			owners[i] = n.TenantID
			tx.changed(KindNetwork, n.ID, n.TenantID, OpCreate).to(n)
		}
		if err := ensureTenants(ctx, tx, owners); err != nil {
			return err
		}
		for i := range out {
			if err := insertNetwork(ctx, tx, &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// insertNetwork tries random VNIs where none is given: of 16 million, the
// chance to meet a taken one is small, and nobody waits for a counter.
func insertNetwork(ctx context.Context, tx *writeTx, n *intent.Network) error {
	given := n.VNI != 0
	for range 100 {
		if !given {
			n.VNI = 1 + rand.Uint32N(maxVNI)
		}
		rows, err := tx.Query(ctx, `
			INSERT INTO networks (id, tenant_id, name, description, vni, mtu, admin_up)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT ON CONSTRAINT networks_vni_key DO NOTHING
			RETURNING created_at`, n.ID, n.TenantID, n.Name, n.Description, n.VNI, n.MTU, n.AdminUp)
		created, made, err := one(rows, err, pgx.RowTo[time.Time])
		switch {
		case err != nil:
			return err
		case made:
			n.CreatedAt, n.UpdatedAt = created, created
			return nil
		case given:
			return conflicts["networks_vni_key"](key{values: fmt.Sprint(n.VNI)})
		}
	}
	return &Conflict{"NoNetworkAvailable", "provider:segmentation_id", "no free provider:segmentation_id was found"}
}

// UpdateNetwork changes name, description, MTU and administrative state of a
// network. change may run more than once.
func (s *Store) UpdateNetwork(ctx context.Context, sc Scope, id string, change func(*intent.Network) error) (intent.Network, error) {
	var n intent.Network
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := networks.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		n = old
		if err := change(&n); err != nil {
			return err
		}
		keep(&n.Meta, &old.Meta)
		n.VNI, n.Subnets = old.VNI, old.Subnets
		if reflect.DeepEqual(n, old) {
			return nil
		}
		tx.changed(KindNetwork, n.ID, n.TenantID, OpUpdate).to(&n)
		return tx.QueryRow(ctx, `
			UPDATE networks SET name = $2, description = $3, mtu = $4, admin_up = $5, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`, n.ID, n.Name, n.Description, n.MTU, n.AdminUp).Scan(&n.Revision, &n.UpdatedAt)
	})
	return n, err
}

// DeleteNetwork deletes a network without ports, and its subnets.
func (s *Store) DeleteNetwork(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		n, err := networks.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		var used, segments int
		err = tx.QueryRow(ctx, `
			SELECT (SELECT count(*) FROM ports WHERE network_id = $1), (SELECT count(*) FROM mac_segments WHERE network_id = $1)`,
			n.ID).Scan(&used, &segments)
		switch {
		case err != nil:
			return err
		case used > 0:
			return &InUse{KindNetwork, n.ID, count(used, "port")}
		case segments > 0:
			return &InUse{KindNetwork, n.ID, count(segments, "MAC segment")}
		}
		gone, err := subnets.query(ctx, tx, "subnets.network_id = $1", args{n.ID})
		if err != nil {
			return err
		}
		for i := range gone {
			tx.changed(KindSubnet, gone[i].ID, gone[i].TenantID, OpDelete).from(&gone[i])
		}
		if _, err := tx.Exec(ctx, `DELETE FROM subnets WHERE network_id = $1`, n.ID); err != nil {
			return err
		}
		tx.changed(KindNetwork, n.ID, n.TenantID, OpDelete)
		_, err = tx.Exec(ctx, `DELETE FROM networks WHERE id = $1`, n.ID)
		return err
	})
}

// count is a number of things in words.
func count(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "s"):
		return fmt.Sprintf("%d %ses", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
