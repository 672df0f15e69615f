package mac

// Locator is where a station of a fabric is: the number of a switch, and one of the
// station there. Written as a MAC address, it stands in the place of the station's
// own from the switch where a frame enters the fabric to the one where it leaves.
// So switches between them know other switches only, by a prefix each, and no stations.
//
//	[47:26] prefix  [25:14] switch  [13] deflected  [12:0] station
type Locator struct {
	Slot   uint16 // of the switch, from 1 to MaxSlot
	Number uint16 // of the station at the switch, at most MaxNumber
}

// Bounds of a Locator.
const (
	MaxSlot   = 1<<12 - 1
	MaxNumber = 1<<13 - 1
)

// DeflectedBit is the bit of a locator, counted from the lowest, that says that the
// frame had to leave its shortest path.
const DeflectedBit = 13

const deflected Addr = 1 << DeflectedBit

// The addresses are of those that administrators give (IEEE 802c-2017, AAI).
var locators = MustParseSegment("d2:5d:5c:00:00:00/22")

// Locators are all addresses that are locators. No station can have one of them.
func Locators() Segment { return locators }

// Addr is the locator as an address, of a frame that was not deflected.
func (l Locator) Addr() Addr { return locators.At(uint64(l.Slot)<<14 | uint64(l.Number)) }

// Mask matches the address, whether or not the frame was deflected.
func (l Locator) Mask() Addr { return Max &^ deflected }

// ParseLocator reads what Addr has made.
func ParseLocator(a Addr) (l Locator, ok bool) {
	return Locator{uint16(a >> 14 & MaxSlot), uint16(a & MaxNumber)}, locators.Contains(a)
}

// LocatorsOf are the addresses of a switch.
func LocatorsOf(slot uint16) Segment {
	return Segment{Locator{Slot: slot}.Addr(), 34}
}

// Undeflected and Deflected are the halves of the addresses of a switch.
func Undeflected(slot uint16) Segment { return Segment{Locator{Slot: slot}.Addr(), 35} }

// Deflected are those of frames that were deflected.
func Deflected(slot uint16) Segment { return Segment{Locator{Slot: slot}.Addr() | deflected, 35} }
