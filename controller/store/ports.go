package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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
	scan: scanPort,
}

// portRow is where a row of a port is read into.
type portRow struct {
	port    intent.Port
	address int64
	parent  *string
	vlan    *uint16
	down    *bool
	extras  pgtype.DriverBytes
	targets []any
}

// portRows are used again and again: to make one for each port of a long list
// costs as much as to read it.
var portRows = sync.Pool{New: func() any {
	r := &portRow{}
	p := &r.port
	r.targets = append(metaTargets(&p.Meta), &p.Num, &p.NetworkID, &r.address, &p.SegmentID,
		&p.AdminUp, &p.DeviceID, &p.DeviceOwner, &p.Binding.Host, &p.Binding.InterfaceName, &p.Binding.PortNo, &p.Status, &p.StatusReason,
		&p.AskedHost, &p.HostKnown, &p.Trunk.ID, &r.parent, &r.vlan, &r.down, &p.Unguarded, &p.VNICType, &p.QoSPolicyID, &p.NetworkQoSPolicyID, &r.extras,
		nil, nil) // the lists are read as they were sent
	return r
}}

func scanPort(row pgx.CollectableRow) (p intent.Port, err error) {
	r := portRows.Get().(*portRow)
	defer portRows.Put(r)
	r.port = intent.Port{}
	if err = row.Scan(r.targets...); err != nil {
		return p, err
	}
	p = r.port
	p.MAC = mac.Addr(r.address)
	if r.parent != nil {
		p.Trunk.Parent, p.Trunk.VLAN, p.Trunk.Down = *r.parent, *r.vlan, *r.down
	}
	raw := row.RawValues()
	if p.FixedIPs, err = readFixedIPs(raw[len(raw)-2]); err != nil {
		return p, err
	}
	if p.SecurityGroups, err = readUUIDs(raw[len(raw)-1]); err != nil {
		return p, err
	}
	if len(r.extras) > 2 {
		err = json.Unmarshal(r.extras, &p.Extras)
	}
	return p, err
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
	in = slices.Clone(in)
	for i := range in {
		in[i].request = requestID(ctx)
	}
	if len(in) != 1 || in[0].ID != "" || held(ctx) != nil {
		return s.createPorts(ctx, sc, in)
	}
	p, err := s.single.create(ctx, caller{sc, Actor(ctx)}, in[0], s.createPorts)
	if err != nil {
		return nil, err
	}
	return []intent.Port{p}, nil
}

func (s *Store) createPorts(ctx context.Context, sc Scope, in []NewPort) ([]intent.Port, error) {
	var list []NewPort
	err := s.write(ctx, func(tx *writeTx) error {
		list = slices.Clone(in)
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
			tx.changed(KindPort, p.ID, p.TenantID, OpCreate).to(&p.Port).by(p.request)
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
		pl.cautious = len(named) > 0
		if err := pl.insertPorts(ctx, sc); err != nil {
			return err
		}
		if len(named) > 0 {
			return attachNew(ctx, tx, list, named)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]intent.Port, len(list))
	for i := range list {
		out[i] = list[i].Port
	}
	return out, nil
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
		return removePort(ctx, tx, sc, canonical, passage, args...)
	})
}

// removePort is the part of deletePort that comes when the port is found.
func removePort(ctx context.Context, tx *writeTx, sc Scope, id, passage string, args ...any) error {
	var tenant string
	var found bool
	var b pgx.Batch
	b.Queue(`SELECT FROM ports WHERE id = $1 FOR UPDATE`, id)
	ports.see(tx, &b, id)
	// Somebody else's port is not deleted below, and then all of this is undone.
	b.Queue(passage, append([]any{Actor(ctx), requestID(ctx), id}, args...)...)
	b.Queue(`DELETE FROM ports WHERE id = $1 AND (tenant_id = $2 OR network_owner = $2 OR $3) RETURNING tenant_id`, id, sc.TenantID, sc.Admin).
		Query(func(rows pgx.Rows) (err error) {
			tenant, found, err = one(rows, nil, pgx.RowTo[string])
			return err
		})
	err := tx.SendBatch(ctx, &b).Close()
	if err == nil && !found {
		err = &NotFound{KindPort, id}
	}
	tx.changed(KindPort, id, tenant, OpDelete)
	return err
}

// SetPortStatus writes the realized state of ports of a datapath where it
// differs. That is a fact: the feed tells of it as one and as an event, the audit log and the
// revision of a port do not. A port that has been unbound, bound elsewhere or deleted meanwhile is
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
		told, err := tx.Exec(ctx, `
			WITH wanted AS (
				SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS w (id, status, reason)),
			locked AS (
				SELECT ports.id, wanted.status, wanted.reason, ports.status AS was FROM ports JOIN wanted ON wanted.id = ports.id`+attached+`
				WHERE (ports.status, ports.status_reason) <> (wanted.status, wanted.reason)
				  AND `+boundHost+` = $4
				ORDER BY ports.id FOR NO KEY UPDATE OF ports),
			done AS (
				UPDATE ports SET status = locked.status, status_reason = locked.reason FROM locked WHERE ports.id = locked.id
				RETURNING ports.id, ports.tenant_id, ports.network_id, locked.status, locked.was, locked.reason)
			INSERT INTO outbox (kind, object_id, tenant_id, op, fact, event, about)
			SELECT '`+string(KindPort)+`', id, tenant_id, '`+string(OpUpdate)+`', true, '`+string(intent.EventPortRealized)+`',
				json_build_object('port_id', id, 'network_id', network_id, 'switch', $4::text,
					'details', json_build_object('status', status, 'was', was, 'reason', reason))
			FROM done ORDER BY id`,
			ids, status, reasons, d.String())
		tx.told = told.RowsAffected() > 0
		return err
	})
}
