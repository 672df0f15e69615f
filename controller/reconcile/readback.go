package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/learn"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session"
)

// holding is what a switch was found to hold.
type holding struct {
	state   flow.State // ours, but for what was learned
	learned map[learn.Place]learn.Halves
	foreign foreign
	open    []uint32 // unmanaged ports that pass frames

	arrivals, away []flow.Flow // of stations here that others send to, and of those elsewhere

	neighbours map[intent.Question]flow.Flow
	pins       []heldPin
}

// foreign counts what is not ours.
type foreign struct {
	flows, groups, meters int
}

// readBack asks the switch for its flows, groups and meters, all at once.
func (d *datapath) readBack(ctx context.Context) (*holding, error) {
	h := &holding{learned: map[learn.Place]learn.Halves{}, neighbours: map[intent.Question]flow.Flow{}}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.readFlows(ctx, h) })
	g.Go(func() error {
		return absent(d.conn.Multipart(ctx, &openflow.GroupDescRequest{}, func(b openflow.MultipartBody) error {
			reply, ok := b.(*openflow.GroupDescReply)
			if !ok {
				return fmt.Errorf("answer of type %T", b)
			}
			for _, desc := range reply.Groups {
				if pipeline.OurGroup(desc.GroupID) {
					h.state.Groups = append(h.state.Groups, flow.GroupFromDesc(desc))
				} else {
					h.foreign.groups++
				}
			}
			return nil
		}))
	})
	g.Go(func() error {
		return absent(d.conn.Multipart(ctx, &openflow.MeterConfigRequest{MeterID: openflow.AllMeters}, func(b openflow.MultipartBody) error {
			reply, ok := b.(*openflow.MeterConfigReply)
			if !ok {
				return fmt.Errorf("answer of type %T", b)
			}
			for _, m := range reply.Meters {
				if pipeline.OurMeter(m.MeterID) {
					h.state.Meters = append(h.state.Meters, flow.MeterFromConfig(m))
				} else {
					h.foreign.meters++
				}
			}
			return nil
		}))
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("reconcile: read back: %w", err)
	}
	slices.SortFunc(h.state.Groups, func(a, b flow.Group) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(h.state.Meters, func(a, b flow.Meter) int { return cmp.Compare(a.ID, b.ID) })
	return h, nil
}

// absent makes no error of the answer of a switch that does not have what it
// was asked for.
func absent(err error) error {
	var se *session.SwitchError
	if errors.As(err, &se) && se.Err.ErrType == openflow.ErrorBadRequest {
		return nil
	}
	return err
}

func (d *datapath) readFlows(ctx context.Context, h *holding) error {
	var flows []flow.Flow
	request := &openflow.FlowStatsRequest{TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}
	err := d.conn.Multipart(ctx, request, func(b openflow.MultipartBody) error {
		part, ok := b.(*openflow.FlowStatsReply)
		if !ok {
			return fmt.Errorf("answer of type %T", b)
		}
		for _, s := range part.Flows {
			cookie := pipeline.Cookie(s.Cookie)
			if !cookie.Ours() {
				h.foreign.flows++
				continue
			}
			if cookie.Kind() == pipeline.KindPause {
				continue // it ends soon
			}
			f, err := flow.FromStats(s)
			if err != nil {
				return err
			}
			if q, _, ok := pipeline.ParseNeighbour(f.Key(), cookie); ok {
				h.neighbours[q] = f
				continue
			}
			switch cookie.Kind() {
			case pipeline.KindPin:
				h.pins = append(h.pins, heldPin{f.Key(), cookie})
				continue
			case pipeline.KindArrival:
				h.arrivals = append(h.arrivals, f)
				continue
			case pipeline.KindAway:
				h.away = append(h.away, f)
				continue
			}
			switch half, port, a := pipeline.ParseLearned(f.Key(), cookie); half {
			case pipeline.NotLearned:
				if no, open := pipeline.OpenPort(f); open {
					h.open = append(h.open, no)
				}
				flows = append(flows, f)
			case pipeline.SourceHalf:
				at := learn.Place{MAC: a, Port: port}
				h.learned[at] = learn.Halves{Source: true, Dest: h.learned[at].Dest}
			case pipeline.DestHalf:
				at := learn.Place{MAC: a, Port: port}
				h.learned[at] = learn.Halves{Source: h.learned[at].Source, Dest: true}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	h.state.Flows, err = flow.NewSet(flows)
	return err
}

// found takes over what was read back. drift is what somebody else changed
// since the mirror was known, as the plan that undoes it; forgotten are the learned places
// whose flows must go.
func (d *datapath) found(h *holding) (drift flow.Plan, forgotten []learn.Place) {
	if d.table.known {
		d.unfold()
		drift = flow.Diff(h.state, d.table.state)
	}
	if h.foreign != d.foreign {
		d.foreign = h.foreign
		d.log.Info("what is not ours is left alone", zap.Int("flows", h.foreign.flows),
			zap.Int("groups", h.foreign.groups), zap.Int("meters", h.foreign.meters))
	}
	if d.facts().ForeignFlows != h.foreign.flows {
		d.note(func(f *intent.Switch) { f.ForeignFlows = h.foreign.flows })
	}
	d.mirror(h.state, nil)
	return drift, d.learned.Adopt(d.readAt, h.learned)
}

// shownRepairs is how many objects the log line about a repair shows.
const shownRepairs = 5

// repaired reports what somebody else had changed, now that it is undone.
func (d *datapath) repaired(drift *flow.Plan) {
	n := drift.Len()
	if n == 0 {
		return
	}
	var shown []string
	for i := range min(n, shownRepairs) {
		o, removes := drift.Object(i)
		verb := "restored "
		if removes {
			verb = "removed "
		}
		shown = append(shown, verb+o.String())
	}
	d.log.Warn("somebody else changed the switch; repaired",
		zap.Int("missing", len(drift.Add)-len(drift.Replaced)), zap.Int("changed", len(drift.Replaced)), zap.Int("unknown", len(drift.Delete)),
		zap.Int("groups", len(drift.AddGroups)+len(drift.ModifyGroups)+len(drift.DeleteGroups)),
		zap.Int("meters", len(drift.AddMeters)+len(drift.ModifyMeters)+len(drift.DeleteMeters)), zap.Strings("first", shown))
	d.r.metrics.repaired.Add(float64(n))
	sum := d.r.countRepairs(d.id, n)
	d.note(func(f *intent.Switch) { f.Repaired = sum })
}
