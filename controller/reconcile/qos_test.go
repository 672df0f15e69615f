package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
)

// series are the values of a metric by their labels, as "name=value,…".
func series(t *testing.T, reg *prometheus.Registry, metric string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			if f.GetName() == metric {
				found[strings.Join(labels, ",")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return found
}

func TestPoliciesBeyondAMostShareTheirSeriesAndThoseOfDeletedOnesGo(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newQoSMetrics(reg)
	gone := map[uint32]bool{}
	idOf := func(num uint32) (string, bool) { return fmt.Sprint("policy-", num), !gone[num] }
	count := func(policy uint32) {
		m.count(pipeline.QoSUse{Policy: policy, Kind: intent.QoSPriority, Direction: intent.Egress, Class: intent.ClassOf(5)}, intent.QoSCount{Packets: 2, Bytes: 100}, idOf)
	}
	const all = maxPolicySeries + 50
	for range 2 {
		for policy := range uint32(all) {
			count(policy + 1)
		}
	}
	const labels = "direction=egress,policy=%s,type=priority"
	got := series(t, reg, "macloom_qos_packets_total")
	if n := got[fmt.Sprintf(labels, "policy-7")]; len(got) != maxPolicySeries+1 || n != 4 || got[fmt.Sprintf(labels, "other")] != 200 {
		t.Errorf("%d series; %v of a policy, %v of others", len(got), n, got[fmt.Sprintf(labels, "other")])
	}
	if n := series(t, reg, "macloom_qos_class_packets_total")["class=5"]; n != 4*all {
		t.Errorf("%v packets of class 5, want %d", n, 4*all)
	}

	gone[7] = true
	m.forget(idOf)
	count(7) // a switch that has not heard of it yet
	count(all)
	got = series(t, reg, "macloom_qos_packets_total")
	if _, left := got[fmt.Sprintf(labels, "policy-7")]; left || got[fmt.Sprintf(labels, fmt.Sprint("policy-", all))] != 2 || got[fmt.Sprintf(labels, "other")] != 202 {
		t.Errorf("after the policy has gone: %v", got)
	}
}

func TestACounterThatFallsHasBegunAnew(t *testing.T) {
	t.Parallel()
	before := intent.QoSCount{Packets: 10, Bytes: 1000, Dropped: 3, DroppedBytes: 300}
	for _, c := range []struct{ now, want intent.QoSCount }{
		{before, intent.QoSCount{}},
		{intent.QoSCount{Packets: 12, Bytes: 1500, Dropped: 3, DroppedBytes: 300}, intent.QoSCount{Packets: 2, Bytes: 500}},
		{intent.QoSCount{Packets: 2, Bytes: 100}, intent.QoSCount{Packets: 2, Bytes: 100}},
		{intent.QoSCount{Packets: 11, Bytes: 5000, Dropped: 1}, intent.QoSCount{Packets: 11, Bytes: 5000, Dropped: 1}},
	} {
		if diff := cmp.Diff(c.want, c.now.Since(before)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.now, diff)
		}
	}
}

func TestPortsThatLackARuleAreCountedUntilTheirSwitchGoes(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Counters = time.Millisecond })
	reg := prometheus.NewRegistry()
	reg.MustRegister(r.metrics.qos.unenforced)
	lacking := func(want float64) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			got := series(t, reg, "macloom_qos_unenforced")["direction=egress,type=minimum_bandwidth"]
			if got == want {
				return
			}
			if time.Since(began) > 20*time.Second {
				t.Fatalf("%v ports lack their minimum bandwidth, want %v", got, want)
			}
		}
	}
	connect(t, r, 4)
	r.change(func(s *intent.State, touched intent.Touched) {
		s.PutQoSPolicy(intent.QoSPolicy{Meta: intent.Meta{ID: "gold"}, Num: 1, Rules: []intent.QoSRule{{Kind: intent.QoSMinimumBandwidth, Direction: intent.Egress, Rate: 10}}}, touched)
		plugged(1, 2)(s, touched)
		for _, id := range []string{"port-1", "port-2"} {
			p, _ := s.Port(id)
			p.QoSPolicyID = "gold"
			s.PutPort(p, touched)
		}
	})
	lacking(2)
	r.change(func(s *intent.State, touched intent.Touched) {
		p, _ := s.Port("port-2")
		p.QoSPolicyID = ""
		s.PutPort(p, touched)
	})
	lacking(1)
	r.stop()
	lacking(0)
}
