package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var networks = entity[intent.Network]{
	kind:  KindNetwork,
	table: "networks",
	columns: metaColumns("networks") + `, networks.vni, networks.mtu, networks.admin_up,
		networks.network_type, coalesce(networks.physical_network, ''), coalesce(networks.segmentation_id, 0)::bigint,
		networks.external, networks.is_default, NOT networks.port_security, coalesce(networks.qos_policy_id::text, ''), networks.dns_domain, networks.zone_hints,
		` + isShared("networks.id") + `, ` + scopeOfNetwork(4) + `, ` + scopeOfNetwork(6) + `, coalesce(tag.vlan, 0), tag.network_id IS NOT NULL AND tag.vlan IS NULL,
		ARRAY(SELECT subnets.id FROM subnets WHERE subnets.network_id = networks.id ORDER BY subnets.created_at, subnets.id)`,
	from:    "networks LEFT JOIN fabric_vlans tag ON tag.network_id = networks.id",
	visible: ownOrShared("networks", KindNetwork),
	owner:   "networks.tenant_id",
	order:   "networks.id",
	filters: metaFilters("networks", map[string]filter{
		"admin_state_up":            byBool("networks.admin_up"),
		"mtu":                       byNumber("networks.mtu"),
		"provider:segmentation_id":  byNumber("networks.segmentation_id"),
		"provider:network_type":     byText("networks.network_type"),
		"provider:physical_network": byText("coalesce(networks.physical_network, '')"),
		"status":                    byText("'ACTIVE'"),
		"shared":                    byBool(isShared("networks.id")),
		"router:external":           byBool("networks.external"),
		"is_default":                byBool("networks.is_default"),
		"fabric_vlan":               byNumber("tag.vlan"),
	}),
	sorts: metaSorts("networks", map[string]string{
		"admin_state_up": "networks.admin_up",
		"mtu":            "networks.mtu",

		"availability_zone_hints": "networks.zone_hints",
		"status":                  "'ACTIVE'::text",
	}),
	scan: func(row pgx.CollectableRow) (n intent.Network, err error) {
		return n, row.Scan(append(metaTargets(&n.Meta), &n.VNI, &n.MTU, &n.AdminUp, &n.Provider.Type, &n.Provider.Physical, &n.Provider.ID,
			&n.External, &n.IsDefault, &n.Unguarded, &n.QoSPolicyID, &n.DNSDomain, &n.ZoneHints,
			&n.Shared, &n.ScopeIDs[0], &n.ScopeIDs[1], &n.VLAN, &n.NoVLAN, &n.Subnets)...)
	},
}

// scopeOfNetwork is the address scope of the subnets of a family.
func scopeOfNetwork(version int) string {
	return fmt.Sprintf(`coalesce((SELECT pool.address_scope_id::text FROM subnets of JOIN subnetpools pool ON pool.id = of.subnetpool_id
			WHERE of.network_id = networks.id AND pool.ip_version = %d AND pool.address_scope_id IS NOT NULL LIMIT 1), '')`, version)
}

// Networks lists networks.
func (s *Store) Networks(ctx context.Context, sc Scope, q Query) (list []intent.Network, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = networks.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// EachNetwork hands over what Networks lists one by one; visit must not keep it.
func (s *Store) EachNetwork(ctx context.Context, sc Scope, q Query, visit func(*intent.Network) error) error {
	return networks.stream(ctx, s, sc, q, visit)
}

// Network returns one network.
func (s *Store) Network(ctx context.Context, sc Scope, id string) (n intent.Network, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		n, err = networks.get(ctx, db, sc, id)
		return err
	})
	return n, err
}

// CreateNetworks makes networks, all or none. Without a type they are VXLAN,
// without a segmentation id they get a free one, without an MTU that of the type.
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
			if n.Provider.ID == 0 && n.Provider.Type == "" {
				n.Provider.ID = n.VNI
			}
			if n.Provider.Type == "" {
				n.Provider.Type = intent.NetworkVXLAN
			}
			if err := checkProvider(n.Provider); err != nil {
				return err
			}
			if n.MTU == 0 {
				n.MTU = n.Provider.Type.MTU()
			}
			n.IsDefault = n.IsDefault && n.External
			n.Subnets = []string{}
			owners[i] = n.TenantID
			tx.spends(KindNetwork, n.TenantID)
			tx.changed(KindNetwork, n.ID, n.TenantID, OpCreate).to(n)
		}
		if err := ensureTenants(ctx, tx, owners); err != nil {
			return err
		}
		for i := range out {
			if err := useQoSPolicy(ctx, tx, sc, out[i].QoSPolicyID, usedByNetwork(out[i].ID)); err != nil {
				return err
			}
			if err := insertNetwork(ctx, tx, &out[i]); err != nil {
				return err
			}
			if err := shareNetwork(ctx, tx, &out[i], &intent.Network{}); err != nil {
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

// insertNetwork tries numbers at random where none is given: of 16 million,
// the chance to meet a taken one is small, and nobody waits for a counter.
func insertNetwork(ctx context.Context, tx *writeTx, n *intent.Network) error {
	last := lastID(n.Provider.Type)
	given := n.Provider.ID != 0 || last == 0
	for range 100 {
		if !given {
			id, err := freeID(ctx, tx, n.Provider, last)
			if err != nil {
				return err
			}
			n.Provider.ID = id
		}
		n.VNI = n.Provider.ID
		if n.Provider.Type != intent.NetworkVXLAN {
			n.VNI = intent.MaxVNI + 1 + rand.Uint32N(intent.MaxVNI)
		}
		// No target of the conflict: the number for the pipeline or the one of the
		// operator may be taken.
		rows, err := tx.Query(ctx, `
			INSERT INTO networks (id, tenant_id, name, description, vni, mtu, admin_up, network_type, physical_network, segmentation_id,
				external, is_default, port_security, qos_policy_id, dns_domain, zone_hints)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, nullif($9, ''), nullif($10::bigint, 0), $11, $12, $13, 
				coalesce(nullif($14, '')::uuid, (SELECT id FROM qos_policies WHERE tenant_id = $2 AND qos_policies.is_default)), $15, $16)
			ON CONFLICT ON CONSTRAINT networks_vni_key DO NOTHING
			RETURNING created_at, coalesce(qos_policy_id::text, '')`, n.ID, n.TenantID, n.Name, n.Description, n.VNI, n.MTU, n.AdminUp, n.Provider.Type, n.Provider.Physical, n.Provider.ID,
			n.External, n.IsDefault, !n.Unguarded, n.QoSPolicyID, n.DNSDomain, orEmpty(n.ZoneHints))
		row, made, err := one(rows, err, pgx.RowToStructByPos[struct {
			Created   time.Time
			QoSPolicy string // the default one of the tenant, if none is given
		}])
		switch {
		case err != nil:
			return err
		case made:
			n.CreatedAt, n.UpdatedAt, n.QoSPolicyID = row.Created, row.Created, row.QoSPolicy
			return nil
		case given && n.Provider.Type == intent.NetworkVXLAN:
			return conflicts["networks_vni_key"](key{values: fmt.Sprint(n.VNI)})
		}
	}
	return &Conflict{"NoNetworkAvailable", "provider:segmentation_id", "no free provider:segmentation_id was found"}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// shareNetwork makes the policies for all tenants what the attributes say.
func shareNetwork(ctx context.Context, tx *writeTx, n, old *intent.Network) error {
	if n.Shared != old.Shared {
		err := shareWithAll(ctx, tx, KindNetwork, n.ID, n.TenantID, intent.AccessAsShared, n.Shared)
		var used *Conflict
		if errors.As(err, &used) {
			return &Conflict{"InvalidSharedSetting", "shared", fmt.Sprintf("Unable to reconfigure sharing settings for network %s. Multiple tenants are using it (shared).", n.ID)}
		}
		if err != nil {
			return err
		}
	}
	switch {
	case n.External == old.External:
		return nil
	case n.External:
		return shareWithAll(ctx, tx, KindNetwork, n.ID, n.TenantID, intent.AccessAsExternal, true)
	}
	// All of them, for single tenants too: the network leads nowhere.
	return withdraw(ctx, tx, `rbac_policies.network_id = $1 AND rbac_policies.action = 'access_as_external'`, n.ID)
}

// UpdateNetwork changes a network. Of the provider attributes it changes the
// VLAN id. change may run more than once.
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
		n.VNI, n.Subnets, n.ZoneHints, n.ScopeIDs, n.VLAN, n.NoVLAN = old.VNI, old.Subnets, old.ZoneHints, old.ScopeIDs, old.VLAN, old.NoVLAN
		n.IsDefault = n.IsDefault && n.External
		if reflect.DeepEqual(n, old) {
			return nil
		}
		if err := checkProviderChange(n.Provider, old.Provider); err != nil {
			return err
		}
		if n.QoSPolicyID != old.QoSPolicyID {
			if err := useQoSPolicy(ctx, tx, sc, n.QoSPolicyID, usedByNetwork(n.ID)); err != nil {
				return err
			}
		}
		if err := shareNetwork(ctx, tx, &n, &old); err != nil {
			return err
		}
		if err := networks.retag(ctx, tx, &n.Meta, &old.Meta); err != nil {
			return err
		}
		tx.changed(KindNetwork, n.ID, n.TenantID, OpUpdate).to(&n)
		return tx.QueryRow(ctx, `
			UPDATE networks SET name = $2, description = $3, mtu = $4, admin_up = $5, segmentation_id = nullif($6::bigint, 0), external = $7, is_default = $8,
				port_security = $9, qos_policy_id = nullif($10, '')::uuid, dns_domain = $11, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`, n.ID, n.Name, n.Description, n.MTU, n.AdminUp, n.Provider.ID, n.External, n.IsDefault,
			!n.Unguarded, n.QoSPolicyID, n.DNSDomain).Scan(&n.Revision, &n.UpdatedAt)
	})
	return n, err
}

// DeleteNetwork deletes a network without ports but those that serve it, and
// its subnets.
func (s *Store) DeleteNetwork(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		n, err := networks.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if err := dropServants(ctx, tx, n.ID); err != nil {
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
		if err := unshare(ctx, tx, KindNetwork, n.ID); err != nil {
			return err
		}
		if err := restVLANs(ctx, tx, n.ID); err != nil {
			return err
		}
		if err := dropMACGuard(ctx, tx, n.ID); err != nil {
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
