package intent

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/mac"
)

// GuardAction is what becomes of who uses the MAC address of another.
type GuardAction string

// The actions.
const (
	GuardReport    GuardAction = "report"
	GuardBlockMAC  GuardAction = "block-mac"  // the address, at his port
	GuardBlockPort GuardAction = "block-port" // his port
	GuardNone      GuardAction = "none"       // nobody looks
)

// MACGuard is what the guard does about the addresses of a network, or about all that it has nothing
// else for. What is zero or nil of it is as for all others, or as the controller was started.
type MACGuard struct {
	Meta
	NetworkID string // empty: for all that no other is for
	Action    GuardAction
	Moves     int           // so many are too many,
	Window    time.Duration // in this time
	Recovery  time.Duration // how long the first block lasts
	Exempt    []mac.Segment // may move as they like; nil differs from empty
	Trusted   []Place       // whose stations belong there; nil differs from empty
}

// ParsePlace reads a place, such as 00000000000000a1:7.
func ParsePlace(text string) (p Place, err error) {
	dpid, port, _ := strings.Cut(text, ":")
	if p.Switch, err = ParseDPID(dpid); err == nil {
		n, err := strconv.ParseUint(port, 10, 32)
		p.Port = uint32(n)
		if err == nil && n > 0 && p.String() == strings.ToLower(text) {
			return p, nil
		}
	}
	return Place{}, fmt.Errorf("intent: %q is no port such as 00000000000000a1:7, the datapath id and the OpenFlow number", text)
}
