package northbound

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/store"
)

// view is what watchers with the same rights and the same query string see of a
// collection: what is read and written down for one of them is so for all.
type view struct {
	name  string // equal views have equal names
	kind  store.Kind
	scope store.Scope
	every bool // whoever reads sees every object of the kind
	// read returns those of the objects that the view holds, as they are shown.
	read func(ctx context.Context, ids []string) (map[string][]byte, error)
}

// news is a change as a view sees it.
type news struct {
	store.Change
	object []byte // as it is now; nil: gone, or not in the view
}

// subscription is one watcher's place in the hub.
type subscription struct {
	*view
	wake chan struct{} // there is something new

	// Guarded by the lock of the hub.
	pending []news
	through int64 // pending has all after what was taken, up to this revision
	missed  bool  // something does not lie in pending and must be read from the feed
	slow    bool  // because there was too much of it
	ended   error // the hub does not follow the feed any more
}

// hub follows the feed once for all watchers, while there are some.
type hub struct {
	store  *store.Store
	log    *zap.Logger
	buffer int // changes that may wait for one watcher
	reads  prometheus.Counter

	mu     sync.Mutex
	subs   map[string][]*subscription // by the names of their views
	at     int64                      // all up to this revision is with the subscriptions
	cancel context.CancelFunc         // nil: nothing is followed
}

// join makes a subscription receive what comes after the returned revision.
func (h *hub) join(ctx context.Context, s *subscription) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cancel == nil {
		_, last, err := h.store.Reach(ctx)
		if err != nil {
			return 0, err
		}
		follow, cancel := context.WithCancel(context.Background())
		h.at, h.cancel = last, cancel
		go h.follow(follow, last)
	}
	s.pending, s.through, s.missed, s.slow = nil, h.at, false, false
	if !slices.Contains(h.subs[s.name], s) {
		h.subs[s.name] = append(h.subs[s.name], s)
	}
	return h.at, nil
}

func (h *hub) leave(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := slices.DeleteFunc(h.subs[s.name], func(o *subscription) bool { return o == s })
	h.subs[s.name] = left
	if len(left) == 0 {
		delete(h.subs, s.name)
	}
	if len(h.subs) == 0 && h.cancel != nil {
		h.cancel()
		h.cancel = nil
	}
}

// take returns what has come for a subscription.
func (h *hub) take(s *subscription) (pending []news, through int64, missed, slow bool, ended error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pending, s.pending = s.pending, nil
	return pending, s.through, s.missed, s.slow, s.ended
}

func (h *hub) follow(ctx context.Context, after int64) {
	err := h.store.Watch(ctx, after, func(changes []store.Change) error { return h.apply(ctx, changes) })
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return // by the last that left
	}
	h.log.Warn("watches end: the change feed cannot be followed", zap.Error(err))
	for _, subs := range h.subs {
		for _, s := range subs {
			s.ended = err
			s.poke()
		}
	}
	clear(h.subs)
	h.cancel()
	h.cancel = nil
}

// apply hands changes to the subscriptions.
func (h *hub) apply(ctx context.Context, changes []store.Change) error {
	h.mu.Lock()
	var views []*view
	for _, subs := range h.subs {
		views = append(views, subs[0].view)
	}
	h.mu.Unlock()
	seen, err := h.see(ctx, views, changes)
	for wait := 100 * time.Millisecond; errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			seen, err = h.see(ctx, views, changes)
		}
	}
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	h.at = changes[len(changes)-1].Revision
	for name, subs := range h.subs {
		list, known := seen[name]
		for _, s := range subs {
			switch {
			case s.missed:
				continue
			case !known && s.concerned(changes): // it came after the reading had begun
				s.missed = true
			case len(s.pending)+len(list) > h.buffer:
				s.pending, s.missed, s.slow = nil, true, true
			default:
				s.pending, s.through = append(s.pending, list...), h.at
				if len(list) == 0 {
					continue
				}
			}
			s.poke()
		}
	}
	return nil
}

func (s *subscription) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// concerned says whether changes are of the kind of a view.
func (v *view) concerned(changes []store.Change) bool {
	return slices.ContainsFunc(changes, func(c store.Change) bool { _, is := as(v.kind, c); return is })
}

// as returns a change as those see it who watch a kind of objects: an event may
// tell of an object of another kind.
func as(kind store.Kind, c store.Change) (store.Change, bool) {
	if kind == store.KindEvent && c.Event != "" {
		return store.Change{Revision: c.Revision, Kind: kind, ID: strconv.FormatInt(c.Revision, 10), TenantID: c.TenantID, Op: store.OpCreate, Event: c.Event}, true
	}
	return c, c.Kind == kind
}

// see returns what changes are to views, by their names. What several of them
// have in common is read once.
func (h *hub) see(ctx context.Context, views []*view, changes []store.Change) (map[string][]news, error) {
	kinds := map[store.Kind][]*view{}
	for _, v := range views {
		kinds[v.kind] = append(kinds[v.kind], v)
	}
	seen := map[string][]news{}
	for kind, views := range kinds {
		var of []store.Change
		owners := map[string]string{} // of what may still be there
		for _, c := range changes {
			c, is := as(kind, c)
			if !is {
				continue
			}
			of = append(of, c)
			if c.Op == store.OpDelete {
				delete(owners, c.ID)
			} else {
				owners[c.ID] = c.TenantID
			}
		}
		if len(of) == 0 {
			continue
		}
		if err := h.seeKind(ctx, views, of, owners, seen); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

func (h *hub) seeKind(ctx context.Context, views []*view, changes []store.Change, owners map[string]string, seen map[string][]news) error {
	var tenants, all []string
	for _, v := range views {
		if !v.every && !slices.Contains(tenants, v.scope.TenantID) {
			tenants = append(tenants, v.scope.TenantID)
		}
	}
	for id := range owners {
		all = append(all, id)
	}
	kind := views[0].kind
	if len(tenants) > 0 && !store.Private(kind) {
		h.reads.Inc()
	}
	visible, err := h.store.Visible(ctx, kind, owners, tenants)
	if err != nil {
		return err
	}
	private := store.Private(kind)
	for _, v := range views {
		ids := all
		if !v.every {
			ids = visible[v.scope.TenantID]
		}
		var objects map[string][]byte
		if len(ids) > 0 {
			h.reads.Inc()
			if objects, err = v.read(ctx, ids); err != nil {
				return err
			}
		}
		list := []news{}
		for _, c := range changes {
			if !v.every && private && c.TenantID != v.scope.TenantID {
				continue // it never was in the view
			}
			n := news{Change: c}
			if c.Op != store.OpDelete {
				n.object = objects[c.ID]
			}
			list = append(list, n)
		}
		seen[v.name] = list
	}
	return nil
}
