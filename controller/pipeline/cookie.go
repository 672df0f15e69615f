package pipeline

import (
	"fmt"
	"slices"

	"github.com/macloom/macloom/controller/intent"
)

// Cookie makes every flow answer why it exists:
//
//	[63:56] 0x5d, ours  [55:48] kind  [47:32] 0, kept for an epoch  [31:0] object
type Cookie uint64

const (
	cookieOurs Cookie = 0x5d << 56

	// CookieMask and CookieValue select our flows: cookie & mask == value.
	CookieMask  uint64 = 0xff << 56
	CookieValue uint64 = uint64(cookieOurs)
)

// Kind says what the object of a cookie is.
type Kind uint8

const (
	KindTable   Kind = 1
	KindPort    Kind = 2
	KindRule    Kind = 3
	KindNetwork Kind = 4
	KindFree    Kind = 5
	KindLearned Kind = 6
	KindSegment Kind = 7
	KindHost    Kind = 8
	KindRemotes Kind = 12
	KindAllow   Kind = 13

	KindResolve   Kind = 9  // packet-ins of the port's questions for neighbours
	KindConfigure Kind = 10 // packet-ins of the port's questions for its configuration
	KindNeighbour Kind = 11
	KindQoS       Kind = 20
	KindPool      Kind = 24
	KindBackend   Kind = 25
	KindTarget    Kind = 26
	KindPin       Kind = 27 // the switch has learned it
	KindProbe     Kind = 30 // packet-ins of answers to probes
	KindDiscover  Kind = 14 // packet-ins of the frames by which links are found
	KindPause     Kind = 15
	KindBlock     Kind = 16
	KindPath      Kind = 17
	KindAway      Kind = 18
	KindArrival   Kind = 19
	KindSeek      Kind = 21 // packet-ins of frames for stations that are not known
	KindTag       Kind = 28
	KindFar       Kind = 29
)

// kinds says what each kind is called and what its object numbers.
var kinds = []struct {
	kind         Kind
	name, object string
}{
	{KindTable, "table", "table number: the fixed flows of a table"},
	{KindPort, "port", "number of a tenant port"},
	{KindRule, "rule", "number of a security group rule"},
	{KindNetwork, "network", "VNI"},
	{KindFree, "unmanaged port", "its OpenFlow number"},
	{KindSegment, "MAC segment", "number of the segment of a host"},
	{KindHost, "peer", "slot of another host"},
	{KindResolve, "questions for neighbours of port", "number of the tenant port that asks"},
	{KindConfigure, "questions for configuration of port", "number of the tenant port that asks"},
	{KindNeighbour, "answer about the address of port", "number of the tenant port that has it; the address is in the match"},
	{KindAllow, "MAC allow lists of network", "its VNI"},
	{KindRemotes, "scope of remote groups", "number of the group, or a hash of several"},
	{KindQoS, "QoS policy", "its number"},
	{KindDiscover, "frames about links at unmanaged port", "its OpenFlow number"},
	{KindPause, "pause of learning at port", "OpenFlow number of the port, which has as many stations as it may"},
	{KindBlock, "block", "number of the block"},
	{KindPool, "affinity pool", "its number"},
	{KindBackend, "backend of an affinity pool", "its number"},
	{KindTarget, "replies to balanced connections", "conntrack zone of the address and port that they come from"},
	{KindPin, "pin to backend", "number of the backend; pool and client are in the match, and the epoch says what is remembered of clients"},
	{KindProbe, "answers to probes of backend", "number of the backend; of several that answer alike, the least"},
	{KindPath, "path to switch", "its number in the fabric; 0: all of them"},
	{KindAway, "station at switch", "number of that switch in the fabric; the MAC is in the match"},
	{KindArrival, "arrival for station", "its number at this switch; the MAC is in the action"},
	{KindSeek, "frames for unknown stations", "table number"},
	{KindTag, "tag of network", "its VNI"},
	{KindFar, "port at another switch", "number of the tenant port"},
	{KindLearned, "station learned at port", "OpenFlow number of the port; the MAC is in the match"},
}

func (k Kind) String() string {
	for _, known := range kinds {
		if known.kind == k {
			return known.name
		}
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Passing says that flows of this kind are facts and not intent: they come with packets, and
// end by themselves.
func (k Kind) Passing() bool {
	return k == KindLearned || k == KindNeighbour || k == KindPause || k == KindPin || k == KindAway || k == KindArrival
}

// NewCookie returns the cookie of a flow that exists because of an object.
func NewCookie(k Kind, object uint32) Cookie { return cookieOurs | Cookie(k)<<48 | Cookie(object) }

// Ours reports whether a flow with this cookie was installed by us.
func (c Cookie) Ours() bool { return uint64(c)&CookieMask == CookieValue }

// Kind returns what the object is.
func (c Cookie) Kind() Kind { return Kind(c >> 48) }

// Object returns the number of the object.
func (c Cookie) Object() uint32 { return uint32(c) }

func (c Cookie) String() string {
	if !c.Ours() {
		return fmt.Sprintf("foreign cookie %#x", uint64(c))
	}
	return fmt.Sprintf("%s %d", c.Kind(), c.Object())
}

// Affected returns the numbers of the tenant ports that suffer when a flow with
// this cookie is missing from a switch.
func Affected(v *intent.View, c Cookie) map[uint32]bool {
	hit := map[uint32]bool{}
	ruled := map[uint32]bool{} // slots of the sets with the rule
	if c.Kind() == KindRule {
		for _, s := range v.Sets {
			for _, r := range s.Rules {
				ruled[s.Slot] = ruled[s.Slot] || r.Num == c.Object()
			}
		}
	}
	for _, p := range v.Ports {
		switch c.Kind() {
		case KindPort, KindResolve, KindConfigure:
			hit[p.Num] = p.Num == c.Object()
		case KindNetwork, KindAllow, KindTag:
			hit[p.Num] = p.VNI == c.Object()
		case KindRule:
			hit[p.Num] = ruled[p.Set]
		case KindRemotes:
			hit[p.Num] = p.Scope == c.Object()
		case KindQoS:
			hit[p.Num] = p.QoS.Policy == c.Object() || slices.ContainsFunc(v.QoSSegments, func(g intent.MarkedSegment) bool { return g.Policy == c.Object() && g.Block.Contains(p.MAC) })
		case KindTable, KindSegment, KindHost:
			hit[p.Num] = true
		}
	}
	return hit
}
