package reconcile

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/health"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/openflow"
)

// Health hears what probes have found. It must not wait for anything.
type Health interface {
	Found(intent.HealthVerdict)
}

// confirmWithin is how long a switch may take to show that it is there.
const confirmWithin = 2 * time.Second

// checkup asks the backends at the ports of the switch.
type checkup struct {
	d       *datapath
	checker *health.Checker
	turn    chan struct{} // holds a token while there may be something to do
}

func newCheckup(d *datapath) *checkup {
	count := func(r health.Result) { d.r.metrics.probes[r].Inc() }
	return &checkup{d, health.NewChecker(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), count), make(chan struct{}, 1)}
}

// adopt takes over which backends a view has that the switch has confirmed. Nobody is
// asked at a port where a flow that catches answers is lacking.
func (c *checkup) adopt(v *intent.View, lacking faults) {
	if c.d.r.cfg.Health == nil {
		return
	}
	probes, deaf := v.Probes, map[uint16]bool{}
	for owner := range lacking {
		for i := range probes {
			if owner == pipeline.NewCookie(pipeline.KindProbe, probes[i].Backend) {
				deaf[probes[i].Zone] = true
			}
		}
	}
	if len(deaf) > 0 {
		probes = slices.DeleteFunc(slices.Clone(probes), func(p intent.Probe) bool { return deaf[p.Zone] })
	}
	c.checker.Set(c.d.r.cfg.Now(), probes)
	put(c.turn)
}

// ask sends what is due, until ctx ends.
func (c *checkup) ask(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-c.turn:
		}
		frames, found, wait := c.checker.Work(c.d.r.cfg.Now())
		c.send(frames)
		c.report(ctx, found)
		next.Reset(max(wait, time.Millisecond))
	}
}

// hear takes what backends answer.
func (c *checkup) hear(ctx context.Context) {
	var batch []openflow.PacketIn2
	for {
		var err error
		batch, err = c.d.conn.PacketIns(kindProbe).Take(ctx, batch[:0])
		if err != nil {
			return
		}
		for i := range batch {
			frames, found := c.checker.Heard(c.d.r.cfg.Now(), batch[i].Data)
			c.send(frames)
			c.report(ctx, found)
		}
		put(c.turn) // the next probes are due at other times
	}
}

func (c *checkup) send(frames []health.Frame) {
	if len(frames) == 0 {
		return
	}
	in := c.d.served.Load().Setting
	msgs := make([]openflow.Message, len(frames))
	for i, f := range frames {
		msgs[i] = pipeline.Inject(in, f.OFPort, f.VLAN, f.Data)
	}
	c.d.tryToSend(msgs...)
}

// report tells what was found. That a backend is down is said only of one whose switch is
// there: one that has gone answers for nobody.
func (c *checkup) report(ctx context.Context, found []intent.HealthVerdict) {
	down := func(v intent.HealthVerdict) bool { return v.Health == intent.HealthDown }
	there := true
	if slices.ContainsFunc(found, down) {
		within, cancel := context.WithTimeout(ctx, confirmWithin)
		there = c.d.conn.Barrier(within) == nil
		cancel()
	}
	for _, v := range found {
		if down(v) && !there {
			c.checker.Doubt(v.BackendID)
			continue
		}
		c.d.r.cfg.Health.Found(v)
	}
}
