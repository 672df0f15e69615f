package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/health"
	"github.com/macloom/macloom/controller/learn"
	"github.com/macloom/macloom/controller/respond"
)

// Metrics counts what reconciliation does.
type Metrics struct {
	connected        prometheus.Gauge
	flowMods         *prometheus.CounterVec
	refused          prometheus.Counter
	repaired         prometheus.Counter
	unexpectedErrors prometheus.Counter
	limited          prometheus.Counter
	lessons          [learn.Lessons]prometheus.Counter
	questions        [respond.Verdicts]prometheus.Counter
	messages         [respond.Messages]prometheus.Counter
	pins             prometheus.Gauge
	linkFramesSent   prometheus.Counter
	linkFrames       [fabric.Verdicts]prometheus.Counter
	probes           [health.Results]prometheus.Counter
	qos              *qosMetrics
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	m := &Metrics{
		connected: f.NewGauge(prometheus.GaugeOpts{
			Name: "macloom_switches_connected", Help: "Switches with an OpenFlow session.",
		}),
		flowMods: f.NewCounterVec(prometheus.CounterOpts{
			Name: "macloom_reconcile_flow_mods_total",
			Help: "Flow-mods by cause: add and delete by reconciliation, learn and resolve by packet-ins, expiry and changes of addresses.",
		}, []string{"cause"}),
		refused: f.NewCounter(prometheus.CounterOpts{
			Name: "macloom_reconcile_flows_refused_total", Help: "Flows, groups and meters that a switch refused.",
		}),
		limited: f.NewCounter(prometheus.CounterOpts{
			Name: "macloom_learn_limited_total",
			Help: "How often learning at a port was paused because the port, or the table of its switch, has as many stations as it may.",
		}),
		repaired: f.NewCounter(prometheus.CounterOpts{
			Name: "macloom_reconcile_repaired_flows_total",
			Help: "Flows, groups and meters that somebody else had removed, changed or added and that were put right.",
		}),
		unexpectedErrors: f.NewCounter(prometheus.CounterOpts{
			Name: "macloom_openflow_unexpected_errors_total", Help: "OpenFlow errors that no request was waiting for.",
		}),
	}
	m.qos = newQoSMetrics(reg)
	m.pins = f.NewGauge(prometheus.GaugeOpts{
		Name: "macloom_affinity_pins", Help: "Clients that switches remember with a backend, as of when each was last read back.",
	})
	m.linkFramesSent = f.NewCounter(prometheus.CounterOpts{
		Name: "macloom_fabric_frames_sent_total", Help: "LLDP frames that were sent to find links.",
	})
	frames := f.NewCounterVec(prometheus.CounterOpts{
		Name: "macloom_fabric_frames_received_total",
		Help: "LLDP frames that came by unmanaged ports by what they were: found (a link that was not known), known, foreign (of others), " +
			"forged (with a signature that is not ours), stale (of another time), shared (a port that has another link), unplaced (of a port that is no more).",
	}, []string{"result"})
	for v := range fabric.Verdict(fabric.Verdicts) {
		m.linkFrames[v] = frames.WithLabelValues(v.String())
	}
	probes := f.NewCounterVec(prometheus.CounterOpts{
		Name: "macloom_health_probes_total",
		Help: "Probes of backends of affinity pools by result: good, silent (no answer in time), refused (no connection, or one that ended too early), unexpected (answered otherwise), " +
			"unsure (the controller was too late to say); and stray, packets that answer none.",
	}, []string{"result"})
	for r := range health.Result(health.Results) {
		m.probes[r] = probes.WithLabelValues(r.String())
	}
	for _, cause := range []string{"add", "delete", "learn", "resolve"} {
		m.flowMods.WithLabelValues(cause)
	}
	lessons := f.NewCounterVec(prometheus.CounterOpts{
		Name: "macloom_learn_packet_ins_total",
		Help: "Packet-ins of the learning table by what they caused: new, moved, again (flows were missing), known (flows on their way), full (the table of the switch), limited (the port has as many stations as it may), ignored.",
	}, []string{"result"})
	for l := range learn.Lesson(learn.Lessons) {
		m.lessons[l] = lessons.WithLabelValues(l.String())
	}
	questions := f.NewCounterVec(prometheus.CounterOpts{
		Name: "macloom_neighbour_questions_total",
		Help: "ARP requests and neighbour solicitations that no flow answered by what they caused: install (a flow that answers the next), known (it is on its way), unknown, full, virtual (an address of a pool, which the controller says itself).",
	}, []string{"result"})
	for v := range respond.Verdict(respond.Verdicts) {
		m.questions[v] = questions.WithLabelValues(v.String())
	}
	messages := f.NewCounterVec(prometheus.CounterOpts{
		Name: "macloom_dhcp_messages_total",
		Help: "Messages of DHCPv4, DHCPv6 (with a 6) and router discovery, from stations and to them, by type; malformed: none of these.",
	}, []string{"type"})
	for t := respond.Malformed; int(t) < respond.Messages; t++ {
		m.messages[t] = messages.WithLabelValues(t.String())
	}
	return m
}
