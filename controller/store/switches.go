package store

import (
	"context"
	"encoding/json"
	"fmt"
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
	SELECT dpid, address, connected, description, ports, realized, foreign_flows, fail_mode, error, connected_at, updated_at
	FROM switches`

func scanSwitch(row pgx.CollectableRow) (sw intent.Switch, err error) {
	var dpid string
	var list []byte
	var connected *time.Time
	err = row.Scan(&dpid, &sw.Address, &sw.Connected, &sw.Description, &list, &sw.Realized, &sw.ForeignFlows, &sw.FailMode, &sw.Error, &connected, &sw.UpdatedAt)
	if err != nil {
		return sw, err
	}
	if connected != nil {
		sw.ConnectedAt = *connected
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

// Switches lists all datapaths that were ever seen, in the order of their ids.
func (s *Store) Switches(ctx context.Context) (list []intent.Switch, err error) {
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, selectSwitches+` ORDER BY dpid`)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanSwitch)
		return err
	})
	return list, err
}

// Switch returns one datapath.
func (s *Store) Switch(ctx context.Context, dpid intent.DPID) (sw intent.Switch, err error) {
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, selectSwitches+` WHERE dpid = $1`, dpid.String())
		var found bool
		sw, found, err = one(rows, err, scanSwitch)
		if err == nil && !found {
			err = &NotFound{KindSwitch, dpid.String()}
		}
		return err
	})
	return sw, err
}

// SaveSwitch writes what is known of a datapath.
func (s *Store) SaveSwitch(ctx context.Context, sw intent.Switch) error {
	list := make([]switchPort, len(sw.Ports))
	for i, p := range sw.Ports {
		list[i] = switchPort(p)
	}
	ports, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("store: encoding the ports of switch %s: %w", sw.DPID, err)
	}
	var connected any
	if !sw.ConnectedAt.IsZero() {
		connected = sw.ConnectedAt
	}
	return s.write(ctx, func(tx *writeTx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO switches (dpid, address, connected, description, ports, realized, foreign_flows, fail_mode, error, connected_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now())
			ON CONFLICT ON CONSTRAINT switches_pkey DO UPDATE SET
				address = excluded.address, connected = excluded.connected, description = excluded.description, ports = excluded.ports,
				realized = excluded.realized, foreign_flows = excluded.foreign_flows, fail_mode = excluded.fail_mode, error = excluded.error,
				connected_at = excluded.connected_at, updated_at = excluded.updated_at`,
			sw.DPID.String(), sw.Address, sw.Connected, sw.Description, ports, sw.Realized, sw.ForeignFlows, sw.FailMode, sw.Error, connected)
		return err
	})
}

// MarkSwitchesDisconnected notes that no datapath is connected: so it is when
// a controller starts.
func (s *Store) MarkSwitchesDisconnected(ctx context.Context) error {
	return s.write(ctx, func(tx *writeTx) error {
		_, err := tx.Exec(ctx, `UPDATE switches SET connected = false, updated_at = now() WHERE connected`)
		return err
	})
}
