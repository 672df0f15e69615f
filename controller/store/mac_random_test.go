package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

// game plays at random with a database and knows what must come of it. Time
// passes only as it says: the seconds that the play takes do not count.
type game struct {
	*bundle
	rnd      *rand.Rand
	now      time.Duration // that has passed
	held     map[mac.Addr]holding
	rests    map[mac.Addr]rest
	networks map[string]intent.Network
	segments []intent.Segment
	shared   []string // ids of segments that both tenants use
}

type holding struct {
	tenant, port string
	expires      time.Duration // 0: never
}

type rest struct {
	tenant string
	until  time.Duration
}

const (
	gameQuarantine = 10 * time.Minute
	gameSlack      = time.Minute // of the clock on the wall, which the game does not count
)

// gave notes an address that was given, which nobody may have had.
func (g *game) gave(a mac.Addr, tenant, port string, expires time.Duration, named bool) {
	g.t.Helper()
	if h, held := g.held[a]; held && (h.expires == 0 || h.expires > g.now+gameSlack) {
		g.t.Fatalf("%s was given to %s, but %s has it", a, tenant, h.tenant)
	}
	if r, rests := g.rests[a]; rests && r.until > g.now+gameSlack && !(named && r.tenant == tenant) {
		g.t.Fatalf("%s was given to %s after it rested until %v only, it is %v", a, tenant, r.until, g.now)
	}
	delete(g.rests, a)
	g.held[a] = holding{tenant, port, expires}
}

func (g *game) dropped(a mac.Addr) {
	g.rests[a] = rest{g.held[a].tenant, g.now + gameQuarantine}
	delete(g.held, a)
}

// expire moves on what ran out by itself.
func (g *game) expire() {
	for a, h := range g.held {
		if h.expires != 0 && h.expires <= g.now {
			g.rests[a] = rest{h.tenant, h.expires + gameQuarantine}
			delete(g.held, a)
		}
	}
}

func (g *game) tenant() store.Scope { return []store.Scope{red, blue}[g.rnd.IntN(2)] }

// some picks an address that fits, if one does.
func (g *game) some(fits func(holding) bool) (mac.Addr, bool) {
	var list []mac.Addr
	for a, h := range g.held {
		if fits(h) {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return 0, false
	}
	slices.Sort(list)
	return list[g.rnd.IntN(len(list))], true
}

// full lets a refusal pass that says so.
func (g *game) full(err error) bool {
	g.t.Helper()
	if c, ok := errors.AsType[*store.Conflict](err); ok && (c.Type == "MacAddressGenerationFailure" || c.Type == "MacAddressInUse") {
		return true
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return false
}

func (g *game) step() string {
	switch n := g.rnd.IntN(100); {
	case n < 25:
		return g.allocate()
	case n < 35:
		return g.byName()
	case n < 55:
		return g.makePorts()
	case n < 70:
		return g.release()
	case n < 82:
		return g.deletePort()
	case n < 90:
		d := time.Duration(g.rnd.IntN(8)) * time.Minute
		g.now += d
		g.age(d)
		g.expire()
		return fmt.Sprint("wait ", d)
	case n < 93:
		must(g.SweepMACs(g.ctx))(g.t)
		return "sweep"
	case n < 95:
		if err := g.FoldUsage(g.ctx); err != nil {
			g.t.Fatal(err)
		}
		return "fold"
	case n < 97:
		return g.split()
	default:
		// A controller dies and another one goes on; the dead one's leases run out.
		g.bundle.Store = storetest.Open(g.t, g.url)
		return "crash"
	}
}

func (g *game) allocate() string {
	sc := g.tenant()
	r := store.MACRequest{Count: 1 + g.rnd.IntN(3)*g.rnd.IntN(8)}
	var expires time.Duration
	if g.rnd.IntN(3) == 0 {
		r.State = intent.MACReserved
		if g.rnd.IntN(2) == 0 {
			in := time.Duration(2+g.rnd.IntN(10)) * time.Minute
			r.ExpiresAt, expires = time.Now().Add(in), g.now+in
		}
	}
	if g.rnd.IntN(2) == 0 {
		r.SegmentID = g.shared[g.rnd.IntN(len(g.shared))]
	}
	list, err := g.AllocateMACs(g.ctx, sc, r)
	if g.full(err) {
		return "allocate: full"
	}
	for _, m := range list {
		g.gave(m.Addr, sc.TenantID, "", expires, false)
	}
	return fmt.Sprint("allocate ", addrsOf(list))
}

func (g *game) byName() string {
	sc := g.tenant()
	s := g.segments[g.rnd.IntN(len(g.segments))]
	a := s.Block.At(g.rnd.Uint64N(s.Block.Size()))
	list, err := g.AllocateMACs(g.ctx, sc, store.MACRequest{Addr: a})
	if _, outside := errors.AsType[*store.Invalid](err); outside || g.full(err) {
		return fmt.Sprint("refused ", a)
	}
	g.gave(list[0].Addr, sc.TenantID, "", 0, true)
	return fmt.Sprint("by name ", a)
}

func (g *game) makePorts() string {
	sc := g.tenant()
	list := make([]store.NewPort, 1+g.rnd.IntN(3))
	for i := range list {
		list[i] = newPort(g.networks[sc.TenantID])
	}
	fails := g.rnd.IntN(4) == 0
	if fails { // when all else is done
		list[0].Binding = intent.Binding{Host: "00000000000000a1", PortNo: 1}
		list = append(list, list[0])
	}
	made, err := g.CreatePorts(g.ctx, sc, list)
	if c, ok := errors.AsType[*store.Conflict](err); ok && c.Type == "SwitchPortInUse" {
		return "ports: failed"
	}
	if g.full(err) {
		return "ports: full"
	}
	for _, p := range made {
		g.gave(p.MAC, sc.TenantID, p.ID, 0, false)
	}
	return fmt.Sprint("ports ", len(made))
}

func (g *game) release() string {
	a, ok := g.some(func(h holding) bool { return h.port == "" && (h.expires == 0 || h.expires > g.now+gameSlack) })
	if !ok {
		return "nothing to release"
	}
	if err := g.ReleaseMACs(g.ctx, store.Scope{TenantID: g.held[a].tenant}, []mac.Addr{a}); err != nil {
		g.t.Fatal(err)
	}
	g.dropped(a)
	return fmt.Sprint("release ", a)
}

func (g *game) deletePort() string {
	a, ok := g.some(func(h holding) bool { return h.port != "" })
	if !ok {
		return "no port to delete"
	}
	if err := g.DeletePort(g.ctx, store.Scope{TenantID: g.held[a].tenant}, g.held[a].port); err != nil {
		g.t.Fatal(err)
	}
	g.dropped(a)
	return fmt.Sprint("delete the port of ", a)
}

func (g *game) split() string {
	i := g.rnd.IntN(len(g.segments))
	s := g.segments[i]
	if s.Block.Bits() > 44 {
		return "no split"
	}
	parts := must(g.SplitSegment(g.ctx, admin, s.ID, s.Block.Bits()+1))(g.t)
	g.segments = slices.Replace(g.segments, i, i+1, parts...)
	if s.Shared {
		g.shared = append(g.shared, parts[1].ID)
	}
	return fmt.Sprint("split ", s.Block)
}

// check compares the database with what the game knows, and with itself.
func (g *game) check() {
	g.t.Helper()
	g.checkWhole()
	stored := map[mac.Addr]intent.MACAddress{}
	for _, m := range must(g.MACAddresses(g.ctx, admin, store.Query{}))(g.t) {
		if m.State == intent.MACActive || m.State == intent.MACReserved {
			stored[m.Addr] = m
		}
	}
	for a, h := range g.held {
		if m, ok := stored[a]; ok && (m.TenantID != h.tenant || m.PortID != h.port) {
			g.t.Errorf("%s is %+v, want %+v", a, m, h)
		} else if !ok && (h.expires == 0 || h.expires > g.now+gameSlack) {
			g.t.Errorf("%s is lost, it is %+v", a, h)
		}
		delete(stored, a)
	}
	for a, m := range stored {
		// What has just expired is quarantined when somebody looks.
		if r, rests := g.rests[a]; !rests || m.State != intent.MACReserved || r.tenant != m.TenantID {
			g.t.Errorf("nobody has %s, but it is %+v", a, m)
		}
	}
}

func TestAnySequenceOfCallsKeepsThePromises(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			g := &game{
				bundle: b, rnd: rand.New(rand.NewPCG(seed, 9)), held: map[mac.Addr]holding{}, rests: map[mac.Addr]rest{},
				networks: map[string]intent.Network{"red": b.network(red, "r"), "blue": b.network(blue, "b")},
			}
			for i, strategy := range []mac.Strategy{mac.Sequential, mac.Scrambled, mac.InstanceHash} {
				s := b.segment(admin, fmt.Sprintf("0a:00:00:00:%02x:00/42", i), func(s *intent.Segment) { s.Strategy, s.Shared = strategy, true })
				g.segments, g.shared = append(g.segments, s), append(g.shared, s.ID)
			}
			g.segments = append(g.segments, b.segment(red, "0a:00:00:00:10:00/43", nil))
			const steps = 150
			var last []string
			for i := range steps {
				last = append(last, g.step())
				if i%10 == 9 || i == steps-1 {
					g.check()
				}
				if t.Failed() {
					t.Fatalf("after %v", last[max(0, len(last)-10):])
				}
			}
			if len(g.held) < 10 {
				t.Errorf("a poor game: %d addresses at its end, %v", len(g.held), last)
			}
		})
	}
}
