package northbound

import (
	"cmp"
	"hash/maphash"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// watches serves all watches of a server.
type watches struct {
	Watches
	hub     hub
	callers *callers
	log     *zap.Logger
	seed    maphash.Seed

	open   prometheus.Gauge
	events *prometheus.CounterVec
	cuts   *prometheus.CounterVec

	mu   sync.Mutex
	by   map[principal]int
	many int
}

func newWatches(o Options, callers *callers) *watches {
	w := &watches{
		Watches: o.Watches, callers: callers, log: o.Log.Named("watch"), seed: maphash.MakeSeed(), by: map[principal]int{},
		open:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "macloom_watches_open", Help: "Watches that are open."}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "macloom_watch_events_total", Help: "Events sent to watches."}, []string{"event"}),
		cuts:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "macloom_watch_cuts_total", Help: "Watches that the server ended, by the type of the error."}, []string{"type"}),
	}
	w.Most, w.PerCaller, w.Buffer = cmp.Or(w.Most, defaultWatches), cmp.Or(w.PerCaller, defaultPerCaller), cmp.Or(w.Buffer, defaultBuffer)
	w.KeepAlive = cmp.Or(w.KeepAlive, defaultKeepAlive)
	w.hub = hub{store: o.Store, log: w.log, buffer: w.Buffer, subs: map[string][]*subscription{}, reads: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "macloom_watch_reads_total", Help: "Reads of changed objects for watches; watches that see the same share one.",
	})}
	o.Metrics.MustRegister(w.open, w.events, w.cuts, w.hub.reads)
	return w
}

// enter counts a watch of a caller.
func (w *watches) enter(p principal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.many >= w.Most:
		return errWatchFull
	case w.by[p] >= w.PerCaller:
		return errWatchMany
	}
	w.many++
	w.by[p]++
	w.open.Inc()
	return nil
}

func (w *watches) exit(p principal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.many--
	if w.by[p]--; w.by[p] == 0 {
		delete(w.by, p)
	}
	w.open.Dec()
}
