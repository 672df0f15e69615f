package reconcile

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

const (
	// recheckPause is the least time between two read-backs that others cause,
	// and recheckShare how many times as long as one took the next one has to wait, so
	// that somebody who fights over our flows costs a tenth of a processor at most.
	recheckPause = time.Second
	recheckShare = 10
)

// watch asks the switch to report changes of flows by others. Our own come as one
// short line for each run of them. A switch that cannot is audited all the same.
func (d *datapath) watch(ctx context.Context) {
	request := &openflow.FlowMonitorRequest{Monitors: []openflow.FlowMonitor{{
		ID: 1, Flags: openflow.MonitorAdd | openflow.MonitorDelete | openflow.MonitorModify,
		OutPort: openflow.PortAny, TableID: openflow.TableAll,
	}}}
	err := d.conn.Multipart(ctx, request, func(openflow.MultipartBody) error { return nil })
	if err != nil && ctx.Err() == nil {
		d.log.Debug("switch does not report changes by others", zap.Error(err))
	}
}

// watched looks for our flows among those that others have changed.
func (d *datapath) watched(report *openflow.FlowMonitorReply) {
	if len(d.alien) > 0 {
		return // what comes next will see it all
	}
	for u := range report.Updates.All() {
		if d.ours(&u) {
			d.doubt()
			return
		}
	}
}

// ours reports whether an update is about a flow of ours that only we may change.
func (d *datapath) ours(u *openflow.FlowUpdate) bool {
	switch u.Event {
	case openflow.FlowAdded, openflow.FlowDeleted, openflow.FlowModified:
	default:
		return false
	}
	if cookie := pipeline.Cookie(u.Cookie); cookie.Ours() {
		return !cookie.Kind().Passing()
	}
	// A foreign flow may have taken the place of one of ours.
	if u.Event == openflow.FlowDeleted {
		return false
	}
	_, taken := d.mirrored().Find(flow.FromRemoved(openflow.FlowRemoved{TableID: u.TableID, Priority: u.Priority, Match: u.Match}))
	return taken
}

// doubt calls for a read-back soon.
func (d *datapath) doubt() { put(d.alien) }

// untilRecheck is how long the next read-back that others cause has to wait.
func (d *datapath) untilRecheck() time.Duration {
	pause := max(recheckPause, recheckShare*d.readTook)
	return max(0, pause-time.Since(d.lastRead))
}
