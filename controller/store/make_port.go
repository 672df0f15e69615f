package store

import (
	"context"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// makePort makes a port with all its parts, or has the transaction start over
// if somebody else got one of the addresses; see the migration of the function.
const makePort = `SELECT num, created_at FROM make_port($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
	$18, $19, $20, $21, $22, $23, $24, $25, $26, $27)`

// atOnce says whether what was chosen can be supposed to be free: for one port,
// as most requests are for, unless that turned out to be wrong before, or
// something has to follow within the transaction, or the row of the MAC is there.
func (pl *plan) atOnce(c choice) bool {
	return len(pl.ports) == 1 && !pl.cautious && !pl.tx.retried && !c.macs[0].hold
}

// insertAtCommit has the one port of the plan made in the round trip of the
// commit. It has its addresses as if they were its own already, for those who
// tell of it; its number and its time come with the commit.
func (pl *plan) insertAtCommit(ctx context.Context, c choice) error {
	p, w := &pl.ports[0].Port, &c.macs[0]
	p.MAC, p.SegmentID = w.row.addr, w.row.segment
	subnetIDs, addrs := make([]string, len(c.ips)), make([]netip.Addr, len(c.ips))
	for _, ip := range c.ips {
		subnetIDs[ip.ord], addrs[ip.ord] = ip.from[0].id, ip.addr
		p.FixedIPs[ip.ord] = intent.FixedIP{SubnetID: ip.from[0].id, Addr: ip.addr}
	}
	extras, err := extrasText(&p.Extras)
	if err != nil {
		return err
	}
	datapath := ""
	if d, ok := p.Binding.DPID(); ok {
		datapath = d.String()
	}
	pl.tx.last.Queue(makePort,
		p.ID, p.TenantID, p.NetworkID, p.Name, p.Description, p.AdminUp, p.DeviceID, p.DeviceOwner,
		p.Binding.Host, p.Binding.InterfaceName, int64(p.Binding.PortNo), !p.Unguarded, p.VNICType, textOrNull(p.QoSPolicyID), extras, pl.otherOwner(p),
		append([]string{}, p.Tags...), p.SecurityGroups, int64(p.MAC), textOrNull(p.SegmentID), w.row.fence, subnetIDs, addrs,
		string(w.kind), datapath, Actor(ctx), requestID(ctx)).
		QueryRow(func(row pgx.Row) error {
			err := row.Scan(&p.Num, &p.CreatedAt)
			p.UpdatedAt = p.CreatedAt
			return err
		})
	return nil
}
