package ovsdb

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestOneAddressTakesNoMoreThanItsShare(t *testing.T) {
	t.Parallel()
	l := newLimits(Config{MaxConns: 5, MaxConnsPerAddress: 3, MaxMemory: 100, MaxMemoryPerAddress: 60}.withDefaults())
	join := func(host string) *share {
		t.Helper()
		s, err := l.join(host)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := join("a"), join("b")
	join("a")
	join("a")
	if _, err := l.join("a"); err == nil || !strings.Contains(err.Error(), "from this address") {
		t.Errorf("fourth connection of an address: want an error that says so, got %v", err)
	}
	join("c")
	if _, err := l.join("d"); err == nil || !strings.Contains(err.Error(), "5 connections") {
		t.Errorf("sixth connection: want an error that says so, got %v", err)
	}
	for _, step := range []struct {
		s      *share
		add    int
		refuse string
	}{{a, 50, ""}, {a, 20, "this address"}, {b, 50, ""}, {b, 1, "all connections"}, {a, -10, ""}, {b, 10, ""}} {
		if err := step.s.grow(step.add); (err == nil) != (step.refuse == "") || err != nil && !strings.Contains(err.Error(), step.refuse) {
			t.Errorf("%s %+d: want an error with %q, got %v", step.s.host, step.add, step.refuse, err)
		}
	}
	a.leave()
	join("a")
}

func TestAddressesOfAnIPv6NetworkAreOne(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1:7": "192.0.2.1", "[::ffff:192.0.2.1]:7": "192.0.2.1", "[2001:db8:1:2:3::4]:7": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:7": "fe80::/64", "[::1]:7": "::1",
	} {
		if got := hostOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))); got != want {
			t.Errorf("%s: want %s, got %s", address, want, got)
		}
	}
	if got := hostOf(&net.UnixAddr{Name: "@", Net: "unix"}); got != "unix" {
		t.Errorf("want unix, got %s", got)
	}
}

func TestRefusalsOfOneAddressAreLoggedOnceInAWhile(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	q := newQuiet(func() time.Time { return now })
	said := func(host string) (bool, int) { return q.may(host) }
	for i, want := range []bool{true, false, false} {
		if ok, _ := said("a"); ok != want {
			t.Errorf("refusal %d: want said %v, got %v", i, want, ok)
		}
	}
	if ok, unsaid := said("b"); !ok || unsaid != 2 {
		t.Errorf("another address: want said, after 2 that were not, got %v, %d", ok, unsaid)
	}
	now = now.Add(quietTime)
	if ok, _ := said("a"); !ok {
		t.Error("later: want said")
	}
	for i := range 2 * quietHosts {
		said(string(rune(i + 1000)))
	}
	if len(q.hosts) > quietHosts {
		t.Errorf("want at most %d addresses remembered, got %d", quietHosts, len(q.hosts))
	}
}

// A thousand connections, updates without end, garbage and silence: whoever
// behaves is served all the same, and gets through in a few milliseconds.
func TestHostilePeersBlockNobody(t *testing.T) {
	t.Parallel()
	cfg := Config{MaxConnsPerAddress: 100, MaxReplica: 1 << 20, MaxMemoryPerAddress: 8 << 20, HandshakeTimeout: time.Minute}
	s := newSetup(t, cfg)
	good, c := s.connect()
	w := watching(t, c)
	good.schema()
	good.refuse("monitor_cond_since")
	id, name, _ := good.monitor("monitor_cond")
	good.send(`{"id":` + id + `,"error":null,"result":` + initialDiffs + `}`)
	w.until(initialState())

	var flooding []*peer
	for i := range 4 {
		p, conn := s.connect()
		flooded := watching(t, conn)
		p.schema()
		p.refuse("monitor_cond_since")
		id, name, _ := p.monitor("monitor_cond")
		p.send(`{"id":` + id + `,"error":null,"result":` + initialDiffs + `}`)
		flooded.until(initialState())
		go func() {
			// One that changes a row for ever, and one that sends ever more rows.
			text := []byte(strings.Repeat(`{"id":null,"method":"update2","params":[`+name+`,{"Interface":{"i1":{"modify":{"ofport":7}}}}]}`, 100))
			if i%2 == 1 {
				text = []byte(`{"id":null,"method":"update2","params":[` + name + `,{"Interface":{` + manyRows(2000) + `}}]}`)
			}
			for err := error(nil); err == nil; {
				_, err = p.nc.Write(text)
			}
		}()
		go func() {
			for range flooded.seen { // takes what is shown
			}
		}()
		flooding = append(flooding, p)
	}
	for i := range 1000 {
		nc, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		if i%3 == 0 {
			_, _ = nc.Write([]byte(`{"id":1,"result":[`)) // the server may have closed it
		}
	}
	for i := range 20 {
		good.send(`{"id":null,"method":"update2","params":[` + name + `,{"Open_vSwitch":{"o":{"modify":{"cur_cfg":` + string(rune('0'+i%10)) + `}}}}]}`)
		want := initialState()
		want.CurCfg = int64(i % 10)
		w.until(want)
	}
	if err := c.Err(); err != nil {
		t.Errorf("the good peer lost its connection: %v", err)
	}
	flooding[1].closed() // of those with too many rows
	flooding[3].closed()
}

func manyRows(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + strings.Repeat("0", 8) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + `":{"insert":{"name":"x"}}`)
	}
	return b.String()
}

// What a message makes the decoder allocate, kept or not, is bounded by what
// is accounted for and one set or map.
func TestMessagesThatAreRefusedAllocateLittle(t *testing.T) {
	// Not parallel: it measures what the whole process allocates.
	const message = 8 << 20
	fill := func(head, part, tail string) []byte {
		return []byte(head + strings.Repeat(part, message/len(part)) + tail)
	}
	for name, text := range map[string][]byte{
		"rows":        []byte(`{"Interface":{` + manyRows(17_000) + `}}`),
		"same row":    fill(`{"Interface":{`, `"a":{"insert":{}},`, `"a":{"insert":{}}}}`),
		"deleted":     fill(`{"Interface":{`, `"a":{"delete":null},`, `"a":{"delete":null}}}`),
		"set":         fill(`{"Port":{"a":{"insert":{"interfaces":["set",[`, `["uuid","x"],`, `["uuid","x"]]]}}}}`),
		"map":         fill(`{"Port":{"a":{"insert":{"external_ids":["map",[`, `["a","b"],`, `["a","b"]]]}}}}`),
		"columns":     fill(`{"Port":{"a":{"insert":{`, `"other":7,`, `"other":7}}}}`),
		"long string": fill(`{"Port":{"a":{"insert":{"name":"`, `\u0041`, `"}}}}`),
	} {
		const kept = 1 << 20
		r := newReplica(kept, func(int) error { return nil })
		r.begin(&watch{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := r.apply(text, formDiffs)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 4*message {
			t.Errorf("%s: %d bytes allocated for a message of %d (%v)", name, got, len(text), err)
		}
		if r.used > kept {
			t.Errorf("%s: %d bytes kept, %d allowed", name, r.used, kept)
		}
	}
	// The same for the answer of a select.
	text := fill(`[{"rows":[{`, `"a":1,`, `"a":1}]}]`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := decodeResults(text, []Operation{Select("Port", nil)})
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > 4*message {
		t.Errorf("select: want an error and at most %d bytes allocated, got %v, %d", 4*message, err, got)
	}
}

func TestPeerWhoseRowsDoNotFitLosesItsConnection(t *testing.T) {
	t.Parallel()
	s := newSetup(t, Config{MaxReplica: 16 << 10})
	p, c := s.connect()
	w := watching(t, c)
	p.schema()
	p.refuse("monitor_cond_since")
	p.send(`{"id":` + p.request("monitor_cond") + `,"error":null,"result":{"Interface":{` + manyRows(100) + `}}}`)
	p.closed()
	if err := <-w.done; err == nil || !strings.Contains(err.Error(), "16384 bytes") {
		t.Errorf("want an error with the limit, got %v", err)
	}
}

func TestMemoryKeepsTheNewestThatFit(t *testing.T) {
	t.Parallel()
	m := &memory{limit: 2 * (keptCost + rowCost*12)}
	var held int
	grow := func(n int) error { held += n; return nil }
	for _, key := range []string{"a", "b", "c"} {
		r := newReplica(1<<20, grow)
		if err := r.apply([]byte(`{"Interface":{`+manyRows(8)+`}}`), formDiffs); err != nil {
			t.Fatal(err)
		}
		m.keep(key, r)
	}
	if held != 0 {
		t.Errorf("what is kept is still accounted to its connection: %d bytes", held)
	}
	if m.keep("huge", &replica{grow: func(int) error { return nil }, used: m.limit}); len(m.kept) != 2 {
		t.Errorf("want two that fit, got %d", len(m.kept))
	}
	if m.take("a", grow) != nil {
		t.Error("the oldest is kept although there is no room")
	}
	refuse := func(n int) error {
		if n > 0 {
			return errors.New("no room")
		}
		return nil
	}
	if m.take("b", refuse) != nil {
		t.Error("taken although there is no room for it")
	}
	r := m.take("c", grow)
	if r == nil || len(r.interfaces.rows) != 8 || held != r.used || held == 0 {
		t.Errorf("want the newest with all its rows, accounted for; got %v, %d bytes", r, held)
	}
	if m.used != 0 || m.take("c", grow) != nil {
		t.Errorf("it is kept although it was taken; %d bytes", m.used)
	}
}
