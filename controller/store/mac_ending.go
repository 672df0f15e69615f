package store

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// ending is what a transaction writes about MAC addresses on its way to the
// commit: then it is known what became of them, and no round trip is spent.
// The addresses are still locked, so their lineage is in order.
type ending struct {
	counts map[usageKey]int // addresses that became active
	events []intent.MACEvent
}

type usageKey struct{ segment, tenant string }

func (e *ending) count(segment, tenant string) {
	if e.counts == nil {
		e.counts = map[usageKey]int{}
	}
	e.counts[usageKey{segment, tenant}]++
}

// tellPort tells of the MAC of a port.
func (e *ending) tellPort(ctx context.Context, p *intent.Port, kind intent.MACEventKind) {
	e.tellPortBy(ctx, requestID(ctx), p, kind)
}

func (e *ending) tellPortBy(ctx context.Context, request string, p *intent.Port, kind intent.MACEventKind) {
	event := intent.MACEvent{
		Addr: p.MAC, Kind: kind, State: intent.MACActive, SegmentID: p.SegmentID, TenantID: p.TenantID, PortID: p.ID, NetworkID: p.NetworkID,
		DeviceID: p.DeviceID, Host: p.Binding.Host, SwitchPort: p.Binding.PortNo, Interface: p.Binding.InterfaceName,
		Actor: Actor(ctx), RequestID: request,
	}
	if d, ok := p.Binding.DPID(); ok {
		event.Datapath = d.String()
	}
	for _, ip := range p.FixedIPs {
		event.IPs = append(event.IPs, ip.Addr)
	}
	e.events = append(e.events, event)
}

func (e *ending) queue(b *pgx.Batch) {
	if n := len(e.counts); n > 0 {
		segments, tenants, counts := make([]string, 0, n), make([]string, 0, n), make([]int, 0, n)
		for k, count := range e.counts {
			segment := k.segment
			if segment == "" {
				segment = noSegment
			}
			segments, tenants, counts = append(segments, segment), append(tenants, k.tenant), append(counts, count)
		}
		if n == 1 {
			b.Queue(`INSERT INTO mac_usage_changes (segment_id, tenant_id, active, reserved, quarantined) VALUES ($1, $2, $3, 0, 0)`,
				segments[0], tenants[0], counts[0])
		} else {
			b.Queue(`
			INSERT INTO mac_usage_changes (segment_id, tenant_id, active, reserved, quarantined)
			SELECT segment_id, tenant_id, n, 0, 0 FROM unnest($1::uuid[], $2::text[], $3::int[]) AS c (segment_id, tenant_id, n)`,
				segments, tenants, counts)
		}
	}
	queueEvents(b, e.events)
}

// queueEvents adds lines to the lineage.
func queueEvents(b *pgx.Batch, events []intent.MACEvent) {
	n := len(events)
	if n == 0 {
		return
	}
	if e := &events[0]; n == 1 { // as most are: half the cost of lists
		var until *time.Time
		if !e.Until.IsZero() {
			until = &e.Until
		}
		b.Queue(`
			INSERT INTO mac_events (address, kind, state, until, segment_id, tenant_id, port_id, network_id, device_id, ips, host, datapath,
				switch_port, interface, actor, request_id, detail)
			VALUES ($1, $2, $3, $4, nullif($5, '')::uuid, $6, nullif($7, '')::uuid, nullif($8, '')::uuid, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
			int64(e.Addr), string(e.Kind), string(e.State), until, e.SegmentID, e.TenantID, e.PortID, e.NetworkID, e.DeviceID,
			append([]netip.Addr{}, e.IPs...), e.Host, e.Datapath, int64(e.SwitchPort), e.Interface, e.Actor, e.RequestID, e.Detail)
		return
	}
	text := func() []string { return make([]string, n) }
	var (
		addrs, switchPorts         = make([]int64, n), make([]int64, n)
		until                      = make([]*time.Time, n)
		kinds, states, segments    = text(), text(), text()
		tenants, ports, networks   = text(), text(), text()
		devices, ips, hosts        = text(), text(), text()
		datapaths, interfaces      = text(), text()
		actors, requestIDs, detail = text(), text(), text()
	)
	for i := range events {
		e := &events[i]
		addrs[i], kinds[i], states[i], segments[i] = int64(e.Addr), string(e.Kind), string(e.State), e.SegmentID
		tenants[i], ports[i], networks[i], devices[i] = e.TenantID, e.PortID, e.NetworkID, e.DeviceID
		hosts[i], datapaths[i], switchPorts[i], interfaces[i] = e.Host, e.Datapath, int64(e.SwitchPort), e.Interface
		actors[i], requestIDs[i], detail[i] = e.Actor, e.RequestID, e.Detail
		if !e.Until.IsZero() {
			until[i] = &e.Until
		}
		var list strings.Builder
		for _, ip := range e.IPs {
			if list.Len() > 0 {
				list.WriteByte(',')
			}
			list.WriteString(ip.String())
		}
		ips[i] = "{" + list.String() + "}"
	}
	b.Queue(`
		INSERT INTO mac_events (address, kind, state, until, segment_id, tenant_id, port_id, network_id, device_id, ips, host, datapath,
			switch_port, interface, actor, request_id, detail)
		SELECT address, kind, state, until, nullif(segment_id, '')::uuid, tenant_id, nullif(port_id, '')::uuid, nullif(network_id, '')::uuid, device_id,
			ips::inet[], host, datapath, switch_port, interface, actor, request_id, detail
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
			$11::text[], $12::text[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::text[])
			AS e (address, kind, state, until, segment_id, tenant_id, port_id, network_id, device_id, ips, host, datapath,
				switch_port, interface, actor, request_id, detail)`,
		addrs, kinds, states, until, segments, tenants, ports, networks, devices, ips, hosts, datapaths, switchPorts, interfaces, actors, requestIDs, detail)
}
