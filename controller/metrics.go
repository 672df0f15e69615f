package controller

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session"
)

// sessionCollector shows the counters of the OpenFlow sessions.
type sessionCollector struct {
	stats *session.Stats
	kinds []session.Kind
}

var (
	descMessages = prometheus.NewDesc("macloom_openflow_messages_total",
		"OpenFlow messages by direction, seen from the controller, and type.", []string{"direction", "type"}, nil)
	descFlowMods = prometheus.NewDesc("macloom_openflow_flow_mods_total",
		"Flow-mods sent to switches, those inside bundles included.", nil, nil)
	descPacketIns = prometheus.NewDesc("macloom_openflow_packet_ins_total",
		"Packet-ins received from switches, dropped ones included, by kind.", []string{"kind"}, nil)
	descPacketInsDropped = prometheus.NewDesc("macloom_openflow_packet_ins_dropped_total",
		"Packet-ins dropped because a switch sent them faster than they were handled, by kind.", []string{"kind"}, nil)
	descBadMessages = prometheus.NewDesc("macloom_openflow_bad_messages_total",
		"OpenFlow messages that could not be understood.", nil, nil)
	descSessions = prometheus.NewDesc("macloom_openflow_sessions_total",
		"OpenFlow connections by outcome of the handshake.", []string{"handshake"}, nil)
)

// Describe implements prometheus.Collector.
func (c sessionCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descMessages, descFlowMods, descPacketIns, descPacketInsDropped, descBadMessages, descSessions} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c sessionCollector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for i := range c.stats.In {
		if n := c.stats.In[i].Load(); n > 0 {
			counter(descMessages, n, "in", openflow.Type(i).String())
		}
		if n := c.stats.Out[i].Load(); n > 0 {
			counter(descMessages, n, "out", openflow.Type(i).String())
		}
	}
	counter(descFlowMods, c.stats.FlowMods.Load())
	for i, kind := range c.kinds {
		queued, dropped := c.stats.PacketIns[i].Queued.Load(), c.stats.PacketIns[i].Dropped.Load()
		counter(descPacketIns, queued+dropped, kind.Name)
		counter(descPacketInsDropped, dropped, kind.Name)
	}
	counter(descBadMessages, c.stats.BadMessages.Load())
	counter(descSessions, c.stats.Accepted.Load(), "accepted")
	counter(descSessions, c.stats.Refused.Load(), "refused")
}

// newEventCounter counts the events that the change feed tells.
func newEventCounter(reg prometheus.Registerer) *prometheus.CounterVec {
	c := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "macloom_events_total", Help: "Events in the change feed since the controller started, by kind.",
	}, []string{"kind"})
	for _, s := range intent.EventKinds {
		c.WithLabelValues(string(s.Kind))
	}
	return c
}
