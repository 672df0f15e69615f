package northbound

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/macloom/macloom/controller/store"
)

// watcher is one client of a watch.
type watcher struct {
	*watches
	*watching
	caller principal
	r      *http.Request
	sub    *subscription

	at   int64 // all up to this revision was told or need not be
	told int64 // the last revision that the client has heard of

	// moment is the state that known is of. It is what the client was told at
	// the beginning, or if there was no such state, what it should know.
	moment *store.Moment
	began  bool // with the state
	steady bool // of others the client has seen nothing since that it does not see now
	// known are the objects that the client has, by the hashes of their ids, of
	// those that may enter and leave the view; nil: there are none such.
	known   map[uint64]struct{}
	touched map[uint64]struct{} // of a client that began without a state: those that are known for sure
	unborn  map[uint64]struct{} // objects that were gone before their beginning could be told

	out    http.ResponseWriter
	bounds *http.ResponseController
	b      []byte
}

// tracked says whether an object may enter and leave the view while it exists.
func (x *watcher) tracked(tenant string) bool {
	return x.filter || !x.every && tenant != x.scope.TenantID
}

func (x *watcher) hash(id string) uint64 { return maphash.String(x.seed, id) }

// run serves a client until it goes or an error ends it.
func (x *watcher) run(ctx context.Context, resumed bool) error {
	_ = x.bounds.SetReadDeadline(time.Time{}) // as it would end the request
	header := x.out.Header()
	header.Set("Content-Type", eventStream)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // what nginx holds back is no event
	x.b = append(x.b, "retry: "...)
	x.b = append(strconv.AppendInt(x.b, watchRetry.Milliseconds(), 10), "\n\n"...)
	if err := x.flush(); err != nil {
		return err
	}
	if err := x.begin(ctx, resumed); err != nil {
		return err
	}
	alive := time.NewTicker(x.KeepAlive)
	defer alive.Stop()
	for {
		if err := x.catchUp(ctx); err != nil {
			return err
		}
		for live := false; ; live = true {
			pending, through, missed, slow, ended := x.hub.take(x.sub)
			if err := x.tell(pending); err != nil {
				return err
			}
			switch {
			case ended != nil:
				return ended
			case slow && live:
				return errSlow
			}
			if missed {
				break
			}
			x.at = max(x.at, through)
			if err := x.flush(); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-x.sub.wake:
			case <-alive.C:
				if err := x.signOfLife(ctx); err != nil {
					return err
				}
			}
		}
	}
}

// begin tells the state, or of a client that goes on finds out what it knows.
func (x *watcher) begin(ctx context.Context, resumed bool) error {
	if resumed && !x.filter && (x.every || store.Private(x.kind)) {
		x.moment = &store.Moment{}
		return nil // its objects never come and go
	}
	x.began = !resumed
	x.touched = map[uint64]struct{}{}
	return x.hub.store.At(ctx, func(ctx context.Context, m *store.Moment) (err error) {
		x.moment = m
		if !resumed {
			x.at = m.Revision
		} else if !x.every {
			if x.steady, err = x.hub.store.Steady(ctx, x.kind, x.scope.TenantID, x.at); err != nil {
				return err
			}
		}
		err = x.state(ctx, func(s seen) error {
			if x.tracked(s.tenant) {
				x.know(x.hash(s.id), true)
			}
			if resumed {
				return nil
			}
			x.event(string(store.OpCreate), 0, s.object)
			return x.flushFull()
		})
		if err != nil || resumed {
			return err
		}
		x.bookmark(m.Revision)
		return x.flush()
	})
}

func (x *watcher) know(id uint64, now bool) {
	if !now {
		delete(x.known, id)
		return
	}
	if x.known == nil {
		x.known = map[uint64]struct{}{}
	}
	x.known[id] = struct{}{}
}

// catchUp joins the hub and reads from the feed what came before.
func (x *watcher) catchUp(ctx context.Context) error {
	until, err := x.hub.join(ctx, x.sub)
	if err != nil {
		return err
	}
	for x.at < until {
		changes, err := x.hub.store.Changes(ctx, x.at, watchBatch)
		if err != nil {
			return err
		}
		if k := slices.IndexFunc(changes, func(c store.Change) bool { return c.Revision > until }); k >= 0 {
			changes = changes[:k]
		}
		if len(changes) == 0 {
			return store.ErrTooOld // what the hub has had is not there any more
		}
		seen, err := x.hub.see(ctx, []*view{x.view}, changes)
		if err != nil {
			return err
		}
		if err := x.tell(seen[x.name]); err != nil {
			return err
		}
		x.at = changes[len(changes)-1].Revision
	}
	return nil
}

// tell writes events of what is news to the client.
func (x *watcher) tell(list []news) error {
	for i := range list {
		n := &list[i]
		if x.empty || n.Revision <= x.at || x.began && x.moment.Holds(n.Revision) {
			continue
		}
		op, err := x.judge(n)
		if err != nil {
			return err
		}
		x.at = n.Revision
		switch op {
		case "":
			continue
		case store.OpDelete:
			x.event(string(op), n.Revision, x.gone(n))
		default:
			x.event(string(op), n.Revision, n.object)
		}
		if err := x.flushFull(); err != nil {
			return err
		}
	}
	return nil
}

// judge says what a change is to the client; empty: nothing.
func (x *watcher) judge(n *news) (store.Op, error) {
	id := x.hash(n.ID)
	if !x.tracked(n.TenantID) {
		_, unborn := x.unborn[id]
		switch {
		case n.Op == store.OpDelete && unborn:
			delete(x.unborn, id)
			return "", nil
		case n.Op == store.OpCreate && n.object == nil:
			if !x.began {
				return "", nil // the state that the client began with may have had it: its end is told
			}
			if x.unborn == nil {
				x.unborn = map[uint64]struct{}{}
			}
			x.unborn[id] = struct{}{}
			return "", nil
		case n.Op != store.OpDelete && n.object == nil:
			return "", nil // it has gone since: its end comes
		}
		return n.Op, nil
	}
	_, had := x.known[id]
	_, sure := x.touched[id]
	sure = sure || x.began || !x.moment.Holds(n.Revision)
	if !sure {
		if n.Op == store.OpCreate && n.object == nil && (x.every || n.TenantID == x.scope.TenantID) {
			return "", nil // as above
		}
		x.touched[id] = struct{}{}
	}
	x.know(id, n.object != nil)
	switch {
	case n.object != nil && (sure && !had || n.Op == store.OpCreate):
		return store.OpCreate, nil
	case n.object != nil:
		return store.OpUpdate, nil
	case sure && had:
		return store.OpDelete, nil
	case sure || n.Op == store.OpCreate:
		return "", nil
	case x.every || n.TenantID == x.scope.TenantID:
		return store.OpDelete, nil // perhaps it never was in the view
	case x.steady:
		return "", nil // it never was
	}
	return "", errUnshared // what it cannot see is not to be named
}

// gone is what a viewer is told of an object that he sees no more.
func (x *watcher) gone(n *news) []byte {
	b := appendString([]byte{'{'}, x.key)
	b = append(b, ':')
	b = appendString(b, n.ID)
	if x.owned && (x.every || n.TenantID == x.scope.TenantID) {
		for _, name := range []string{"tenant_id", "project_id"} {
			b = appendString(append(b, ','), name)
			b = appendString(append(b, ':'), n.TenantID)
		}
	}
	return append(b, '}')
}

// event writes one event; revision 0: it is none to go on from.
func (x *watcher) event(kind string, revision int64, object []byte) {
	x.events.WithLabelValues(kind).Inc()
	x.b = append(append(x.b, "event: "...), kind...)
	x.id(revision)
	x.b = append(x.b, "\ndata: {"...)
	x.b = append(appendString(x.b, x.single), ':')
	x.b = append(append(x.b, object...), "}\n\n"...)
}

func (x *watcher) id(revision int64) {
	if revision > 0 {
		x.b = strconv.AppendInt(append(x.b, "\nid: "...), revision, 10)
		x.told = revision
	}
}

// bookmark tells that there is nothing else up to a revision.
func (x *watcher) bookmark(revision int64) {
	x.b = append(x.b, "event: bookmark\nid: "...)
	x.b = strconv.AppendInt(x.b, revision, 10)
	x.b = append(x.b, "\ndata: {\"revision\":"...)
	x.b = strconv.AppendInt(x.b, revision, 10)
	x.b = append(x.b, "}\n\n"...)
	x.told = revision
}

// signOfLife checks the caller, and tells him that all is well.
func (x *watcher) signOfLife(ctx context.Context) error {
	p, err := x.callers.of(x.r)
	if refusal, ok := errors.AsType[*apiError](err); ok && (refusal.code == http.StatusUnauthorized || refusal.code == http.StatusForbidden) {
		return refusal
	}
	if err == nil && p != x.caller {
		return errRights
	}
	if x.at > x.told {
		x.bookmark(x.at)
	} else {
		x.b = append(x.b, ": well\n\n"...)
	}
	return x.flush()
}

// why says by which error the server ends a watch; nil: the client has gone.
func (x *watcher) why(ctx context.Context, err error) *apiError {
	refusal, known := errors.AsType[*apiError](err)
	ending, ended := errors.AsType[*apiError](context.Cause(ctx))
	switch {
	case known:
		return refusal
	case ended:
		return ending
	case errors.Is(err, store.ErrTooOld):
		return errTooOld
	case errors.Is(err, errUnwritten), ctx.Err() != nil:
		return nil
	}
	return asAPIError(ctx, x.log, err)
}

// fail ends the stream by an event that says why.
func (x *watcher) fail(e *apiError) {
	x.events.WithLabelValues("error").Inc()
	x.b = append(x.b, "event: error\ndata: "...)
	x.b = append(appendNeutronError(x.b, e), "\n\n"...)
	_ = x.flush() // whoever has gone needs no reason
}

// errUnwritten says that the client takes nothing any more.
var errUnwritten = errors.New("northbound: a watch was not taken")

func (x *watcher) flushFull() error {
	if len(x.b) < watchChunk {
		return nil
	}
	return x.flush()
}

func (x *watcher) flush() error {
	if len(x.b) == 0 {
		return nil
	}
	// A writer without deadlines, as in tests, has none to be lifted.
	_ = x.bounds.SetWriteDeadline(time.Now().Add(watchWriteTimeout))
	_, err := x.out.Write(x.b)
	if err == nil {
		err = x.bounds.Flush()
	}
	x.b = x.b[:0]
	if err != nil {
		return errors.Join(errUnwritten, err)
	}
	return nil
}
