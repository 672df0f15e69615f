package learn

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// Frames of the station 02:00:00:00:00:0a.
const (
	ethernet = "ffffffffffff 02000000000a "
	arpHead  = "0001 0800 06 04 0001 "
	arpTail  = "000000000000 0a000002"
	ndHead   = "60000000 0018 3a ff "
	router   = "60000000 0008 3a ff "
	linkIP   = "fe80000000000000000000fffe00000a "
	otherIP  = "20010db8000000000000000000000005 "
	noneIP   = "00000000000000000000000000000000 "
	groupIP  = "ff0200000000000000000001ff000005 "
)

var frames = []struct{ what, frame, want string }{
	{"a request", ethernet + "0806" + arpHead + "02000000000a 0a000001" + arpTail, "10.0.0.1"},
	{"a tagged request", ethernet + "8100 0005 0806" + arpHead + "02000000000a 0a000001" + arpTail, "10.0.0.1"},
	{"a probe", ethernet + "0806" + arpHead + "02000000000a 00000000" + arpTail, ""},
	{"a request that says to be of another", ethernet + "0806" + arpHead + "02000000000b 0a000001" + arpTail, ""},
	{"a group as sender", ethernet + "0806" + arpHead + "02000000000a e0000001" + arpTail, ""},
	{"ARP of something else", ethernet + "0806 0006 0800 06 04 0001 02000000000a 0a000001" + arpTail, ""},
	{"a cut request", ethernet + "0806" + arpHead + "02000000000a 0a000001", ""},
	{"a solicitation", ethernet + "86dd" + ndHead + linkIP + groupIP + "87000000 00000000" + otherIP, "fe80::ff:fe00:a"},
	{"a trial if an address is free", ethernet + "86dd" + ndHead + noneIP + groupIP + "87000000 00000000" + otherIP, "2001:db8::5"},
	{"an advertisement", ethernet + "86dd" + ndHead + linkIP + groupIP + "88000000 20000000" + otherIP, "2001:db8::5"},
	{"a router solicitation", ethernet + "86dd" + router + linkIP + groupIP + "85000000 00000000", "fe80::ff:fe00:a"},
	{"a router solicitation of nobody", ethernet + "86dd" + router + noneIP + groupIP + "85000000 00000000", ""},
	{"a routed solicitation", ethernet + "86dd 60000000 0018 3a fe " + linkIP + groupIP + "87000000 00000000" + otherIP, ""},
	{"a cut advertisement", ethernet + "86dd" + ndHead + linkIP + groupIP + "88000000 20000000 2001", ""},
	{"an echo", ethernet + "86dd" + ndHead + linkIP + groupIP + "80000000 00000000" + otherIP, ""},
	{"a packet of IPv4", ethernet + "0800 45000014 00000000 40060000 0a000001 0a000002", ""},
	{"nothing but tags", ethernet + "8100 0005 8100 0005", ""},
	{"less than a header", "ffffffffffff 0200", ""},
}

func raw(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestARPAndNeighbourDiscoveryTellTheAddressOfTheSender(t *testing.T) {
	t.Parallel()
	for _, f := range frames {
		var want netip.Addr
		if f.want != "" {
			want = netip.MustParseAddr(f.want)
		}
		if got := Told(raw(t, f.frame)); got != want {
			t.Errorf("%s tells %v, want %v", f.what, got, want)
		}
	}
}

func FuzzTold(f *testing.F) {
	for _, frame := range frames {
		f.Add(raw(f, frame.frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if a := Told(frame); a.IsValid() && (a.IsUnspecified() || a.IsMulticast() || a.IsLoopback()) {
			t.Errorf("%x tells %v", frame, a)
		}
	})
}
