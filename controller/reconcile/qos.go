package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/openflow"
)

// maxCounted is how many switches are asked for their counters at a time.
const maxCounted = 8

// qosCounter is what counts in a switch: a flow, a meter, or a queue of a port.
type qosCounter struct {
	match    string // of a flow
	priority uint16
	meter    uint32
	port     uint32
	queue    uint32
}

// qosReading is a counter of a switch as it stands.
type qosReading struct {
	by   qosCounter
	uses []pipeline.QoSUse
	intent.QoSCount
}

// QoSStatistics asks all connected switches with ports under a policy what they
// have counted of it.
func (r *Reconciler) QoSStatistics(ctx context.Context, policy uint32) (s intent.QoSStatistics) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Record)
	defer cancel()
	r.mu.Lock()
	var live []*datapath
	for _, d := range r.live {
		live = append(live, d)
	}
	r.mu.Unlock()
	var mu sync.Mutex // for s and sum
	sum := map[pipeline.QoSUse]intent.QoSCount{}
	var g errgroup.Group
	g.SetLimit(maxCounted)
	for _, d := range live {
		view := d.served.Load()
		if view == nil {
			continue
		}
		uses := pipeline.QoSUses(view, policy)
		if uses.Empty() {
			continue
		}
		g.Go(func() error {
			readings, err := d.readQoS(ctx, policy, uses)
			mu.Lock()
			defer mu.Unlock()
			for u := range uses.All() {
				sum[u] = sum[u].Plus(intent.QoSCount{}) // a rule that nothing has met yet is shown, too
			}
			for _, of := range readings {
				for _, u := range of.uses {
					sum[u] = sum[u].Plus(of.QoSCount)
				}
			}
			if err != nil {
				s.Silent++
			} else {
				s.Switches++
			}
			return nil
		})
	}
	_ = g.Wait() // none fails
	for u, c := range sum {
		c.Kind, c.Direction = u.Kind, u.Direction
		s.Counts = append(s.Counts, c)
	}
	slices.SortFunc(s.Counts, func(a, b intent.QoSCount) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Direction, b.Direction))
	})
	return s
}

// readQoS reads what counts in a switch for a policy. With an error it returns what has come.
func (d *datapath) readQoS(ctx context.Context, policy uint32, uses pipeline.QoSUsage) (readings []qosReading, err error) {
	var mu sync.Mutex
	found := func(by qosCounter, c intent.QoSCount, uses ...pipeline.QoSUse) {
		mu.Lock()
		defer mu.Unlock()
		readings = append(readings, qosReading{by, uses, c})
	}
	g, ctx := errgroup.WithContext(ctx)
	if len(uses.Marks) > 0 {
		request := &openflow.FlowStatsRequest{TableID: pipeline.QoSMarkTable, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}
		request.Cookie, request.CookieMask = pipeline.QoSCookies(policy)
		g.Go(func() error {
			return read(ctx, d, request, func(part *openflow.FlowStatsReply) {
				for _, f := range part.Flows {
					found(qosCounter{match: string(f.Match), priority: f.Priority}, intent.QoSCount{Packets: f.PacketCount, Bytes: f.ByteCount},
						uses.Marks[pipeline.Cookie(f.Cookie).Object()]...)
				}
			})
		})
	}
	if len(uses.Meters) > 0 {
		g.Go(func() error {
			return read(ctx, d, &openflow.MeterStatsRequest{MeterID: openflow.AllMeters}, func(part *openflow.MeterStatsReply) {
				for _, m := range part.Meters {
					if u, ours := uses.Meters[m.MeterID]; ours {
						c := intent.QoSCount{Packets: m.PacketInCount, Bytes: m.ByteInCount}
						for _, band := range m.Bands {
							c.Dropped, c.DroppedBytes = c.Dropped+band.PacketCount, c.DroppedBytes+band.ByteCount
						}
						found(qosCounter{meter: m.MeterID}, c, u)
					}
				}
			})
		})
	}
	for port, u := range uses.Ports {
		g.Go(func() error {
			return read(ctx, d, &openflow.QueueStatsRequest{Port: port, QueueID: openflow.QueueAll}, func(part *openflow.QueueStatsReply) {
				for _, q := range part.Queues {
					found(qosCounter{port: port, queue: q.QueueID},
						intent.QoSCount{Packets: known(q.TxPackets) + known(q.TxErrors), Bytes: known(q.TxBytes), Dropped: known(q.TxErrors)}, u)
				}
			})
		})
	}
	err = g.Wait()
	return readings, err
}

// read asks a switch and hands over the parts of the answer.
func read[P openflow.MultipartBody](ctx context.Context, d *datapath, request openflow.MultipartBody, each func(P)) error {
	return d.conn.Multipart(ctx, request, func(b openflow.MultipartBody) error {
		part, ok := b.(P)
		if !ok {
			return fmt.Errorf("answer of type %T", b)
		}
		each(part)
		return nil
	})
}

// known is a counter of a queue, or 0 where the switch says that it has none (OpenFlow 1.3 §5.8).
func known(n uint64) uint64 {
	if n == 1<<64-1 {
		return 0
	}
	return n
}
