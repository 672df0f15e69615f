package reconcile

import (
	"context"
	"errors"

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
		now := switchPort(m.Port)
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
			d.portLost(m.Port.No, now.Up && m.Reason != openflow.PortDelete)
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
	if m.Reason != openflow.RemovedIdleTimeout {
		return
	}
	half, port, a := pipeline.ParseLearned(flow.FromRemoved(*m), pipeline.Cookie(m.Cookie))
	if half == pipeline.NotLearned || !d.learned.Expired(d.r.cfg.Now(), learn.Place{MAC: a, Port: port}) {
		return
	}
	var other openflow.Message = pipeline.RemoveLearnedDest(port, a)
	if half == pipeline.DestHalf {
		other = pipeline.LearnedSource(port, a).DeleteStrict()
	}
	d.send("learn", other)
}

// learn turns frames from unknown stations into flows, a batch at a time.
func (d *datapath) learn(ctx context.Context) {
	var batch []openflow.PacketIn2
	var mods []openflow.Message
	for {
		var err error
		batch, err = d.conn.PacketIns(kindLearn).Take(ctx, batch[:0])
		if err != nil {
			return
		}
		mods = mods[:0]
		now := d.r.cfg.Now()
		for i := range batch {
			place, ok := origin(&batch[i])
			if !ok {
				d.r.metrics.lessons[learn.Ignored].Inc()
				continue
			}
			lesson, from := d.learned.Seen(now, place)
			d.r.metrics.lessons[lesson].Inc()
			switch lesson {
			case learn.Moved:
				d.log.Info("station moved", zap.Stringer("mac", place.MAC), zap.Uint32("from", from), zap.Uint32("to", place.Port))
				mods = append(mods, pipeline.LearnedSource(from, place.MAC).DeleteStrict())
			case learn.New, learn.Again:
			default:
				continue
			}
			mods = append(mods,
				pipeline.LearnedDest(place.Port, place.MAC).Add(),
				pipeline.LearnedSource(place.Port, place.MAC).Add())
		}
		if len(mods) > 0 {
			d.send("learn", mods...)
		}
	}
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

func switchPort(p openflow.Port) intent.SwitchPort {
	return intent.SwitchPort{
		No: p.No, Name: p.Name, HWAddr: mac.FromBytes(p.HWAddr),
		Up: p.Config&openflow.PortConfigDown == 0 && p.State&openflow.PortStateLinkDown == 0,
	}
}
