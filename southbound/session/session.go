// Package session keeps the OpenFlow connections of switches: it accepts and
// negotiates them, reads each in order, writes many messages with one system
// call, ties answers and errors to the requests that caused them, and ends a
// connection that stalls, floods or breaks the protocol. What a message means
// is the business of the caller.
//
// All memory that a switch can make a session use is bounded:
//
//   - packet-ins by a queue for each kind that drops and counts (Queue),
//   - notices by a channel whose overflow ends the session, because a lost
//     port status can only be made good by reading everything again,
//   - answers by Config.MultipartBytes or the Limit of a request,
//   - messages to a switch that does not read by ErrOverfull (Send), by waiting
//     (Commit) and by the write deadline,
//   - connections by Config.MaxSessions, MaxPerAddress and MaxHandshakes.
//
// Conn.Held says how much it is. No switch can block another: what reads from
// it never waits for anybody, and it has a writer of its own.
package session

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/openflow"
)

// Config says how sessions behave. The zero value of every field but Log means
// its default.
type Config struct {
	Log *zap.Logger
	// EchoInterval is how long a switch may be silent before it is asked for
	// an echo (5 s), EchoTimeout how long it may take to answer (15 s: a switch
	// that applies a large bundle answers nothing meanwhile).
	EchoInterval, EchoTimeout time.Duration
	// HandshakeTimeout bounds hello and features (5 s).
	HandshakeTimeout time.Duration
	// RequestTimeout bounds the wait for an answer, for each part of it where
	// it has several (30 s). A context with an earlier deadline goes first.
	RequestTimeout time.Duration
	// WriteTimeout is how long a switch may take to read 64 KiB (10 s).
	WriteTimeout time.Duration
	// MaxSessions bounds the connections of a Serve (10,000), MaxPerAddress
	// those from one IPv4 address or one IPv6 /64 (half of MaxSessions: many
	// switches may be behind one address, but they must leave room for others).
	MaxSessions, MaxPerAddress int
	// MaxHandshakes bounds how many of them are in their handshake at a time
	// (256). The others wait for a place; addresses take turns.
	MaxHandshakes int
	// PacketIns are the kinds of packet-ins, by number (one kind without a
	// name). Classify says to which kind one belongs: the number of the kind,
	// any other to drop it as unwanted. It is called while reading, so it must be
	// quick; nil means kind 0.
	PacketIns []Kind
	Classify  func(Head) int
	// NoticeQueue is how many notices of one switch may wait (2,048), with
	// no more than 2 KiB times as many bytes.
	NoticeQueue int
	// SendBytes is how much may wait for a switch that reads slowly before Send
	// refuses more (4 MiB). Commit waits when there is a sixteenth of it.
	SendBytes int
	// MultipartBytes is the largest answer to one multipart request (256 MiB).
	MultipartBytes int
	// Admit may turn a switch away that has finished the handshake; its error
	// says why and is logged as of a failed handshake. It should not wait for
	// anything. Nil admits all.
	Admit func(c *Conn) error
	// Stats counts what happens on all sessions; nil for nobody.
	Stats *Stats
}

func (cfg Config) withDefaults() *Config {
	orDuration := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	orInt := func(n *int, def int) {
		if *n <= 0 {
			*n = def
		}
	}
	orDuration(&cfg.EchoInterval, 5*time.Second)
	orDuration(&cfg.EchoTimeout, 15*time.Second)
	orDuration(&cfg.HandshakeTimeout, 5*time.Second)
	orDuration(&cfg.RequestTimeout, 30*time.Second)
	orDuration(&cfg.WriteTimeout, 10*time.Second)
	orInt(&cfg.MaxHandshakes, 256)
	orInt(&cfg.MaxSessions, 10_000)
	orInt(&cfg.MaxPerAddress, max(1, cfg.MaxSessions/2))
	cfg.PacketIns = slices.Clone(cfg.PacketIns)
	if len(cfg.PacketIns) == 0 {
		cfg.PacketIns = make([]Kind, 1)
	}
	for i := range cfg.PacketIns {
		orInt(&cfg.PacketIns[i].Queue, 4096)
	}
	orInt(&cfg.NoticeQueue, 2048)
	orInt(&cfg.SendBytes, 4<<20)
	orInt(&cfg.MultipartBytes, 256<<20)
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Stats == nil {
		cfg.Stats = new(Stats)
	}
	return &cfg
}

// Reasons that end a session or refuse a message. Conn.Err returns them,
// wrapped or as they are.
var (
	// ErrStopped ends the sessions of a Serve whose context is done.
	ErrStopped = errors.New("session: the controller is stopping")
	// ErrHandled ends a session whose handler has returned.
	ErrHandled = errors.New("session: the controller is done with the switch")
	// ErrPeerClosed ends a session that the switch closed between two messages.
	ErrPeerClosed = errors.New("session: the switch closed the connection")
	// ErrNoEcho ends the session of a switch that fell silent.
	ErrNoEcho = errors.New("session: the switch does not answer echo requests")
	// ErrResync ends a session whose notices were not taken in time: what is
	// known of the switch may be wrong, and reading everything again after a
	// reconnect is the one way to make it right.
	ErrResync = errors.New("session: notices of the switch came faster than they were handled, resync")
	// ErrOverfull is returned by Send while too much waits for a switch that
	// reads slowly. Nothing of the call was sent.
	ErrOverfull = errors.New("session: the switch reads too slowly, message not sent")
)

// Conn is a negotiated connection to one switch. Its methods may be called by
// many goroutines at once.
type Conn struct {
	cfg *Config
	nc  net.Conn
	log atomic.Pointer[zap.Logger] // the loops run before the handshake says the dpid

	ctx    context.Context
	cancel context.CancelCauseFunc
	loops  sync.WaitGroup

	features openflow.FeaturesReply
	xids     atomic.Uint32
	bundleID atomic.Uint32
	bundles  atomic.Int32 // bundleSupport

	in        intake
	out       outbox
	calls     callTable
	packetIns []*Queue // by kind
	notices   chan Notice
	unnoticed backlog
	badLog    quiet
	role      roleState
}

// newConn makes a connection of nc, which is closed when ctx is done.
func newConn(ctx context.Context, cancel context.CancelCauseFunc, nc net.Conn, cfg *Config) *Conn {
	c := &Conn{
		cfg:     cfg,
		nc:      nc,
		ctx:     ctx,
		cancel:  cancel,
		notices: make(chan Notice, cfg.NoticeQueue),
	}
	c.log.Store(cfg.Log.With(zap.Stringer("remote", nc.RemoteAddr())))
	for _, k := range cfg.PacketIns {
		q := newQueue(c, k.Queue)
		q.read = c.readFor
		c.packetIns = append(c.packetIns, q)
	}
	c.role.role = openflow.RoleEqual
	c.in.init(nc)
	c.out.init(nc, cfg.SendBytes)
	return c
}

// Features is what the switch said of itself in the handshake.
func (c *Conn) Features() openflow.FeaturesReply { return c.features }

// RemoteAddr is the address of the switch.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Context is done when the session has ended; its cause is Err.
func (c *Conn) Context() context.Context { return c.ctx }

// Done is closed when the session has ended.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Err says why the session has ended, nil while it lasts.
func (c *Conn) Err() error { return context.Cause(c.ctx) }

// Close ends the session for the reason given, which the disconnect log line
// shows. The first reason stays. Messages that still wait are not sent.
func (c *Conn) Close(reason error) { c.cancel(reason) }

// PacketIns is the queue of the packet-ins of a kind, a number of Config.PacketIns.
func (c *Conn) PacketIns(kind int) *Queue { return c.packetIns[kind] }

// Notices gives what the switch reports unasked, in order. The channel is
// closed when the session has ended.
func (c *Conn) Notices() <-chan Notice { return c.notices }

// nextXIDs reserves n transaction ids and returns the first of them.
func (c *Conn) nextXIDs(n int) uint32 {
	return c.xids.Add(uint32(n)) - uint32(n)
}

// quiet lets one log line pass in ten seconds and counts the others.
type quiet struct {
	mu      sync.Mutex
	until   time.Time
	skipped int
}

const quietInterval = 10 * time.Second

// pass says whether to log now, and how many lines were left out before.
func (q *quiet) pass() (skipped int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if now.Before(q.until) {
		q.skipped++
		return 0, false
	}
	skipped, q.skipped, q.until = q.skipped, 0, now.Add(quietInterval)
	return skipped, true
}
