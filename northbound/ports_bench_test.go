package northbound

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/store/storetest"
)

// processorTime is what this process and the database have used so far; what
// the client costs is in it.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), storetest.URL(b))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(b.Context()) }()
	var backend int
	if err := conn.QueryRow(b.Context(), `SELECT pg_backend_pid()`).Scan(&backend); err != nil {
		b.Fatal(err)
	}
	_, server, _ := processTime(backend)
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	total := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.Skip("processor time is read from /proc")
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if took, parent, ok := processTime(pid); ok && (parent == server || pid == server) {
			total += took
		}
	}
	return total
}

// processTime is the time that a process and its ended children have used.
func processTime(pid int) (took time.Duration, parent int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, false
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	for _, ticks := range f[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.Atoi(ticks)
		took += time.Duration(n) * 10 * time.Millisecond
	}
	parent, err = strconv.Atoi(f[1])
	return took, parent, err == nil
}

// BenchmarkPortsOverREST makes and reads ports with an IP address, a MAC
// address and the default group.
func BenchmarkPortsOverREST(b *testing.B) {
	body := func(network string, n int) string {
		port := `{"network_id": "` + network + `", "name": "p", "device_id": "vm"}`
		if n == 1 {
			return `{"port": ` + port + `}`
		}
		return `{"ports": [` + strings.Join(slices.Repeat([]string{port}, n), ",") + `]}`
	}
	prepare := func(b *testing.B) (*api, string) {
		a := setup(b)
		network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
		a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/8"}}`)
		for range 20 {
			a.want(201, "POST", "/v2.0/ports", "red", body(network, 1))
		}
		return a, network
	}
	for _, c := range []struct{ clients, bulk int }{{1, 1}, {8, 1}, {1, 100}, {1, 1000}} {
		b.Run(fmt.Sprintf("create/clients=%d/bulk=%d", c.clients, c.bulk), func(b *testing.B) {
			a, network := prepare(b)
			text := body(network, c.bulk)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: c.clients}}
			post := func() time.Duration {
				start := time.Now()
				req, err := http.NewRequest("POST", a.url+"/v2.0/ports", strings.NewReader(text))
				if err != nil {
					b.Error(err)
					return 0
				}
				req.Header.Set("X-Auth-Token", "red")
				resp, err := client.Do(req)
				if err != nil {
					b.Error(err)
					return 0
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != 201 {
					b.Errorf("code %d", resp.StatusCode)
				}
				return time.Since(start)
			}
			post()
			before := processorTime(b)
			var left atomic.Int64
			left.Store(int64(b.N))
			took := make([][]time.Duration, c.clients)
			b.ResetTimer()
			var work sync.WaitGroup
			for i := range c.clients {
				work.Go(func() {
					for left.Add(-1) >= 0 {
						took[i] = append(took[i], post())
					}
				})
			}
			work.Wait()
			b.StopTimer()
			ports := float64(b.N * c.bulk)
			all := slices.Sorted(slices.Values(slices.Concat(took...)))
			b.ReportMetric(ports/b.Elapsed().Seconds(), "ports/s")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric((processorTime(b)-before).Seconds()*1000/ports, "cpu-ms/port")
		})
	}
	a, network := prepare(b)
	for range 10 {
		a.want(201, "POST", "/v2.0/ports", "red", body(network, 998))
	}
	id := idOf(a.page("/v2.0/ports?limit=1&fields=id", "red").objects[0])
	for name, path := range map[string]string{"list 10000": "/v2.0/ports", "list 100": "/v2.0/ports?limit=100", "show": "/v2.0/ports/" + id} {
		b.Run(name, func(b *testing.B) {
			before := processorTime(b)
			for b.Loop() {
				req, err := http.NewRequest("GET", a.url+path, nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("X-Auth-Token", "red")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				n, _ := io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				b.SetBytes(n)
			}
			b.ReportMetric((processorTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
}
