package controller

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

const (
	// healthPause is the least time between two writes of what probes have found: when a
	// host goes, all of its backends do. healthRetry follows a write that failed.
	healthPause = 20 * time.Millisecond
	healthRetry = time.Second
)

// ward tells the database what probes have found. Of each backend it keeps the last word
// until that is written, so that nobody who probes waits.
type ward struct {
	store *store.Store
	log   *zap.Logger
	wake  chan struct{} // holds one token

	mu    sync.Mutex
	found map[string]intent.HealthVerdict // by backend
}

func newWard(st *store.Store, log *zap.Logger) *ward {
	return &ward{store: st, log: log, wake: make(chan struct{}, 1), found: map[string]intent.HealthVerdict{}}
}

// Found implements reconcile.Health.
func (w *ward) Found(v intent.HealthVerdict) {
	w.mu.Lock()
	w.found[v.BackendID] = v
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default: // it will be written
	}
}

// run writes what was found, until ctx ends.
func (w *ward) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		pause := healthPause
		if err := w.write(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("what probes have found is not recorded; will try again", zap.Error(err))
			pause = healthRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (w *ward) write(ctx context.Context) error {
	w.mu.Lock()
	found := w.found
	w.found = map[string]intent.HealthVerdict{}
	w.mu.Unlock()
	err := w.store.RecordHealth(ctx, slices.Collect(maps.Values(found)))
	if err == nil {
		for _, v := range found {
			w.log.Info("backend", zap.String("id", v.BackendID), zap.String("health", string(v.Health)), zap.String("reason", v.Reason))
		}
		return nil
	}
	w.mu.Lock()
	for id, v := range found {
		if _, newer := w.found[id]; !newer {
			w.found[id] = v
		}
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return err
}

// backendCollector counts backends that are probed, by what is known of them.
type backendCollector struct{ world *world }

var backendsDesc = prometheus.NewDesc("macloom_health_backends", "Backends of affinity pools with a monitor, by what probes have found: unknown, up, down.", []string{"health"}, nil)

// Describe implements prometheus.Collector.
func (backendCollector) Describe(ch chan<- *prometheus.Desc) { ch <- backendsDesc }

// Collect implements prometheus.Collector.
func (c backendCollector) Collect(ch chan<- prometheus.Metric) {
	count := map[intent.Health]int{}
	c.world.read(func(s *intent.State) {
		for n := range s.Networks() {
			for _, p := range s.AffinityPools(n.ID) {
				for i := range p.Backends {
					if p.Monitor.Kind != "" {
						count[p.Backends[i].Probed]++
					}
				}
			}
		}
	})
	for _, h := range []intent.Health{intent.HealthUnknown, intent.HealthUp, intent.HealthDown} {
		ch <- prometheus.MustNewConstMetric(backendsDesc, prometheus.GaugeValue, float64(count[h]), string(h))
	}
}
