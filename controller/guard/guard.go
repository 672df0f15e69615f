// Package guard finds MAC addresses that are at two places at a time: it hears
// of every move of a station and says when they are too many, or when a station
// has no business to be where it was seen. It is pure: the time is handed in.
package guard

import (
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// Threshold says from when on moves are too many.
type Threshold struct {
	Moves  int           // so many,
	Within time.Duration // in this time
}

// PresetThreshold is the threshold where nobody has set another. A live migration is one
// move, a failover of a virtual address one or two.
var PresetThreshold = Threshold{Moves: 5, Within: 10 * time.Second}

// Finding is a station that was seen at places where it cannot all be.
type Finding struct {
	MAC    mac.Addr
	Home   intent.Place // where it belongs: where it is bound, or has been for longest
	Places []intent.Place
	// Culprits are the places that are not its home: whoever is there uses the
	// address of another.
	Culprits []intent.Place
	Moves    int
	Since    time.Time // of the first move that counted
	// Conflict says that the address is bound to its home, so that the first move was one too many.
	Conflict bool
}

// tracked bounds the stations that a detector keeps an eye on. Where more move
// at a time than this, the rest is not watched: their moves are made by somebody
// who has as many addresses as he likes, and the limit of his port ends that.
const tracked = 1 << 16

// detector keeps the moves of the last time. It is not safe for concurrent use.
type detector struct {
	widest Threshold // no more moves, and for no longer, are of use to anybody

	// A station whose last move is older than the threshold's time is settled and
	// forgotten: stations are in recent if they moved since turned, in earlier if in the period before.
	recent, earlier map[mac.Addr]*track
	turned          time.Time
}

// track is a station that has moved of late.
type track struct {
	from  intent.Place // where it was before it began to move
	moves []move       // within the threshold's time, oldest first
}

type move struct {
	at time.Time
	to intent.Place
}

func newDetector(widest Threshold) *detector {
	return &detector{widest: widest, recent: map[mac.Addr]*track{}, earlier: map[mac.Addr]*track{}}
}

// moved hears of a station that was known at one place and now spoke at another.
func (d *detector) moved(now time.Time, a mac.Addr, from, to intent.Place) {
	t := d.track(now, a, from)
	if t == nil {
		return
	}
	if len(t.moves) >= d.widest.Moves {
		t.moves = slices.Delete(t.moves, 0, len(t.moves)-d.widest.Moves+1)
	}
	t.moves = append(t.moves, move{now, to})
}

// judge says what is wrong with the moves of a station, nil if nothing is. It is at home where it
// has been for longest, if it was there lately, and else where it was before it began to move.
func (d *detector) judge(a mac.Addr, longest intent.Place, most Threshold) *Finding {
	t := d.find(a)
	if t == nil || len(t.moves) == 0 {
		return nil
	}
	old := t.moves[len(t.moves)-1].at.Add(-most.Within)
	first := slices.IndexFunc(t.moves, func(m move) bool { return m.at.After(old) })
	if len(t.moves)-first < most.Moves {
		return nil
	}
	from := t.from
	if first > 0 {
		from = t.moves[first-1].to
	}
	moves := t.moves[first:]
	f := &Finding{MAC: a, Home: from, Places: places(from, moves), Moves: len(moves), Since: moves[0].at}
	if slices.Contains(f.Places, longest) {
		f.Home = longest
	}
	f.Culprits = slices.DeleteFunc(slices.Clone(f.Places), func(p intent.Place) bool { return p == f.Home })
	t.from, t.moves = f.Home, nil // the next finding takes as many moves again
	return f
}

func (d *detector) find(a mac.Addr) *track {
	if t := d.recent[a]; t != nil {
		return t
	}
	return d.earlier[a]
}

// track returns what is known of the moves of a station; nil: too many are watched.
func (d *detector) track(now time.Time, a mac.Addr, from intent.Place) *track {
	old := now.Add(-d.widest.Within)
	if !d.turned.After(old) {
		d.earlier, d.recent, d.turned = d.recent, map[mac.Addr]*track{}, now
	}
	t := d.recent[a]
	if t == nil {
		if t = d.earlier[a]; t != nil {
			delete(d.earlier, a)
		} else if t = (&track{from: from}); len(d.recent) >= tracked {
			return nil
		}
		d.recent[a] = t
	}
	had := len(t.moves)
	t.moves = slices.DeleteFunc(t.moves, func(m move) bool { return !m.at.After(old) })
	if had > 0 && len(t.moves) == 0 {
		t.from = from // it has been there for longer than it takes to settle
	}
	return t
}

// places are all that a station was seen at, each once, in order.
func places(from intent.Place, moves []move) []intent.Place {
	all := []intent.Place{from}
	for _, m := range moves {
		all = append(all, m.to)
	}
	slices.SortFunc(all, intent.Place.Compare)
	return slices.Compact(all)
}
