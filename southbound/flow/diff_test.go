package flow

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
)

func newSet(t testing.TB, flows ...Flow) Set {
	t.Helper()
	s, err := NewSet(slices.Clone(flows))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func simple(table uint8, priority uint16, port uint32, next uint8) Flow {
	return Flow{Table: table, Priority: priority, Match: NewMatch(InPort(port)), Instructions: NewInstructions(Goto(next))}
}

func TestDiffPlansWhatDiffersInASafeOrder(t *testing.T) {
	t.Parallel()
	same, old, changed := simple(0, 1, 1, 9), simple(0, 2, 2, 9), simple(1, 5, 1, 9)
	cookie := changed
	cookie.Cookie = 7
	oldLater := simple(3, 1, 1, 9)
	newFirst, newLast, newLow := simple(0, 9, 3, 9), simple(8, 1, 1, 9), simple(0, 4, 3, 9)
	meter := func(id, rate uint32) Meter { return PacketMeter(id, rate, 10) }
	end := func(id uint32) Group { return NewGroup(id, openflow.GroupAll, Bucket(Output(id))) }
	chained := NewGroup(3, openflow.GroupIndirect, Bucket(openflow.ActionGroup{ID: 7}))
	watching := NewGroup(4, openflow.GroupFastFailover, openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: 3})
	oldChained := NewGroup(1, openflow.GroupIndirect, Bucket(openflow.ActionGroup{ID: 2}))

	got := Diff(
		State{
			Flows: newSet(t, same, old, changed, oldLater), Meters: []Meter{meter(1, 1), meter(2, 2), meter(3, 3)},
			Groups: []Group{oldChained, end(2), end(5), end(6)},
		},
		State{
			Flows: newSet(t, same, cookie, newFirst, newLast, newLow), Meters: []Meter{meter(2, 2), meter(3, 4), meter(4, 4)},
			Groups: []Group{chained, watching, NewGroup(5, openflow.GroupSelect), end(6), end(7)},
		})
	want := Plan{
		AddMeters: []Meter{meter(4, 4)}, ModifyMeters: []Meter{meter(3, 4)}, DeleteMeters: []Meter{meter(1, 1)},
		AddGroups: []Group{end(7), chained, watching}, ModifyGroups: []Group{NewGroup(5, openflow.GroupSelect)}, DeleteGroups: []Group{oldChained, end(2)},
		Delete: []Flow{old, oldLater}, Add: []Flow{newLast, cookie, newFirst, newLow}, Replaced: []Flow{changed},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	everything := State{Flows: newSet(t, corpus()...), Groups: want.AddGroups, Meters: want.AddMeters}
	if none := Diff(everything, everything); got.Empty() || !none.Empty() {
		t.Error("Empty is wrong")
	}
}

func TestAPlanKnowsWhatItsMessagesAreAbout(t *testing.T) {
	t.Parallel()
	add, remove := simple(0, 1, 1, 9), simple(0, 2, 2, 9)
	g, m := NewGroup(1, openflow.GroupAll), PacketMeter(1, 1, 1)
	p := Plan{
		AddMeters: []Meter{m}, ModifyMeters: []Meter{m}, AddGroups: []Group{g}, ModifyGroups: []Group{g},
		Add: []Flow{add}, Delete: []Flow{remove}, DeleteGroups: []Group{g}, DeleteMeters: []Meter{m},
	}
	var got []string
	for i, msg := range p.Messages() {
		o, removes := p.Object(i)
		what, _, _ := strings.Cut(o.String(), " ")
		switch msg := msg.(type) {
		case *openflow.MeterMod:
			got = append(got, fmt.Sprintf("%s %d %v", what, msg.Command, removes))
		case *openflow.GroupMod:
			got = append(got, fmt.Sprintf("%s %d %v", what, msg.Command, removes))
		case *openflow.FlowMod:
			got = append(got, fmt.Sprintf("%s %d %v", what, msg.Command, removes))
			if o.Flow.Priority != msg.Priority {
				t.Errorf("message of priority %d is about %v", msg.Priority, o)
			}
		}
	}
	want := []string{
		"meter 0 false", "meter 1 false", "group 0 false", "group 1 false", "flow 0 false", "flow 4 true", "group 2 true", "meter 2 true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if o, _ := p.Object(p.Len()); o != (Object{}) {
		t.Errorf("message behind the last is about %v", o)
	}
}

func TestASetIsSortedFindsAndRefusesClashes(t *testing.T) {
	t.Parallel()
	flows := corpus()
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(flows), func(i, j int) { flows[i], flows[j] = flows[j], flows[i] })
	s := newSet(t, append(slices.Clone(flows), flows...)...)
	if len(s) != len(flows) {
		t.Errorf("%d flows of %d", len(s), len(flows))
	}
	for _, f := range flows {
		if got, ok := s.Find(f.Key()); !ok || got != f {
			t.Errorf("found %v, want %v", got, f)
		}
	}
	if f, ok := s.Find(Key{Table: 200}); ok {
		t.Errorf("found %v where there is none", f)
	}
	var clash *ClashError
	if _, err := NewSet([]Flow{simple(1, 1, 1, 2), simple(1, 1, 1, 3)}); !errors.As(err, &clash) || clash.A == clash.B {
		t.Errorf("two flows for one key: error %v", err)
	}
}

// A plan carried out on what it was made for gives what was wanted.
func TestAPlanLeadsFromAnyStateToAnyOther(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 7))
	draw := func() State {
		var s State
		var flows []Flow
		for port := range uint32(20) {
			if rnd.IntN(2) == 0 {
				flows = append(flows, simple(uint8(port%3), 1, port, uint8(10+rnd.IntN(2))))
			}
		}
		s.Flows = newSet(t, flows...)
		for id := range uint32(8) {
			if rnd.IntN(2) == 0 {
				s.Groups = append(s.Groups, NewGroup(id, openflow.GroupAll, Bucket(Output(uint32(rnd.IntN(2))))))
			}
			if rnd.IntN(2) == 0 {
				s.Meters = append(s.Meters, PacketMeter(id, uint32(rnd.IntN(2)), 0))
			}
		}
		return s
	}
	for range 200 {
		from, to := draw(), draw()
		plan := Diff(from, to)
		flows, groups, meters := map[Key]Flow{}, map[uint32]Group{}, map[uint32]Meter{}
		for _, f := range from.Flows {
			flows[f.Key()] = f
		}
		for _, g := range from.Groups {
			groups[g.ID] = g
		}
		for _, m := range from.Meters {
			meters[m.ID] = m
		}
		for i := range plan.Len() {
			switch o, removes := plan.Object(i); {
			case o.Flow != nil && removes:
				delete(flows, o.Flow.Key())
			case o.Flow != nil:
				flows[o.Flow.Key()] = *o.Flow
			case o.Group != nil && removes:
				delete(groups, o.Group.ID)
			case o.Group != nil:
				groups[o.Group.ID] = *o.Group
			case removes:
				delete(meters, o.Meter.ID)
			default:
				meters[o.Meter.ID] = *o.Meter
			}
		}
		var got State
		for _, f := range flows {
			got.Flows = append(got.Flows, f)
		}
		got.Flows = newSet(t, got.Flows...)
		for _, g := range groups {
			got.Groups = append(got.Groups, g)
		}
		for _, m := range meters {
			got.Meters = append(got.Meters, m)
		}
		slices.SortFunc(got.Groups, func(a, b Group) int { return int(a.ID) - int(b.ID) })
		slices.SortFunc(got.Meters, func(a, b Meter) int { return int(a.ID) - int(b.ID) })
		if diff := cmp.Diff(to, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func learnedFlows(n int) []Flow {
	flows := make([]Flow, n)
	for i := range flows {
		flows[i] = learned(i)
	}
	return flows
}

func BenchmarkDiff(b *testing.B) {
	const n = 100_000
	actual, desired := State{Flows: newSet(b, learnedFlows(n)...)}, State{Flows: newSet(b, learnedFlows(n)...)}
	b.Run(fmt.Sprintf("of %d equal", n), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Diff(actual, desired)
		}
	})
	b.Run(fmt.Sprintf("of %d from empty", n), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Diff(State{}, desired)
		}
	})
}

// BenchmarkSetMemory makes sets of flows in random order and reports what one costs.
func BenchmarkSetMemory(b *testing.B) {
	const n = 100_000
	shuffled := learnedFlows(n)
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	own := newSet(b, learnedFlows(n)...)
	after := heap()
	for b.Loop() {
		newSet(b, shuffled...)
	}
	b.ReportMetric(float64(after-before)/n, "B/flow")
	runtime.KeepAlive(own)
}
