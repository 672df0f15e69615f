package reconcile

import (
	"context"
	"maps"
	"slices"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/learn"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// welcome says that stations were learned at ports of the switch: they are nowhere else
// in its fabric, and who sends frames to where they were, or has just asked for them, is told.
func (d *datapath) welcome(ctx context.Context, stations []mac.Addr) {
	m := d.r.cfg.Fabric
	if m == nil {
		return
	}
	connected := func(other intent.DPID) bool { return m.Reaches(d.id, other) }
	now := d.r.cfg.Now()
	sought, senders := []mac.Addr{}, map[mac.Addr][]intent.DPID{}
	for _, a := range stations {
		left, tell := d.r.directory.Learned(now, d.id, a, connected)
		for _, home := range left {
			d.log.Info("station moved", zap.Stringer("mac", a), zap.Stringer("from_switch", home))
			if other := d.r.datapath(home); other != nil {
				other.dismiss(a)
			}
		}
		if len(tell) > 0 {
			sought, senders[a] = append(sought, a), tell
		}
	}
	if len(sought) == 0 || !d.expects(ctx, sought) {
		return
	}
	for _, a := range sought {
		for _, sender := range senders[a] {
			d.r.direct(sender, a)
		}
	}
}

// expects has the switch understand the numbers of its stations before it returns: what
// comes there must be understood before it is sent.
func (d *datapath) expects(ctx context.Context, stations []mac.Addr) bool {
	d.number(stations...)
	return d.conn.Barrier(ctx) == nil
}

// dismiss forgets a station that was learned at another switch.
func (d *datapath) dismiss(a mac.Addr) {
	if p, known := d.learned.Forget(a); known {
		d.send("learn", pipeline.LearnedSource(p.Port, a).DeleteStrict(), pipeline.RemoveLearnedDest(p.Port, a))
	}
}

// goodbye says that stations are not known any more at ports of the switch. Who
// sends frames to them has to look for them.
func (d *datapath) goodbye(places []learn.Place) {
	if d.r.cfg.Fabric == nil {
		return
	}
	for _, p := range places {
		if d.learned.Knows(p.MAC) {
			continue // at another port by now
		}
		for _, sender := range d.r.directory.Left(d.id, p.MAC) {
			d.r.direct(sender, p.MAC)
		}
	}
}

// seek finds stations for whose frames the switch has no flow.
func (d *datapath) seek(ctx context.Context) {
	m := d.r.cfg.Fabric
	usable := func(home intent.DPID) bool {
		return m.Reaches(d.id, home) && m.Slot(home) != 0 && d.r.datapath(home) != nil
	}
	var batch []openflow.PacketIn2
	for {
		var err error
		batch, err = d.conn.PacketIns(kindSeek).Take(ctx, batch[:0])
		if err != nil {
			return
		}
		now := d.r.cfg.Now()
		found := map[intent.DPID][]mac.Addr{}
		for i := range batch {
			place, ok := destination(&batch[i])
			if !ok || slices.ContainsFunc(batch[:i], func(p openflow.PacketIn2) bool { other, _ := destination(&p); return other == place }) {
				continue
			}
			if to, ok := d.r.directory.Sought(now, d.id, place, usable); ok {
				found[to.At] = append(found[to.At], place)
			}
		}
		for home, stations := range found {
			other := d.r.datapath(home)
			if other == nil || !other.expects(ctx, stations) {
				continue
			}
			for _, a := range stations {
				d.direct(a)
			}
		}
	}
}

// destination is whom the frame of a packet-in is for.
func destination(m *openflow.PacketIn2) (a mac.Addr, ok bool) {
	if len(m.Data) < 6 {
		return 0, false
	}
	return mac.FromBytes([6]byte(m.Data[:6])), true
}

// number has the switch understand the numbers of its stations.
func (d *datapath) number(stations ...mac.Addr) {
	slot := d.r.cfg.Fabric.Slot(d.id)
	if slot == 0 {
		return
	}
	var mods []openflow.Message
	for _, a := range stations {
		if number, ok := d.r.directory.Number(d.id, a); ok {
			mods = append(mods, pipeline.Arrival(mac.Locator{Slot: slot, Number: number}, a).Add())
		}
	}
	if len(mods) > 0 {
		d.send("learn", mods...)
	}
}

// direct tells a switch where to send frames for a station by now. It may be that
// it is not connected: then it is told when it is.
func (r *Reconciler) direct(sender intent.DPID, a mac.Addr) {
	if d := r.datapath(sender); d != nil {
		d.direct(a)
	}
}

func (d *datapath) direct(a mac.Addr) {
	d.directing.Lock() // so that what is told last is what holds
	defer d.directing.Unlock()
	to, ok := d.r.directory.Direction(d.id, a)
	slot := d.r.cfg.Fabric.Slot(to.At)
	if ok && slot != 0 {
		d.send("learn", pipeline.Away(mac.Locator{Slot: slot, Number: to.Number}, a).Add())
	} else {
		d.send("learn", pipeline.Away(mac.Locator{}, a).DeleteStrict())
	}
}

// unused takes down that the switch dropped a flow about a station of another
// switch, or of its own that others sent frames to, for lack of use.
func (d *datapath) unused(m *openflow.FlowRemoved) bool {
	f := flow.Flow{Cookie: m.Cookie, Match: flow.FromRemoved(*m).Match}
	if _, a, ok := pipeline.ParseAway(f); ok {
		d.r.directory.Unused(d.id, a)
		return true
	}
	at, _, ok := pipeline.ParseArrival(f)
	if !ok {
		return false
	}
	if a, wanted := d.r.directory.Released(learn.Target{At: d.id, Number: at.Number}); wanted {
		d.number(a)
	}
	return true
}

// takeOver takes over what the switch was found to hold of stations of its fabric,
// and returns what of it is not true.
func (d *datapath) takeOver(h *holding) (untrue []flow.Key) {
	m := d.r.cfg.Fabric
	if m == nil {
		return nil
	}
	held := learn.Held{Stations: slices.Collect(maps.Keys(d.learned.Stations())), Numbers: map[uint16]mac.Addr{}, Ways: map[mac.Addr]learn.Target{}}
	own, switches := m.Slot(d.id), m.BySlot()
	for _, f := range h.arrivals {
		at, a, ok := pipeline.ParseArrival(f)
		if !ok || at.Slot != own {
			untrue = append(untrue, f.Key())
			continue
		}
		held.Numbers[at.Number] = a
	}
	for _, f := range h.away {
		to, a, ok := pipeline.ParseAway(f)
		at, known := switches[to.Slot]
		if !ok || !known {
			untrue = append(untrue, f.Key())
			continue
		}
		held.Ways[a] = learn.Target{At: at, Number: to.Number}
	}
	lacks, tell := d.r.directory.Adopt(d.readAt, d.id, held)
	d.number(lacks...)
	for sender, stations := range tell {
		for _, a := range stations {
			d.r.direct(sender, a)
		}
	}
	return untrue
}
