package hypervisor

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/ovsdb"
)

// rateKey is the key of external_ids of an interface by which a host says how many
// kbit/s it carries: there, packets for other hosts wait in queues by class.
const rateKey = "macloom-rate-kbps"

// stepQueues is the kind of the steps about queues.
const stepQueues = "queues"

const htb = "linux-htb"

// SetQueues says what the queues at the ports of an integration bridge are to be.
func (hs *Hosts) SetQueues(d intent.DPID, q intent.Queues) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if old, known := hs.queues[d]; known && old.Equal(&q) {
		return
	}
	hs.queues[d] = q
	if h := hs.byBridge[d].host; h != nil {
		h.signal()
	}
}

func (hs *Hosts) queuesOf(d intent.DPID) *intent.Queues {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if q, known := hs.queues[d]; known {
		return &q
	}
	return nil
}

// shape is what the QoS row of a port is to be.
type shape struct {
	config map[string]string
	queues map[int64]map[string]string // their other_config
}

// queues makes the queues that policies need, and removes ours that they do not.
// Rows of QoS and Queue stay until they are deleted, so who made them is written in them.
func (p *planner) queues() (obstacle error) {
	if p.w.Queues == nil || p.b.DatapathID == "" {
		return nil
	}
	rows := map[ovsdb.UUID]*ovsdb.QoS{}
	for i := range p.s.QoS {
		rows[p.s.QoS[i].UUID] = &p.s.QoS[i]
	}
	configs := map[ovsdb.UUID]map[string]string{}
	for _, q := range p.s.Queues {
		configs[q.UUID] = q.OtherConfig
	}
	var ops []ovsdb.Operation
	kept, keptQueues := map[ovsdb.UUID]bool{}, map[ovsdb.UUID]bool{}
	uplinks := 0
	for i := range p.s.Bridges {
		b := &p.s.Bridges[i]
		for j := range b.Ports {
			port := &b.Ports[j]
			want, uplink := p.shape(b, port)
			if uplink {
				uplinks++
			}
			have := rows[port.QoS]
			switch ours := have != nil && have.ExternalIDs[ownerKey] == owner; {
			case want == nil && !ours:
			case want != nil && have != nil && !ours:
				obstacle = fmt.Errorf("port %s has a QoS of its own, which keeps the limits of its policy from it: remove it with ovs-vsctl clear port %[1]s qos", port.Name)
			case want == nil:
				ops = append(ops, requeue(port, ovsdb.Set{})...)
			case ours && want.is(have, configs):
				kept[have.UUID] = true
				for _, q := range have.Queues {
					keptQueues[q] = true
				}
			default:
				made, name := want.make(len(ops))
				ops = append(append(ops, made...), requeue(port, name)...)
			}
		}
	}
	for _, q := range p.s.QoS {
		if q.ExternalIDs[ownerKey] == owner && !kept[q.UUID] {
			ops = append(ops, ovsdb.Delete("QoS", row(q.UUID)))
		}
	}
	for _, q := range p.s.Queues {
		if q.ExternalIDs[ownerKey] == owner && !keptQueues[q.UUID] {
			ops = append(ops, ovsdb.Delete("Queue", row(q.UUID)))
		}
	}
	if len(ops) > 0 {
		p.step(stepQueues, "bring the queues of QoS policies up to date", ops...)
	}
	if obstacle == nil && len(p.w.Queues.Minimums) > 0 && uplinks == 0 {
		obstacle = fmt.Errorf("minimum bandwidths are not kept: no interface says by external_ids:%s how much it carries to other hosts", rateKey)
	}
	return obstacle
}

// requeue gives a port another QoS, or none.
func requeue(port *ovsdb.Port, to any) []ovsdb.Operation {
	was := ovsdb.Set{}
	if port.QoS != "" {
		was = append(was, port.QoS)
	}
	return []ovsdb.Operation{guard("Port", port.UUID, ovsdb.Values{"qos": was}), ovsdb.Update("Port", row(port.UUID), ovsdb.Values{"qos": to})}
}

// shape says which queues a port is to have; nil: none. An uplink is one whose host
// says what it carries.
func (p *planner) shape(b *ovsdb.Bridge, port *ovsdb.Port) (_ *shape, uplink bool) {
	if len(port.Interfaces) != 1 {
		return nil, false // bonds are not for us
	}
	i := slices.IndexFunc(b.Interfaces, func(i ovsdb.Interface) bool { return i.UUID == port.Interfaces[0] })
	if i < 0 || b.DatapathType != "" && b.DatapathType != DatapathSystem {
		return nil, false
	}
	iface := &b.Interfaces[i]
	if stated, err := strconv.ParseUint(iface.ExternalIDs[rateKey], 10, 32); err == nil && stated > 0 {
		return newShape(uint32(stated), p.w.Queues.Minimums), true
	}
	if b == p.b && iface.OFPort > 0 {
		if limit := p.w.Queues.Limits[uint32(iface.OFPort)]; limit > 0 {
			return newShape(limit, nil), false
		}
	}
	return nil, false
}

// Each class is sure of a sixteenth of a rate, so that none starves; what is left goes
// to the highest that wants it.
const classShare = 16

func newShape(kbps uint32, minimums []intent.MinimumQueue) *shape {
	rate := 1000 * uint64(kbps)
	s := &shape{config: map[string]string{"max-rate": fmt.Sprint(rate)}, queues: map[int64]map[string]string{}}
	add := func(number uint32, least uint64, class uint8) {
		s.queues[int64(number)] = map[string]string{
			"min-rate": fmt.Sprint(min(least, rate)), "max-rate": fmt.Sprint(rate), "priority": fmt.Sprint(intent.MaxClass - class),
		}
	}
	for n := range intent.MaxClass + 1 {
		c := intent.ClassOf(n)
		add(c.Queue(), rate/classShare, c.Number())
	}
	for _, m := range minimums {
		var class uint8
		if m.Class != 0 {
			class = m.Class.Number()
		}
		add(m.Number, 1000*uint64(m.Kbps), class)
	}
	return s
}

// is reports whether a row is as wanted.
func (s *shape) is(have *ovsdb.QoS, configs map[ovsdb.UUID]map[string]string) bool {
	same := have.Type == htb && maps.Equal(have.OtherConfig, s.config) && len(have.Queues) == len(s.queues)
	for n, want := range s.queues {
		same = same && maps.Equal(configs[have.Queues[n]], want)
	}
	return same
}

// make returns what inserts the rows, with names that begin with a number.
func (s *shape) make(nth int) (ops []ovsdb.Operation, name ovsdb.NamedUUID) {
	ours, queues := ovsdb.Map{ownerKey: owner}, ovsdb.Refs{}
	for _, n := range slices.Sorted(maps.Keys(s.queues)) {
		queue := ovsdb.NamedUUID(fmt.Sprintf("queue_%d_%d", nth, n))
		queues[n] = queue
		ops = append(ops, ovsdb.Insert("Queue", string(queue), ovsdb.Values{"other_config": ovsdb.Map(s.queues[n]), "external_ids": ours}))
	}
	name = ovsdb.NamedUUID(fmt.Sprintf("qos_%d", nth))
	return append(ops, ovsdb.Insert("QoS", string(name), ovsdb.Values{
		"type": htb, "other_config": ovsdb.Map(s.config), "queues": queues, "external_ids": ours,
	})), name
}
