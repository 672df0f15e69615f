package intent

import "slices"

// Path says how frames for the stations of another switch of the fabric go on.
type Path struct {
	Slot    uint16   // number of that switch
	Primary []uint32 // ports that lead nearer, as good as each other, in order
	Backup  uint32   // port for when none of these is alive, by which frames are deflected; 0: there is none
	Around  []Detour // of frames that were deflected, by In
}

// Detour leads frames on that came by a port because they were deflected.
type Detour struct{ In, Out uint32 }

// Equal reports whether frames go the same ways.
func (p *Path) Equal(o *Path) bool {
	return p.Slot == o.Slot && p.Backup == o.Backup && slices.Equal(p.Primary, o.Primary) && slices.Equal(p.Around, o.Around)
}
