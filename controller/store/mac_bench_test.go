package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// rawTable is a table like that of addresses, with its indexes, to measure what
// PostgreSQL does alone.
func (b *bundle) rawTable(conns int) *pgxpool.Pool {
	b.t.Helper()
	cfg := must(pgxpool.ParseConfig(b.url))(b.t)
	cfg.MaxConns = int32(conns)
	pool := must(pgxpool.NewWithConfig(b.ctx, cfg))(b.t)
	b.t.Cleanup(pool.Close)
	if _, err := pool.Exec(b.ctx, `CREATE TABLE raw_addresses (LIKE mac_addresses INCLUDING ALL)`); err != nil {
		b.t.Fatal(err)
	}
	return pool
}

// parallel runs b.N calls in so many goroutines.
func parallel(b *testing.B, callers int, call func(ctx context.Context) error) {
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}

// BenchmarkAllocateMAC gives single addresses, and beside it inserts single
// rows past the store at as many connections.
func BenchmarkAllocateMAC(b *testing.B) {
	for _, callers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("raw/callers=%d", callers), func(b *testing.B) {
			s := setup(b)
			pool := s.rawTable(callers)
			var n atomic.Int64
			insert := func(ctx context.Context) error {
				a := int64(mac.InstanceAddr(mac.MustParseSegment("02:00:00:00:00:00/8"), "raw", uint64(n.Add(1))))
				_, err := pool.Exec(ctx, `INSERT INTO raw_addresses (address, segment_id, tenant_id, origin) VALUES ($1, $2, $3, 'tenant')`,
					a, "02ff0000-0000-4000-8000-000000000010", "red")
				return err
			}
			for range 2 * callers {
				if err := insert(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			parallel(b, callers, insert)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "addresses/s")
		})
		b.Run(fmt.Sprintf("store/callers=%d", callers), func(b *testing.B) {
			s := setup(b)
			g := s.segment(red, "02:00:00:00:00:00/16", nil)
			allocate := func(ctx context.Context) error {
				_, err := s.AllocateMACs(ctx, red, store.MACRequest{SegmentID: g.ID})
				return err
			}
			for range 2 * callers {
				if err := allocate(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			parallel(b, callers, allocate)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "addresses/s")
		})
	}
}

// BenchmarkAllocateMACs gives many at once, and beside it inserts as many rows
// by one statement past the store.
func BenchmarkAllocateMACs(b *testing.B) {
	b.Run("raw/1000", func(b *testing.B) {
		s := setup(b)
		pool := s.rawTable(1)
		var n uint64
		parallel(b, 1, func(ctx context.Context) error {
			addrs := make([]int64, 1000)
			for i := range addrs {
				n++
				addrs[i] = int64(mac.InstanceAddr(mac.MustParseSegment("02:00:00:00:00:00/8"), "raw", n))
			}
			_, err := pool.Exec(ctx, `INSERT INTO raw_addresses (address, segment_id, tenant_id, origin) SELECT a, $2, $3, 'tenant' FROM unnest($1::bigint[]) AS a`,
				addrs, "02ff0000-0000-4000-8000-000000000010", "red")
			return err
		})
		b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "addresses/s")
	})
	for _, count := range []int{1000, store.MaxMACs} {
		for _, strategy := range []mac.Strategy{mac.Scrambled, mac.Sequential} {
			b.Run(fmt.Sprintf("store/%s/%d", strategy, count), func(b *testing.B) {
				s := setup(b)
				g := s.segment(red, "02:00:00:00:00:00/16", func(g *intent.Segment) { g.Strategy = strategy })
				parallel(b, 1, func(ctx context.Context) error {
					_, err := s.AllocateMACs(ctx, red, store.MACRequest{SegmentID: g.ID, Count: count})
					return err
				})
				b.ReportMetric(float64(b.N)*float64(count)/b.Elapsed().Seconds(), "addresses/s")
			})
		}
	}
}

// BenchmarkImport checks a million foreign addresses against a hundred thousand
// managed ones.
func BenchmarkImport(b *testing.B) {
	const lines = 1_000_000
	s := setup(b)
	g := s.segment(red, "02:00:00:00:00:00/16", nil)
	s.macs(red, store.MACRequest{SegmentID: g.ID, Count: store.MaxMACs})
	file := func(yield func(store.MACImportLine, error) bool) {
		for i := range int64(lines) {
			if !yield(store.MACImportLine{Line: i + 1, ExternalID: fmt.Sprintf("instance-%08d", i), Addr: mac.InstanceAddr(mac.MustParseSegment("06:00:00:00:00:00/8"), "file", uint64(i))}, nil) {
				return
			}
		}
	}
	for _, only := range []bool{true, false} {
		b.Run(fmt.Sprintf("check only=%t", only), func(b *testing.B) {
			for i := range b.N {
				res, err := s.ImportMACs(b.Context(), admin, store.MACImport{Source: fmt.Sprint("cloud", i), TenantID: "red", CheckOnly: only}, file)
				if err != nil || res.Lines != lines {
					b.Fatal(res, err)
				}
			}
			b.ReportMetric(float64(b.N)*lines/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// BenchmarkLineage looks things up among ten million events of ten thousand
// tenants. It fills the table past the store.
func BenchmarkLineage(b *testing.B) {
	s := setup(b)
	if err := s.KeepLineage(b.Context(), sql[time.Time](s, `SELECT now()`), 0); err != nil {
		b.Fatal(err)
	}
	conn := must(pgx.Connect(b.Context(), s.url))(b)
	defer conn.Close(context.WithoutCancel(b.Context()))
	const events = 10_000_000
	for _, fill := range []string{
		`SET synchronous_commit = off`,
		`INSERT INTO mac_events (at, address, kind, state, tenant_id, port_id, device_id, ips, host, datapath, interface, actor)
		 SELECT now() - ($1::bigint - i) * interval '10 milliseconds', 2199023255552 + i % 2000000, 'change', 'active', 'tenant-' || i % 10000,
			gen_random_uuid(), 'vm-' || i % 2000000, ARRAY['10.0.0.0'::inet + i % 2000000], lpad(to_hex(i % 1000), 16, '0'), lpad(to_hex(i % 1000), 16, '0'), 'tap0', 'user-' || i % 5000
		 FROM generate_series(1, $1::bigint) AS i`,
		`ANALYZE mac_events`,
	} {
		a := []any{}
		if len(fill) > 100 {
			a = append(a, int64(events))
		}
		if _, err := conn.Exec(b.Context(), fill, a...); err != nil {
			b.Fatal(err)
		}
	}
	at := sql[time.Time](s, `SELECT now() - interval '10 hours'`)
	for name, q := range lineageQueries(at) {
		b.Run(name, func(b *testing.B) {
			var found int
			for i := range b.N {
				list, err := s.Lineage(b.Context(), admin, q(i))
				if err != nil {
					b.Fatal(err)
				}
				found = len(list)
			}
			if found == 0 {
				b.Fatal("nothing found")
			}
		})
	}
}

func lineageQueries(at time.Time) map[string]func(i int) store.LineageQuery {
	address := func(i int) mac.Addr { return 2199023255552 + mac.Addr(i*7919%2_000_000) }
	ip := func(i int) netip.Addr {
		n := uint32(10<<24 + i*7919%2_000_000)
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	return map[string]func(i int) store.LineageQuery{
		"mac":    func(i int) store.LineageQuery { return store.LineageQuery{MAC: address(i)} },
		"mac at": func(i int) store.LineageQuery { return store.LineageQuery{MAC: address(i), At: at} },
		"ip":     func(i int) store.LineageQuery { return store.LineageQuery{IP: ip(i)} },
		"ip at":  func(i int) store.LineageQuery { return store.LineageQuery{IP: ip(i), At: at} },
		"instance": func(i int) store.LineageQuery {
			return store.LineageQuery{DeviceID: fmt.Sprint("vm-", i*7919%2_000_000)}
		},
		"instance at": func(i int) store.LineageQuery {
			return store.LineageQuery{DeviceID: fmt.Sprint("vm-", i*7919%2_000_000), At: at}
		},
		"tenant": func(i int) store.LineageQuery {
			return store.LineageQuery{TenantID: fmt.Sprint("tenant-", i%10000), Limit: 100}
		},
		"tenant at": func(i int) store.LineageQuery {
			return store.LineageQuery{TenantID: fmt.Sprint("tenant-", i%10000), At: at, Limit: 100}
		},
		"user": func(i int) store.LineageQuery {
			return store.LineageQuery{User: fmt.Sprint("user-", i%5000), Limit: 100}
		},
		"switch": func(i int) store.LineageQuery {
			return store.LineageQuery{Switch: fmt.Sprintf("%016x", i%1000), Limit: 100}
		},
	}
}
