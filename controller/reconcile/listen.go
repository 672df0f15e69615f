package reconcile

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/learn"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session"
)

// listen takes what the switch says unasked. It never waits for the switch, so
// that notices do not pile up behind a pass.
func (d *datapath) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n, ok := <-d.conn.Notices():
			if !ok {
				return // the connection has ended
			}
			d.notice(n)
		}
	}
}

func (d *datapath) notice(n session.Notice) {
	switch m := n.Message.(type) {
	case *openflow.PortStatus:
		d.mu.Lock()
		old, had := d.ports[m.Port.No]
		d.tellsLive = d.tellsLive || m.Port.State&openflow.PortStateLive != 0
		now := d.switchPort(m.Port)
		if m.Reason == openflow.PortDelete {
			delete(d.ports, m.Port.No)
		} else {
			d.ports[m.Port.No] = now
		}
		changed := m.Reason == openflow.PortDelete || !had || old != now
		if changed {
			d.sorted = nil
		}
		d.mu.Unlock()
		if changed {
			d.note(func(*intent.Switch) {})
			if !now.Up || m.Reason == openflow.PortDelete {
				d.portLost(m.Port.No)
			}
			d.signal()
		}
	case *openflow.FlowRemoved:
		d.expired(m)
	case *openflow.MultipartReply:
		if report, ok := m.Body.(*openflow.FlowMonitorReply); ok {
			d.watched(report)
		}
	case *openflow.FlowMonitorResumed:
		d.doubt() // reports may be lost
	case *openflow.Error:
		// An answer to a flow-mod that nobody waits for: that of a packet-in. The next
		// frame makes it come again.
		d.r.metrics.unexpectedErrors.Inc()
		d.log.Warn("switch reports an error", zap.Uint32("xid", n.XID), zap.Error(m))
	}
}

// expired removes the other flow of a station when one of the two was dropped
// for lack of use.
func (d *datapath) expired(m *openflow.FlowRemoved) {
	if q, _, ok := pipeline.ParseNeighbour(flow.FromRemoved(*m), pipeline.Cookie(m.Cookie)); ok {
		d.neighbours.Expired(d.r.cfg.Now(), q)
		return
	}
	if m.Reason != openflow.RemovedIdleTimeout || d.unused(m) {
		return
	}
	half, port, a := pipeline.ParseLearned(flow.FromRemoved(*m), pipeline.Cookie(m.Cookie))
	if half == pipeline.NotLearned || !d.learned.Expired(d.r.cfg.Now(), learn.Place{MAC: a, Port: port}) {
		return
	}
	d.gone(learn.Place{MAC: a, Port: port})
	if h := d.r.cfg.Hosts; h != nil && half == pipeline.DestHalf {
		h.Unsought(d.r.cfg.Now(), a, d.id)
	} else if h != nil {
		h.Silent(a, d.id)
	}
	var other openflow.Message = pipeline.RemoveLearnedDest(port, a)
	if half == pipeline.DestHalf {
		other = pipeline.LearnedSource(port, a).DeleteStrict()
	}
	d.send("learn", other)
	d.goodbye([]learn.Place{{MAC: a, Port: port}})
}

// learn turns frames from unknown stations into flows, a batch at a time.
func (d *datapath) learn(ctx context.Context) {
	var batch []openflow.PacketIn2
	var mods []openflow.Message
	var came []mac.Addr
	for {
		var err error
		batch, err = d.conn.PacketIns(kindLearn).Take(ctx, batch[:0])
		if err != nil {
			return
		}
		mods, came = d.lessons(d.r.cfg.Now(), batch, mods[:0], came[:0])
		if len(mods) > 0 {
			d.send("learn", mods...)
			d.welcome(ctx, came)
		}
	}
}

// lessons appends to mods what a batch of frames from unknown stations causes, and
// to came the stations that are known from then on.
func (d *datapath) lessons(now time.Time, batch []openflow.PacketIn2, mods []openflow.Message, came []mac.Addr) ([]openflow.Message, []mac.Addr) {
	for i := range batch {
		place, ok := origin(&batch[i])
		if !ok {
			d.r.metrics.lessons[learn.Ignored].Inc()
			continue
		}
		lesson, from := d.learned.Seen(now, place)
		d.r.metrics.lessons[lesson].Inc()
		if lesson != learn.Ignored && lesson != learn.Full && lesson != learn.Limited {
			d.met(now, place, batch[i].Data)
		}
		switch lesson {
		case learn.Moved:
			d.log.Debug("station moved", zap.Stringer("mac", place.MAC), zap.Uint32("from", from), zap.Uint32("to", place.Port))
			mods = append(mods, pipeline.LearnedSource(from, place.MAC).DeleteStrict())
		case learn.New, learn.Again:
		case learn.Limited, learn.Full:
			if d.pause(now, place.Port, lesson) {
				mods = append(mods, pipeline.PauseLearning(place.Port).Add())
			}
			continue
		default:
			continue
		}
		mods = append(mods,
			pipeline.LearnedDest(place.Port, place.MAC).Add(),
			pipeline.LearnedSource(place.Port, place.MAC).Add())
		came = append(came, place.MAC)
		d.seen(now, place)
	}
	return mods, came
}

// pause says whether the switch is to be told that it shall not ask about unknown stations at a
// port for a while, as none can be learned there. The frames that have caused that
// may be no more than a flood of addresses that somebody makes up.
func (d *datapath) pause(now time.Time, no uint32, why learn.Lesson) bool {
	pause, report := d.learned.Pause(now, no)
	if pause {
		d.r.metrics.limited.Inc()
	}
	if report {
		d.mu.Lock()
		name := d.ports[no].Name
		d.mu.Unlock()
		d.log.Warn("no more stations are learned at a port until some have gone",
			zap.Uint32("port", no), zap.String("name", name), zap.Stringer("why", why), zap.Int("max_macs", d.r.cfg.MaxMACs))
		if g := d.r.cfg.Guard; g != nil && why == learn.Limited {
			g.Limited(intent.Place{Switch: d.id, Port: no}, name, d.r.cfg.MaxMACs)
		}
	}
	return pause
}

// send sends flow-mods that nobody waits for.
func (d *datapath) send(cause string, msgs ...openflow.Message) bool {
	sent := d.tryToSend(msgs...)
	if sent {
		d.r.metrics.flowMods.WithLabelValues(cause).Add(float64(len(msgs)))
	}
	return sent
}

func (d *datapath) tryToSend(msgs ...openflow.Message) bool {
	err := d.conn.Send(msgs...)
	if err != nil && d.conn.Err() == nil && !errors.Is(err, context.Canceled) {
		d.log.Warn("answers to packet-ins not sent", zap.Error(err))
	}
	return err == nil
}

// origin says which station sent the frame of a packet-in, and at which port.
func origin(m *openflow.PacketIn2) (learn.Place, bool) {
	const ethernetHeader = 14
	if len(m.Data) < ethernetHeader {
		return learn.Place{}, false
	}
	port, ok := m.InPort()
	return learn.Place{MAC: mac.FromBytes([6]byte(m.Data[6:12])), Port: port}, ok
}

// switchPort is what counts of a port. The caller holds the lock of the datapath. One that has carrier
// and is not live has been found dead by the switch, as by BFD; not all switches
// tell.
func (d *datapath) switchPort(p openflow.Port) intent.SwitchPort {
	return intent.SwitchPort{
		No: p.No, Name: p.Name, HWAddr: mac.FromBytes(p.HWAddr),
		Up: p.Config&openflow.PortConfigDown == 0 && p.State&openflow.PortStateLinkDown == 0 &&
			(!d.tellsLive || p.State&openflow.PortStateLive != 0),
	}
}
