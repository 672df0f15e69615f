package ovsdb

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestTargetsAreReadAsConnectionMethods(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]target{
		"tcp:192.0.2.1:6641":     {"tcp", "192.0.2.1:6641", "192.0.2.1", false},
		"tcp:192.0.2.1":          {"tcp", "192.0.2.1:6640", "192.0.2.1", false},
		"ssl:host.example:6641":  {"tcp", "host.example:6641", "host.example", true},
		"tcp:[2001:db8::1]:6641": {"tcp", "[2001:db8::1]:6641", "2001:db8::1", false},
		"ssl:[2001:db8::1]":      {"tcp", "[2001:db8::1]:6640", "2001:db8::1", true},
		"unix:/run/db.sock":      {"unix", "/run/db.sock", "", false},
		"ptcp:6640":              {}, "tcp:": {}, "tcp::6640": {}, "tcp:h:0": {}, "tcp:h:x": {}, "tcp:h:65536": {}, "unix:": {}, "": {}, "tcp:2001:db8::1": {},
	} {
		got, err := parseTarget(text)
		if (err != nil) != (want == target{}) || got != want {
			t.Errorf("%q: want %+v, got %+v, %v", text, want, got, err)
		}
	}
}

func TestDialedConnectionOutlivesTheContextOfDialing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go answerDatabases(ln)
	ctx, cancel := context.WithCancel(context.Background())
	c, err := Dial(ctx, "unix:"+path, Config{Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if names, err := c.Databases(context.Background()); err != nil || len(names) != 1 {
		t.Errorf("want one database, got %v, %v", names, err)
	}
	reason := errors.New("enough")
	c.Close(reason)
	<-c.Done()
	if _, err := c.Databases(context.Background()); !errors.Is(err, reason) {
		t.Errorf("after Close: want %v, got %v", reason, err)
	}
}

func TestDialFailsWithItsContextAndForWrongPeers(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // it never accepts: the peer is silent
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, "tcp:"+ln.Addr().String(), Config{Log: zap.NewNop()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context: want %v, got %v", context.DeadlineExceeded, err)
	}
	cfg := Config{Log: zap.NewNop(), HandshakeTimeout: 50 * time.Millisecond}
	for _, target := range []string{"tcp:" + ln.Addr().String(), "ssl:" + ln.Addr().String(), "unix:/nowhere/at/all", "pipe:x"} {
		if c, err := Dial(context.Background(), target, cfg); err == nil {
			c.Close(ErrHandled)
			t.Errorf("%s: want an error", target)
		}
	}
	if err := Follow(context.Background(), "pipe:x", cfg, nil); err == nil {
		t.Error("Follow of no target: want an error")
	}
}

func TestFollowWaitsLongerFromFailureToFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	core, logs := observer.New(zap.InfoLevel)
	now := time.Unix(1000, 0)
	var pauses []time.Duration
	script := []string{"fail", "fail", "fail", "fail", "other", "short", "fail", "long", "fail"}
	random := 0.0
	f := &follower{
		log: zap.New(core), random: func() float64 { return random }, now: func() time.Time { return now },
		after: func(d time.Duration) <-chan time.Time {
			pauses = append(pauses, d)
			fired := make(chan time.Time, 1)
			fired <- now
			return fired
		},
	}
	f.dial = func(ctx context.Context) (*Conn, error) {
		if len(script) == 0 {
			cancel()
			return nil, ctx.Err()
		}
		step := script[0]
		script = script[1:]
		switch step {
		case "fail", "other":
			return nil, errors.New(step)
		case "long":
			f.handle = func(context.Context, *Conn) { now = now.Add(time.Hour); panic("a defect") }
		default:
			f.handle = func(context.Context, *Conn) { random = 0.5 }
		}
		return newConn(ctx, discard{}, (Config{Log: zap.NewNop()}).withDefaults(), func(int) error { return nil }, &memory{}), nil
	}
	f.run(ctx)
	const s = time.Second
	want := []time.Duration{s, 2 * s, 4 * s, 8 * s, 8 * s, 6 * s, 6 * s, s * 3 / 4, s * 3 / 2}
	if d := cmp.Diff(want, pauses); d != "" {
		t.Errorf("pauses (-want +got):\n%s", d)
	}
	var lines []string
	for _, e := range logs.All() {
		text, _ := e.ContextMap()["error"].(string)
		lines = append(lines, e.Message+" "+text)
	}
	wantLines := []string{
		"OVSDB not connected; will try again fail", "OVSDB not connected; will try again other",
		"OVSDB connected ", "OVSDB not connected; will try again " + ErrHandled.Error(),
		"OVSDB not connected; will try again fail", "OVSDB connected ", "handler panicked ",
		"OVSDB not connected; will try again " + ErrHandled.Error(), "OVSDB not connected; will try again fail",
	}
	if d := cmp.Diff(wantLines, lines); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}
