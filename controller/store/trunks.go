package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var trunks = record[intent.Trunk]{
	entity: entity[intent.Trunk]{
		kind:  KindTrunk,
		table: "trunks",
		columns: metaColumns("trunks") + `, trunks.port_id, trunks.admin_up, ` + trunkStatus + `,
			ARRAY(SELECT s.port_id FROM trunk_subports s WHERE s.trunk_id = trunks.id ORDER BY s.n),
			ARRAY(SELECT s.segmentation_id FROM trunk_subports s WHERE s.trunk_id = trunks.id ORDER BY s.n)`,
		from:    "trunks",
		visible: "trunks.tenant_id = $tenant",
		order:   "trunks.id",
		filters: metaFilters("trunks", map[string]filter{
			"port_id":        byUUID("trunks.port_id"),
			"admin_state_up": byBool("trunks.admin_up"),
			"status":         byText(trunkStatus),
		}),
		sorts: metaSorts("trunks", map[string]string{
			"port_id":        "trunks.port_id",
			"admin_state_up": "trunks.admin_up",
			"status":         byBytes(trunkStatus),
		}),
		scan: func(row pgx.CollectableRow) (t intent.Trunk, err error) {
			var portIDs []string
			var vlans []int
			err = row.Scan(append(metaTargets(&t.Meta), &t.PortID, &t.AdminUp, &t.Status, &portIDs, &vlans)...)
			t.SubPorts = make([]intent.SubPort, len(portIDs))
			for i := range portIDs {
				t.SubPorts[i] = intent.SubPort{PortID: portIDs[i], VLAN: vlans[i]}
			}
			return t, err
		},
	},
	meta:   func(t *intent.Trunk) *intent.Meta { return &t.Meta },
	fields: []string{"name", "description", "port_id", "admin_up"},
	values: func(t *intent.Trunk) []any { return []any{t.Name, t.Description, t.PortID, t.AdminUp} },
	settle: func(ctx context.Context, tx *writeTx, sc Scope, t, old *intent.Trunk) error {
		if old != nil {
			t.PortID, t.Status, t.SubPorts = old.PortID, old.Status, old.SubPorts
			return nil
		}
		t.SubPorts = slices.Clone(t.SubPorts)
		if err := ports.ref(&t.PortID); err != nil {
			return err
		}
		parent, err := trunkPorts(ctx, tx, sc, t.PortID, t.SubPorts)
		if err != nil {
			return err
		}
		return parent[t.PortID].free(t.PortID)
	},
	written: func(ctx context.Context, tx *writeTx, t, old *intent.Trunk) error {
		switch {
		case old == nil:
			if err := enter(ctx, tx, t.ID, portsOf(t.SubPorts), true, func() error { return insertSubPorts(ctx, tx, t.ID, t.SubPorts) }); err != nil {
				return err
			}
			if err := lead(ctx, tx, t.PortID, t.ID); err != nil {
				return err
			}
		case t.AdminUp != old.AdminUp:
			if err := ports.touch(ctx, tx, Scope{Admin: true}, portsOf(t.SubPorts)); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, "SELECT "+trunkStatus+" FROM trunks WHERE id = $1", t.ID).Scan(&t.Status)
	},
	leave: func(ctx context.Context, tx *writeTx, _ Scope, t *intent.Trunk) error {
		if err := manageable(t); err != nil {
			return err
		}
		err := enter(ctx, tx, t.ID, portsOf(t.SubPorts), false, func() error {
			_, err := tx.Exec(ctx, `DELETE FROM trunk_subports WHERE trunk_id = $1`, t.ID)
			return err
		})
		if err != nil {
			return err
		}
		return lead(ctx, tx, t.PortID, "")
	},
}

// manageable refuses to change the ports of a trunk that is switched off.
func manageable(t *intent.Trunk) error {
	if t.AdminUp {
		return nil
	}
	return &Conflict{"TrunkDisabled", "admin_state_up", fmt.Sprintf("Trunk %s is currently disabled.", t.ID)}
}

// trunkPort is what a trunk must know of a port.
type trunkPort struct {
	mtu          int
	vlan         int    // of its network; 0: that is none
	parent, part string // the trunk that it is the parent or a sub-port of
}

// free refuses a port that is in a trunk already.
func (p trunkPort) free(id string) error {
	switch {
	case p.parent != "":
		return &Conflict{"PortInUseAsTrunkParent", "port_id", fmt.Sprintf("Port %s is currently a parent port for trunk %s.", id, p.parent)}
	case p.part != "":
		return &Conflict{"PortInUseAsSubPort", "port_id", fmt.Sprintf("Port %s is currently a sub-port for trunk %s.", id, p.part)}
	}
	return nil
}

// trunkPorts holds the parent of a trunk and ports that are to become its
// sub-ports, so that nobody puts them into another one, and checks the latter. The
// VLANs that these inherit are filled in.
func trunkPorts(ctx context.Context, tx *writeTx, sc Scope, parent string, subs []intent.SubPort) (map[string]trunkPort, error) {
	ids := []string{parent}
	for i := range subs {
		s := &subs[i]
		if err := ports.ref(&s.PortID); err != nil {
			return nil, err
		}
		if s.PortID == parent {
			return nil, &Conflict{"ParentPortInUse", "sub_ports", fmt.Sprintf("Port %s is currently in use and is not eligible for use as a parent port.", parent)}
		}
		ids = append(ids, s.PortID)
	}
	if err := lockPorts(ctx, tx, ids); err != nil {
		return nil, err
	}
	a := args{ids}
	rows, err := tx.Query(ctx, `
		SELECT ports.id, networks.mtu, CASE networks.network_type WHEN 'vlan' THEN networks.segmentation_id ELSE 0 END, coalesce(trunks.id::text, ''), coalesce(trunk_subports.trunk_id::text, '')
		FROM ports JOIN networks ON networks.id = ports.network_id
		LEFT JOIN trunks ON trunks.port_id = ports.id LEFT JOIN trunk_subports ON trunk_subports.port_id = ports.id
		WHERE ports.id = ANY($1::uuid[]) AND `+ports.owned(sc, &a), a...)
	if err != nil {
		return nil, err
	}
	found := map[string]trunkPort{}
	var id string
	var p trunkPort
	if _, err := pgx.ForEachRow(rows, []any{&id, &p.mtu, &p.vlan, &p.parent, &p.part}, func() error { found[id] = p; return nil }); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, seen := found[id]; !seen {
			return nil, &NotFound{KindPort, id}
		}
	}
	for i := range subs {
		s := &subs[i]
		p := found[s.PortID]
		if err := p.free(s.PortID); err != nil {
			return nil, err
		}
		if s.VLAN == 0 {
			s.VLAN = p.vlan
		}
		switch {
		case slices.ContainsFunc(subs[:i], func(o intent.SubPort) bool { return o.PortID == s.PortID }):
			return nil, &Conflict{"PortInUseAsSubPort", "sub_ports", fmt.Sprintf("Port %s is named twice in sub_ports.", s.PortID)}
		case s.VLAN == 0:
			return nil, &Invalid{"sub_ports", fmt.Sprintf("Invalid input for sub_ports. Reason: the network of port %s is no VLAN whose segmentation could be inherited", s.PortID)}
		case p.mtu > found[parent].mtu:
			return nil, &Conflict{"SubPortMtuGreaterThanTrunkPortMtu", "sub_ports", fmt.Sprintf(
				"MTU %d of subport %s cannot be greater than MTU %d of the trunk's port %s.", p.mtu, s.PortID, found[parent].mtu, parent)}
		}
	}
	return found, nil
}

// portsOf are the ids of sub-ports.
func portsOf(subs []intent.SubPort) []string {
	ids := make([]string, len(subs))
	for i := range subs {
		ids[i] = subs[i].PortID
	}
	return ids
}

func insertSubPorts(ctx context.Context, tx *writeTx, trunk string, subs []intent.SubPort) error {
	var b pgx.Batch
	for _, s := range subs {
		b.Queue(`INSERT INTO trunk_subports (port_id, trunk_id, segmentation_id) VALUES ($1, $2, $3)`, s.PortID, trunk, s.VLAN)
	}
	if b.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &b).Close()
}

// Trunks lists trunks.
func (s *Store) Trunks(ctx context.Context, sc Scope, q Query) ([]intent.Trunk, error) {
	return trunks.all(ctx, s, sc, q)
}

// Trunk returns one trunk.
func (s *Store) Trunk(ctx context.Context, sc Scope, id string) (intent.Trunk, error) {
	return trunks.show(ctx, s, sc, id)
}

// CreateTrunks makes trunks with their sub-ports, all or none.
func (s *Store) CreateTrunks(ctx context.Context, sc Scope, in []intent.Trunk) ([]intent.Trunk, error) {
	return trunks.create(ctx, s, sc, in)
}

// UpdateTrunk changes name, description and administrative state of a trunk.
// change may run more than once.
func (s *Store) UpdateTrunk(ctx context.Context, sc Scope, id string, change func(*intent.Trunk) error) (intent.Trunk, error) {
	return trunks.update(ctx, s, sc, id, change)
}

// DeleteTrunk deletes a trunk; its ports stay.
func (s *Store) DeleteTrunk(ctx context.Context, sc Scope, id string) error {
	return trunks.remove(ctx, s, sc, id)
}

// AddSubPorts puts ports on a trunk, all or none.
func (s *Store) AddSubPorts(ctx context.Context, sc Scope, id string, in []intent.SubPort) (intent.Trunk, error) {
	var subs []intent.SubPort
	return s.changeSubPorts(ctx, sc, id, func(tx *writeTx, t *intent.Trunk) error {
		return enter(ctx, tx, t.ID, portsOf(subs), true, func() error { return insertSubPorts(ctx, tx, t.ID, subs) })
	}, func(tx *writeTx, seen *intent.Trunk) error {
		subs = slices.Clone(in)
		_, err := trunkPorts(ctx, tx, sc, seen.PortID, subs)
		return err
	})
}

// RemoveSubPorts takes ports from a trunk, all or none.
func (s *Store) RemoveSubPorts(ctx context.Context, sc Scope, id string, portIDs []string) (intent.Trunk, error) {
	var ids []string
	return s.changeSubPorts(ctx, sc, id, func(tx *writeTx, t *intent.Trunk) error {
		for _, id := range ids {
			if !slices.Contains(portsOf(t.SubPorts), id) {
				return &NotFound{KindSubPort, id}
			}
		}
		return enter(ctx, tx, t.ID, ids, false, func() error {
			_, err := tx.Exec(ctx, `DELETE FROM trunk_subports WHERE trunk_id = $1 AND port_id = ANY($2::uuid[])`, t.ID, ids)
			return err
		})
	}, func(tx *writeTx, seen *intent.Trunk) error {
		ids = slices.Clone(portIDs)
		for i := range ids {
			if err := ports.ref(&ids[i]); err != nil {
				return err
			}
		}
		distinct(&ids)
		return lockPorts(ctx, tx, append(ids[:len(ids):len(ids)], seen.PortID))
	})
}

// changeSubPorts runs hold before the trunk is locked, as ports come before
// trunks in the order of locks, and change after it.
func (s *Store) changeSubPorts(ctx context.Context, sc Scope, id string, change, hold func(*writeTx, *intent.Trunk) error) (intent.Trunk, error) {
	var t intent.Trunk
	err := s.write(ctx, func(tx *writeTx) error {
		seen, err := trunks.get(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if err := manageable(&seen); err != nil {
			return err
		}
		if err := hold(tx, &seen); err != nil {
			return err
		}
		if t, err = trunks.lock(ctx, tx, sc, id); err != nil {
			return err
		}
		if err := manageable(&t); err != nil {
			return err
		}
		if err := change(tx, &t); err != nil {
			return err
		}
		if err := trunks.touch(ctx, tx, Scope{Admin: true}, []string{t.ID}); err != nil {
			return err
		}
		t, err = trunks.get(ctx, tx, Scope{Admin: true}, t.ID)
		return err
	})
	return t, err
}
