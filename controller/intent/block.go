package intent

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/mac"
)

// Place is a port of a switch.
type Place struct {
	Switch DPID
	Port   uint32
}

// Compare orders places.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Switch, q.Switch), cmp.Compare(p.Port, q.Port))
}

func (p Place) String() string { return fmt.Sprintf("%s:%d", p.Switch, p.Port) }

// Block is what switches drop where it comes in.
type Block struct {
	Meta
	Num       uint32   // in the cookies of its flows
	MAC       mac.Addr // frames from this station; 0: from any
	At        Place    // at this port; zero: at every port of every switch
	Cause     BlockCause
	Reason    string
	Term      time.Duration // for which the guard has made it; 0: made by hand
	ExpiresAt time.Time     // zero: when it is lifted
}

// String says what is blocked.
func (b *Block) String() string {
	switch {
	case b.At == Place{}:
		return b.MAC.String()
	case b.MAC == 0:
		return "port " + b.At.String()
	}
	return fmt.Sprintf("%s at port %s", b.MAC, b.At)
}

// BlockCause says who made a block, and why.
type BlockCause string

// The causes.
const (
	BlockByHand   BlockCause = "hand"
	BlockMoves    BlockCause = "moves"    // the guard: the station moved too often
	BlockConflict BlockCause = "conflict" // the guard: the address belongs elsewhere
)

// MACMove is a station that was seen at one place of the edge and then at
// another, as often as that has happened.
type MACMove struct {
	ID          string
	MAC         mac.Addr
	From, To    Place
	Verdict     MoveVerdict
	Times       int64
	First, Last time.Time
}

// MoveVerdict is what the guard makes of a move.
type MoveVerdict string

// The verdicts.
const (
	MoveAllowed  MoveVerdict = "move"     // as of an instance that migrates
	MoveTooMany  MoveVerdict = "moves"    // one of too many in a short time
	MoveConflict MoveVerdict = "conflict" // the address belongs elsewhere
)

// PutBlock adds or replaces a block.
func (s *State) PutBlock(b Block, t Touched) {
	s.DeleteBlock(b.ID, t)
	s.blocks[b.ID] = b
	s.touchBlock(&b, t)
}

// DeleteBlock removes a block.
func (s *State) DeleteBlock(id string, t Touched) {
	if old, known := s.blocks[id]; known {
		delete(s.blocks, id)
		s.touchBlock(&old, t)
	}
}

func (s *State) touchBlock(b *Block, t Touched) {
	switch {
	case t == nil:
	case b.At == Place{}:
		t[Everywhere] = struct{}{}
	default:
		t[b.At.Switch] = struct{}{}
	}
}

// Blocks returns all blocks, in no order.
func (s *State) Blocks() iter.Seq[Block] { return maps.Values(s.blocks) }

// blocksOn are those that a switch has to know, in order.
func (s *State) blocksOn(d DPID) (list []Block) {
	for _, b := range s.blocks {
		if b.At == (Place{}) || b.At.Switch == d {
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b Block) int { return cmp.Compare(a.Num, b.Num) })
	return list
}
