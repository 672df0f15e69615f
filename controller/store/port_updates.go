package store

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// UpdatePort changes a port; network, tenant and status are not its to change.
// FixedIPs may have entries as in NewPort; the MAC is swapped by the rules of
// a new port. change sees the binding that was asked for, not the one that an
// interface has completed. A port whose binding changes is DOWN until the
// controller has seen to it. change may run more than once.
func (s *Store) UpdatePort(ctx context.Context, sc Scope, id string, change func(*intent.Port) error) (intent.Port, error) {
	var p intent.Port
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := ports.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		p = old
		p.FixedIPs, p.SecurityGroups = slices.Clone(old.FixedIPs), slices.Clone(old.SecurityGroups)
		asked := old
		if asked.Binding, err = askedBinding(ctx, tx, old.ID); err != nil {
			return err
		}
		p.Binding = asked.Binding
		if err := change(&p); err != nil {
			return err
		}
		keep(&p.Meta, &old.Meta)
		p.Num, p.NetworkID, p.SegmentID, p.Status, p.StatusReason = old.Num, old.NetworkID, old.SegmentID, old.Status, old.StatusReason
		if p.FixedIPs == nil {
			p.FixedIPs = []intent.FixedIP{}
		}
		p.AskedHost, p.HostKnown, p.NetworkQoSPolicyID, p.Trunk = p.Binding.Host, old.HostKnown, old.NetworkQoSPolicyID, old.Trunk
		carried := old.Trunk.Parent != "" // its own binding counts when it has left the trunk
		if carried {
			p.AskedHost = old.AskedHost
		}
		if err := sortGroups(&p); err != nil {
			return err
		}
		if reflect.DeepEqual(p, asked) {
			p.Binding = old.Binding
			return nil
		}
		if err := refuseLiberty(ctx, tx, sc, &p, &old); err != nil {
			return err
		}
		if p.Unguarded && len(without(p.SecurityGroups, old.SecurityGroups)) > 0 {
			return groupsNeedSecurity()
		}
		if err := checkSecurity(&p); err != nil {
			return err
		}
		if !slices.Equal(p.Extras.Pairs, old.Extras.Pairs) {
			if err := checkPairBlocks(ctx, tx, sc, &p); err != nil {
				return err
			}
		}
		if err := s.updateParts(ctx, tx, sc, &p, &old); err != nil {
			return err
		}
		if err := ports.retag(ctx, tx, &p.Meta, &old.Meta); err != nil {
			return err
		}
		extras, err := extrasText(&p.Extras)
		if err != nil {
			return err
		}
		tx.changed(KindPort, p.ID, p.TenantID, OpUpdate).to(&p)
		var b pgx.Batch
		b.Queue(`
			UPDATE ports SET name = $2, description = $3, admin_up = $4, device_id = $5, device_owner = $6,
				host = $7, interface_name = $8, port_no = $9, port_security = $10, vnic_type = $11, qos_policy_id = nullif($12, '')::uuid, extras = $13,
				revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at, `+hostKnown("ports.host"),
			p.ID, p.Name, p.Description, p.AdminUp, p.DeviceID, p.DeviceOwner,
			p.Binding.Host, p.Binding.InterfaceName, int64(p.Binding.PortNo), !p.Unguarded, p.VNICType, p.QoSPolicyID, extras).
			QueryRow(func(row pgx.Row) error {
				known := &p.HostKnown
				if carried {
					known = new(bool)
				}
				return row.Scan(&p.Revision, &p.UpdatedAt, known)
			})
		if p.DeviceID != old.DeviceID {
			b.Queue(`UPDATE mac_addresses SET device_id = $2, changed_at = now() WHERE port_id = $1`, p.ID, p.DeviceID)
		}
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
		if p.Binding == asked.Binding || carried {
			p.Binding = old.Binding
		} else if err := settleBinding(ctx, tx, &p, old.Binding); err != nil {
			return err
		}
		if kind := portEvent(&p, &old); kind != "" {
			tx.ending.tellPort(ctx, &p, kind)
		}
		return nil
	})
	return p, err
}

// refuseLiberty keeps from a network of another what only its owner may decide
// there.
func refuseLiberty(ctx context.Context, tx *writeTx, sc Scope, p, old *intent.Port) error {
	attr := ""
	switch {
	case sc.Admin:
		return nil
	case p.MAC != old.MAC:
		attr = "mac_address"
	case slices.ContainsFunc(p.FixedIPs, func(ip intent.FixedIP) bool { return ip.Addr.IsValid() && !slices.Contains(old.FixedIPs, ip) }):
		attr = "fixed_ips"
	case p.Unguarded != old.Unguarded:
		attr = "port_security_enabled"
	case len(p.Extras.Pairs) > 0 && !slices.Equal(p.Extras.Pairs, old.Extras.Pairs):
		attr = "allowed_address_pairs"
	case p.DeviceOwner != old.DeviceOwner && strings.HasPrefix(p.DeviceOwner, "network:"):
		attr = "device_owner"
	default:
		return nil
	}
	var foreign bool
	err := tx.QueryRow(ctx, `SELECT network_owner IS NOT NULL FROM ports WHERE id = $1`, p.ID).Scan(&foreign)
	if err == nil && foreign {
		err = &Denied{Rule: "update_port:" + attr}
	}
	return err
}

func groupsNeedSecurity() error {
	return &Invalid{"security_groups", "Port security must be enabled and port must have an IP address in order to use security groups (security_groups)."}
}

// checkSecurity says what a port without port security cannot have.
func checkSecurity(p *intent.Port) error {
	switch {
	case !p.Unguarded:
		return nil
	case len(p.Extras.Pairs) > 0:
		return &Conflict{"AddressPairAndPortSecurityRequired", "allowed_address_pairs",
			"Port Security must be enabled in order to have allowed address pairs on a port (allowed_address_pairs)."}
	case len(p.SecurityGroups) > 0:
		return &Conflict{"PortSecurityPortHasSecurityGroup", "security_groups",
			"Port has security group associated. Cannot disable port security or IP address until security group is removed (security_groups)."}
	}
	return nil
}

// askedBinding reads the binding of a port without what an interface completes.
func askedBinding(ctx context.Context, tx *writeTx, id string) (b intent.Binding, err error) {
	err = tx.QueryRow(ctx, `SELECT host, interface_name, port_no FROM ports WHERE id = $1`, id).Scan(&b.Host, &b.InterfaceName, &b.PortNo)
	return b, err
}

// settleBinding completes the binding of a port whose request has changed, and
// makes it DOWN if it is now elsewhere.
func settleBinding(ctx context.Context, tx *writeTx, p *intent.Port, before intent.Binding) error {
	now, err := bindings(ctx, tx, []string{p.ID})
	if err != nil {
		return err
	}
	p.Binding.Host, p.Binding.InterfaceName = now[p.ID].host, now[p.ID].iface
	if p.Binding == before {
		return nil
	}
	p.Status, p.StatusReason = intent.PortDown, ""
	if _, err = tx.Exec(ctx, `UPDATE ports SET status = 'DOWN', status_reason = '' WHERE id = $1`, p.ID); err != nil || p.Trunk.ID == "" {
		return err
	}
	return followParent(ctx, tx, p.ID, before)
}

// portEvent is what the change of a port means to its MAC; empty: nothing.
func portEvent(p, old *intent.Port) intent.MACEventKind {
	switch {
	case p.MAC != old.MAC:
		return intent.MACAllocated
	case p.Binding == old.Binding:
	case old.Binding.Host == "":
		return intent.MACBound
	case p.Binding.Host == "":
		return intent.MACUnbound
	default:
		return intent.MACMoved
	}
	if p.DeviceID != old.DeviceID || !slices.Equal(p.FixedIPs, old.FixedIPs) {
		return intent.MACChanged
	}
	return ""
}

// updateParts changes what a port has in other tables.
func (s *Store) updateParts(ctx context.Context, tx *writeTx, sc Scope, p, old *intent.Port) error {
	newMAC, newIPs := p.MAC != old.MAC, !slices.Equal(p.FixedIPs, old.FixedIPs)
	if newMAC {
		newIPs = newIPs || slices.ContainsFunc(old.FixedIPs, func(ip intent.FixedIP) bool {
			own, ok := mac.FromEUI64(ip.Addr)
			return ok && own == old.MAC
		})
	}
	added, gone := without(p.SecurityGroups, old.SecurityGroups), without(old.SecurityGroups, p.SecurityGroups)
	if err := groups.use(ctx, tx, sc, added); err != nil {
		return err
	}
	if p.QoSPolicyID != old.QoSPolicyID {
		if err := useQoSPolicy(ctx, tx, sc, p.QoSPolicyID, usedByPort(p.Binding.Host)); err != nil {
			return err
		}
	}
	var pl *plan
	var c choice
	wanted := []NewPort{{Port: *p}}
	wanted[0].SecurityGroups, wanted[0].QoSPolicyID = nil, ""
	if newMAC || newIPs {
		var err error
		if pl, err = s.newPlan(ctx, tx, Scope{Admin: true}, wanted); err != nil {
			return err
		}
		if newMAC {
			pl.oldMAC = old.MAC
		}
		if c, err = pl.choose(ctx, newMAC, newIPs); err != nil {
			return err
		}
	}
	var b pgx.Batch
	if len(gone) > 0 {
		b.Queue(`DELETE FROM port_security_groups WHERE port_id = $1 AND group_id = ANY($2::uuid[])`, p.ID, gone)
	}
	queueGroups(&b, []groupOf{{p.ID, added}})
	// Released first: a port has one MAC.
	if newMAC {
		b.Queue(releaseOfPort, Actor(ctx), requestID(ctx), p.ID)
	}
	if newIPs {
		b.Queue(`DELETE FROM fixed_ips WHERE port_id = $1`, p.ID)
	}
	if pl == nil {
		return tx.SendBatch(ctx, &b).Close()
	}
	if err := pl.give(ctx, &b, c, false); err != nil {
		return err
	}
	p.MAC, p.SegmentID, p.FixedIPs = wanted[0].MAC, wanted[0].SegmentID, wanted[0].FixedIPs
	return nil
}

// without returns what of a is not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
