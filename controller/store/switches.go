package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// switchPort is a port in the column switches.ports.
type switchPort struct {
	No     uint32   `json:"no"`
	Name   string   `json:"name"`
	HWAddr mac.Addr `json:"hw_addr"`
	Up     bool     `json:"up"`
}

const selectSwitches = `
	SELECT dpid, admitted, address, connected, description, ports, capabilities, realized, foreign_flows, repaired, error, connected_at,
		fail_mode, datapath_type, system_id, hostname, version, ovsdb_connected, setup_error, tunnel_ip, turned_away_at, turned_away_reason, judged_at IS NOT NULL, note, updated_at
	FROM switches`

func scanSwitch(row pgx.CollectableRow) (sw intent.Switch, err error) {
	var dpid string
	var list []byte
	var connected, turnedAway *time.Time
	var tunnel *netip.Addr
	err = row.Scan(&dpid, &sw.Admitted, &sw.Address, &sw.Connected, &sw.Description, &list, &sw.Capabilities, &sw.Realized, &sw.ForeignFlows,
		&sw.Repaired, &sw.Error, &connected, &sw.FailMode, &sw.DatapathType, &sw.SystemID, &sw.Hostname, &sw.Version, &sw.OVSDBConnected,
		&sw.SetupError, &tunnel, &turnedAway, &sw.TurnedAwayReason, &sw.Judged, &sw.Note, &sw.UpdatedAt)
	if err != nil {
		return sw, err
	}
	if connected != nil {
		sw.ConnectedAt = *connected
	}
	if tunnel != nil {
		sw.Tunnel = *tunnel
	}
	if turnedAway != nil {
		sw.TurnedAwayAt = *turnedAway
	}
	if sw.DPID, err = intent.ParseDPID(dpid); err != nil {
		return sw, err
	}
	var stored []switchPort
	if err := json.Unmarshal(list, &stored); err != nil {
		return sw, fmt.Errorf("ports of switch %s: %w", dpid, err)
	}
	for _, p := range stored {
		sw.Ports = append(sw.Ports, intent.SwitchPort(p))
	}
	return sw, nil
}

// Switches lists all datapaths that are known, in the order of their ids.
func (s *Store) Switches(ctx context.Context) (list []intent.Switch, err error) {
	attachments, err := s.attachments(ctx, "")
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, selectSwitches+` ORDER BY dpid`)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanSwitch)
		return err
	})
	for i := range list {
		list[i].Attachments = attachments[list[i].DPID]
	}
	return list, err
}

// Switch returns one datapath.
func (s *Store) Switch(ctx context.Context, dpid intent.DPID) (sw intent.Switch, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		sw, err = getSwitch(ctx, q, dpid, "")
		return err
	})
	if err != nil {
		return sw, err
	}
	attachments, err := s.attachments(ctx, " WHERE a.dpid = $1", dpid.String())
	sw.Attachments = attachments[dpid]
	return sw, err
}

func getSwitch(ctx context.Context, q querier, dpid intent.DPID, lock string) (intent.Switch, error) {
	rows, err := q.Query(ctx, selectSwitches+` WHERE dpid = $1`+lock, dpid.String())
	sw, found, err := one(rows, err, scanSwitch)
	if err == nil && !found {
		err = &NotFound{KindSwitch, dpid.String()}
	}
	return sw, err
}

// SaveSwitch writes what is known of a connected datapath by OpenFlow. One
// that was turned away earlier, without anybody having decided so, is admitted
// by now.
func (s *Store) SaveSwitch(ctx context.Context, sw intent.Switch) error {
	list := make([]switchPort, len(sw.Ports))
	for i, p := range sw.Ports {
		list[i] = switchPort(p)
	}
	ports, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("store: encoding the ports of switch %s: %w", sw.DPID, err)
	}
	capabilities := sw.Capabilities
	if capabilities == nil {
		capabilities = map[string]string{}
	}
	pools := sw.Pools
	if pools == nil {
		pools = map[uint32]intent.PoolFact{}
	}
	var connected any
	if !sw.ConnectedAt.IsZero() {
		connected = sw.ConnectedAt
	}
	event := intent.Event{Kind: intent.EventSwitchDown, Switch: sw.DPID, Details: map[string]any{"address": sw.Address}}
	if sw.Connected {
		event.Kind = intent.EventSwitchUp
	}
	about, err := writeAbout(&event)
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *writeTx) error {
		told, err := tx.Exec(ctx, `
			WITH was AS (
				SELECT connected FROM switches WHERE dpid = $1 FOR UPDATE),
			saved AS (
			INSERT INTO switches (dpid, address, connected, description, ports, capabilities, realized, foreign_flows, repaired, error, connected_at, pools, updated_at)
			SELECT $1, $2, $3::boolean, $4, $5::json, $6::json, $7, $8, $9, $10, $11::timestamptz, $14, now() FROM (SELECT count(*) FROM was) AS locked
			ON CONFLICT ON CONSTRAINT switches_pkey DO UPDATE SET
				address = excluded.address, connected = excluded.connected, description = excluded.description, ports = excluded.ports,
				capabilities = excluded.capabilities, realized = excluded.realized, foreign_flows = excluded.foreign_flows,
				repaired = excluded.repaired, error = excluded.error, connected_at = excluded.connected_at, pools = excluded.pools, updated_at = excluded.updated_at,
				admitted = switches.admitted OR switches.judged_at IS NULL)
			INSERT INTO outbox (kind, object_id, op, fact, event, about)
			SELECT '`+string(KindEvent)+`', '', '`+string(OpCreate)+`', true, $12, $13::json WHERE $3 <> coalesce((SELECT connected FROM was), false)`,
			sw.DPID.String(), sw.Address, sw.Connected, sw.Description, ports, capabilities, sw.Realized, sw.ForeignFlows, sw.Repaired, sw.Error, connected,
			string(event.Kind), string(about), pools)
		tx.told = told.RowsAffected() > 0
		return err
	})
}

// SaveBridge writes what OVSDB tells of a bridge. An integration bridge that
// is not known yet is recorded, as admitted; any other must have connected by
// OpenFlow before: false says that it has not.
func (s *Store) SaveBridge(ctx context.Context, b intent.Bridge) (known bool, err error) {
	dpid := b.DPID.String()
	err = s.write(ctx, func(tx *writeTx) error {
		if b.Integration {
			tag, err := tx.Exec(ctx, `
				INSERT INTO switches (dpid, system_id) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT switches_pkey DO NOTHING`, dpid, b.SystemID)
			if err != nil {
				return err
			}
			if tag.RowsAffected() > 0 {
				tx.changed(KindSwitch, dpid, "", OpCreate)
			}
			if err := dropPlaceholder(ctx, tx, b); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, `SELECT system_id = $2 AND integration = $3 AND tunnel_ip IS NOT DISTINCT FROM $4 FROM switches WHERE dpid = $1 FOR UPDATE`,
			dpid, b.SystemID, b.Integration, tunnelIP(b.Tunnel))
		same, found, err := one(rows, err, pgx.RowTo[bool])
		known = found
		if err != nil || !found {
			return err
		}
		if !same {
			tx.changed(KindSwitch, dpid, "", OpUpdate)
		}
		_, err = tx.Exec(ctx, `
			UPDATE switches SET fail_mode = $2, datapath_type = $3, system_id = $4, hostname = $5, version = $6, ovsdb_connected = $7,
				setup_error = $8, integration = $9, tunnel_ip = $10, updated_at = now(), admitted = admitted OR judged_at IS NULL
			WHERE dpid = $1`, dpid, b.FailMode, b.DatapathType, b.SystemID, b.Hostname, b.Version, b.Connected, b.SetupError, b.Integration, tunnelIP(b.Tunnel))
		return err
	})
	return known, err
}

// dropPlaceholder removes the row by which a host was listed, when its bridge
// turns out to have another datapath id than the one that we would have given.
func dropPlaceholder(ctx context.Context, tx *writeTx, b intent.Bridge) error {
	derived := intent.DPIDOfSystem(b.SystemID)
	if b.SystemID == "" || derived == b.DPID {
		return nil
	}
	tag, err := tx.Exec(ctx, `
		DELETE FROM switches WHERE dpid = $1 AND system_id = $2 AND connected_at IS NULL`, derived.String(), b.SystemID)
	if tag.RowsAffected() > 0 {
		tx.changed(KindSwitch, derived.String(), "", OpDelete)
	}
	return err
}

// MarkSwitchesDisconnected notes that no datapath is connected: so it is when
// a controller starts.
func (s *Store) MarkSwitchesDisconnected(ctx context.Context) error {
	return s.write(ctx, func(tx *writeTx) error {
		rows, err := tx.Query(ctx, `SELECT dpid, address FROM switches WHERE connected ORDER BY dpid FOR UPDATE`)
		if err != nil {
			return err
		}
		var lost []intent.Event
		var dpid, address string
		_, err = pgx.ForEachRow(rows, []any{&dpid, &address}, func() error {
			d, err := intent.ParseDPID(dpid)
			lost = append(lost, intent.Event{Kind: intent.EventSwitchDown, Switch: d, Details: map[string]any{"address": address}})
			return err
		})
		if err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `
			UPDATE switches SET connected = false, ovsdb_connected = false, updated_at = now() WHERE connected OR ovsdb_connected`); err != nil {
			return err
		}
		return tx.happened(lost...)
	})
}
