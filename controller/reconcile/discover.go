package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/learn"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/openflow"
)

// leastPause keeps a switch from being asked for work without end.
const leastPause = 10 * time.Millisecond

// place tells the fabric which ports the switch has for it, and the view which
// of them are to pass no frames, and the ways to other switches.
func (d *datapath) place(view *intent.View) {
	m := d.r.cfg.Fabric
	if m == nil {
		return
	}
	up := map[uint32]bool{}
	for _, p := range d.portList() {
		up[p.No] = p.Up
	}
	var ports []intent.SwitchPort
	for _, no := range view.Fabric() {
		ports = append(ports, intent.SwitchPort{No: no, Up: up[no]})
	}
	d.r.rouse(m.SetPorts(d.r.cfg.Now(), d.id, ports))
	view.Shut, view.Links = m.Shut(d.id), m.LinkPorts(d.id)
	view.Slot, view.Paths = m.Slot(d.id), m.Paths(d.id)
	put(d.look)
}

// placed tells the fabric which ports were found to pass frames. If it says
// true, more of them may be.
func (d *datapath) placed(open []uint32) bool {
	m := d.r.cfg.Fabric
	if m != nil {
		d.r.rouse(m.Adopt(d.id, open))
	}
	return m != nil
}

// settled says that the switch does as a view asks for.
func (d *datapath) settled(v *intent.View) {
	m := d.r.cfg.Fabric
	if m == nil {
		return
	}
	d.r.rouse(m.Confirmed(d.id, v.Shut))
	lost := slices.ContainsFunc(d.paths, func(was intent.Path) bool {
		return !slices.ContainsFunc(v.Paths, func(p intent.Path) bool { return p.Slot == was.Slot })
	})
	d.paths = v.Paths
	if lost {
		// Where no path leads, frames for stations are lost. These may be somewhere else by now,
		// where nobody else is told of it.
		for _, a := range d.r.directory.Unreached(d.id, func(to intent.DPID) bool { return m.Reaches(d.id, to) }) {
			d.direct(a)
		}
	}
}

// portLost tells the fabric and the guard at once that a port leads nowhere any more.
func (d *datapath) portLost(no uint32) {
	if m := d.r.cfg.Fabric; m != nil {
		d.r.rouse(m.Down(d.r.cfg.Now(), fabric.End{DPID: d.id, Port: no}))
	}
	if g := d.r.cfg.Guard; g != nil {
		g.Lost(d.r.cfg.Now(), intent.Place{Switch: d.id, Port: no})
	}
}

// met tells the hosts of the fabric of a frame of a station that was learned.
func (d *datapath) met(now time.Time, p learn.Place, frame []byte) {
	at := fabric.End{DPID: d.id, Port: p.Port}
	if h := d.r.cfg.Hosts; h != nil && d.r.cfg.Fabric.Edge(at) {
		h.Seen(now, p.MAC, at, learn.Told(frame))
	}
}

// missed tells them of stations that are not known where they were any more.
func (d *datapath) missed(places []learn.Place) []learn.Place {
	if h := d.r.cfg.Hosts; h != nil {
		for _, p := range places {
			h.Gone(p.MAC, fabric.End{DPID: d.id, Port: p.Port})
		}
	}
	return places
}

// tellStations brings them up to what is known of the switch as a whole.
func (d *datapath) tellStations() {
	h := d.r.cfg.Hosts
	if h == nil {
		return
	}
	now := d.r.cfg.Now()
	held := d.learned.Stations()
	maps.DeleteFunc(held, func(_ mac.Addr, no uint32) bool { return !d.r.cfg.Fabric.Edge(fabric.End{DPID: d.id, Port: no}) })
	h.Held(now, d.id, held)
}

// rouse says that switches have something to do about links.
func (r *Reconciler) rouse(touched intent.Touched) {
	if len(touched) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range touched {
		if d := r.live[id]; d != nil {
			d.signal()
			put(d.look)
		}
	}
}

// ForgetSwitch says that a switch will not come again.
func (r *Reconciler) ForgetSwitch(id intent.DPID) {
	if m := r.cfg.Fabric; m != nil {
		r.rouse(m.Forget(r.cfg.Now(), id))
		r.cfg.Hosts.Forget(id)
		r.directory.Forget(id)
	}
}

// discover takes the frames about links that came by ports of the switch.
func (d *datapath) discover(ctx context.Context) {
	var batch []openflow.PacketIn2
	for {
		var err error
		batch, err = d.conn.PacketIns(kindDiscover).Take(ctx, batch[:0])
		if err != nil {
			return
		}
		now := d.r.cfg.Now()
		for i := range batch {
			no, ok := batch[i].InPort()
			if !ok {
				continue
			}
			verdict, touched := d.r.cfg.Fabric.Heard(now, fabric.End{DPID: d.id, Port: no}, batch[i].Data)
			d.r.metrics.linkFrames[verdict].Inc()
			if verdict == fabric.Joined {
				d.log.Warn("a bridge that is not ours joins this port and another one; where frames would go round by it, one is shut", zap.Uint32("port", no))
			}
			d.r.rouse(touched)
		}
	}
}

// announce sends frames by which others find the ports of the switch.
func (d *datapath) announce(ctx context.Context) {
	m := d.r.cfg.Fabric
	next := time.NewTimer(0)
	defer next.Stop()
	var frames []openflow.Message
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-d.look:
		}
		now := d.r.cfg.Now()
		ports, wait, touched := m.Work(now, d.id)
		d.r.rouse(touched)
		next.Reset(max(wait, leastPause))
		if len(ports) == 0 {
			continue
		}
		frames = slices.Grow(frames[:0], len(ports))
		for _, no := range ports {
			for _, frame := range m.Frames(now, fabric.End{DPID: d.id, Port: no}) {
				frames = append(frames, pipeline.Announce(no, frame))
			}
		}
		unsure := m.Unsure(d.id, ports)
		if !d.tryToSend(frames...) {
			continue
		}
		d.r.metrics.linkFramesSent.Add(float64(len(frames)))
		if unsure && d.conn.Barrier(ctx) == nil {
			m.Sent(d.r.cfg.Now(), d.id, ports)
		}
	}
}
