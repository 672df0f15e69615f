package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// MaxMACs is how many addresses one request may ask for.
const MaxMACs = 100_000

// manyMACs are so many that it pays to count on their not having been given
// before, and to begin again if that is wrong.
const manyMACs = 100

func isRowInTheWay(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == "mac_addresses_pkey"
}

// MACRequest asks for addresses without a port.
type MACRequest struct {
	TenantID  string // default: the caller's
	SegmentID string // default: by NetworkID and Host as a port's, or that of the tenant, or a shared one
	NetworkID string // that the addresses are for; default: any
	Host      string
	Addr      mac.Addr        // this very address; 0: any
	Count     int             // default: 1
	State     intent.MACState // MACActive (the default) or MACReserved
	DeviceID  string          // a reservation is for the next port of this instance
	ExpiresAt time.Time       // end of a reservation; zero: none
}

func (r *MACRequest) check(sc Scope) error {
	if r.TenantID == "" {
		r.TenantID = sc.TenantID
	}
	if r.State == "" {
		r.State = intent.MACActive
	}
	if r.Count == 0 {
		r.Count = 1
	}
	switch {
	case r.TenantID == "":
		return &Invalid{"tenant_id", "tenant_id is required: the caller has no tenant of its own"}
	case len(r.TenantID) > 255:
		return &Invalid{"tenant_id", "tenant_id has more than 255 characters"}
	case !sc.Admin && r.TenantID != sc.TenantID:
		return &Invalid{"tenant_id", "tenant_id must be that of the caller"}
	case r.Count < 1 || r.Count > MaxMACs:
		return &Invalid{"count", fmt.Sprintf("count is not between 1 and %d", MaxMACs)}
	case r.Addr != 0 && r.Count > 1:
		return &Invalid{"count", "count must be 1 where address is given"}
	case r.State != intent.MACActive && r.State != intent.MACReserved:
		return &Invalid{"state", "state is not active or reserved"}
	case !r.ExpiresAt.IsZero() && r.State != intent.MACReserved:
		return &Invalid{"expires_at", "expires_at is for reservations; state must be reserved"}
	case !r.ExpiresAt.IsZero() && r.ExpiresAt.Year() > 9999:
		return &Invalid{"expires_at", "expires_at lies after the year 9999"}
	case r.SegmentID != "":
		return segments.ref(&r.SegmentID)
	}
	return nil
}

// AllocateMACs gives addresses to a tenant, all or none, in the order of the
// strategy of their segment.
func (s *Store) AllocateMACs(ctx context.Context, sc Scope, req MACRequest) ([]intent.MACAddress, error) {
	if err := req.check(sc); err != nil {
		return nil, err
	}
	if got, done, err := s.singles.allocate(ctx, s, sc, req); done {
		return got, err
	}
	var out []intent.MACAddress
	never := req.Count >= manyMACs
	err := s.write(ctx, func(tx *writeTx) error {
		wanted, err := s.allocate(ctx, tx, sc, req, never)
		if never && (isRowInTheWay(err) || errors.Is(err, errLeaseLost)) {
			never = false
			return errAgain
		}
		if err != nil {
			return err
		}
		out = make([]intent.MACAddress, 0, len(wanted))
		at := time.Now()
		for i := range wanted {
			out = append(out, wanted[i].row.address(at))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// address is what has become of a row.
func (r *macRow) address(at time.Time) intent.MACAddress {
	return intent.MACAddress{
		Addr: r.addr, SegmentID: r.segment, TenantID: r.tenant, State: r.state, Origin: r.origin, PortID: r.port,
		NetworkID: r.network, DeviceID: r.device, ExpiresAt: r.expires, CreatedAt: at, ChangedAt: at,
	}
}

// allocate does it in a transaction.
func (s *Store) allocate(ctx context.Context, tx *writeTx, sc Scope, req MACRequest, never bool) ([]wantedMAC, error) {
	pl := newMACPlan(s, tx)
	pl.never = never
	scope := macScope{tenants: []string{req.TenantID}, hosts: []string{req.Host}}
	if req.Addr != 0 {
		scope.given = []int64{int64(req.Addr)}
	}
	if req.SegmentID != "" {
		scope.segments = []string{req.SegmentID}
	}
	var b pgx.Batch
	if req.NetworkID != "" {
		if err := networks.ref(&req.NetworkID); err != nil {
			return nil, err
		}
		scope.networks = []string{req.NetworkID}
		b.Queue(`SELECT id FROM networks WHERE id = $1 AND (tenant_id = $2 OR $3) FOR KEY SHARE`, req.NetworkID, sc.TenantID, sc.Admin).
			Query(func(rows pgx.Rows) error {
				_, found, err := one(rows, nil, pgx.RowTo[string])
				if err == nil && !found {
					err = &NotFound{KindNetwork, req.NetworkID}
				}
				return err
			})
	}
	pl.queue(&b, scope)
	// Read under the lock of the tree, which whoever deletes a tenant takes.
	var known bool
	b.Queue(`SELECT EXISTS (SELECT FROM tenants WHERE id = $1)`, req.TenantID).QueryRow(func(row pgx.Row) error { return row.Scan(&known) })
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return nil, err
	}
	if !known {
		if err := ensureTenants(ctx, tx, []string{req.TenantID}); err != nil {
			return nil, err
		}
	}
	only, err := pl.onlySegment(ctx, sc, &req)
	if err != nil {
		return nil, err
	}
	all, row := make([]wantedMAC, req.Count), req.row(ctx)
	for i := range all {
		all[i] = wantedMAC{attr: "address", host: req.Host, only: only, row: row}
	}
	return pl.give(ctx, all)
}

// row is an address to come.
func (r *MACRequest) row(ctx context.Context) macRow {
	return macRow{addr: r.Addr, segment: r.SegmentID, macUse: &macUse{
		tenant: r.TenantID, network: r.NetworkID, device: r.DeviceID, state: r.State, origin: intent.MACOfTenant,
		expires: r.ExpiresAt, actor: Actor(ctx), requestID: requestID(ctx),
	}}
}

// onlySegment finds the segment that was asked for, if one was, and makes sure
// that the tenant may have addresses of it.
func (pl *macPlan) onlySegment(ctx context.Context, sc Scope, req *MACRequest) (*macSource, error) {
	if req.SegmentID == "" {
		return nil, nil
	}
	if i := slices.IndexFunc(pl.serving, func(s *macSource) bool { return s.id == req.SegmentID }); i >= 0 {
		src := pl.serving[i]
		if !sc.Admin && src.tenant != sc.TenantID && !src.shared {
			return nil, &NotFound{KindSegment, req.SegmentID}
		}
		if src.tenant != "" && src.tenant != req.TenantID {
			return nil, &Invalid{"segment_id", fmt.Sprintf("segment_id: MAC segment %s belongs to another tenant", src.block)}
		}
		return src, nil
	}
	g, err := segments.get(ctx, pl.tx, sc, req.SegmentID)
	if err != nil {
		return nil, err
	}
	return nil, &Conflict{"MacSegmentInUse", "segment_id", fmt.Sprintf("segment_id: MAC segment %s is divided, so it gives no addresses; name one of those inside it", g.Block)}
}

// give writes addresses until all have one.
func (pl *macPlan) give(ctx context.Context, all []wantedMAC) ([]wantedMAC, error) {
	all, err := pl.settleAll(ctx, all)
	if err != nil {
		return nil, err
	}
	given := make([]wantedMAC, 0, len(all))
	for round := range rounds {
		if err := pl.choose(ctx, all, round); err != nil {
			return nil, err
		}
		var b pgx.Batch
		pl.queueGive(&b, all, true)
		if err := pl.tx.SendBatch(ctx, &b).Close(); err != nil {
			return nil, err
		}
		for i := range all {
			if all[i].done {
				given = append(given, all[i])
			}
		}
		if all, err = pl.left(all); err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return given, nil
		}
	}
	return nil, fmt.Errorf("%w: too many others take addresses at the same time", ErrUnavailable)
}

// ReleaseMACs releases addresses that no port has, all or none. Each rests for
// the quarantine of its segment before anybody else gets it.
func (s *Store) ReleaseMACs(ctx context.Context, sc Scope, addrs []mac.Addr) error {
	numbers := numbersOf(addrs)
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	return s.write(ctx, func(tx *writeTx) error {
		rows, err := tx.Query(ctx, releaseAddress, Actor(ctx), requestID(ctx), numbers)
		if err != nil {
			return err
		}
		released := map[int64]struct{}{}
		var address int64
		var port, tenant string
		_, err = pgx.ForEachRow(rows, []any{&address, &port, &tenant}, func() error {
			if !sc.Admin && tenant != sc.TenantID {
				return &NotFound{KindMACAddress, mac.Addr(address).String()}
			}
			released[address] = struct{}{}
			return nil
		})
		if err != nil {
			return err
		}
		for _, a := range numbers {
			if _, ok := released[a]; !ok {
				return s.notReleased(ctx, tx, sc, mac.Addr(a))
			}
		}
		return nil
	})
}

func (s *Store) notReleased(ctx context.Context, tx *writeTx, sc Scope, a mac.Addr) error {
	m, err := macAddress(ctx, tx, sc, a)
	switch {
	case err != nil:
		return err
	case m.PortID != "":
		return &InUse{KindMACAddress, a.String(), "port " + m.PortID}
	}
	return &NotFound{KindMACAddress, a.String()}
}

// UpdateMAC changes an address that no port has: fn may set its DeviceID, the
// ExpiresAt of a reservation, and make a reservation active. Whatever else fn
// changes stays as it was.
func (s *Store) UpdateMAC(ctx context.Context, sc Scope, a mac.Addr, fn func(*intent.MACAddress) error) (m intent.MACAddress, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM mac_addresses WHERE address = $1 FOR UPDATE`, int64(a)); err != nil {
			return err
		}
		before, err := macAddress(ctx, tx, sc, a)
		if err != nil {
			return err
		}
		if err := changeable(&before, time.Now()); err != nil {
			return err
		}
		m = before
		if err := fn(&m); err != nil {
			return err
		}
		if err := checkMACChange(&before, &m); err != nil {
			return err
		}
		changed := before
		changed.DeviceID, changed.State = m.DeviceID, m.State
		if !m.ExpiresAt.Equal(before.ExpiresAt) {
			changed.ExpiresAt = m.ExpiresAt
		}
		if m = changed; m == before {
			return nil
		}
		var b pgx.Batch
		queueTake(&b, []macRow{{addr: a, segment: m.SegmentID, macUse: &macUse{
			tenant: m.TenantID, network: m.NetworkID, device: m.DeviceID, state: m.State, origin: m.Origin,
			expires: m.ExpiresAt, actor: Actor(ctx), requestID: requestID(ctx),
		}}}, intent.MACChanged, func(mac.Addr) {})
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
		m, err = macAddress(ctx, tx, sc, a)
		return err
	})
	return m, err
}

// changeable says why an address cannot be changed by itself at a time.
func changeable(m *intent.MACAddress, now time.Time) error {
	switch {
	case m.PortID != "":
		return &InUse{KindMACAddress, m.Addr.String(), "port " + m.PortID}
	case m.State == intent.MACQuarantined:
		return &Conflict{"MacAddressReleased", "", fmt.Sprintf("MAC address %s was released and is in quarantine until %s", m.Addr, m.FreeAt.UTC().Format(time.RFC3339))}
	case m.Origin == intent.MACOfImport:
		return &Conflict{"MacAddressImported", "", fmt.Sprintf("MAC address %s is that of a foreign system; it can only be released", m.Addr)}
	case !m.ExpiresAt.IsZero() && !m.ExpiresAt.After(now): // and is about to be released
		return &Conflict{"MacAddressReleased", "", fmt.Sprintf("the reservation of MAC address %s ended at %s", m.Addr, m.ExpiresAt.UTC().Format(time.RFC3339))}
	}
	return nil
}

func checkMACChange(before, m *intent.MACAddress) error {
	switch {
	case m.State != before.State && (before.State != intent.MACReserved || m.State != intent.MACActive):
		return &Invalid{"state", fmt.Sprintf("state cannot go from %s to %s, only from reserved to active", before.State, m.State)}
	case !m.ExpiresAt.IsZero() && m.State != intent.MACReserved:
		return &Invalid{"expires_at", "expires_at is for reservations; state must be reserved"}
	case !m.ExpiresAt.IsZero() && m.ExpiresAt.Year() > 9999:
		return &Invalid{"expires_at", "expires_at lies after the year 9999"}
	case len(m.DeviceID) > 255:
		return &Invalid{"device_id", "device_id has more than 255 characters"}
	}
	return nil
}

var macAddresses = entity[intent.MACAddress]{
	kind:  KindMACAddress,
	table: "mac_addresses",
	columns: `mac_addresses.address, coalesce(mac_addresses.segment_id::text, ''), mac_addresses.tenant_id, mac_addresses.state, mac_addresses.origin,
		coalesce(mac_addresses.port_id::text, ''), coalesce(mac_addresses.network_id::text, ''), mac_addresses.device_id,
		mac_addresses.expires_at, mac_addresses.free_at, mac_addresses.created_at, mac_addresses.changed_at`,
	from:    "mac_addresses",
	visible: "mac_addresses.tenant_id = $tenant",
	order:   "mac_addresses.address",
	always:  "mac_addresses.state <> 'free'",
	key:     "mac_addresses.address",
	parseID: func(id string) (any, bool) {
		a, err := mac.Parse(id)
		return int64(a), err == nil
	},
	filters: map[string]filter{
		"address":    byMAC("mac_addresses.address"),
		"segment_id": byUUID("mac_addresses.segment_id"),
		"tenant_id":  byText("mac_addresses.tenant_id"),
		"project_id": byText("mac_addresses.tenant_id"),
		"state":      byText("mac_addresses.state"),
		"port_id":    byUUID("mac_addresses.port_id"),
		"network_id": byUUID("mac_addresses.network_id"),
		"device_id":  byText("mac_addresses.device_id"),
	},
	sorts: map[string]string{
		"id":         "mac_addresses.address",
		"address":    "mac_addresses.address",
		"tenant_id":  byBytes("mac_addresses.tenant_id"),
		"project_id": byBytes("mac_addresses.tenant_id"),
		"state":      byBytes("mac_addresses.state"),
		"device_id":  byBytes("mac_addresses.device_id"),
		"created_at": "mac_addresses.created_at",
		"updated_at": "mac_addresses.changed_at",
	},
	scan: func(row pgx.CollectableRow) (m intent.MACAddress, err error) {
		var address int64
		var expires, free *time.Time
		err = row.Scan(&address, &m.SegmentID, &m.TenantID, &m.State, &m.Origin, &m.PortID, &m.NetworkID, &m.DeviceID, &expires, &free, &m.CreatedAt, &m.ChangedAt)
		m.Addr = mac.Addr(address)
		if expires != nil {
			m.ExpiresAt = *expires
		}
		if free != nil {
			m.FreeAt = *free
		}
		return m, err
	},
}

// MACAddresses lists addresses that somebody has or that rest.
func (s *Store) MACAddresses(ctx context.Context, sc Scope, q Query) (list []intent.MACAddress, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = macAddresses.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// EachMACAddress hands over what MACAddresses lists one by one; visit must not keep it.
func (s *Store) EachMACAddress(ctx context.Context, sc Scope, q Query, visit func(*intent.MACAddress) error) error {
	return macAddresses.stream(ctx, s, sc, q, visit)
}

// MACAddress returns one address that somebody has or that rests.
func (s *Store) MACAddress(ctx context.Context, sc Scope, a mac.Addr) (m intent.MACAddress, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		m, err = macAddress(ctx, db, sc, a)
		return err
	})
	return m, err
}

func macAddress(ctx context.Context, q querier, sc Scope, a mac.Addr) (intent.MACAddress, error) {
	values := args{int64(a)}
	list, err := macAddresses.query(ctx, q, "mac_addresses.address = $1 AND mac_addresses.state <> 'free' AND "+macAddresses.scoped(sc, &values), values)
	switch {
	case err != nil:
		return intent.MACAddress{}, err
	case len(list) == 0:
		return intent.MACAddress{}, &NotFound{KindMACAddress, a.String()}
	}
	return list[0], nil
}
