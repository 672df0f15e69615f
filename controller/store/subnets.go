package store

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var subnets = entity[intent.Subnet]{
	kind:  KindSubnet,
	table: "subnets",
	columns: metaColumns("subnets") + `, subnets.network_id, subnets.cidr, subnets.gateway, subnets.enable_dhcp, subnets.nameservers,
		subnets.ra_mode, subnets.address_mode, subnets.route_destinations, subnets.route_nexthops, subnets.service_types, coalesce(subnets.subnetpool_id::text, ''), ` + isShared("subnets.network_id") + `,
		ARRAY(SELECT first FROM subnet_pools p WHERE p.subnet_id = subnets.id ORDER BY first),
		ARRAY(SELECT last FROM subnet_pools p WHERE p.subnet_id = subnets.id ORDER BY first)`,
	from:    "subnets",
	visible: partOfShared("subnets", "network_id", KindNetwork),
	owner:   "subnets.tenant_id",
	order:   "subnets.id",
	filters: metaFilters("subnets", map[string]filter{
		"network_id":  byUUID("subnets.network_id"),
		"ip_version":  byNumber("family(subnets.cidr)"),
		"cidr":        byPrefix("subnets.cidr", "cidr"),
		"gateway_ip":  byAddr("subnets.gateway"),
		"enable_dhcp": byBool("subnets.enable_dhcp"),

		"ipv6_ra_mode":      byText("subnets.ra_mode"),
		"ipv6_address_mode": byText("subnets.address_mode"),
		"shared":            byBool(isShared("subnets.network_id")),
		"subnetpool_id":     byOptionalUUID("subnets.subnetpool_id"),
	}),
	sorts: metaSorts("subnets", map[string]string{
		"network_id":  "subnets.network_id",
		"ip_version":  "family(subnets.cidr)",
		"cidr":        "subnets.cidr",
		"gateway_ip":  "coalesce(subnets.gateway, '0.0.0.0')",
		"enable_dhcp": "subnets.enable_dhcp",

		"ipv6_ra_mode":      byBytes("subnets.ra_mode"),
		"ipv6_address_mode": byBytes("subnets.address_mode"),
		"subnetpool_id":     "coalesce(subnets.subnetpool_id, '00000000-0000-0000-0000-000000000000')",
	}),
	scan: func(row pgx.CollectableRow) (n intent.Subnet, err error) {
		var gateway *netip.Addr
		var first, last, hops []netip.Addr
		var destinations []netip.Prefix
		err = row.Scan(append(metaTargets(&n.Meta), &n.NetworkID, &n.CIDR, &gateway, &n.EnableDHCP, &n.Nameservers,
			&n.RAMode, &n.AddressMode, &destinations, &hops, &n.ServiceTypes, &n.PoolID, &n.Shared, &first, &last)...)
		n.HostRoutes = make([]intent.Route, len(destinations))
		for i := range destinations {
			n.HostRoutes[i] = intent.Route{Destination: destinations[i], NextHop: hops[i]}
		}
		if gateway != nil {
			n.Gateway = *gateway
		}
		n.Pools = make([]intent.Range, len(first))
		for i := range first {
			n.Pools[i] = intent.Range{First: first[i], Last: last[i]}
		}
		return n, err
	},
}

// byPrefix compares with the prefix as given for an inet, which has host bits,
// and with its network for a cidr.
func byPrefix(expr, sqlType string) filter {
	return func(a *args, attr string, values []string) (string, error) {
		prefixes := make([]netip.Prefix, len(values))
		for i, v := range values {
			p, err := netip.ParsePrefix(v)
			if err != nil {
				return "", &Invalid{attr, fmt.Sprintf("%s must be filtered by a prefix such as 10.0.0.0/24, not %q", attr, v)}
			}
			if prefixes[i] = p; sqlType == "cidr" {
				prefixes[i] = p.Masked()
			}
		}
		return expr + " = ANY(" + a.add(prefixes) + "::" + sqlType + "[])", nil
	}
}

func byAddr(expr string) filter {
	return func(a *args, attr string, values []string) (string, error) {
		addrs, err := parseAddrs(attr, values)
		return expr + " = ANY(" + a.add(addrs) + "::inet[])", err
	}
}

func parseAddrs(attr string, values []string) ([]netip.Addr, error) {
	addrs := make([]netip.Addr, len(values))
	for i, v := range values {
		addr, err := netip.ParseAddr(v)
		if err != nil || addr.Zone() != "" {
			return nil, &Invalid{attr, fmt.Sprintf("%s must be filtered by an IP address, not %q", attr, v)}
		}
		addrs[i] = addr
	}
	return addrs, nil
}

// Subnets lists subnets.
func (s *Store) Subnets(ctx context.Context, sc Scope, q Query) (list []intent.Subnet, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = subnets.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// EachSubnet hands over what Subnets lists one by one; visit must not keep it.
func (s *Store) EachSubnet(ctx context.Context, sc Scope, q Query, visit func(*intent.Subnet) error) error {
	return subnets.stream(ctx, s, sc, q, visit)
}

// Subnet returns one subnet.
func (s *Store) Subnet(ctx context.Context, sc Scope, id string) (n intent.Subnet, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		n, err = subnets.get(ctx, db, sc, id)
		return err
	})
	return n, err
}

// CreateSubnets makes subnets, all or none. With nil Pools they get
// intent.DefaultPools; an empty list that is not nil stays empty. The gateway
// stays as it is given, unless it is to be chosen.
func (s *Store) CreateSubnets(ctx context.Context, sc Scope, in []NewSubnet) ([]intent.Subnet, error) {
	var out []intent.Subnet
	err := s.write(ctx, func(tx *writeTx) error {
		list := slices.Clone(in)
		var owners, parents []string
		for i := range list {
			n := &list[i]
			if err := prepareMeta(sc, &n.Meta); err != nil {
				return err
			}
			if err := networks.ref(&n.NetworkID); err != nil {
				return err
			}
			if n.PoolID == "" {
				if err := settleSubnet(n); err != nil {
					return err
				}
			}
			owners, parents = append(owners, n.TenantID), append(parents, n.NetworkID)
		}
		if err := ensureTenants(ctx, tx, owners); err != nil {
			return err
		}
		pools, err := holdPools(ctx, tx, sc, list)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(n NewSubnet) bool { return n.Automatic() }) {
			if err := holdNetworks(ctx, tx, parents); err != nil {
				return err
			}
		}
		if err := networks.touch(ctx, tx, sc, parents); err != nil {
			return err
		}
		out = make([]intent.Subnet, len(list))
		for i := range list {
			n := &list[i]
			if n.PoolID == "" {
				n.IPVersion = familyOf(n.CIDR)
			}
			if err := keepAffinity(ctx, tx, n); err != nil {
				return err
			}
			if n.PoolID != "" {
				if err := cutSubnet(ctx, tx, n, pools[n.PoolID]); err != nil {
					return err
				}
				if err := settleSubnet(n); err != nil {
					return err
				}
			}
			if err := insertSubnet(ctx, tx, &n.Subnet); err != nil {
				return err
			}
			out[i] = n.Subnet
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// settleSubnet chooses what hangs on the prefix of a new subnet.
func settleSubnet(n *NewSubnet) error {
	if n.AutoGateway && n.CIDR.IsValid() {
		n.Gateway = intent.DefaultGateway(n.CIDR)
	}
	return checkSubnet(&n.Subnet)
}

func insertSubnet(ctx context.Context, tx *writeTx, n *intent.Subnet) error {
	destinations, hops := splitRoutes(n.HostRoutes)
	err := tx.QueryRow(ctx, `
		INSERT INTO subnets (id, tenant_id, network_id, name, description, cidr, gateway, enable_dhcp, nameservers,
			ra_mode, address_mode, route_destinations, route_nexthops, service_types, subnetpool_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, nullif($15, '')::uuid) RETURNING created_at, updated_at`,
		n.ID, n.TenantID, n.NetworkID, n.Name, n.Description, n.CIDR, orNull(n.Gateway), n.EnableDHCP, n.Nameservers,
		n.RAMode, n.AddressMode, destinations, hops, n.ServiceTypes, n.PoolID).
		Scan(&n.CreatedAt, &n.UpdatedAt)
	if err != nil {
		return err
	}
	if err := insertPools(ctx, tx, n); err != nil {
		return err
	}
	tx.spends(KindSubnet, n.TenantID)
	tx.changed(KindSubnet, n.ID, n.TenantID, OpCreate).to(n)
	if !n.Automatic() {
		return nil
	}
	return addFormed(ctx, tx, n)
}

// splitRoutes takes routes apart, as the columns hold them.
func splitRoutes(routes []intent.Route) (destinations []netip.Prefix, hops []netip.Addr) {
	destinations, hops = make([]netip.Prefix, len(routes)), make([]netip.Addr, len(routes))
	for i, r := range routes {
		destinations[i], hops[i] = r.Destination, r.NextHop
	}
	return destinations, hops
}

// orNull makes a value that is none a NULL.
func orNull[V comparable](v V) any {
	var none V
	if v == none {
		return nil
	}
	return v
}

func insertPools(ctx context.Context, tx *writeTx, n *intent.Subnet) error {
	first, last := make([]netip.Addr, len(n.Pools)), make([]netip.Addr, len(n.Pools))
	for i, p := range n.Pools {
		first[i], last[i] = p.First, p.Last
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO subnet_pools (subnet_id, first, last)
		SELECT $1, first, last FROM unnest($2::inet[], $3::inet[]) AS p (first, last)`, n.ID, first, last)
	return err
}

// checkSubnet fills the pools and checks what ties the attributes together.
func checkSubnet(n *intent.Subnet) error {
	if !n.CIDR.IsValid() {
		return &Invalid{"cidr", "cidr must be a prefix such as 10.0.0.0/24"}
	}
	n.CIDR = n.CIDR.Masked()
	if n.CIDR.Addr().Is4In6() {
		return &Invalid{"cidr", fmt.Sprintf("cidr %s is an IPv4 prefix in an IPv6 form; give the IPv4 form", n.CIDR)}
	}
	if n.Gateway.IsValid() {
		if n.Gateway.Is4() != n.CIDR.Addr().Is4() {
			return &Invalid{"gateway_ip", fmt.Sprintf("gateway_ip %s is not of the family of cidr %s", n.Gateway, n.CIDR)}
		}
		if n.Gateway.Zone() != "" {
			return &Invalid{"gateway_ip", "gateway_ip must have no zone"}
		}
		first, last := intent.HostRange(n.CIDR)
		// An IPv6 router may have the lowest address, and a gateway elsewhere
		// (a link-local one, for example) is the client's decision.
		if n.CIDR.Contains(n.Gateway) && n.Gateway.Is4() && !(intent.Range{First: first, Last: last}).Contains(n.Gateway) {
			return &Invalid{"gateway_ip", fmt.Sprintf("gateway_ip %s is the network or broadcast address of cidr %s", n.Gateway, n.CIDR)}
		}
	}
	for _, server := range n.Nameservers {
		if !server.IsValid() || server.Zone() != "" {
			return &Invalid{"dns_nameservers", "dns_nameservers must be IP addresses"}
		}
	}
	if n.Nameservers == nil {
		n.Nameservers = []netip.Addr{}
	}
	if n.HostRoutes == nil {
		n.HostRoutes = []intent.Route{}
	}
	n.ServiceTypes = orEmpty(n.ServiceTypes)
	if err := checkModes(n); err != nil {
		return err
	}
	if n.Pools == nil {
		n.Pools = intent.DefaultPools(n.CIDR, n.Gateway)
	}
	return checkPools(n)
}

// checkModes says what is wrong with how stations get IPv6 addresses.
func checkModes(n *intent.Subnet) error {
	attr := "ipv6_ra_mode"
	if n.RAMode == "" {
		attr = "ipv6_address_mode"
	}
	switch {
	case n.RAMode == "" && n.AddressMode == "":
	case n.CIDR.Addr().Is4():
		return &Invalid{attr, attr + " is not valid when ip_version is 4"}
	case !n.EnableDHCP:
		return &Invalid{attr, "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False"}
	case n.RAMode != "" && n.AddressMode != "" && n.RAMode != n.AddressMode:
		return &Invalid{attr, fmt.Sprintf("ipv6_ra_mode set to '%s' with ipv6_address_mode set to '%s' is not valid. If both attributes are set, they must be the same value", n.RAMode, n.AddressMode)}
	case n.Automatic() && n.CIDR.Bits() != 64:
		return &Invalid{"cidr", fmt.Sprintf("Invalid CIDR %s for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64", n.CIDR)}
	}
	return nil
}

func checkPools(n *intent.Subnet) error {
	n.Pools = slices.Clone(n.Pools)
	slices.SortFunc(n.Pools, func(a, b intent.Range) int { return a.First.Compare(b.First) })
	first, last := intent.HostRange(n.CIDR)
	for i, p := range n.Pools {
		switch {
		case !p.First.IsValid() || !p.Last.IsValid() || p.Last.Less(p.First) || p.First.BitLen() != p.Last.BitLen():
			return &Named{"InvalidAllocationPool", &Invalid{"allocation_pools", fmt.Sprintf("allocation_pools: %s-%s is not a range of addresses", p.First, p.Last)}}
		case p.First.BitLen() != n.CIDR.Addr().BitLen() || p.First.Less(first) || last.Less(p.Last):
			return &Named{"OutOfBoundsAllocationPool", &Invalid{"allocation_pools", fmt.Sprintf("allocation_pools: %s-%s is not within the addresses %s-%s of cidr %s", p.First, p.Last, first, last, n.CIDR)}}
		case n.Gateway.IsValid() && p.Contains(n.Gateway):
			return &Conflict{"GatewayConflictWithAllocationPools", "gateway_ip", fmt.Sprintf("gateway_ip %s lies in allocation_pools %s-%s", n.Gateway, p.First, p.Last)}
		case i > 0 && !n.Pools[i-1].Last.Less(p.First):
			return &Conflict{"OverlappingAllocationPools", "allocation_pools", fmt.Sprintf("allocation_pools: %s-%s overlaps with %s-%s", p.First, p.Last, n.Pools[i-1].First, n.Pools[i-1].Last)}
		}
	}
	return nil
}

// UpdateSubnet changes a subnet; network, prefix and modes are not its to
// change. Pools set to nil become the default ones. change may run more
// than once.
func (s *Store) UpdateSubnet(ctx context.Context, sc Scope, id string, change func(*intent.Subnet) error) (intent.Subnet, error) {
	var n intent.Subnet
	err := s.write(ctx, func(tx *writeTx) error {
		seen, err := subnets.get(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		// The network comes first in the order of locks.
		if _, err := tx.Exec(ctx, `SELECT FROM networks WHERE id = $1 FOR NO KEY UPDATE`, seen.NetworkID); err != nil {
			return err
		}
		old, err := subnets.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		n = old
		n.Pools, n.Nameservers = slices.Clone(old.Pools), slices.Clone(old.Nameservers)
		if err := change(&n); err != nil {
			return err
		}
		keep(&n.Meta, &old.Meta)
		n.NetworkID, n.CIDR, n.PoolID = old.NetworkID, old.CIDR, old.PoolID
		n.RAMode, n.AddressMode = old.RAMode, old.AddressMode
		if err := checkSubnet(&n); err != nil {
			return err
		}
		if reflect.DeepEqual(n, old) {
			return nil
		}
		if n.Gateway != old.Gateway && n.Gateway.IsValid() {
			if err := refuseUsedGateway(ctx, tx, &n); err != nil {
				return err
			}
		}
		if !slices.Equal(n.Pools, old.Pools) {
			if _, err := tx.Exec(ctx, `DELETE FROM subnet_pools WHERE subnet_id = $1`, n.ID); err != nil {
				return err
			}
			if err := insertPools(ctx, tx, &n); err != nil {
				return err
			}
		}
		if err := networks.touch(ctx, tx, Scope{Admin: true}, []string{n.NetworkID}); err != nil {
			return err
		}
		if err := subnets.retag(ctx, tx, &n.Meta, &old.Meta); err != nil {
			return err
		}
		tx.changed(KindSubnet, n.ID, n.TenantID, OpUpdate).to(&n)
		destinations, hops := splitRoutes(n.HostRoutes)
		return tx.QueryRow(ctx, `
			UPDATE subnets SET name = $2, description = $3, gateway = $4, enable_dhcp = $5, nameservers = $6,
				route_destinations = $7, route_nexthops = $8, service_types = $9, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`,
			n.ID, n.Name, n.Description, orNull(n.Gateway), n.EnableDHCP, n.Nameservers, destinations, hops, n.ServiceTypes).Scan(&n.Revision, &n.UpdatedAt)
	})
	return n, err
}

// refuseUsedGateway keeps a gateway from becoming the address of two.
func refuseUsedGateway(ctx context.Context, tx *writeTx, n *intent.Subnet) error {
	rows, err := tx.Query(ctx, `SELECT port_id FROM fixed_ips WHERE subnet_id = $1 AND address = $2`, n.ID, n.Gateway)
	port, used, err := one(rows, err, pgx.RowTo[string])
	if err != nil || !used {
		return err
	}
	return &Conflict{"GatewayIpInUse", "gateway_ip", fmt.Sprintf("gateway_ip %s is in use by port %s", n.Gateway, port)}
}

// DeleteSubnet deletes a subnet that no port has an address of, except where
// all ports of the network have one by themselves.
func (s *Store) DeleteSubnet(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		seen, err := subnets.get(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if err := networks.touch(ctx, tx, Scope{Admin: true}, []string{seen.NetworkID}); err != nil {
			return err
		}
		n, err := subnets.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if err := dropAddresses(ctx, tx, &n); err != nil {
			return err
		}
		var used int
		if err := tx.QueryRow(ctx, `SELECT count(DISTINCT port_id) FROM fixed_ips WHERE subnet_id = $1`, n.ID).Scan(&used); err != nil {
			return err
		}
		if used > 0 {
			return &InUse{KindSubnet, n.ID, count(used, "port")}
		}
		tx.changed(KindSubnet, n.ID, n.TenantID, OpDelete)
		_, err = tx.Exec(ctx, `DELETE FROM subnets WHERE id = $1`, n.ID)
		return err
	})
}
