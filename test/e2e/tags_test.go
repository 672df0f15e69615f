package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/macloom/macloom/test/lab"
)

// Stations that nobody manages use VLAN tags among themselves over all links of a ring, and are
// learned by such frames, too: what is for one that has spoken comes to it alone.
func TestStationsUseTheirOwnVLANTags(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 4, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 0})
	a, b := [6]byte{0x02, 0, 0, 0, 0xaa, 1}, [6]byte{0x02, 0, 0, 0, 0xaa, 2}
	payload := make([]byte, 46)
	// comes sends a frame from one host and fails the test unless each of the others sees it
	// as often as wanted, with its tags.
	comes := func(what string, from int, frame []byte, want ...int) {
		t.Helper()
		m.marks += 2
		var seen, ends []*lab.Capture
		marked := func(n int) func([]byte) bool {
			known := marked(n)
			return func(got []byte) bool {
				return known(got) && string(got[12:14]) == string(frame[12:14]) && got[14]&^0x20 == frame[14] && string(got[15:len(frame)]) == string(frame[15:])
			}
		}
		for _, h := range m.hosts {
			seen, ends = append(seen, h.Capture(marked(m.marks))), append(ends, h.Capture(marked(m.marks+1)))
		}
		everybody := to([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, frame)
		m.hosts[from].SendFrame(mark(frame, m.marks), mark(everybody, m.marks+1))
		for i := range ends {
			if i != from {
				ends[i].Wait(1, patience) // by another way than the first, perhaps
				ends[i].Stop()
			}
		}
		for i, n := range want {
			if i != from {
				seen[i].Wait(n, patience)
				if got := len(seen[i].Stop()); got != n {
					t.Errorf("%s: %v sees it %d times, want %d", what, m.hosts[i], got, n)
				}
			}
		}
	}
	comes("to an unknown station", 0, tagged(ethernet(b, a, 0x88b5, payload), 5), 0, 1, 1, 1)
	comes("to one that another switch knows", 2, tagged(ethernet(a, b, 0x88b5, payload), 5), 1) // and on the way, to some
	for i, station := range map[int]string{0: "02:00:00:00:aa:02", 2: "02:00:00:00:aa:01"} {
		lab.Wait(t, "the way to a station", patience, func() error {
			if flows := m.lab.Ofctl("dump-flows", m.bridges[i].Name, "table=31"); !strings.Contains(flows, "dl_dst="+station+" actions=set_field") {
				return errors.New(flows)
			}
			return nil
		})
	}
	comes("to a known one", 2, tagged(ethernet(a, b, 0x88b5, payload), 5), 1, 0, 0, 0)
	comes("with two tags", 0, tagged(tagged(ethernet(b, a, 0x88b5, payload), 6), 7), 0, 0, 1, 0)
	comes("with a priority", 0, func(frame []byte) []byte { frame[14] |= 6 << 5; return frame }(tagged(ethernet(b, a, 0x88b5, payload), 5)), 0, 0, 1, 0)
	if n := m.hits("table=33", "resubmit"); n == 0 {
		t.Error("no frame has come by a path")
	}
	m.once()
}
