package reconcile

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
)

const (
	// maxPolicySeries is how many policies have series of their own. A monitoring system
	// pays for each, and tenants may make any number: what counts for others is one more.
	maxPolicySeries = 200
	otherPolicies   = "other"
)

// qosMetrics is what switches have counted under QoS policies since they connected.
type qosMetrics struct {
	packets, bytes, dropped, droppedBytes *prometheus.CounterVec // by policy, type and direction
	classPackets, classBytes              *prometheus.CounterVec // by class
	unenforced                            *prometheus.GaugeVec   // by type and direction
	silent                                prometheus.Counter

	mu    sync.Mutex        // also while series are added, so that those of a policy go with it
	named map[uint32]string // policies that have series of their own, with their ids
}

func newQoSMetrics(reg prometheus.Registerer) *qosMetrics {
	f := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "macloom_qos_" + name, Help: help}, labels)
	}
	byRule := []string{"policy", "type", "direction"}
	m := &qosMetrics{
		packets:      counter("packets_total", "Packets that rules of QoS policies were asked about, dropped ones included.", byRule...),
		bytes:        counter("bytes_total", "Bytes of the packets that rules of QoS policies were asked about.", byRule...),
		dropped:      counter("dropped_packets_total", "Packets above a limit of a QoS policy.", byRule...),
		droppedBytes: counter("dropped_bytes_total", "Bytes of packets above a limit that is kept by a meter.", byRule...),
		classPackets: counter("class_packets_total", "Packets sent with a class of priority.", "class"),
		classBytes:   counter("class_bytes_total", "Bytes of the packets sent with a class of priority.", "class"),
		unenforced: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "macloom_qos_unenforced", Help: "Ports at which a rule of their policy is not enforced: their status_reason says why.",
		}, []string{"type", "direction"}),
		silent: f.NewCounter(prometheus.CounterOpts{
			Name: "macloom_qos_silent_switches_total", Help: "How often a switch did not say what it has counted under QoS policies.",
		}),
		named: map[uint32]string{},
	}
	for class := range intent.MaxClass + 1 {
		m.classPackets.WithLabelValues(strconv.Itoa(class))
		m.classBytes.WithLabelValues(strconv.Itoa(class))
	}
	return m
}

// forget removes the series of policies that are no more.
func (m *qosMetrics) forget(idOf func(uint32) (string, bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for policy, id := range m.named {
		if _, exists := idOf(policy); exists {
			continue
		}
		delete(m.named, policy)
		for _, series := range []*prometheus.CounterVec{m.packets, m.bytes, m.dropped, m.droppedBytes} {
			series.DeletePartialMatch(prometheus.Labels{"policy": id})
		}
	}
}

// count adds what a rule has counted.
func (m *qosMetrics) count(u pipeline.QoSUse, c intent.QoSCount, idOf func(uint32) (string, bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, named := m.named[u.Policy]
	if !named {
		var exists bool
		if id, exists = idOf(u.Policy); exists && len(m.named) < maxPolicySeries {
			m.named[u.Policy] = id
		} else {
			id = otherPolicies
		}
	}
	labels := []string{id, string(u.Kind), string(u.Direction)}
	m.packets.WithLabelValues(labels...).Add(float64(c.Packets))
	m.bytes.WithLabelValues(labels...).Add(float64(c.Bytes))
	if u.Kind == intent.QoSBandwidthLimit || u.Kind == intent.QoSPacketRateLimit {
		m.dropped.WithLabelValues(labels...).Add(float64(c.Dropped))
		m.droppedBytes.WithLabelValues(labels...).Add(float64(c.DroppedBytes))
	}
	if u.Class != 0 {
		class := strconv.Itoa(int(u.Class.Number()))
		m.classPackets.WithLabelValues(class).Add(float64(c.Packets))
		m.classBytes.WithLabelValues(class).Add(float64(c.Bytes))
	}
}

// qosRule is a type of rule in a direction.
type qosRule struct {
	kind      intent.QoSRuleKind
	direction intent.Direction
}

// qosLedger is what one switch has added to the metrics.
type qosLedger struct {
	read  map[qosCounter]intent.QoSCount // as they stood; nil: not read yet
	lacks map[qosRule]int
}

// countQoS keeps the metrics of policies up to date with what the switch counts.
// What it has counted before it connected is not ours to tell: another controller may have.
func (d *datapath) countQoS(ctx context.Context) {
	var l qosLedger
	defer func() { d.countLacks(&l, nil) }()
	every := time.NewTicker(d.r.cfg.Counters)
	defer every.Stop()
	for {
		d.takeQoS(ctx, &l)
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// takeQoS reads the counters once.
func (d *datapath) takeQoS(ctx context.Context, l *qosLedger) {
	view, m := d.served.Load(), d.r.metrics.qos
	d.countLacks(l, view)
	m.forget(d.r.intent.QoSPolicyID)
	uses := pipeline.QoSUses(view, pipeline.AnyPolicy)
	now := map[qosCounter]intent.QoSCount{}
	if !uses.Empty() {
		ctx, cancel := context.WithTimeout(ctx, d.r.cfg.Record)
		defer cancel()
		readings, err := d.readQoS(ctx, pipeline.AnyPolicy, uses)
		if err != nil {
			m.silent.Inc()
			return
		}
		for _, of := range readings {
			now[of.by] = of.QoSCount
			if l.read == nil {
				continue
			}
			for _, u := range of.uses {
				m.count(u, of.Since(l.read[of.by]), d.r.intent.QoSPolicyID)
			}
		}
	}
	l.read = now
}

// countLacks tells how many ports of a view lack what; nil: it is gone.
func (d *datapath) countLacks(l *qosLedger, v *intent.View) {
	now := map[qosRule]int{}
	if v != nil {
		for i := range v.Ports {
			for _, lack := range v.Lacks(&v.Ports[i]) {
				now[qosRule{lack.Kind, lack.Direction}]++
			}
		}
	}
	gauge := d.r.metrics.qos.unenforced
	for r, n := range l.lacks {
		gauge.WithLabelValues(string(r.kind), string(r.direction)).Sub(float64(n))
	}
	for r, n := range now {
		gauge.WithLabelValues(string(r.kind), string(r.direction)).Add(float64(n))
	}
	l.lacks = now
}
