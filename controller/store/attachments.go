package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// attached finds the trunk that a port is in, and the interface that completes its
// binding if it is no sub-port. The intent in table ports is never written by facts;
// whoever reads a port joins this.
var attached = carried + ` LEFT JOIN LATERAL (` + attachedTo("ports") + `) AS attached ON carried.parent IS NULL`

// attachedTo finds the interface that completes the binding of a port, if the
// request left that open: the open interface with its id that came first, on
// the host that was asked for if one was.
func attachedTo(port string) string {
	return strings.ReplaceAll(`
		SELECT a.dpid, a.interface FROM attachments a
		WHERE a.port_id = PORT.id AND a.ofport > 0 AND PORT.interface_name = '' AND PORT.port_no = 0
		  AND (PORT.host = '' OR PORT.host = a.dpid OR EXISTS (SELECT FROM switches sw WHERE sw.dpid = a.dpid AND sw.hostname = PORT.host))
		ORDER BY a.seq LIMIT 1`, "PORT", port)
}

// The parts of a binding that attached completes.
const (
	askedHost      = "coalesce(carried.asked, ports.host)"
	boundHost      = "coalesce(carried.host, attached.dpid, ports.host)"
	boundInterface = "coalesce(carried.interface, attached.interface, ports.interface_name)"
	boundPortNo    = "coalesce(carried.port_no, ports.port_no)"
)

// hostKnown says whether the host that a port asks for by name has a switch.
func hostKnown(host string) string {
	return "(" + host + " <> '' AND EXISTS (SELECT FROM switches sw WHERE sw.hostname = " + host + "))"
}

// attachment is a row of table attachments.
type attachment struct {
	Interface, IfaceID string
	PortID             *string
	OFPort             int64
	MACInUse, Error    string
}

// holds says whether the row binds its port, as far as the row alone goes.
func (a attachment) holds() bool { return a.PortID != nil && a.OFPort > 0 }

func (a attachment) equal(b attachment) bool {
	return a.Interface == b.Interface && a.IfaceID == b.IfaceID && a.OFPort == b.OFPort && a.MACInUse == b.MACInUse && a.Error == b.Error
}

// ReportInterfaces records the interfaces of a bridge that carry an iface-id:
// all of them, what is not named is gone. It writes only what differs from
// what is recorded. Ports that are bound or unbound by it become DOWN and are
// put into the change feed. The interfaces that are not bound are returned
// with the reason.
func (s *Store) ReportInterfaces(ctx context.Context, d intent.DPID, reported []intent.Attachment) ([]intent.Attachment, error) {
	wanted := make(map[string]attachment, len(reported))
	for _, r := range reported {
		a := attachment{Interface: r.Interface, IfaceID: r.IfaceID, OFPort: r.OFPort, MACInUse: r.MACInUse, Error: r.Error}
		if id, ok := ports.canonical(r.IfaceID); ok {
			a.PortID = &id
		}
		wanted[a.Interface] = a
	}
	var same bool
	err := s.read(ctx, func(q querier) error {
		have, err := readAttachments(ctx, q, d)
		same = err == nil && len(have) == len(wanted) && !slices.ContainsFunc(have, func(a attachment) bool { return !wanted[a.Interface].equal(a) })
		return err
	})
	if err == nil && !same {
		err = s.write(ctx, func(tx *writeTx) error { return saveAttachments(ctx, tx, d, wanted) })
	}
	if err != nil {
		return nil, fmt.Errorf("store: recording the interfaces of switch %s: %w", d, err)
	}
	all, err := s.attachments(ctx, " WHERE a.dpid = $1", d.String())
	return slices.DeleteFunc(all[d], func(a intent.Attachment) bool { return a.State == intent.AttachmentBound }), err
}

// AttachedBridges are the datapaths of a host that interfaces with an iface-id
// are recorded of.
func (s *Store) AttachedBridges(ctx context.Context, systemID string) (list []intent.DPID, err error) {
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, `
			SELECT dpid FROM switches WHERE system_id = $1 AND EXISTS (SELECT FROM attachments a WHERE a.dpid = switches.dpid)
			ORDER BY dpid`, systemID)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (intent.DPID, error) {
			var dpid string
			if err := row.Scan(&dpid); err != nil {
				return 0, err
			}
			return intent.ParseDPID(dpid)
		})
		return err
	})
	return list, err
}

func readAttachments(ctx context.Context, q querier, d intent.DPID) ([]attachment, error) {
	rows, err := q.Query(ctx, `SELECT interface, iface_id, port_id, ofport, mac_in_use, error FROM attachments WHERE dpid = $1`, d.String())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[attachment])
}

// saveAttachments brings the rows of a bridge to what is wanted.
func saveAttachments(ctx context.Context, tx *writeTx, d intent.DPID, wanted map[string]attachment) error {
	have, err := readAttachments(ctx, tx, d)
	if err != nil {
		return err
	}
	old := make(map[string]attachment, len(have))
	var gone, concerned []string
	concern := func(a attachment) {
		if a.PortID != nil {
			concerned = append(concerned, *a.PortID)
		}
	}
	for _, a := range have {
		old[a.Interface] = a
		if _, stays := wanted[a.Interface]; !stays {
			gone = append(gone, a.Interface)
			concern(a)
		}
	}
	var changed []attachment
	for _, a := range wanted {
		before, known := old[a.Interface]
		if known && before.equal(a) {
			continue
		}
		changed = append(changed, a)
		if before.IfaceID != a.IfaceID || before.holds() != a.holds() {
			concern(before)
			concern(a)
		}
	}
	slices.SortFunc(changed, func(a, b attachment) int { return strings.Compare(a.Interface, b.Interface) })
	return withBindings(ctx, tx, concerned, func() error {
		if len(gone) > 0 {
			if _, err := tx.Exec(ctx, `DELETE FROM attachments WHERE dpid = $1 AND interface = ANY($2::text[])`, d.String(), gone); err != nil {
				return err
			}
		}
		return upsertAttachments(ctx, tx, d, changed)
	})
}

func upsertAttachments(ctx context.Context, tx *writeTx, d intent.DPID, list []attachment) error {
	var b pgx.Batch
	for _, a := range list {
		// An interface that is opened, or gets another id, comes last in the
		// line for its port: whoever has the port by then keeps it.
		b.Queue(`
			INSERT INTO attachments (dpid, interface, iface_id, port_id, ofport, mac_in_use, error)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT ON CONSTRAINT attachments_pkey DO UPDATE SET
				seq = CASE WHEN attachments.iface_id = excluded.iface_id AND (attachments.ofport > 0 OR excluded.ofport <= 0)
				           THEN attachments.seq ELSE excluded.seq END,
				since = CASE WHEN attachments.iface_id = excluded.iface_id AND (attachments.ofport > 0 OR excluded.ofport <= 0)
				             THEN attachments.since ELSE excluded.since END,
				iface_id = excluded.iface_id, port_id = excluded.port_id, ofport = excluded.ofport,
				mac_in_use = excluded.mac_in_use, error = excluded.error`,
			d.String(), a.Interface, a.IfaceID, a.PortID, a.OFPort, a.MACInUse, a.Error)
	}
	if b.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &b).Close()
}

// withBindings runs a change of attachments that may alter the bindings of
// ports, and makes those whose binding it does alter DOWN. The rows of the
// ports are locked meanwhile, so that hosts that report the same port are heard
// one after the other.
func withBindings(ctx context.Context, tx *writeTx, portIDs []string, change func() error) error {
	distinct(&portIDs)
	if len(portIDs) > 0 {
		if err := lockPorts(ctx, tx, portIDs); err != nil {
			return err
		}
		subPorts, err := subPortsOf(ctx, tx, portIDs)
		if err != nil {
			return err
		}
		portIDs = append(portIDs, subPorts...)
		distinct(&portIDs)
	}
	before, err := bindings(ctx, tx, portIDs)
	if err != nil {
		return err
	}
	if absent := slices.DeleteFunc(slices.Clone(portIDs), func(id string) bool { _, there := before[id]; return there }); len(absent) > 0 {
		if err := lockAbsent(ctx, tx, absent); err != nil {
			return err
		}
		if before, err = bindings(ctx, tx, portIDs); err != nil {
			return err
		}
	}
	if err := change(); err != nil {
		return err
	}
	after, err := bindings(ctx, tx, portIDs)
	if err != nil {
		return err
	}
	moved := slices.DeleteFunc(portIDs, func(id string) bool {
		was, there := before[id]
		return !there || was == after[id]
	})
	return rebound(ctx, tx, moved, before)
}

// rebound makes ports whose binding has changed DOWN, and tells of it.
func rebound(ctx context.Context, tx *writeTx, moved []string, before map[string]binding) error {
	if len(moved) == 0 {
		return nil
	}
	for _, id := range moved {
		tx.changed(KindPort, id, before[id].tenant, OpUpdate)
	}
	_, err := tx.Exec(ctx, `
		UPDATE ports SET status = 'DOWN', status_reason = '', revision = revision + 1, updated_at = now()
		WHERE id = ANY($1::uuid[])`, moved)
	if err != nil {
		return err
	}
	now, err := ports.byID(ctx, tx, moved, func(p *intent.Port) string { return p.ID })
	if err != nil {
		return err
	}
	for _, id := range moved {
		p, was := now[id], now[id]
		was.Binding.Host, was.Binding.InterfaceName = before[id].host, before[id].iface
		tx.ending.tellPort(ctx, &p, portEvent(&p, &was))
	}
	return nil
}

// absentLocks is how many locks stand for all ports that are not there.
const absentLocks = 64

// lockAbsent makes whoever makes one of these ports and whoever reports an
// interface for it come one after the other: the second sees what the first
// did.
func lockAbsent(ctx context.Context, tx *writeTx, portIDs []string) error {
	_, err := tx.Exec(ctx, `
		SELECT pg_advisory_xact_lock($2::int, n) FROM (
			SELECT DISTINCT abs(hashtext(id::text) % $3::int) AS n FROM unnest($1::uuid[]) AS u (id) ORDER BY n) AS keys`,
		portIDs, lockAttachments, absentLocks)
	return err
}

// attachNew completes the bindings of new ports whose interfaces were there
// before them, and tells of it.
func attachNew(ctx context.Context, tx *writeTx, list []NewPort, ids []string) error {
	now, err := bindings(ctx, tx, ids)
	if err != nil {
		return err
	}
	for i := range list {
		p := &list[i].Port
		found, ok := now[p.ID]
		if ok && (found.host != p.Binding.Host || found.iface != p.Binding.InterfaceName) {
			p.Binding.Host, p.Binding.InterfaceName = found.host, found.iface
			tx.ending.tellPort(ctx, p, intent.MACBound)
		}
	}
	return nil
}

// binding is where a port is, for comparison.
type binding struct{ tenant, host, iface string }

func bindings(ctx context.Context, q querier, portIDs []string) (map[string]binding, error) {
	found := make(map[string]binding, len(portIDs))
	if len(portIDs) == 0 {
		return found, nil
	}
	rows, err := q.Query(ctx, `SELECT ports.id, ports.tenant_id, `+boundHost+`, `+boundInterface+`
		FROM ports`+attached+` WHERE ports.id = ANY($1::uuid[])`, portIDs)
	if err != nil {
		return nil, err
	}
	var id string
	var b binding
	_, err = pgx.ForEachRow(rows, []any{&id, &b.tenant, &b.host, &b.iface}, func() error { found[id] = b; return nil })
	return found, err
}

// attachments lists attachments with their states, by switch.
func (s *Store) attachments(ctx context.Context, where string, args ...any) (map[intent.DPID][]intent.Attachment, error) {
	all := map[intent.DPID][]intent.Attachment{}
	err := s.read(ctx, func(q querier) error {
		clear(all)
		rows, err := q.Query(ctx, `
			SELECT a.dpid, a.interface, a.iface_id, a.port_id, a.ofport, a.mac_in_use, a.error, a.since,
				ports.id IS NOT NULL, coalesce(ports.host, ''), coalesce(ports.interface_name, ''), coalesce(ports.port_no, 0),
				coalesce(attached.dpid, ''), coalesce(attached.interface, ''), CASE WHEN carried.parent IS NULL THEN '' ELSE ports.trunk_id::text END
			FROM attachments a LEFT JOIN ports ON ports.id = a.port_id`+attached+where+`
			ORDER BY a.dpid, a.interface`, args...)
		if err != nil {
			return err
		}
		var (
			dpid      string
			portID    *string
			there     bool
			requested intent.Binding
			winner    intent.Binding
			trunk     string
		)
		var a intent.Attachment
		_, err = pgx.ForEachRow(rows, []any{&dpid, &a.Interface, &a.IfaceID, &portID, &a.OFPort, &a.MACInUse, &a.Error, &a.Since,
			&there, &requested.Host, &requested.InterfaceName, &requested.PortNo, &winner.Host, &winner.InterfaceName, &trunk}, func() error {
			d, err := intent.ParseDPID(dpid)
			if err != nil {
				return err
			}
			a.State, a.Reason = judge(&a, dpid, portID, there, trunk, requested, winner)
			all[d] = append(all[d], a)
			return nil
		})
		return err
	})
	return all, err
}

// judge says what an attachment means for its port.
func judge(a *intent.Attachment, dpid string, portID *string, there bool, trunk string, requested, winner intent.Binding) (intent.AttachmentState, string) {
	switch {
	case portID == nil:
		return intent.AttachmentRefused, fmt.Sprintf("%q is not the id of a port", a.IfaceID)
	case a.OFPort <= 0 && a.Error != "":
		return intent.AttachmentWaiting, "the interface cannot be opened: " + a.Error
	case a.OFPort <= 0:
		return intent.AttachmentWaiting, "the interface is not open yet"
	case !there:
		return intent.AttachmentWaiting, fmt.Sprintf("there is no port %s", *portID)
	case trunk != "":
		return intent.AttachmentRefused, fmt.Sprintf("port %s is a sub-port of trunk %s, and is where the parent of that is", *portID, trunk)
	case requested.Host != "" && requested.Host != dpid && winner.Host == "":
		return intent.AttachmentRefused, fmt.Sprintf("binding:host_id of port %s asks for switch %s", *portID, requested.Host)
	case requested.InterfaceName != "" && requested.InterfaceName != a.Interface:
		return intent.AttachmentRefused, fmt.Sprintf("binding:profile of port %s asks for interface %s", *portID, requested.InterfaceName)
	case requested.PortNo != 0 && int64(requested.PortNo) != a.OFPort:
		return intent.AttachmentRefused, fmt.Sprintf("binding:profile of port %s asks for port number %d", *portID, requested.PortNo)
	case winner.Host != "" && (winner.Host != dpid || winner.InterfaceName != a.Interface):
		return intent.AttachmentRefused, fmt.Sprintf("port %s is attached to %s of switch %s already", *portID, winner.InterfaceName, winner.Host)
	}
	return intent.AttachmentBound, ""
}
