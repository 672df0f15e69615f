package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// ipSource is a subnet that addresses are chosen from: first those after the
// highest in use of each pool, so that an address rests after its release and
// choosing costs the same however many there are; when these have run out, the
// gaps.
type ipSource struct {
	id        string
	cidr      netip.Prefix
	gateway   netip.Addr
	services  []string // device_owner of the ports that it is for; none: any
	automatic bool     // stations form their addresses of their MAC
	pools     []intent.Range
	free      []intent.Range // supposed to be free, in the order of choice
	searched  bool           // free holds gaps; there is nothing more after it
}

const subnetSources = `
	SELECT s.id, s.network_id, s.cidr, s.gateway, p.first, p.last,
		(SELECT f.address FROM fixed_ips f WHERE f.subnet_id = s.id AND f.address BETWEEN p.first AND p.last ORDER BY f.address DESC LIMIT 1),
		s.ra_mode, s.address_mode, s.service_types
	FROM subnets s LEFT JOIN subnet_pools p ON p.subnet_id = s.id`

// queueSubnets reads the subnets of networks, and holds them.
func (pl *plan) queueSubnets(b *pgx.Batch, networkIDs []string) {
	b.Queue(subnetSources+` WHERE s.network_id = ANY($1::uuid[]) ORDER BY s.created_at, s.id, p.first FOR KEY SHARE OF s`, networkIDs).
		Query(func(rows pgx.Rows) error {
			var network string
			var source *ipSource
			return eachPool(rows, func(id, inNetwork string, row poolRow) {
				if source == nil || source.id != id {
					source = &ipSource{
						id: id, cidr: row.cidr, gateway: orNone(row.gateway), services: row.services,
						automatic: row.raMode.Automatic() || row.addressMode.Automatic(),
					}
					network = inNetwork
					pl.subnets[network] = append(pl.subnets[network], source)
				}
				source.addPool(row)
			})
		})
}

// poolRow is a row of subnetSources.
type poolRow struct {
	cidr                       netip.Prefix
	gateway, first, last, used *netip.Addr
	raMode, addressMode        intent.IPv6Mode
	services                   []string
}

func eachPool(rows pgx.Rows, f func(subnet, network string, row poolRow)) error {
	var id, network string
	var row poolRow
	_, err := pgx.ForEachRow(rows, []any{&id, &network, &row.cidr, &row.gateway, &row.first, &row.last, &row.used,
		&row.raMode, &row.addressMode, &row.services}, func() error {
		f(id, network, row)
		return nil
	})
	return err
}

func orNone(a *netip.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	return *a
}

func (src *ipSource) addPool(row poolRow) {
	if row.first == nil {
		return
	}
	pool := intent.Range{First: *row.first, Last: *row.last}
	src.pools = append(src.pools, pool)
	if row.used != nil {
		if *row.used == pool.Last {
			return
		}
		pool.First = row.used.Next()
	}
	src.free = append(src.free, pool)
}

// refresh reads again what is in use, after others took what was chosen.
func (src *ipSource) refresh(ctx context.Context, tx *writeTx) error {
	rows, err := tx.Query(ctx, subnetSources+` WHERE s.id = $1 ORDER BY p.first`, src.id)
	if err != nil {
		return err
	}
	src.pools, src.free, src.searched = nil, nil, false
	return eachPool(rows, func(_, _ string, row poolRow) { src.addPool(row) })
}

// wantedIP is an address that a port is to get.
type wantedIP struct {
	port   int // index in the plan
	ord    int // place in the list of the port
	given  bool
	formed bool // of the MAC of the port
	addr   netip.Addr
	from   []*ipSource // of the address; several while it is open which
	done   bool
}

// wantedIPsOf says what addresses a port is to get.
func (pl *plan) wantedIPsOf(ctx context.Context, i int) ([]wantedIP, error) {
	p := &pl.ports[i]
	var wanted []wantedIP
	if p.AutoIPs {
		if len(p.FixedIPs) > 0 {
			return nil, &Invalid{"fixed_ips", "fixed_ips: addresses are chosen only if none is named"}
		}
		for _, v4 := range []bool{true, false} {
			if from := pl.sourcesFor(&p.Port, v4); len(from) > 0 {
				wanted = append(wanted, wantedIP{port: i, ord: len(wanted), from: from})
			}
		}
	}
	for _, ip := range p.FixedIPs {
		w, err := pl.wantedIP(ctx, i, ip)
		if err != nil {
			return nil, err
		}
		w.ord = len(wanted)
		wanted = append(wanted, w)
	}
	if !routerPort(p.DeviceOwner) {
		for _, src := range pl.subnets[p.NetworkID] {
			if src.automatic && !slices.ContainsFunc(wanted, func(w wantedIP) bool { return w.formed && w.from[0] == src }) {
				wanted = append(wanted, wantedIP{port: i, ord: len(wanted), from: []*ipSource{src}, formed: true})
			}
		}
	}
	if p.AutoIPs && len(wanted) == 0 && slices.ContainsFunc(pl.subnets[p.NetworkID], func(src *ipSource) bool { return len(src.services) > 0 }) {
		return nil, &Conflict{"IpAddressGenerationFailureNoMatchingSubnet", "fixed_ips", fmt.Sprintf(
			"fixed_ips: No valid service subnet for the given device owner, network_id: %s", p.NetworkID)}
	}
	return wanted, nil
}

// sourcesFor are the subnets of a family that an address of a port may be
// chosen from: those for its device_owner, or those for any.
func (pl *plan) sourcesFor(p *intent.Port, v4 bool) []*ipSource {
	var special, general []*ipSource
	for _, src := range pl.subnets[p.NetworkID] {
		switch {
		case src.cidr.Addr().Is4() != v4 || src.automatic:
		case len(src.services) == 0:
			general = append(general, src)
		case slices.Contains(src.services, p.DeviceOwner):
			special = append(special, src)
		}
	}
	if len(special) > 0 {
		return special
	}
	return general
}

// wantedIP reads an entry of fixed_ips. Where stations form their addresses,
// only that of the port's MAC can be named; of a MAC that the port gives up, it
// means that of the new one.
func (pl *plan) wantedIP(ctx context.Context, i int, ip intent.FixedIP) (wantedIP, error) {
	p := &pl.ports[i]
	src, err := pl.sourceOf(ctx, p.NetworkID, ip)
	if err != nil {
		return wantedIP{}, err
	}
	w := wantedIP{port: i, from: []*ipSource{src}, given: ip.Addr.IsValid(), addr: ip.Addr}
	if src.automatic && !routerPort(p.DeviceOwner) {
		w.formed = true
		for _, own := range []mac.Addr{p.MAC, pl.oldMAC} {
			if formed, ok := own.SLAAC(src.cidr); own != 0 && ok && formed == ip.Addr {
				w.given = false
			}
		}
		if w.given {
			return w, &Invalid{"fixed_ips", fmt.Sprintf(
				"fixed_ips: IPv6 address %s can not be directly assigned to a port on subnet %s as the subnet is configured for automatic addresses", ip.Addr, src.id)}
		}
		return w, nil
	}
	if w.given {
		err = src.check(ip.Addr)
	}
	return w, err
}

// routerPort reports whether a port of this device_owner is a router's in its
// subnets, which announces prefixes and so forms no addresses of them.
func routerPort(owner string) bool { return slices.Contains(routerOwners, owner) }

var routerOwners = []string{
	"network:router_interface", "network:ha_router_replicated_interface", "network:router_interface_distributed", "network:router_centralized_snat",
}

// sourceOf finds the subnet of an entry of fixed_ips.
func (pl *plan) sourceOf(ctx context.Context, network string, ip intent.FixedIP) (*ipSource, error) {
	if ip.SubnetID == "" {
		if !ip.Addr.IsValid() {
			return nil, &Invalid{"fixed_ips", "fixed_ips: an entry needs subnet_id or ip_address"}
		}
		for _, src := range pl.subnets[network] {
			if src.cidr.Contains(ip.Addr) {
				return src, nil
			}
		}
		return nil, &Named{"InvalidIpForNetwork", &Invalid{"fixed_ips", fmt.Sprintf("fixed_ips: ip_address %s lies in no subnet of network %s", ip.Addr, network)}}
	}
	if err := subnets.ref(&ip.SubnetID); err != nil {
		return nil, err
	}
	for _, src := range pl.subnets[network] {
		if src.id == ip.SubnetID {
			return src, nil
		}
	}
	var elsewhere bool
	err := pl.tx.QueryRow(ctx, `SELECT EXISTS (
		SELECT FROM subnets WHERE id = $1 AND tenant_id = (SELECT tenant_id FROM networks WHERE id = $2))`, ip.SubnetID, network).Scan(&elsewhere)
	if err == nil && !elsewhere {
		err = &NotFound{KindSubnet, ip.SubnetID}
	}
	if err != nil {
		return nil, err
	}
	return nil, &Invalid{"fixed_ips", fmt.Sprintf("fixed_ips: subnet_id %s is not a subnet of network %s", ip.SubnetID, network)}
}

// check refuses an address that no host of the subnet can have.
func (src *ipSource) check(a netip.Addr) error {
	if !src.cidr.Contains(a) {
		return &Named{"InvalidIpForSubnet", &Invalid{"fixed_ips", fmt.Sprintf("fixed_ips: ip_address %s is outside of subnet %s", a, src.cidr)}}
	}
	first, last := intent.HostRange(src.cidr)
	if !(intent.Range{First: first, Last: last}).Contains(a) {
		return &Named{"InvalidIpForSubnet", &Invalid{"fixed_ips", fmt.Sprintf("fixed_ips: ip_address %s is not an address that a host of subnet %s can have", a, src.cidr)}}
	}
	return nil
}

// wantedIPs says what addresses all ports are to get: first what was asked for
// by name, then what can be any.
func (pl *plan) wantedIPs(ctx context.Context) ([]wantedIP, error) {
	var all []wantedIP
	for i := range pl.ports {
		wanted, err := pl.wantedIPsOf(ctx, i)
		if err != nil {
			return nil, err
		}
		pl.ports[i].FixedIPs = make([]intent.FixedIP, len(wanted))
		all = append(all, wanted...)
	}
	slices.SortStableFunc(all, func(a, b wantedIP) int {
		switch {
		case a.given == b.given:
			return 0
		case a.given:
			return -1
		}
		return 1
	})
	return all, nil
}

// chooseIPs picks addresses where any will do; in later rounds after a look at
// what has become of the subnets.
func (pl *plan) chooseIPs(ctx context.Context, wanted []wantedIP, macs []wantedMAC, round int) error {
	pl.formIPs(wanted, macs)
	if round > 0 {
		stale := map[*ipSource]struct{}{}
		for _, w := range wanted {
			stale[w.from[0]] = struct{}{}
		}
		for src := range stale {
			if err := src.refresh(ctx, pl.tx); err != nil {
				return err
			}
		}
	}
	for i := range wanted {
		if wanted[i].given || wanted[i].formed {
			continue
		}
		if err := pl.chooseIP(ctx, &wanted[i], len(wanted)); err != nil {
			return err
		}
	}
	return nil
}

// formIPs forms addresses of the MACs that the ports have or are about to get.
func (pl *plan) formIPs(wanted []wantedIP, macs []wantedMAC) {
	var coming map[string]mac.Addr
	for i := range wanted {
		w := &wanted[i]
		if !w.formed {
			continue
		}
		if coming == nil {
			coming = make(map[string]mac.Addr, len(macs))
			for _, m := range macs {
				coming[m.row.port] = m.row.addr
			}
		}
		own, ok := coming[pl.ports[w.port].ID]
		if !ok {
			own = pl.ports[w.port].MAC
		}
		w.addr, _ = own.SLAAC(w.from[0].cidr)
	}
}

const (
	insertIPs = `
		INSERT INTO fixed_ips (subnet_id, address, port_id, ord)
		SELECT * FROM unnest($1::uuid[], $2::inet[], $3::uuid[], $4::smallint[])
		ON CONFLICT ON CONSTRAINT fixed_ips_pkey DO NOTHING
		RETURNING subnet_id, address`
	// The MAC that an address was formed of may just have gone to somebody else.
	insertFormedIPs = `
		INSERT INTO fixed_ips (subnet_id, address, port_id, ord)
		SELECT w.subnet_id, w.address, w.port_id, w.ord FROM unnest($1::uuid[], $2::inet[], $3::uuid[], $4::smallint[], $5::bigint[])
			AS w (subnet_id, address, port_id, ord, mac)
		WHERE w.mac = 0 OR EXISTS (SELECT FROM mac_addresses m WHERE m.port_id = w.port_id AND m.address = w.mac)
		ON CONFLICT ON CONSTRAINT fixed_ips_pkey DO NOTHING
		RETURNING subnet_id, address`
)

// queueIPs inserts addresses and marks those that nobody else had.
func (pl *plan) queueIPs(b *pgx.Batch, wanted []wantedIP) {
	n := len(wanted)
	if n == 0 {
		return
	}
	subnetIDs, addrs, portIDs, ords := make([]string, n), make([]netip.Addr, n), make([]string, n), make([]int16, n)
	index := make(map[subnetAddr]int, n)
	var formed []int64
	for i, w := range wanted {
		if w.formed {
			if formed == nil {
				formed = make([]int64, n)
			}
			own, _ := mac.FromEUI64(w.addr)
			formed[i] = int64(own)
		}
		subnetIDs[i], addrs[i], portIDs[i], ords[i] = w.from[0].id, w.addr, pl.ports[w.port].ID, int16(w.ord)
		k := subnetAddr{w.from[0].id, w.addr}
		if _, twice := index[k]; !twice {
			index[k] = i
		}
	}
	sql, values := insertIPs, []any{subnetIDs, addrs, portIDs, ords}
	if formed != nil {
		sql, values = insertFormedIPs, append(values, formed)
	}
	b.Queue(sql, values...).Query(func(rows pgx.Rows) error {
		var k subnetAddr
		_, err := pgx.ForEachRow(rows, []any{&k.subnet, &k.addr}, func() error {
			w := &wanted[index[k]]
			w.done = true
			pl.ports[w.port].FixedIPs[w.ord] = intent.FixedIP{SubnetID: k.subnet, Addr: k.addr}
			return nil
		})
		return err
	})
}

// leftIPs returns what is to be chosen anew.
func (pl *plan) leftIPs(wanted []wantedIP) ([]wantedIP, error) {
	var left []wantedIP
	for _, w := range wanted {
		switch {
		case w.done:
		case w.given, w.formed && pl.formedOfOwn(&w):
			return nil, &Conflict{"IpAddressAlreadyAllocated", "fixed_ips", fmt.Sprintf("fixed_ips: ip_address %s is in use in subnet %s", w.addr, w.from[0].id)}
		default:
			left = append(left, w)
		}
	}
	return left, nil
}

// formedOfOwn says whether the MAC that an address was formed of has become the
// port's: then somebody has the address.
func (pl *plan) formedOfOwn(w *wantedIP) bool {
	own, _ := mac.FromEUI64(w.addr)
	return own == pl.ports[w.port].MAC
}

// chooseIP picks an address that seems free, out of the first source that has
// one left. need is how many are to be chosen in all.
func (pl *plan) chooseIP(ctx context.Context, w *wantedIP, need int) error {
	for len(w.from) > 0 {
		src := w.from[0]
		for {
			if a, ok := pl.takeIP(src); ok {
				w.addr = a
				return nil
			}
			if src.searched {
				break
			}
			if err := src.search(ctx, pl.tx, need+pl.store.ips.size()); err != nil {
				return err
			}
		}
		if len(w.from) == 1 {
			break
		}
		w.from = w.from[1:]
	}
	return &Conflict{"IpAddressGenerationFailure", "fixed_ips", fmt.Sprintf(
		"fixed_ips: no more addresses are free in subnet %s (%s)", w.from[0].id, w.from[0].cidr)}
}

// takeIP claims the next free address of a source.
func (pl *plan) takeIP(src *ipSource) (netip.Addr, bool) {
	for len(src.free) > 0 {
		r := &src.free[0]
		a := r.First
		if a == r.Last {
			src.free = src.free[1:]
		} else {
			r.First = a.Next()
		}
		if a == src.gateway {
			continue
		}
		k := subnetAddr{src.id, a}
		if pl.store.ips.claim(k) {
			pl.tx.after = append(pl.tx.after, func(bool) { pl.store.ips.release(k) })
			return a, true
		}
	}
	return netip.Addr{}, false
}

// search finds gaps between addresses in use: in each pool from a random
// address on, and if these are too few from its start.
func (src *ipSource) search(ctx context.Context, tx *writeTx, need int) error {
	src.searched = true
	src.free = nil
	for _, pool := range src.pools {
		start := randomIn(pool)
		if err := src.gaps(ctx, tx, intent.Range{First: start, Last: pool.Last}, need); err != nil {
			return err
		}
		if len(src.free) < need && start != pool.First {
			if err := src.gaps(ctx, tx, intent.Range{First: pool.First, Last: start.Prev()}, need); err != nil {
				return err
			}
		}
	}
	return nil
}

// gaps appends what is free of a range, up to about a limit of gaps. The
// window runs along the primary key and stops at the limit.
func (src *ipSource) gaps(ctx context.Context, tx *writeTx, r intent.Range, limit int) error {
	var b pgx.Batch
	b.Queue(`
		SELECT address FROM fixed_ips WHERE subnet_id = $1 AND address BETWEEN $2 AND $3
		ORDER BY address LIMIT 1`, src.id, r.First, r.Last).Query(func(rows pgx.Rows) error {
		lowest, found, err := one(rows, nil, pgx.RowTo[netip.Addr])
		switch {
		case err != nil:
			return err
		case !found:
			src.free = append(src.free, r)
		case lowest != r.First:
			src.free = append(src.free, intent.Range{First: r.First, Last: lowest.Prev()})
		}
		return nil
	})
	b.Queue(`
		SELECT address, next FROM (
			SELECT address, lead(address) OVER (ORDER BY address) AS next
			FROM fixed_ips WHERE subnet_id = $1 AND address BETWEEN $2 AND $3) AS used
		WHERE CASE WHEN next IS NULL THEN address <> $3 ELSE next <> address + 1 END
		ORDER BY address LIMIT $4`, src.id, r.First, r.Last, limit).Query(func(rows pgx.Rows) error {
		var used netip.Addr
		var next *netip.Addr
		_, err := pgx.ForEachRow(rows, []any{&used, &next}, func() error {
			gap := intent.Range{First: used.Next(), Last: r.Last}
			if next != nil {
				gap.Last = next.Prev()
			}
			src.free = append(src.free, gap)
			return nil
		})
		return err
	})
	return tx.SendBatch(ctx, &b).Close()
}

// randomIn picks an address of a range. Where the range is wider than 64 bits
// the upper half of the address stays that of the first.
func randomIn(r intent.Range) netip.Addr {
	first, last := r.First.As16(), r.Last.As16()
	lo, hi := binary.BigEndian.Uint64(first[8:]), binary.BigEndian.Uint64(last[8:])
	if [8]byte(first[:8]) != [8]byte(last[:8]) || hi-lo == ^uint64(0) {
		hi = ^uint64(0)
		if lo == 0 {
			lo = 1
		}
	}
	binary.BigEndian.PutUint64(first[8:], lo+rand.Uint64N(hi-lo+1))
	a := netip.AddrFrom16(first)
	if r.First.Is4() {
		a = a.Unmap()
	}
	return a
}
