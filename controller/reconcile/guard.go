package reconcile

import (
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/learn"
)

// seen tells the guard of a station that was learned. Where it was before it is
// forgotten (see welcome), so that it is heard of when it speaks there again.
func (d *datapath) seen(now time.Time, p learn.Place) {
	if g := d.r.cfg.Guard; g != nil {
		g.Seen(now, p.MAC, intent.Place{Switch: d.id, Port: p.Port})
	}
}

// gone tells the guard of a station that is not known at a port any more.
func (d *datapath) gone(p learn.Place) {
	if g := d.r.cfg.Guard; g != nil {
		g.Gone(d.r.cfg.Now(), p.MAC, intent.Place{Switch: d.id, Port: p.Port})
	}
}

// left tells the guard of stations that a pass forgot because they are blocked.
func (d *datapath) left(blocked []learn.Place) {
	if g := d.r.cfg.Guard; g != nil {
		for _, p := range blocked {
			g.Barred(p.MAC, intent.Place{Switch: d.id, Port: p.Port})
		}
	}
}

// barred says whose frames a view lets nobody learn from; nil: nobody's.
func barred(v *intent.View) func(learn.Place) bool {
	if len(v.Blocks) == 0 {
		return nil
	}
	set := make(map[learn.Place]bool, len(v.Blocks)) // 0 stands for any
	for _, b := range v.Blocks {
		set[learn.Place{MAC: b.MAC, Port: b.At.Port}] = true
	}
	return func(p learn.Place) bool {
		return set[p] || set[learn.Place{Port: p.Port}] || set[learn.Place{MAC: p.MAC}]
	}
}

// known tells the guard of the stations that a switch had when it was read back.
func (d *datapath) known(v *intent.View, found map[learn.Place]learn.Halves) {
	g := d.r.cfg.Guard
	if g == nil {
		return
	}
	for p, h := range found {
		if _, link := slices.BinarySearch(v.Links, p.Port); h.Source && h.Dest && !link {
			g.Known(d.r.cfg.Now(), p.MAC, intent.Place{Switch: d.id, Port: p.Port})
		}
	}
}
