package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/learn"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/openflow"
)

// leastPause keeps a switch from being asked for work without end.
const leastPause = 10 * time.Millisecond

// place tells the fabric which ports the switch has for it, and the view which
// of them are to pass no frames.
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
	view.Shut = m.Shut(d.id)
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
	if m := d.r.cfg.Fabric; m != nil {
		d.r.rouse(m.Confirmed(d.id, v.Shut))
	}
}

// portLost tells the fabric at once that a port leads nowhere any more.
func (d *datapath) portLost(no uint32, up bool) {
	if m := d.r.cfg.Fabric; m != nil && !up {
		d.r.rouse(m.Down(d.r.cfg.Now(), fabric.End{DPID: d.id, Port: no}))
	}
}

// forgetAstray forgets the stations at ports that lead elsewhere by now.
func (d *datapath) forgetAstray() []learn.Place {
	if d.r.cfg.Fabric == nil {
		return nil
	}
	ports := d.r.cfg.Fabric.TakeAstray(d.id)
	d.astray = append(d.astray, ports...)
	return d.learned.Forget(ports)
}

// keepAstray ends a pass: what it could not do about such ports is left to the next.
func (d *datapath) keepAstray(err error) {
	if err != nil && d.r.cfg.Fabric != nil {
		d.r.cfg.Fabric.Astray(d.id, d.astray)
	}
	d.astray = nil
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
			frames = append(frames, pipeline.Announce(no, m.Frame(now, fabric.End{DPID: d.id, Port: no})))
		}
		unsure := m.Unsure(d.id, ports)
		if !d.tryToSend(frames...) {
			continue
		}
		d.r.metrics.linkFramesSent.Add(float64(len(ports)))
		if unsure && d.conn.Barrier(ctx) == nil {
			m.Sent(d.r.cfg.Now(), d.id, ports)
		}
	}
}
