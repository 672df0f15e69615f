package mac

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestParseTakesEveryNotationInUse(t *testing.T) {
	t.Parallel()
	want := Addr(0x0200050000ab)
	for _, text := range []string{
		"02:00:05:00:00:ab", "02-00-05-00-00-ab", "0200.0500.00ab", "0200050000ab", "02:00:05:00:00:AB",
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	if got := want.String(); got != "02:00:05:00:00:ab" {
		t.Errorf("String() = %q", got)
	}
}

func TestParseRefusesWhatIsNoMAC(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "02:00:05:00:00", "02:00:05:00:00:0g", "02:00-05:00:00:01", "02:00:05:00:00:01:02",
		"0200.0500:00ab", "0x0200050000", "::::::::::::", "02:00:05:00:00:1", "020005000001 ", "02 00 05 00 00 01",
	} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", text, got)
		}
	}
}

func TestEUI64FollowsTheExampleOfTheRFC(t *testing.T) {
	t.Parallel()
	// RFC 4291 appendix A: insert ff:fe, complement the universal/local bit. The
	// example in numbers is that of RFC 2464 §4.
	a := MustParse("34:56:78:9a:bc:de")
	if got, want := a.EUI64(), [8]byte{0x36, 0x56, 0x78, 0xff, 0xfe, 0x9a, 0xbc, 0xde}; got != want {
		t.Errorf("EUI64() = %x, want %x", got, want)
	}
	if got, want := a.LinkLocal(), netip.MustParseAddr("fe80::3656:78ff:fe9a:bcde"); got != want {
		t.Errorf("LinkLocal() = %v, want %v", got, want)
	}
}

func TestSegmentRefusesMisalignedGroupAndOversizedBlocks(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"02:00:05:00:00:01/24", "01:00:00:00:00:00/24", "02:00:00:00:00:00/7", "02:00:00:00:00:00/49",
		"02:00:00:00:00:00", "02:00:00:00:00:00/x", "ff:ff:ff:ff:ff:ff/48",
	} {
		if got, err := ParseSegment(text); err == nil {
			t.Errorf("ParseSegment(%q) = %v, want an error", text, got)
		}
	}
}

func TestSegmentBoundsHoldForEveryPrefixLength(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for bits := MinPrefixLen; bits <= MaxPrefixLen; bits++ {
		base := Addr(rnd.Uint64()) & Max &^ groupBit &^ (Addr(1)<<(48-bits) - 1)
		s, err := NewSegment(base, bits)
		if err != nil {
			t.Fatalf("NewSegment(%v, %d): %v", base, bits, err)
		}
		if got := s.Last() - s.Base() + 1; uint64(got) != s.Size() {
			t.Errorf("%v: last-base+1 = %d, size %d", s, got, s.Size())
		}
		if !s.Contains(s.Base()) || !s.Contains(s.Last()) || !s.Contains(s.At(s.Size()-1)) {
			t.Errorf("%v does not contain its own bounds", s)
		}
		if s.Last() < Max && s.Contains(s.Last()+1) || s.Base() > 0 && s.Contains(s.Base()-1) {
			t.Errorf("%v contains a neighbour", s)
		}
		back, err := ParseSegment(s.String())
		if err != nil || back != s {
			t.Errorf("ParseSegment(%q) = %v, %v", s.String(), back, err)
		}
	}
}

func TestSegmentsOverlapOnlyWhenNested(t *testing.T) {
	t.Parallel()
	root := MustParseSegment("02:00:00:00:00:00/8")
	a := MustParseSegment("02:00:05:00:00:00/24")
	b := MustParseSegment("02:00:06:00:00:00/24")
	switch {
	case !root.Overlaps(a), !a.Overlaps(root), a.Overlaps(b), b.Overlaps(a), !a.Overlaps(a):
		t.Error("nested segments must overlap, neighbours must not")
	case Segment{}.Contains(0):
		t.Error("the zero segment contains nothing")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("02:00:05:00:00:01")
	f.Add("0200.0500.0001")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			return
		}
		if back, err := Parse(a.String()); err != nil || back != a {
			t.Errorf("Parse(%q) = %v, but its text gives %v, %v", text, a, back, err)
		}
	})
}

func TestASegmentHasTheLinkLocalAddressesOfItsMACs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ segment, want string }{
		{"02:00:05:00:00:ab/48", "fe80::5ff:fe00:ab/128"},
		{"02:00:05:00:00:00/24", "fe80::5ff:fe00:0/104"},
		{"52:54:00:12:00:00/32", "fe80::5054:ff:fe12:0/112"},
		{"52:54:00:00:00:00/16", "fe80::5054:0:0:0/80"}, // ff:fe comes after what is fixed
	} {
		g := MustParseSegment(c.segment)
		got := g.LinkLocal()
		if got.String() != c.want || !got.Contains(g.Base().LinkLocal()) || !got.Contains(g.Last().LinkLocal()) {
			t.Errorf("%s: %s, want %s", g, got, c.want)
		}
		if g.Bits() >= 24 && g.Bits() < MaxPrefixLen && got.Contains((g.Last() + 1).LinkLocal()) {
			t.Errorf("%s: %s has the address of another segment", g, got)
		}
	}
	wide, narrow := MustParseSegment("02:00:05:00:00:00/24"), MustParseSegment("02:00:05:12:00:00/32")
	if !narrow.Within(wide) || wide.Within(narrow) || !wide.Within(wide) || MustParseSegment("02:00:06:12:00:00/32").Within(wide) {
		t.Error("a segment is within those that have all of its addresses, and no others")
	}
}
