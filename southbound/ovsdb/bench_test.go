package ovsdb

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/ovstest"
)

// host is the first state of a host with n interfaces, all on one bridge.
func host(n int) []byte {
	id := func(kind, i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, i) }
	var ports, portRows, interfaceRows []string
	for i := range n {
		ports = append(ports, `["uuid","`+id(1, i)+`"]`)
		portRows = append(portRows, fmt.Sprintf(`"%s":{"initial":{"name":"tap%08x","interfaces":["uuid","%s"]}}`, id(1, i), i, id(2, i)))
		interfaceRows = append(interfaceRows, fmt.Sprintf(`"%s":{"initial":{"name":"tap%08x","ofport":%d,"mac_in_use":"02:00:05:00:00:01",
			"link_state":"up","admin_state":"up","external_ids":["map",[["attached-mac","02:00:05:00:00:01"],["iface-id","%s"],["iface-status","active"],["vm-id","%s"]]]}}`,
			id(2, i), i, i+1, id(3, i), id(4, i)))
	}
	return []byte(`{"Bridge":{"` + id(0, 0) + `":{"initial":{"name":"br-int","ports":["set",[` + strings.Join(ports, ",") + `]]}}},
		"Port":{` + strings.Join(portRows, ",") + `},"Interface":{` + strings.Join(interfaceRows, ",") + `}}`)
}

// BenchmarkInterfaceChange is the cost of one change of an interface, from the
// text of the notification to what is shown: to a Watch that looks at changes,
// to one that takes a snapshot, and, to compare, of a snapshot from scratch.
func BenchmarkInterfaceChange(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		for _, show := range []struct {
			name string
			do   func(*replica)
		}{
			{"changes", func(r *replica) { r.changes() }},
			{"snapshot", func(r *replica) { r.snapshot() }},
			{"from-scratch", func(r *replica) { r.shown = nil; r.snapshot() }},
		} {
			b.Run(fmt.Sprintf("%s/interfaces=%d", show.name, n), func(b *testing.B) {
				r := emptyReplica()
				r.begin(&watch{})
				if err := r.apply(host(n), formDiffs); err != nil {
					b.Fatal(err)
				}
				r.changes()
				r.snapshot()
				updates := [2][]byte{}
				for i := range updates {
					updates[i] = fmt.Appendf(nil, `{"Interface":{"00000002-0000-4000-8000-%012x":{"modify":{"link_state":"%s"}}}}`, n/2, []string{"up", "down"}[i])
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if err := r.apply(updates[i&1], formDiffs); err != nil {
						b.Fatal(err)
					}
					show.do(r)
					i++
				}
			})
		}
	}
}

// BenchmarkPortAddAndRemove is a port with its interface that comes and goes,
// with a snapshot after each.
func BenchmarkPortAddAndRemove(b *testing.B) {
	const n = 10_000
	r := emptyReplica()
	r.begin(&watch{})
	if err := r.apply(host(n), formDiffs); err != nil {
		b.Fatal(err)
	}
	r.snapshot()
	const bridge = `"Bridge":{"00000000-0000-4000-8000-000000000000":{"modify":{"ports":["uuid","p"]}}}`
	add := []byte(`{"Interface":{"i":{"insert":{"name":"tap5x"}}},"Port":{"p":{"insert":{"name":"tap5x","interfaces":["uuid","i"]}}},` + bridge + `}`)
	remove := []byte(`{"Interface":{"i":{"delete":null}},"Port":{"p":{"delete":null}},` + bridge + `}`)
	b.ReportAllocs()
	for b.Loop() {
		for _, update := range [][]byte{add, remove} {
			if err := r.apply(update, formDiffs); err != nil {
				b.Fatal(err)
			}
			r.changes()
			r.snapshot()
		}
	}
}

// BenchmarkFirstState is the decoding of all rows of a host.
func BenchmarkFirstState(b *testing.B) {
	const n = 10_000
	text := host(n)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var r *replica
	for b.Loop() {
		r = emptyReplica()
		r.begin(&watch{})
		if err := r.apply(text, formDiffs); err != nil {
			b.Fatal(err)
		}
	}
	r.changes()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/interface")
	b.ReportMetric(float64(r.used)/n, "accounted-B/interface")
	runtime.KeepAlive(text)
}

func BenchmarkTransact(b *testing.B) {
	o := startOVS(b, ovstest.Server{})
	for name, operations := range map[string][]Operation{
		"mutate": {Mutate("Open_vSwitch", nil, Mutation{"next_cfg", "+=", 1})},
		"select": {Select("Open_vSwitch", nil, "next_cfg")},
	} {
		b.Run(name, func(b *testing.B) {
			c := o.dial("unix:"+o.Socket(), Config{Log: zap.NewNop()})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Transact(b.Context(), operations...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
