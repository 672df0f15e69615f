package reconcile

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/controller/respond"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session"
)

// Kinds of packet-ins, each with a queue of its own: what is asked never waits behind
// what is learned, nor addresses behind neighbours.
const (
	kindLearn = iota
	kindResolve
	kindConfigure
	kindDiscover
	kindSeek
	kindProbe
)

// PacketIns are the kinds of packet-ins that a Reconciler takes; Classify tells
// them apart.
var PacketIns = []session.Kind{kindLearn: {Name: "learn"}, kindResolve: {Name: "resolve"}, kindConfigure: {Name: "configure"}, kindDiscover: {Name: "discover"}, kindSeek: {Name: "seek"}, kindProbe: {Name: "probe", Queue: 1024}}

// Classify returns the kind of a packet-in, by the flow that sent it.
func Classify(h session.Head) int {
	switch c := pipeline.Cookie(h.Cookie); {
	case !c.Ours():
		return -1
	case c.Kind() == pipeline.KindResolve:
		return kindResolve
	case c.Kind() == pipeline.KindConfigure:
		return kindConfigure
	case c.Kind() == pipeline.KindDiscover:
		return kindDiscover
	case c.Kind() == pipeline.KindSeek:
		return kindSeek
	case c.Kind() == pipeline.KindProbe:
		return kindProbe
	}
	return kindLearn
}

// asker returns the port that a packet-in came by, as the present view has it.
func (d *datapath) asker(m *openflow.PacketIn2) (p intent.LocalPort, ok bool) {
	no, ok := m.InPort()
	v := d.served.Load()
	if !ok || v == nil {
		return p, false
	}
	at, _ := slices.BinarySearchFunc(v.Ports, no, func(p intent.LocalPort, no uint32) int { return int(int64(p.OFPort) - int64(no)) })
	for ; at < len(v.Ports) && v.Ports[at].OFPort == no; at++ {
		// A port of the same number may have come since.
		if v.Ports[at].Num == pipeline.Cookie(m.Cookie).Object() {
			return v.Ports[at], true
		}
	}
	return p, false
}

// resolve makes flows of questions for neighbours, which have gone on to all of
// the network: the switch answers the next ones.
func (d *datapath) resolve(ctx context.Context) {
	var batch []openflow.PacketIn2
	var mods []openflow.Message
	for {
		var err error
		batch, err = d.conn.PacketIns(kindResolve).Take(ctx, batch[:0])
		if err != nil {
			return
		}
		mods = mods[:0]
		now := d.r.cfg.Now()
		for i := range batch {
			verdict := respond.Unknown
			p, ok := d.asker(&batch[i])
			if ip, asked := respond.Asked(batch[i].Data); ok && asked {
				q := intent.Question{VNI: p.VNI, IP: ip}
				var n intent.Neighbour
				switch verdict, n = d.neighbours.Asked(now, q); verdict {
				case respond.Install:
					mods = append(mods, pipeline.Neighbour(q, n).Add())
				case respond.Unknown:
					if d.advertiseVirtual(&p, q, batch[i].Data) {
						verdict = respond.Virtual
					}
				}
			}
			d.r.metrics.questions[verdict].Inc()
		}
		if len(mods) > 0 {
			d.send("resolve", mods...)
		}
	}
}

// advertiseVirtual answers a question for a virtual address of IPv6, which no station has.
func (d *datapath) advertiseVirtual(p *intent.LocalPort, q intent.Question, frame []byte) bool {
	v := d.served.Load()
	i := slices.IndexFunc(v.Services, func(s intent.Service) bool { return s.VNI == q.VNI && s.VIP == q.IP })
	if i < 0 {
		return false
	}
	answer := respond.Advertise(frame, q.IP, v.Services[i].MAC)
	return answer != nil && d.tryToSend(pipeline.Deliver(v.Setting, p, answer))
}

// configure answers questions for configuration.
func (d *datapath) configure(ctx context.Context) {
	server := respond.Server{Lease: d.r.cfg.Lease}
	var batch []openflow.PacketIn2
	for {
		var err error
		batch, err = d.conn.PacketIns(kindConfigure).Take(ctx, batch[:0])
		if err != nil {
			return
		}
		for i := range batch {
			p, ok := d.asker(&batch[i])
			if !ok {
				continue
			}
			client, ok := d.r.intent.Client(p.ID)
			if !ok {
				continue
			}
			answer := server.Configure(&client, batch[i].Data)
			d.r.metrics.messages[answer.Asked].Inc()
			if answer.Frame != nil && d.tryToSend(pipeline.Deliver(d.served.Load().Setting, &p, answer.Frame)) {
				d.r.metrics.messages[answer.Said].Inc()
			}
		}
	}
}

// advertise tells stations about routers and prefixes without being asked. Switches
// do not all begin at once.
func (d *datapath) advertise(ctx context.Context) {
	next := time.NewTimer(rand.N(respond.AdvertiseEvery))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		next.Reset(respond.AdvertiseEvery)
		v := d.served.Load()
		for _, p := range v.Ports {
			if !p.Up || !p.Served.RA {
				continue
			}
			if client, ok := d.r.intent.Client(p.ID); ok {
				if frame := respond.Advertisement(&client); frame != nil && d.tryToSend(pipeline.Deliver(v.Setting, &p, frame)) {
					d.r.metrics.messages[respond.RouterAdvertisement].Inc()
				}
			}
		}
	}
}

// Moved says that the addresses of ports, by their numbers, may have changed: what
// switches answer about them is withdrawn where it is no longer true.
func (r *Reconciler) Moved(ports []uint32) {
	if len(ports) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.live {
		var mods []openflow.Message
		for _, port := range ports {
			for _, q := range d.neighbours.Recheck(port) {
				mods = append(mods, pipeline.Neighbour(q, intent.Neighbour{}).DeleteStrict())
			}
		}
		if len(mods) > 0 && !d.send("resolve", mods...) {
			d.doubt() // they will be found with the next read-back
		}
	}
}

// adopt takes over the answers that the switch was found to give, and returns
// the flows of those that are not true.
func (d *datapath) adopt(h *holding) (untrue []flow.Key) {
	found := make(map[intent.Question]func(intent.Neighbour) bool, len(h.neighbours))
	for q, f := range h.neighbours {
		found[q] = func(n intent.Neighbour) bool { return pipeline.Neighbour(q, n) == f }
	}
	for _, q := range d.neighbours.Adopt(d.readAt, found) {
		untrue = append(untrue, h.neighbours[q].Key())
	}
	return untrue
}
