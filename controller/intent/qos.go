package intent

import "github.com/macloom/macloom/controller/mac"

// QoSPolicy is a set of rules of quality of service that networks and ports
// name.
type QoSPolicy struct {
	Meta
	Num     uint32 // small unique number: object of the cookies of its flows
	Default bool   // given to new networks of the tenant that name none
	Rules   []QoSRule
	Shared  bool // with whoever reads it
}

// QoSRuleKind says what a rule does.
type QoSRuleKind string

// The kinds of rules, in the words of the API.
const (
	QoSBandwidthLimit    QoSRuleKind = "bandwidth_limit"
	QoSDSCPMarking       QoSRuleKind = "dscp_marking"
	QoSMinimumBandwidth  QoSRuleKind = "minimum_bandwidth"
	QoSMinimumPacketRate QoSRuleKind = "minimum_packet_rate"
	QoSPacketRateLimit   QoSRuleKind = "packet_rate_limit"
	QoSPriority          QoSRuleKind = "priority"
)

// AnyDirection is the direction of a minimum packet rate of both directions
// together.
const AnyDirection Direction = "any"

// QoSRule is what a policy does to the packets of a port. Its tenant is that
// of its policy; name and description are not used.
type QoSRule struct {
	Meta
	PolicyID  string
	Kind      QoSRuleKind
	Direction Direction // empty for a DSCP mark
	Rate      int       // limit or minimum: kbit/s, or thousands of packets a second
	Burst     int       // of a limit
	DSCP      int
	Class     int // of a priority, 0 to MaxClass: the higher one goes first
}

// MaxClass is the highest class of a priority.
const MaxClass = 7

// QoSSegment is a MAC segment with a policy.
type QoSSegment struct {
	ID        string
	Num       uint32 // small unique number, never given again
	Block     mac.Segment
	NetworkID string // empty unless it serves one network only
	PolicyID  string
}
