package guard

import (
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// Settings say what the guard looks at, and what it does.
type Settings struct {
	Action    intent.GuardAction
	Threshold Threshold
	Recovery  time.Duration // how long the first block lasts
	// Trusted ports are pinned: who is there belongs there, wherever else it
	// is seen, and they are never to blame.
	Trusted []intent.Place
	// Exempt addresses are those that several stations share by turns.
	Exempt []mac.Segment
}

// Preset are the settings where nobody has set others.
var Preset = Settings{Action: intent.GuardReport, Threshold: PresetThreshold, Recovery: 10 * time.Minute, Exempt: Virtual}

// Virtual are the addresses of routers that take over from each other: VRRP and
// CARP (RFC 9568 §7.3), HSRP in both versions and for IPv6, GLBP.
var Virtual = []mac.Segment{
	segment("00:00:5e:00:01:00/40"), segment("00:00:5e:00:02:00/40"),
	segment("00:00:0c:07:ac:00/40"), segment("00:00:0c:9f:f0:00/36"), segment("00:05:73:a0:00:00/36"), segment("00:07:b4:00:00:00/30"),
}

func segment(text string) mac.Segment {
	s, err := mac.ParseSegment(text)
	if err != nil {
		panic(err)
	}
	return s
}

// Longest is how long a block may become, when what it is for does not end.
const Longest = 24 * time.Hour

// Term is the length of a block that begins now, after one of the length before
// that ended then. Whoever begins anew before as much time has passed as he was
// blocked for is blocked twice as long; before 0: there was none.
func (s *Settings) Term(now time.Time, before time.Duration, ended time.Time) time.Duration {
	if before <= 0 || now.Sub(ended) >= before {
		return s.Recovery
	}
	return min(2*before, max(Longest, s.Recovery))
}

// Trusts reports whether a place is pinned.
func (s *Settings) Trusts(p intent.Place) bool { return slices.Contains(s.Trusted, p) }

// Ignores reports whether nobody looks where an address is.
func (s *Settings) Ignores(a mac.Addr) bool {
	return s.Action == intent.GuardNone || slices.ContainsFunc(s.Exempt, func(b mac.Segment) bool { return b.Contains(a) })
}

// with returns the settings with what g says in place of them.
func (s Settings) with(g *intent.MACGuard) Settings {
	if g.Action != "" {
		s.Action = g.Action
	}
	if g.Moves != 0 {
		s.Threshold.Moves = g.Moves
	}
	if g.Window != 0 {
		s.Threshold.Within = g.Window
	}
	if g.Recovery != 0 {
		s.Recovery = g.Recovery
	}
	if g.Trusted != nil {
		s.Trusted = g.Trusted
	}
	if g.Exempt != nil {
		s.Exempt = g.Exempt
	}
	return s
}

// Policy is the settings for all addresses.
type Policy struct {
	others   Settings
	networks map[string]Settings   // for the addresses of networks that have their own
	pinned   map[intent.Place]bool // the trusted ports of others
	widest   Threshold             // as many moves, and for as long, as any settings ask for
}

// NewPolicy returns the settings that follow from what the controller was started with and what
// was set since.
func NewPolicy(started Settings, set []intent.MACGuard) *Policy {
	p := &Policy{others: started, networks: map[string]Settings{}, pinned: map[intent.Place]bool{}}
	for i := range set {
		if set[i].NetworkID == "" {
			p.others = started.with(&set[i])
		}
	}
	for _, at := range p.others.Trusted {
		p.pinned[at] = true
	}
	p.count(&p.others)
	for i := range set {
		if id := set[i].NetworkID; id != "" {
			s := p.others.with(&set[i])
			p.networks[id] = s
			p.count(&s)
		}
	}
	return p
}

func (p *Policy) count(s *Settings) {
	p.widest.Moves, p.widest.Within = max(p.widest.Moves, s.Threshold.Moves), max(p.widest.Within, s.Threshold.Within)
}

// For returns the settings for the addresses of a network; empty: for those of none.
func (p *Policy) For(network string) Settings {
	if s, own := p.networks[network]; own {
		return s
	}
	return p.others
}
