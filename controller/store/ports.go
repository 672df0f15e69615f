package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

var ports = entity[intent.Port]{
	kind:  KindPort,
	table: "ports",
	columns: metaColumns("ports") + `, ports.num, ports.network_id, mac_addresses.address, coalesce(mac_addresses.segment_id::text, ''),
		ports.admin_up, ports.device_id, ports.device_owner, ` + boundHost + `, ` + boundInterface + `, ` + boundPortNo + `, ports.status, ports.status_reason,
		` + askedHost + `, ` + hostKnown(askedHost) + `, ` + inTrunk + `, NOT ports.port_security, ports.vnic_type, coalesce(ports.qos_policy_id::text, ''), coalesce(networks.qos_policy_id::text, ''),
		ports.extras,
		ARRAY(SELECT f.subnet_id::text || '/' || host(f.address) FROM fixed_ips f WHERE f.port_id = ports.id ORDER BY f.ord),
		ARRAY(SELECT g.group_id FROM port_security_groups g WHERE g.port_id = ports.id ORDER BY g.group_id)`,
	from:    "ports JOIN networks ON networks.id = ports.network_id JOIN mac_addresses ON mac_addresses.port_id = ports.id" + attached,
	visible: "ports.tenant_id = $tenant",
	besides: "ports.network_owner = $tenant",
	owner:   "ports.tenant_id",
	order:   "ports.id",
	filters: metaFilters("ports", map[string]filter{
		"network_id":      byUUID("ports.network_id"),
		"mac_address":     byMAC("mac_addresses.address"),
		"admin_state_up":  byBool("ports.admin_up"),
		"name":            byFilledText("ports.name"),
		"device_id":       byFilledText("ports.device_id"),
		"device_owner":    byText("ports.device_owner"),
		"status":          byText("ports.status"),
		"binding:host_id": byHost,
		"fixed_ips":       byFixedIP,
		"security_groups": bySecurityGroup,
	}),
	sorts: metaSorts("ports", map[string]string{
		"network_id":     "ports.network_id",
		"admin_state_up": "ports.admin_up",
		"mac_address":    "mac_addresses.address",
		"device_id":      byBytes("ports.device_id"),
		"device_owner":   byBytes("ports.device_owner"),
		"status":         byBytes("ports.status"),
	}),
	scan: func(row pgx.CollectableRow) (p intent.Port, err error) {
		var address int64
		var ipsOf, groupsOf rawArray
		var extras []byte
		var place struct {
			parent *string
			vlan   *uint16
			down   *bool
		}
		err = row.Scan(append(metaTargets(&p.Meta), &p.Num, &p.NetworkID, &address, &p.SegmentID,
			&p.AdminUp, &p.DeviceID, &p.DeviceOwner, &p.Binding.Host, &p.Binding.InterfaceName, &p.Binding.PortNo, &p.Status, &p.StatusReason,
			&p.AskedHost, &p.HostKnown, &p.Trunk.ID, &place.parent, &place.vlan, &place.down, &p.Unguarded, &p.VNICType, &p.QoSPolicyID, &p.NetworkQoSPolicyID, &extras,
			&ipsOf, &groupsOf)...)
		if err != nil {
			return p, err
		}
		p.MAC = mac.Addr(address)
		if place.parent != nil {
			p.Trunk.Parent, p.Trunk.VLAN, p.Trunk.Down = *place.parent, *place.vlan, *place.down
		}
		if p.FixedIPs, err = readFixedIPs(ipsOf); err != nil {
			return p, err
		}
		if p.SecurityGroups, err = readUUIDs(groupsOf); err != nil {
			return p, err
		}
		if len(extras) > 2 {
			err = json.Unmarshal(extras, &p.Extras)
		}
		return p, err
	},
}

// extrasText is what column extras holds.
func extrasText(x *intent.PortExtras) (string, error) {
	if x.IsZero() {
		return "{}", nil
	}
	text, err := json.Marshal(x)
	return string(text), err
}

// byHost compares the switch that was asked for, else that where the interface
// is.
func byHost(a *args, _ string, values []string) (string, error) {
	cond := among(a, "coalesce(nullif("+askedHost+", ''), "+boundHost+")", "text", values)
	if slices.Contains(values, "") {
		return cond, nil
	}
	hosts := a.add(values)
	there := "SELECT p.id FROM ports p WHERE p.host = ANY(" + hosts + "::text[]) AND p.host <> ''" +
		" UNION ALL SELECT t.port_id FROM attachments t WHERE t.dpid = ANY(" + hosts + "::text[])"
	return cond + " AND ports.id IN (" + there +
		" UNION ALL SELECT s.port_id FROM trunk_subports s JOIN trunks t ON t.id = s.trunk_id WHERE t.port_id IN (" + there + "))", nil
}

// byFixedIP takes ip_address=…, ip_address_substr=… and subnet_id=…; values of
// one are alternatives, different ones must all hold.
func byFixedIP(a *args, attr string, values []string) (string, error) {
	byKey := map[string][]string{}
	for _, v := range values {
		k, v, ok := strings.Cut(v, "=")
		if !ok {
			return "", &Invalid{attr, "fixed_ips must be filtered by ip_address=…, ip_address_substr=… or subnet_id=…"}
		}
		byKey[k] = append(byKey[k], v)
	}
	conds := []string{"true"}
	for _, k := range slices.Sorted(maps.Keys(byKey)) {
		vs := byKey[k]
		var cond string
		switch k {
		case "ip_address":
			addrs, err := parseAddrs(attr, vs)
			if err != nil {
				return "", err
			}
			cond = among(a, "address", "inet", addrs)
		case "ip_address_substr":
			cond = "EXISTS (SELECT FROM unnest(" + a.add(vs) + "::text[]) AS part WHERE strpos(host(address), part) > 0)"
		case "subnet_id":
			cond = among(a, "subnet_id", "uuid", uuids(vs))
		default:
			return "", &Invalid{attr, fmt.Sprintf("fixed_ips cannot be filtered by %q, but by ip_address, ip_address_substr or subnet_id", k)}
		}
		conds = append(conds, "ports.id IN (SELECT port_id FROM fixed_ips WHERE "+cond+")")
	}
	return strings.Join(conds, " AND "), nil
}

func bySecurityGroup(a *args, _ string, values []string) (string, error) {
	return "ports.id IN (SELECT port_id FROM port_security_groups WHERE " + among(a, "group_id", "uuid", uuids(values)) + ")", nil
}

// Ports lists ports.
func (s *Store) Ports(ctx context.Context, sc Scope, q Query) (list []intent.Port, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = ports.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// EachPort hands over what Ports lists one by one; visit must not keep it.
func (s *Store) EachPort(ctx context.Context, sc Scope, q Query, visit func(*intent.Port) error) error {
	return ports.stream(ctx, s, sc, q, visit)
}

// Port returns one port.
func (s *Store) Port(ctx context.Context, sc Scope, id string) (p intent.Port, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		p, err = ports.get(ctx, db, sc, id)
		return err
	})
	return p, err
}

// CreatePorts makes ports with their MACs and addresses, all or none, and
// returns them in the order of the request. An interface that waits for one of
// them completes its binding from then on.
func (s *Store) CreatePorts(ctx context.Context, sc Scope, in []NewPort) ([]intent.Port, error) {
	var out []intent.Port
	err := s.write(ctx, func(tx *writeTx) error {
		list := slices.Clone(in)
		var named []string // by the caller: an interface may wait for one
		for i := range list {
			p := &list[i]
			if p.ID != "" {
				named = append(named, p.ID)
			}
			if err := prepareMeta(sc, &p.Meta); err != nil {
				return err
			}
			if err := networks.ref(&p.NetworkID); err != nil {
				return err
			}
			p.SecurityGroups = slices.Clone(p.SecurityGroups)
			p.Status, p.StatusReason = intent.PortDown, ""
			tx.spends(KindPort, p.TenantID)
			tx.changed(KindPort, p.ID, p.TenantID, OpCreate).to(&p.Port)
		}
		if len(named) > 0 {
			if err := lockAbsent(ctx, tx, named); err != nil {
				return err
			}
		}
		pl, err := s.newPlan(ctx, tx, sc, list)
		if err != nil {
			return err
		}
		if err := pl.insertPorts(ctx); err != nil {
			return err
		}
		if len(named) > 0 {
			if err := attachNew(ctx, tx, list, named); err != nil {
				return err
			}
		}
		out = make([]intent.Port, len(list))
		for i := range list {
			out[i] = list[i].Port
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

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
		if p.Unguarded && len(without(p.SecurityGroups, old.SecurityGroups)) > 0 {
			return groupsNeedSecurity()
		}
		if err := checkSecurity(&p); err != nil {
			return err
		}
		if err := refuseLiberty(ctx, tx, sc, &p, &old); err != nil {
			return err
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
		if err := qosPolicies.use(ctx, tx, sc, some(p.QoSPolicyID)); err != nil {
			return err
		}
	}
	var pl *plan
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
	if err := pl.give(ctx, &b, newMAC, newIPs, false); err != nil {
		return err
	}
	p.MAC, p.SegmentID, p.FixedIPs = wanted[0].MAC, wanted[0].SegmentID, wanted[0].FixedIPs
	return nil
}

// without returns what of a is not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// sortGroups makes the list of groups canonical.
func sortGroups(p *intent.Port) error {
	for i := range p.SecurityGroups {
		if err := groups.ref(&p.SecurityGroups[i]); err != nil {
			return err
		}
	}
	slices.Sort(p.SecurityGroups)
	p.SecurityGroups = slices.Compact(p.SecurityGroups)
	if p.SecurityGroups == nil {
		p.SecurityGroups = []string{}
	}
	return nil
}

// groupOf is a port with groups.
type groupOf struct {
	port   string
	groups []string
}

func queueGroups(b *pgx.Batch, list []groupOf) {
	var portIDs, groupIDs []string
	for _, g := range list {
		for _, id := range g.groups {
			portIDs, groupIDs = append(portIDs, g.port), append(groupIDs, id)
		}
	}
	if len(portIDs) == 0 {
		return
	}
	if len(portIDs) == 1 {
		b.Queue(`INSERT INTO port_security_groups (port_id, group_id) VALUES ($1, $2)`, portIDs[0], groupIDs[0])
		return
	}
	b.Queue(`
		INSERT INTO port_security_groups (port_id, group_id)
		SELECT port_id, group_id FROM unnest($1::uuid[], $2::uuid[]) AS g (port_id, group_id)
		ORDER BY group_id`, portIDs, groupIDs)
}

// DeletePort deletes a port. Its addresses are free again; its MAC rests for
// the quarantine of its segment, except for the tenant itself.
func (s *Store) DeletePort(ctx context.Context, sc Scope, id string) error {
	return s.deletePort(ctx, sc, id, releaseOfPort)
}

// DeletePortKeepMAC deletes a port, and reserves its MAC for the next port of
// the same instance and network; if a time is given, until then.
func (s *Store) DeletePortKeepMAC(ctx context.Context, sc Scope, id string, until time.Time) error {
	p, err := s.Port(ctx, sc, id)
	switch {
	case err != nil:
		return err
	case p.DeviceID == "":
		return &Invalid{"device_id", "device_id: a port without an instance cannot keep its MAC for the next port of the instance"}
	}
	var end *time.Time
	if !until.IsZero() {
		end = &until
	}
	return s.deletePort(ctx, sc, id, keepOfPort, end)
}

// deletePort moves the MAC of a port on by a passage and deletes the port.
func (s *Store) deletePort(ctx context.Context, sc Scope, id, passage string, args ...any) error {
	canonical, ok := ports.canonical(id)
	if !ok {
		return &NotFound{KindPort, id}
	}
	return s.write(ctx, func(tx *writeTx) error {
		if _, conditional := expectedRevision(ctx, canonical); conditional {
			if _, err := ports.get(ctx, tx, sc, id); err != nil {
				return err
			}
			if _, err := ports.lock(ctx, tx, Scope{Admin: true}, id); err != nil { // the owner of the network may delete it, too
				return err
			}
		}
		var tenant string
		var found bool
		var b pgx.Batch
		b.Queue(`SELECT FROM ports WHERE id = $1 FOR UPDATE`, canonical)
		ports.see(tx, &b, canonical)
		// Somebody else's port is not deleted below, and then all of this is undone.
		b.Queue(passage, append([]any{Actor(ctx), requestID(ctx), canonical}, args...)...)
		b.Queue(`DELETE FROM ports WHERE id = $1 AND (tenant_id = $2 OR network_owner = $2 OR $3) RETURNING tenant_id`, canonical, sc.TenantID, sc.Admin).
			Query(func(rows pgx.Rows) (err error) {
				tenant, found, err = one(rows, nil, pgx.RowTo[string])
				return err
			})
		err := tx.SendBatch(ctx, &b).Close()
		if err == nil && !found {
			err = &NotFound{KindPort, id}
		}
		tx.changed(KindPort, canonical, tenant, OpDelete)
		return err
	})
}

// SetPortStatus writes the realized state of ports of a datapath where it
// differs. That is a fact, so neither the feed nor the revision of a port tells
// of it. A port that has been unbound, bound elsewhere or deleted meanwhile is
// left alone.
func (s *Store) SetPortStatus(ctx context.Context, d intent.DPID, states []PortState) error {
	if len(states) == 0 {
		return nil
	}
	// In the order of ids: several replicas may write at a time.
	states = slices.Clone(states)
	slices.SortFunc(states, func(a, b PortState) int { return strings.Compare(a.ID, b.ID) })
	var ids, status, reasons []string
	for _, st := range states {
		if canonical, ok := ports.canonical(st.ID); ok {
			ids, status, reasons = append(ids, canonical), append(status, string(st.Status)), append(reasons, st.Reason)
		}
	}
	return s.write(ctx, func(tx *writeTx) error {
		_, err := tx.Exec(ctx, `
			WITH wanted AS (
				SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS w (id, status, reason)),
			locked AS (
				SELECT ports.id, wanted.status, wanted.reason FROM ports JOIN wanted ON wanted.id = ports.id`+attached+`
				WHERE (ports.status, ports.status_reason) <> (wanted.status, wanted.reason)
				  AND `+boundHost+` = $4
				ORDER BY ports.id FOR NO KEY UPDATE OF ports)
			UPDATE ports SET status = locked.status, status_reason = locked.reason FROM locked WHERE ports.id = locked.id`,
			ids, status, reasons, d.String())
		return err
	})
}
