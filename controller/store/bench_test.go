package store_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// describePort tells as much of a port as the API does.
func describePort(_ store.Kind, object any) []store.Attribute {
	p, ok := object.(*intent.Port)
	if !ok {
		return nil
	}
	at := func(name, json string) store.Attribute { return store.Attribute{Name: name, JSON: []byte(json)} }
	return []store.Attribute{
		at("tenant_id", strconv.Quote(p.TenantID)), at("description", `""`), at("name", `""`), at("network_id", strconv.Quote(p.NetworkID)),
		at("admin_state_up", "true"), at("mac_address", strconv.Quote(p.MAC.String())),
		at("fixed_ips", `[{"subnet_id":"`+p.FixedIPs[0].SubnetID+`","ip_address":"`+p.FixedIPs[0].Addr.String()+`"}]`),
		at("security_groups", `["`+p.SecurityGroups[0]+`"]`), at("device_id", `""`), at("device_owner", `""`),
		at("binding:host_id", `""`), at("binding:profile", "{}"), at("binding:vnic_type", `"normal"`),
	}
}

// benchmarkCreate makes ports, so many at a time and by so many callers.
func benchmarkCreate(b *testing.B, callers, bulk int) {
	s := setup(b)
	n := s.network(red, "n")
	s.subnet(red, n, "10.0.0.0/8")
	s.DescribeBy(describePort)
	s.ctx = store.WithActor(store.WithRequestID(s.ctx, "req-0199d2a4-6b3e-7c55-9a53-0a3c6b6ff0a1"), "alice")
	list := slices.Repeat([]store.NewPort{newPort(n)}, bulk)
	for range 2 * callers { // connections and their prepared statements
		if _, err := s.CreatePorts(s.ctx, red, list); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := s.CreatePorts(s.ctx, red, list); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(b.N*bulk)/b.Elapsed().Seconds(), "ports/s")
}

func BenchmarkCreatePort(b *testing.B) {
	for _, callers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchmarkCreate(b, callers, 1) })
	}
	for _, bulk := range []int{100, 1000} {
		b.Run(fmt.Sprintf("bulk=%d", bulk), func(b *testing.B) { benchmarkCreate(b, 1, bulk) })
	}
}

func BenchmarkListPorts(b *testing.B) {
	s := setup(b)
	n := s.network(red, "n")
	s.subnet(red, n, "10.0.0.0/8")
	list := slices.Repeat([]store.NewPort{newPort(n)}, 1000)
	var id string
	for range 10 {
		got, err := s.CreatePorts(s.ctx, red, list)
		if err != nil {
			b.Fatal(err)
		}
		id = got[0].ID
	}
	b.Run("all 10000", func(b *testing.B) {
		for b.Loop() {
			if got, err := s.Ports(s.ctx, red, store.Query{}); err != nil || len(got) != 10000 {
				b.Fatal(len(got), err)
			}
		}
	})
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Port(s.ctx, red, id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Lists of a few out of a million ports, and all of them as a stream.
func BenchmarkListOfAMillionPorts(b *testing.B) {
	const all = 1_000_000
	s := setup(b)
	s.crowd(all)
	own := store.Scope{TenantID: "tenant-5"}
	for _, c := range []struct {
		name  string
		sc    store.Scope
		query store.Query
		count int
	}{
		{"tenant_id", admin, store.Query{Filter: map[string][]string{"tenant_id": {"tenant-5"}}, Limit: 100}, 100},
		{"project_id", admin, store.Query{Filter: map[string][]string{"project_id": {"tenant-5"}}, Limit: 100}, 100},
		{"own 1000", own, store.Query{}, 1000},
		{"device_id", own, store.Query{Filter: map[string][]string{"device_id": {"vm-2"}}}, 1},
		{"network_id", own, store.Query{Filter: map[string][]string{"network_id": {"bbbb0000-0000-7000-8000-000000000005"}}, Limit: 100}, 100},
		{"fixed_ips", own, store.Query{Filter: map[string][]string{"fixed_ips": {"ip_address=10.0.0.6"}}}, 1},
		{"name", own, store.Query{Filter: map[string][]string{"name": {"port-5"}}}, 1},
		{"mac_address", own, store.Query{Filter: map[string][]string{"mac_address": {"02:00:00:00:00:05"}}}, 1},
		{"page in the middle", admin, store.Query{Limit: 100, Marker: "aaaa0000-0000-7000-8000-00000007a120"}, 100},
		{"all", admin, store.Query{}, all},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				n := 0
				if err := s.EachPort(s.ctx, c.sc, c.query, func(*intent.Port) error { n++; return nil }); err != nil || n != c.count {
					b.Fatalf("%d ports, want %d: %v", n, c.count, err)
				}
			}
		})
	}
}
