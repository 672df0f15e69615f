package hypervisor

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the counters of the hosts.
type Metrics struct {
	connected  prometheus.Gauge
	interfaces prometheus.Gauge
	steps      *prometheus.CounterVec
}

// NewMetrics registers the counters.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		connected: f.NewGauge(prometheus.GaugeOpts{
			Name: "macloom_hypervisors_connected", Help: "Hosts with an OVSDB connection, those that were turned away and not sent off yet included.",
		}),
		interfaces: f.NewGauge(prometheus.GaugeOpts{
			Name: "macloom_hypervisor_attachments", Help: "Interfaces of connected hosts that carry an iface-id.",
		}),
		steps: f.NewCounterVec(prometheus.CounterOpts{
			Name: "macloom_hypervisor_steps_total",
			Help: "Transactions that set up hosts, by what they are about and outcome: done, overtaken by another change, failed.",
		}, []string{"step", "result"}),
	}
}
