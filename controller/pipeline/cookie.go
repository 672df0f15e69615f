package pipeline

import (
	"fmt"

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
	KindDiscover  Kind = 14 // packet-ins of the frames by which links are found
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
	{KindDiscover, "frames about links at unmanaged port", "its OpenFlow number"},
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
		case KindNetwork, KindAllow:
			hit[p.Num] = p.VNI == c.Object()
		case KindRule:
			hit[p.Num] = ruled[p.Set]
		case KindRemotes:
			hit[p.Num] = p.Scope == c.Object()
		case KindTable, KindSegment, KindHost:
			hit[p.Num] = true
		}
	}
	return hit
}
