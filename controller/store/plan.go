package store

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// plan is what a transaction that gives MACs and addresses to ports knows of
// their surroundings.
type plan struct {
	store *Store
	tx    *writeTx
	ports []NewPort

	tenants  map[string]string      // existing ones, with their default group or ""
	networks map[string]planNetwork // those the caller may see
	hosts    map[string]bool        // names of hosts that ports are to be on, and have switches
	subnets  map[string][]*ipSource // by network, oldest first
	macs     *macPlan
	oldMAC   mac.Addr // of the one port, when it gets another; else 0
	cautious bool     // the ports must be there before the transaction ends
}

// planNetwork is what ports need to know of their network.
type planNetwork struct {
	owner     string
	unguarded bool   // new ports have no port security
	qosPolicy string // may be empty
	listed    bool   // it has MAC allow lists
}

// subnetAddr is an address in the place where it is unique.
type subnetAddr struct {
	subnet string
	addr   netip.Addr
}

// newPlan reads the surroundings of ports in one round trip, and holds them.
func (s *Store) newPlan(ctx context.Context, tx *writeTx, sc Scope, list []NewPort) (*plan, error) {
	pl := &plan{
		store: s, tx: tx, ports: list,
		tenants: map[string]string{}, networks: map[string]planNetwork{}, hosts: map[string]bool{}, subnets: map[string][]*ipSource{}, macs: newMACPlan(s, tx),
	}
	var tenantIDs, networkIDs, groupIDs []string
	var macs macScope
	var hosts, policyIDs []string
	policyHosts := map[string][]string{} // that ports with a policy are bound to
	for i := range list {
		p := &list[i]
		p.request = cmp.Or(p.request, requestID(ctx))
		if err := sortGroups(&p.Port); err != nil {
			return nil, err
		}
		tenantIDs, networkIDs = append(tenantIDs, p.TenantID), append(networkIDs, p.NetworkID)
		groupIDs = append(groupIDs, p.SecurityGroups...)
		if p.QoSPolicyID != "" {
			policyIDs = append(policyIDs, p.QoSPolicyID)
			policyHosts[p.QoSPolicyID] = append(policyHosts[p.QoSPolicyID], p.Binding.Host)
		}
		switch {
		case p.MAC != 0:
			macs.given = append(macs.given, int64(p.MAC))
		case p.DeviceID != "":
			macs.devices = append(macs.devices, p.DeviceID)
		}
		macs.hosts = append(macs.hosts, p.Binding.Host)
		if _, isSwitch := p.Binding.DPID(); p.Binding.Host != "" && !isSwitch {
			hosts = append(hosts, p.Binding.Host)
		}
	}
	distinct(&tenantIDs)
	distinct(&networkIDs)
	distinct(&groupIDs)
	distinct(&macs.hosts)
	distinct(&macs.devices)
	macs.tenants, macs.networks = tenantIDs, networkIDs

	var b pgx.Batch
	b.Queue(`
		SELECT tenants.id, coalesce(g.id::text, '') FROM tenants
		LEFT JOIN security_groups g ON g.tenant_id = tenants.id AND g.name = 'default'
		WHERE tenants.id = ANY($1::text[])`, tenantIDs).Query(func(rows pgx.Rows) error {
		var id, group string
		_, err := pgx.ForEachRow(rows, []any{&id, &group}, func() error { pl.tenants[id] = group; return nil })
		return err
	})
	pl.queueNetworks(&b, sc, networkIDs)
	if len(hosts) > 0 {
		b.Queue(`SELECT hostname FROM switches WHERE hostname = ANY($1::text[])`, hosts).Query(func(rows pgx.Rows) error {
			var name string
			_, err := pgx.ForEachRow(rows, []any{&name}, func() error { pl.hosts[name] = true; return nil })
			return err
		})
	}
	pl.queueSubnets(&b, networkIDs)
	var groupUses, policyUses uses
	groups.queueUse(&b, sc, groupIDs, &groupUses)
	qosPolicies.queueUse(&b, sc, policyIDs, &policyUses)
	pl.macs.queue(&b, macs)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return nil, err
	}
	if err := pl.addShared(ctx, sc, networkIDs); err != nil {
		return nil, err
	}
	if err := pl.addLists(ctx); err != nil {
		return nil, err
	}
	if err := groups.useShared(ctx, tx, sc, groupUses); err != nil {
		return nil, err
	}
	if err := qosPolicies.useShared(ctx, tx, sc, policyUses); err != nil {
		return nil, err
	}
	for id, hosts := range policyHosts {
		if err := qosRulesSupported(ctx, tx, id, usedByPort(hosts...)); err != nil {
			return nil, err
		}
	}
	return pl, nil
}

// queueNetworks reads networks that are the caller's, and holds them.
func (pl *plan) queueNetworks(b *pgx.Batch, sc Scope, ids []string) {
	b.Queue(`
		SELECT id, tenant_id, NOT port_security, coalesce(qos_policy_id::text, ''), mac_listed FROM networks WHERE id = ANY($1::uuid[]) AND (tenant_id = $2 OR $3)
		ORDER BY id FOR KEY SHARE`, ids, sc.TenantID, sc.Admin).Query(func(rows pgx.Rows) error {
		var id string
		var n planNetwork
		_, err := pgx.ForEachRow(rows, []any{&id, &n.owner, &n.unguarded, &n.qosPolicy, &n.listed}, func() error { pl.networks[id] = n; return nil })
		return err
	})
}

// addShared reads those networks that are shared with the caller, and holds
// them.
func (pl *plan) addShared(ctx context.Context, sc Scope, ids []string) error {
	var u uses
	for _, id := range ids {
		if _, own := pl.networks[id]; !own {
			u.missing = append(u.missing, id)
		}
	}
	if len(u.missing) == 0 {
		return nil
	}
	if err := networks.useShared(ctx, pl.tx, sc, u); err != nil {
		return err
	}
	var b pgx.Batch
	pl.queueNetworks(&b, Scope{Admin: true}, u.missing)
	if err := pl.tx.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	return pl.refuseLiberties(sc)
}

// addLists reads what may attach to the networks, which are held by now.
func (pl *plan) addLists(ctx context.Context) error {
	var listed []string
	for id, n := range pl.networks {
		if n.listed {
			listed = append(listed, id)
		}
	}
	if len(listed) == 0 {
		return nil
	}
	return pl.macs.addLists(ctx, listed)
}

// refuseLiberties keeps from networks of others what only their owners may
// decide there.
func (pl *plan) refuseLiberties(sc Scope) error {
	for i := range pl.ports {
		p := &pl.ports[i]
		if pl.networks[p.NetworkID].owner == sc.TenantID {
			continue
		}
		for attr, taken := range map[string]bool{
			"mac_address":           p.MAC != 0,
			"fixed_ips":             slices.ContainsFunc(p.FixedIPs, func(ip intent.FixedIP) bool { return ip.Addr.IsValid() }),
			"port_security_enabled": p.Security != nil,
			"allowed_address_pairs": len(p.Extras.Pairs) > 0,
			"device_owner":          strings.HasPrefix(p.DeviceOwner, "network:"),
		} {
			if taken {
				return &Denied{Rule: "create_port:" + attr}
			}
		}
	}
	return nil
}

func distinct(list *[]string) {
	slices.Sort(*list)
	*list = slices.Compact(*list)
}

const insertPorts = `
		INSERT INTO ports (id, tenant_id, network_id, name, description, admin_up, device_id, device_owner, host, interface_name, port_no,
			port_security, vnic_type, qos_policy_id, extras, network_owner)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[],
			$12::boolean[], $13::text[], $14::uuid[], $15::jsonb[], $16::text[])
		RETURNING id, num, created_at`

// insertPorts writes the ports of the plan with all their parts.
func (pl *plan) insertPorts(ctx context.Context, sc Scope) error {
	if err := pl.settleSecurity(); err != nil {
		return err
	}
	for i := range pl.ports {
		if err := checkPairBlocks(ctx, pl.tx, sc, &pl.ports[i].Port); err != nil {
			return err
		}
	}
	if err := pl.chooseGroups(ctx); err != nil {
		return err
	}
	for i := range pl.ports {
		p := &pl.ports[i].Port
		p.AskedHost, p.HostKnown, p.NetworkQoSPolicyID = p.Binding.Host, pl.hosts[p.Binding.Host], pl.networks[p.NetworkID].qosPolicy
		if p.VNICType == "" {
			p.VNICType = vnicNormal
		}
	}
	c, err := pl.choose(ctx, true, true)
	if err != nil {
		return err
	}
	if pl.atOnce(c) {
		return pl.insertAtCommit(ctx, c)
	}
	n := len(pl.ports)
	var (
		ids, tenants, networks, names, descriptions = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		deviceIDs, deviceOwners, hosts, interfaces  = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		adminUp, portNos                            = make([]bool, n), make([]int64, n)
		secure, vnics, policies, extras             = make([]bool, n), make([]string, n), make([]*string, n), make([]string, n)
		networkOwners                               = make([]*string, n)
		at                                          = make(map[string]*intent.Port, n)
		groups                                      []groupOf
		tags                                        = map[string][]string{}
	)
	for i := range pl.ports {
		p := &pl.ports[i].Port
		at[p.ID] = p
		ids[i], tenants[i], networks[i], names[i], descriptions[i] = p.ID, p.TenantID, p.NetworkID, p.Name, p.Description
		deviceIDs[i], deviceOwners[i], adminUp[i] = p.DeviceID, p.DeviceOwner, p.AdminUp
		hosts[i], interfaces[i], portNos[i] = p.Binding.Host, p.Binding.InterfaceName, int64(p.Binding.PortNo)
		if len(p.Tags) > 0 {
			tags[p.ID] = p.Tags
		}
		secure[i], vnics[i], policies[i], networkOwners[i] = !p.Unguarded, p.VNICType, textOrNull(p.QoSPolicyID), pl.otherOwner(p)
		if extras[i], err = extrasText(&p.Extras); err != nil {
			return err
		}
		if len(p.SecurityGroups) > 0 {
			groups = append(groups, groupOf{p.ID, p.SecurityGroups})
		}
	}
	var b pgx.Batch
	b.Queue(insertPorts, ids, tenants, networks, names, descriptions, adminUp, deviceIDs, deviceOwners, hosts, interfaces, portNos,
		secure, vnics, policies, extras, networkOwners).Query(func(rows pgx.Rows) error {
		var made intent.Port
		_, err := pgx.ForEachRow(rows, []any{&made.ID, &made.Num, &made.CreatedAt}, func() error {
			p := at[made.ID]
			p.Num, p.CreatedAt, p.UpdatedAt = made.Num, made.CreatedAt, made.CreatedAt
			return nil
		})
		return err
	})
	if len(tags) > 0 {
		b.Queue(`
			UPDATE ports SET tags = ARRAY(SELECT jsonb_array_elements_text(t.value))
			FROM jsonb_each($1::jsonb) AS t WHERE ports.id = t.key::uuid`, tags)
	}
	queueGroups(&b, groups)
	return pl.give(ctx, &b, c, true)
}

// otherOwner is the owner of the network of a port, if that is not its own; else
// nil.
func (pl *plan) otherOwner(p *intent.Port) *string {
	if owner := pl.networks[p.NetworkID].owner; owner != p.TenantID {
		return &owner
	}
	return nil
}

// choice is what the ports of a plan are to get.
type choice struct {
	macs []wantedMAC
	ips  []wantedIP
}

// choose says what the ports are to get, and picks it where any will do.
func (pl *plan) choose(ctx context.Context, withMACs, withIPs bool) (c choice, err error) {
	if withMACs {
		if c.macs, err = pl.wantedMACs(ctx); err != nil {
			return c, err
		}
	}
	if withIPs {
		if c.ips, err = pl.wantedIPs(ctx); err != nil {
			return c, err
		}
	}
	return c, pl.pick(ctx, c, 0)
}

// pick picks what is open; in later rounds anew.
func (pl *plan) pick(ctx context.Context, c choice, round int) error {
	if err := pl.macs.choose(ctx, c.macs, round); err != nil {
		return err
	}
	return pl.chooseIPs(ctx, c.ips, c.macs, round)
}

// give gives the ports what was chosen for them, together with what else the
// batch is to do before. What others took in the meantime is chosen anew. tell
// writes the lineage of the ports, which must be new.
func (pl *plan) give(ctx context.Context, b *pgx.Batch, c choice, tell bool) (err error) {
	macs, ips := c.macs, c.ips
	kinds := make(map[string]intent.MACEventKind, len(macs))
	for _, w := range macs {
		kinds[w.row.port] = w.kind
	}
	for round := range rounds {
		if round > 0 {
			if err := pl.pick(ctx, choice{macs, ips}, round); err != nil {
				return err
			}
		}
		pl.macs.queueGive(b, macs, false)
		pl.queueIPs(b, ips)
		if err := pl.tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		pl.takeMACs(macs)
		if macs, err = pl.macs.left(macs); err != nil {
			return err
		}
		if ips, err = pl.leftIPs(ips); err != nil {
			return err
		}
		if len(macs) == 0 && len(ips) == 0 {
			for i := range pl.ports {
				if tell {
					p := &pl.ports[i]
					pl.tx.ending.tellPortBy(ctx, p.request, &p.Port, kinds[p.ID])
				}
			}
			return nil
		}
		b = &pgx.Batch{}
	}
	return fmt.Errorf("%w: too many others take addresses at the same time", ErrUnavailable)
}

// wantedMACs says what MACs the ports are to get.
func (pl *plan) wantedMACs(ctx context.Context) ([]wantedMAC, error) {
	all := make([]wantedMAC, len(pl.ports))
	for i := range pl.ports {
		p := &pl.ports[i]
		all[i] = wantedMAC{
			attr: "mac_address", host: p.Binding.Host,
			row: macRow{addr: p.MAC, macUse: &macUse{
				tenant: p.TenantID, port: p.ID, network: p.NetworkID, device: p.DeviceID,
				state: intent.MACActive, origin: intent.MACOfPort, actor: Actor(ctx), requestID: p.request,
			}},
		}
	}
	return pl.macs.settleAll(ctx, all)
}

// takeMACs gives the ports the MACs that are theirs now.
func (pl *plan) takeMACs(wanted []wantedMAC) {
	if len(wanted) == 0 {
		return
	}
	at := make(map[string]*NewPort, len(pl.ports))
	for i := range pl.ports {
		at[pl.ports[i].ID] = &pl.ports[i]
	}
	for i := range wanted {
		if w := &wanted[i]; w.done {
			at[w.row.port].MAC, at[w.row.port].SegmentID = w.row.addr, w.row.segment
		}
	}
}

// vnicNormal is the kind of a port that a virtual switch serves.
const vnicNormal = "normal"

// settleSecurity decides which new ports have port security.
func (pl *plan) settleSecurity() error {
	for i := range pl.ports {
		p := &pl.ports[i]
		p.Unguarded = pl.networks[p.NetworkID].unguarded
		if p.Security != nil {
			p.Unguarded = !*p.Security
		}
		if p.Unguarded && len(p.SecurityGroups) > 0 {
			return groupsNeedSecurity()
		}
		if err := checkSecurity(&p.Port); err != nil {
			return err
		}
	}
	return nil
}

// chooseGroups gives the default group where it is asked for, and makes the
// tenants and groups that are not there yet.
func (pl *plan) chooseGroups(ctx context.Context) error {
	for i := range pl.ports {
		p := &pl.ports[i]
		group, there := pl.tenants[p.TenantID]
		if !there {
			if err := ensureTenants(ctx, pl.tx, []string{p.TenantID}); err != nil {
				return err
			}
			pl.tenants[p.TenantID] = ""
		}
		if group == "" {
			var err error
			if group, err = ensureDefaultGroup(ctx, pl.tx, p.TenantID); err != nil {
				return err
			}
			pl.tenants[p.TenantID] = group
		}
		if !p.DefaultGroup || p.Unguarded {
			continue
		}
		if len(p.SecurityGroups) > 0 {
			return &Invalid{"security_groups", "security_groups: the default group is given only if none is named"}
		}
		p.SecurityGroups = []string{group}
	}
	return nil
}

// rounds bounds how often addresses are chosen anew because others took them
// in the meantime.
const rounds = 50
