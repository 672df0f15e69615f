package mininet_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/test/lab"
	"github.com/macloom/macloom/test/mininet"
)

func TestMain(m *testing.M) { lab.Main(m) }

const patience = time.Minute

// plant is a topology with a controller.
type plant struct {
	*mininet.Network
	t   *testing.T
	lab *lab.Lab
	ctl *lab.Controller
}

func start(t *testing.T, topology string) *plant {
	t.Helper()
	l := lab.New(t)
	ctl := l.Controller(lab.ControllerOptions{})
	return &plant{mininet.Start(t, l, mininet.Options{Topology: topology}), t, l, ctl}
}

// pings fails the test unless all hosts reach each other.
func (p *plant) pings(when string) {
	p.t.Helper()
	if r := p.PingAll(); r.Dropped != 0 || r.Received != r.Sent || r.Sent == 0 {
		p.t.Errorf("%s: %v %% dropped (%d of %d received)", when, r.Dropped, r.Received, r.Sent)
	}
}

// once fails the test unless each host sees a frame that another one sends for everybody
// exactly once.
func (p *plant) once(when string) {
	p.t.Helper()
	if wrong, pairs := p.Broadcast(); len(wrong) > 0 || pairs == 0 {
		p.t.Errorf("%s: of %d pairs, %q", when, pairs, wrong)
	}
}

// settle waits until the fabric has so many links, as many of them in the tree as it takes.
func (p *plant) settle(switches, links int) {
	p.t.Helper()
	lab.Wait(p.t, "the links", patience, func() error {
		tree, spare := p.ctl.Metric("macloom_fabric_links", "state=tree"), p.ctl.Metric("macloom_fabric_links", "state=spare")
		if int(tree) != switches-1 || int(tree+spare) != links {
			return fmt.Errorf("%v in the tree, %v spare", tree, spare)
		}
		return nil
	})
}

// recorded waits until the links are in the database.
func (p *plant) recorded(links int) {
	p.t.Helper()
	lab.Wait(p.t, "the links to be recorded", patience, func() error {
		if n := len(p.ctl.Must("GET", "/v2.0/links?status=up", nil)["links"].([]any)); n != links {
			return fmt.Errorf("%d links", n)
		}
		return nil
	})
}

// learned is how many packet-ins of unknown stations there were, by what they caused. A frame may arrive
// before the controller has heard of it, so these figures are those at which it stays for half a second.
func (p *plant) learned() (by map[string]float64) {
	p.t.Helper()
	const still = 500 * time.Millisecond
	since := time.Now()
	lab.Wait(p.t, "the controller to have nothing to learn", patience, func() error {
		now := map[string]float64{}
		for _, result := range []string{"ignored", "known", "new", "again", "moved", "full", "limited"} {
			now[result] = p.ctl.Metric("macloom_learn_packet_ins_total", "result="+result)
		}
		if !maps.Equal(now, by) {
			by, since = now, time.Now()
		}
		if time.Since(since) < still {
			return fmt.Errorf("it learns: %v", now)
		}
		return nil
	})
	return by
}

// The harness itself, with switches that forward without a controller.
func TestPingAllReportsEveryRound(t *testing.T) {
	t.Parallel()
	n := mininet.Start(t, lab.New(t), mininet.Options{
		Topology: "linear,2", Controller: "none", Args: []string{"--switch", "ovsk,datapath=user,failMode=standalone"},
	})
	for range 2 {
		if d := cmp.Diff(mininet.Round{Received: 2, Sent: 2}, n.PingAll()); d != "" {
			t.Errorf("round (-want +got):\n%s", d)
		}
	}
	n.Cut(n.Links()[0])
	if wrong, pairs := n.Broadcast(); len(wrong) != 2 || pairs != 2 {
		t.Errorf("of %d pairs, %q", pairs, wrong)
	}
	n.Watch()
	n.AwaitRounds(3)
	if got := n.Unwatch(); got.Rounds < 3 || got.Lost != got.Rounds || got.Longest != got.Rounds || got.Pair != "h1 and h2" {
		t.Errorf("watched: %+v", got)
	}
}

// Mininet topologies ping through macloom as they come, and what has been
// learned in the first round reaches the controller no more in the second.
func TestTopologiesPing(t *testing.T) {
	t.Parallel()
	for _, topology := range []string{"tree,3", "linear,8", "torus,3,3", "ring,4", "fattree,4"} {
		t.Run(topology, func(t *testing.T) {
			p := start(t, topology)
			p.pings("at once")
			first := p.learned()
			if first["new"] == 0 {
				t.Error("no packet-in in the first round")
			}
			p.pings("again")
			if diff := cmp.Diff(first, p.learned()); diff != "" {
				t.Errorf("packet-ins in the second round: known pairs reached the controller (-first +second):\n%s", diff)
			}
			p.once("then")
		})
	}
}

func TestARingGetsAChordWhileItRuns(t *testing.T) {
	t.Parallel()
	p := start(t, "ring,4")
	p.settle(4, 4)
	p.pings("as a ring")
	p.Watch()
	p.AwaitRounds(3)
	p.Join("s1", "s3")
	p.settle(4, 5)
	p.AwaitRounds(10)
	if got := p.Unwatch(); got.Longest > 1 {
		t.Errorf("while the chord came: %+v", got)
	}
	p.pings("with a chord")
	p.once("with a chord")
}

// perSecond is how many requests Watch sends in a second between two hosts.
const perSecond = 10

// cut cuts a link under pings between all pairs and restores it. No pair misses more
// than a second of them, and there is no storm.
func (p *plant) cut(link [2]string) {
	p.t.Helper()
	before := p.Carried()
	p.Watch()
	p.AwaitRounds(2)
	p.Cut(link)
	p.AwaitRounds(perSecond)
	p.Restore(link)
	p.AwaitRounds(perSecond / 2)
	got := p.Unwatch()
	if got.Longest > perSecond {
		p.t.Errorf("%v was cut: %+v", link, got)
	}
	// Request and answer take at most five links each, one of them to the host. The rest is
	// for ARP, which all links of the tree and all hosts see, and for what looks for links.
	if n := p.Carried() - before; n > uint64(10*got.Sent+4000) {
		p.t.Errorf("%v was cut: %d frames for %d requests", link, n, got.Sent)
	}
}

// Every link of a torus is cut and restored, one after the other; then the controller
// is killed, and what has another way heals without it. One that comes back finds nothing to do.
func TestEveryLinkOfATorusMayFail(t *testing.T) {
	t.Parallel()
	p := start(t, "torus,3,3")
	links := p.Links()
	if len(links) != 18 {
		t.Fatalf("%d links: %v", len(links), links)
	}
	p.settle(9, len(links))
	p.pings("at first")
	for _, link := range links {
		p.cut(link)
	}
	p.settle(9, len(links))
	p.once("after all cuts")

	// All pairs find each other without being sought, and what is known is kept.
	p.pings("after all cuts")
	p.pings("after all cuts, again")
	p.recorded(len(links))
	p.ctl.Kill9()
	for _, link := range links[:6] {
		p.cut(link)
	}
	p.ctl.Start()
	p.ctl.WaitReady()
	p.ctl.WaitFabric(9, 100)
	if n := p.ctl.Metric("macloom_openflow_flow_mods_total"); n != 0 {
		t.Errorf("%v flow-mods were sent", n)
	}
	p.pings("in the end")
	p.once("in the end")
}
