package fabric

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/mac"
)

var (
	alice = mac.MustParse("02:00:00:00:00:0a")
	here  = End{DPID: 1, Port: 7}
	there = End{DPID: 2, Port: 9}
	noIP  = netip.Addr{}
	first = netip.MustParseAddr("10.0.0.1")
)

// told takes what changed by a moment, and expects it.
func told(t *testing.T, h *Hosts, now time.Time, want ...HostChange) {
	t.Helper()
	if d := cmp.Diff(want, h.TakeChanged(now, 100), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
}

func TestAHostIsToldOnceWithAllThatBecameOfIt(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	h.Seen(noon, alice, here, noIP)
	h.Seen(noon.Add(1), alice, here, first)
	want := HostChange{Host: Host{MAC: alice, At: here, IPs: []netip.Addr{first}, Since: noon, LastSeen: noon.Add(1)}}
	told(t, h, noon, want)
	h.Seen(noon.Add(2), alice, here, first)
	told(t, h, noon.Add(hostRest)) // nothing new
	want.LastSeen = noon.Add(2 * seenStep)
	h.Seen(want.LastSeen, alice, here, first)
	told(t, h, want.LastSeen, want)
	h.Gone(alice, here)
	told(t, h, noon.Add(time.Hour), HostChange{Host: Host{MAC: alice}, Gone: true})
}

func TestAHostThatAppearsElsewhereHasMovedAndIsAtOnePlace(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	h.Seen(noon, alice, here, first)
	moved := noon.Add(time.Minute)
	h.Seen(moved, alice, there, noIP)
	// What its old switch says of it later is past.
	h.Gone(alice, here)
	h.Silent(alice, here.DPID)
	h.Unsought(moved, alice, here.DPID)
	told(t, h, moved.Add(doubtFor), HostChange{Host: Host{MAC: alice, At: there, IPs: []netip.Addr{first}, Since: noon, LastSeen: moved, MovedAt: moved, Moves: 1}})
	h.Silent(alice, there.DPID)
	if n := h.Len(); n != 0 || len(h.behind) != 0 {
		t.Errorf("%d hosts, behind %v; want none", n, h.behind)
	}
}

func TestAHostThatKeepsJumpingIsToldNowAndThen(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	h.Seen(noon, alice, here, noIP)
	h.TakeChanged(noon, 100)
	at := noon
	for i := range 10 {
		at = at.Add(time.Millisecond)
		h.Seen(at, alice, []End{there, here}[i%2], noIP)
		told(t, h, at)
	}
	told(t, h, noon.Add(hostRest), HostChange{Host: Host{MAC: alice, At: here, Since: noon, LastSeen: at, MovedAt: at, Moves: 10}})
}

func TestAHostThatNobodySendsToStaysUntilItIsSilentToo(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	bob := alice + 1
	for _, a := range []mac.Addr{alice, bob} {
		h.Seen(noon, a, here, noIP)
	}
	h.TakeChanged(noon, 100)
	h.Unsought(noon, alice, here.DPID)
	h.Unsought(noon, bob, here.DPID)
	h.Held(noon.Add(time.Second), here.DPID, nil) // as it is not to be held
	h.Seen(noon.Add(2), alice, here, noIP)
	told(t, h, noon.Add(doubtFor-1))
	told(t, h, noon.Add(doubtFor), HostChange{Host: Host{MAC: bob}, Gone: true})
	if n := h.Len(); n != 1 {
		t.Errorf("%d hosts, want the one that sent a frame", n)
	}
}

func TestWhatWasNeverToldLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	for i := range mac.Addr(3 * maxPortHosts) {
		h.Seen(noon, alice+i, here, noIP)
		h.Gone(alice+i, here)
	}
	told(t, h, noon)
	if n := len(h.changed) + len(h.told) + len(h.behind) + len(h.doubted); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

func TestTheLatestAddressesOfAHostAreKept(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	var all []netip.Addr
	for ip := first; len(all) < maxHostIPs+3; ip = ip.Next() {
		all = append(all, ip)
		h.Seen(noon, alice, here, ip)
	}
	kept := all[3:]
	h.Seen(noon, alice, here, kept[0]) // again
	kept = append(kept[1:], kept[0])
	told(t, h, noon, HostChange{Host: Host{MAC: alice, At: here, IPs: kept, Since: noon, LastSeen: noon}})
}

func TestWhoMakesUpAddressesFillsOnlyWhatHisPortMay(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	for i := range mac.Addr(maxPortHosts + 5) {
		h.Seen(noon, alice+i, here, noIP)
	}
	if n := h.Len(); n != maxPortHosts {
		t.Errorf("%d hosts behind a port, want %d", n, maxPortHosts)
	}
	bob := alice + maxPortHosts + 10
	h.Seen(noon, bob, there, noIP)
	if n := h.Len(); n != maxPortHosts+1 {
		t.Error("the host behind another port is not known")
	}
	h.Seen(noon, bob, here, noIP) // it moves to the crowded one
	h.Gone(alice, here)
	h.Seen(noon, bob, here, noIP)
	if n := h.Len(); n != maxPortHosts {
		t.Errorf("%d hosts, want %d: one left the port and another came", n, maxPortHosts)
	}
	for port := uint32(100); h.Len() < maxHosts; port++ {
		for i := range mac.Addr(maxPortHosts) {
			h.Seen(noon, alice+mac.Addr(port)<<16+i, End{DPID: 3, Port: port}, noIP)
		}
	}
	h.Seen(noon, bob-1, there, noIP)
	if n := h.Len(); n != maxHosts {
		t.Errorf("%d hosts in all, want %d", n, maxHosts)
	}
}

func TestWhatASwitchHoldsIsTakenOver(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	stays, goes, roams, comes, fresh := alice, alice+1, alice+2, alice+3, alice+4
	known := func(a mac.Addr, at End) Host { return Host{MAC: a, At: at, Since: noon, LastSeen: noon} }
	h.Load([]Host{known(stays, here), known(goes, here), known(roams, here), known(alice+5, there)})
	told(t, h, noon)
	read := noon.Add(time.Hour)
	h.Seen(read, fresh, here, noIP) // learned after the switch was read
	h.Held(read, here.DPID, map[mac.Addr]uint32{stays: here.Port, roams: 8, comes: 8})
	beside := End{here.DPID, 8}
	told(t, h, read,
		HostChange{Host: Host{MAC: goes}, Gone: true},
		HostChange{Host: Host{MAC: roams, At: beside, Since: noon, LastSeen: noon, MovedAt: read, Moves: 1}},
		HostChange{Host: Host{MAC: comes, At: beside, Since: read, LastSeen: read}},
		HostChange{Host: Host{MAC: fresh, At: here, Since: read, LastSeen: read}})
	h.Forget(here.DPID)
	if n := h.Len(); n != 1 {
		t.Errorf("%d hosts, want that of the other switch", n)
	}
}

func TestChangesComeInBoundedBatchesAndAgainWhenTheyAreLost(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	for i := range mac.Addr(5) {
		h.Seen(noon, alice+i, here, noIP)
	}
	seen := map[mac.Addr]bool{}
	for _, want := range []int{2, 2, 1} {
		<-h.News()
		batch := h.TakeChanged(noon, 2)
		if len(batch) != want {
			t.Fatalf("a batch of %d, want %d", len(batch), want)
		}
		for _, c := range batch {
			seen[c.MAC] = true
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d hosts were told, want 5", len(seen))
	}
	// As it is by now, and without a rest.
	h.Gone(alice, here)
	h.Changed([]HostChange{{Host: Host{MAC: alice}}})
	told(t, h, noon, HostChange{Host: Host{MAC: alice}, Gone: true})
	h.Changed([]HostChange{{Host: Host{MAC: alice}, Gone: true}})
	told(t, h, noon, HostChange{Host: Host{MAC: alice}, Gone: true})
}

func TestWhatThereIsNoRoomForIsNotTakenOver(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	var before []Host
	for i := range mac.Addr(maxPortHosts + 1) {
		before = append(before, Host{MAC: alice + i, At: here, Since: noon, LastSeen: noon})
	}
	h.Load(before)
	told(t, h, noon, HostChange{Host: Host{MAC: alice + maxPortHosts}, Gone: true})
}
