package northbound

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
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

// postmaster finds the process of the database.
func postmaster(b *testing.B) int {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), storetest.EmptyURL(b))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(b.Context()) }()
	var backend int
	if err := conn.QueryRow(b.Context(), `SELECT pg_backend_pid()`).Scan(&backend); err != nil {
		b.Fatal(err)
	}
	_, server, ok := processTime(backend)
	if !ok {
		b.Skip("processor time is read from /proc of this machine")
	}
	return server
}

// processorTime is what this process and the database have used so far; what
// the client costs is in it.
func processorTime(b *testing.B, server int) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	total := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.Fatal(err)
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

// client sends requests over one connection. It does as little as can be: what
// a client costs is up to who writes it.
type client struct {
	host string
	conn net.Conn
	in   *bufio.Reader
}

func (c *client) open(b *testing.B) {
	conn, err := net.Dial("tcp", c.host)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	c.conn, c.in = conn, bufio.NewReaderSize(conn, 64<<10)
}

// took sends a request and says how long it took until the answer was there.
func (c *client) took(b *testing.B, code int, request string) (time.Duration, int64) {
	start := time.Now()
	if _, err := io.WriteString(c.conn, request); err != nil {
		b.Error(err)
		return 0, 0
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		b.Error(err)
		return 0, 0
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != code {
		text, _ := io.ReadAll(resp.Body)
		b.Errorf("code %d: %s", resp.StatusCode, text)
		return 0, 0
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		b.Error(err)
		return 0, 0
	}
	return time.Since(start), n
}

func (c *client) request(method, path, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nX-Auth-Token: red\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, c.host, len(body), body)
}

// measure sends one request b.N times by so many clients, and reports how long
// it took and what processor time it cost.
func measure(b *testing.B, server, parallel, objects, code int, host, method, path, body string) {
	clients := make([]client, parallel)
	for i := range clients {
		clients[i].host = host
		clients[i].open(b)
	}
	request := clients[0].request(method, path, body)
	for range 2 { // connections and their prepared statements
		var first sync.WaitGroup
		for i := range clients {
			first.Go(func() {
				_, n := clients[i].took(b, code, request)
				if i == 0 {
					b.SetBytes(n)
				}
			})
		}
		first.Wait()
	}
	before := processorTime(b, server)
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, parallel)
	b.ResetTimer()
	var work sync.WaitGroup
	for i := range parallel {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				d, _ := clients[i].took(b, code, request)
				took[i] = append(took[i], d)
			}
		})
	}
	work.Wait()
	b.StopTimer()
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(all[len(all)/2]), "p50-ms")
	b.ReportMetric(ms(all[len(all)*99/100]), "p99-ms")
	b.ReportMetric((processorTime(b, server)-before).Seconds()*1000/float64(b.N*objects), "cpu-ms/op")
	b.ReportMetric(float64(b.N*objects)/b.Elapsed().Seconds(), "op/s")
}

// BenchmarkPortsOverREST makes and reads ports with an IP address, a MAC
// address and the default group; an op is a port made, or a GET. The processor
// time is that of the server, a frugal client and PostgreSQL with all its processes.
func BenchmarkPortsOverREST(b *testing.B) {
	server := postmaster(b)
	instance := 0
	body := func(network string, n int) string {
		var list []string
		for range n {
			instance++
			list = append(list, fmt.Sprintf(`{"network_id": %q, "name": "p", "device_id": "vm-%d"}`, network, instance))
		}
		if n == 1 {
			return `{"port": ` + list[0] + `}`
		}
		return `{"ports": [` + strings.Join(list, ",") + `]}`
	}
	pg := ""
	prepare := func(b *testing.B) (a *api, host, network string) {
		pg = storetest.URL(b)
		a = setupOn(b, storetest.Open(b, pg), func(*Options) {})
		network = idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
		a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/8"}}`)
		return a, strings.TrimPrefix(a.url, "http://"), network
	}
	for _, c := range []struct{ clients, bulk int }{{1, 1}, {8, 1}, {1, 100}, {1, 1000}} {
		b.Run(fmt.Sprintf("create/clients=%d/bulk=%d", c.clients, c.bulk), func(b *testing.B) {
			_, host, network := prepare(b)
			measure(b, server, c.clients, c.bulk, http.StatusCreated, host, "POST", "/v2.0/ports", body(network, c.bulk))
		})
	}
	a, host, network := prepare(b)
	maker := client{host: host}
	maker.open(b)
	for range 10 {
		maker.took(b, http.StatusCreated, maker.request("POST", "/v2.0/ports", body(network, 1000)))
	}
	analyze(b, pg) // as the server does by itself within a minute
	id := idOf(a.page("/v2.0/ports?limit=1&fields=id", "red").objects[0])
	for _, c := range []struct{ name, path string }{
		{"list 10000", "/v2.0/ports"},
		{"list 100", "/v2.0/ports?limit=100"},
		{"filter device", "/v2.0/ports?device_id=vm-" + strconv.Itoa(instance)},
		{"show", "/v2.0/ports/" + id},
	} {
		b.Run(c.name, func(b *testing.B) { measure(b, server, 1, 1, http.StatusOK, host, "GET", c.path, "") })
	}
}

func analyze(b *testing.B, pg string) {
	conn, err := pgx.Connect(b.Context(), pg)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.Context()))
	if _, err := conn.Exec(b.Context(), "ANALYZE"); err != nil {
		b.Fatal(err)
	}
}
