package mac

import "testing"

func TestALocatorIsItsAddress(t *testing.T) {
	t.Parallel()
	for _, l := range []Locator{{1, 0}, {1, MaxNumber}, {MaxSlot, 0}, {MaxSlot, MaxNumber}, {0x123, 0x1abc}} {
		a := l.Addr()
		if got, ok := ParseLocator(a); !ok || got != l {
			t.Errorf("%v is %v and reads as %v, %v", l, a, got, ok)
		}
		if got, ok := ParseLocator(a | 1<<DeflectedBit); !ok || got != l {
			t.Errorf("%v, deflected, reads as %v, %v", l, got, ok)
		}
		if !LocatorsOf(l.Slot).Contains(a) || !Undeflected(l.Slot).Contains(a) || Deflected(l.Slot).Contains(a) || !LocatorsOf(l.Slot).Within(Locators()) || a.IsGroup() {
			t.Errorf("%v is %v, which is not where it should be", l, a)
		}
		if LocatorsOf(l.Slot-1).Contains(a) || a&l.Mask() != a {
			t.Errorf("%v is %v, which is where it should not be", l, a)
		}
	}
	if l, ok := ParseLocator(MustParse("02:00:05:00:00:01")); ok {
		t.Errorf("the address of a station is the locator %v", l)
	}
}
