// Package fabric knows how switches are connected with each other by ports that
// no tenant port is bound to: it finds the links, chooses the tree that frames
// for everybody take, and the paths for those that are for one. It is pure: the
// time is handed in, frames come and go as bytes, and what has to be told to
// whom is returned.
package fabric

import (
	"cmp"
	"fmt"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

// End is a port of a switch.
type End struct {
	DPID intent.DPID
	Port uint32
}

// Compare orders ends by switch and port.
func (e End) Compare(o End) int {
	return cmp.Or(cmp.Compare(e.DPID, o.DPID), cmp.Compare(e.Port, o.Port))
}

func (e End) String() string { return fmt.Sprintf("%s/%d", e.DPID, e.Port) }

// Link is two ports that are connected, A before B.
type Link struct{ A, B End }

// Between returns the link of two ends in either order.
func Between(x, y End) Link {
	if x.Compare(y) > 0 {
		x, y = y, x
	}
	return Link{x, y}
}

// Compare orders links by their ends.
func (l Link) Compare(o Link) int { return cmp.Or(l.A.Compare(o.A), l.B.Compare(o.B)) }

func (l Link) String() string { return l.A.String() + "-" + l.B.String() }

// Known is what is kept of a link, over restarts too.
type Known struct {
	Link
	Tree  bool      // it is in the flood tree
	Down  bool      // it was lost, and nothing else has been found at its ports
	Since time.Time // when it was found, or lost
}

// State is what frames for everybody find of a link: tree, spare (the tree does
// without it) or down.
func (k Known) State() string {
	switch {
	case k.Down:
		return "down"
	case k.Tree:
		return "tree"
	}
	return "spare"
}
