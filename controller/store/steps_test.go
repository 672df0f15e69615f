package store_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

// wiretap stands between a store and its database and notes what is asked.
type wiretap struct {
	mu    sync.Mutex
	trips [][]string // of every connection, the statements between two Syncs
}

// take returns what was asked since the last time, but for what the publisher
// of the feed asks in the background.
func (w *wiretap) take() (trips [][]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, trip := range w.trips {
		if !strings.Contains(strings.Join(trip, " "), "publish_changes") {
			trips = append(trips, trip)
		}
	}
	w.trips = nil
	return trips
}

// listen hands connections on to a database and returns its address there.
func (w *wiretap) listen(t *testing.T, database string) string {
	t.Helper()
	u := must(url.Parse(database))(t)
	network, address := "tcp", u.Host
	if dir := u.Query().Get("host"); dir != "" {
		network, address = "unix", dir+"/.s.PGSQL."+u.Query().Get("port")
	}
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial(network, address)
			if err != nil {
				_ = from.Close()
				continue
			}
			go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
			go func() { w.forward(from, to); _ = to.Close() }()
		}
	}()
	q := u.Query()
	q.Del("host")
	q.Del("port")
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = l.Addr().String(), q.Encode()
	return u.String()
}

// forward reads the messages of a client.
func (w *wiretap) forward(from io.Reader, to io.Writer) {
	statements, bound := map[string]string{}, ""
	var trip []string
	var head [5]byte
	startup := true
	for {
		size := 5
		if startup {
			size = 4 // the first message has no type
		}
		if _, err := io.ReadFull(from, head[:size]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[size-4:size])-4)
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		words := strings.SplitN(string(body), "\x00", 3)
		switch kind := head[0]; {
		case startup:
			startup = false
		case kind == 'P': // Parse: statement, text
			statements[words[0]] = words[1]
		case kind == 'B': // Bind: portal, statement
			bound = statements[words[1]]
		case kind == 'E': // Execute
			trip = append(trip, bound)
		case kind == 'Q':
			trip = append(trip, words[0])
			fallthrough
		case kind == 'S':
			w.mu.Lock()
			if len(trip) > 0 {
				w.trips = append(w.trips, trip)
			}
			w.mu.Unlock()
			trip = nil
		}
		if _, err := to.Write(append(head[:size:size], body...)); err != nil {
			return
		}
	}
}

func TestAPortTakesTwoRoundTripsAndSeveralTakeThree(t *testing.T) {
	t.Parallel()
	var w wiretap
	database := storetest.URL(t)
	b := &bundle{Store: storetest.Open(t, w.listen(t, database)), t: t, ctx: t.Context(), url: database}
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/8")
	b.DescribeBy(describePort)
	port := newPort(n)
	port.DeviceID = "vm"
	// Leases and statements are there afterwards.
	for range 20 {
		must(b.CreatePorts(b.ctx, red, []store.NewPort{port}))(t)
	}
	surroundings := []string{"begin", "SELECT tenants", "SELECT networks", "SELECT subnets", "SELECT quotas", "lock segments", "SELECT mac_segments", "SELECT mac_addresses"}
	ofOne := [][]string{
		surroundings,
		{"SELECT make_port", "SELECT quotas", "INSERT outbox", "COMMIT"}, // and audit_log in the same statement
	}
	ofSeveral := [][]string{
		surroundings,
		{"INSERT ports", "INSERT port_security_groups", "INSERT mac_addresses", "INSERT fixed_ips"},
		{"SELECT quotas", "INSERT outbox", "INSERT audit_log", "INSERT mac_usage_changes", "INSERT mac_events", "COMMIT"},
	}
	w.take()
	for _, c := range []struct {
		list []store.NewPort
		want [][]string
	}{
		{[]store.NewPort{port}, ofOne},
		{[]store.NewPort{port, port, port}, ofSeveral},
	} {
		must(b.CreatePorts(b.ctx, red, c.list))(t)
		var got [][]string
		for _, trip := range w.take() {
			var short []string
			for _, sql := range trip {
				short = append(short, nameOf(sql))
			}
			got = append(got, short)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d ports: (-want +got)\n%s", len(c.list), diff)
		}
	}
}

var (
	insertInto = regexp.MustCompile(`INSERT INTO (\w+)`)
	selectFrom = regexp.MustCompile(`FROM (\w+)`)
)

// nameOf is what a statement does, and to which table.
func nameOf(sql string) string {
	switch {
	case strings.HasPrefix(sql, "BEGIN"):
		return "begin"
	case strings.Contains(sql, "pg_advisory_xact_lock_shared"):
		return "lock segments"
	}
	if m := insertInto.FindStringSubmatch(sql); m != nil {
		return "INSERT " + m[1]
	}
	if m := selectFrom.FindAllStringSubmatch(sql, -1); m != nil {
		return "SELECT " + m[len(m)-1][1] // those before are of sub-selects
	}
	return sql
}
