package session

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

func TestFloodOfOneKindLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	const learn, arp, lldp = 0, 1, 2
	k := newController(t, Config{
		PacketIns: []Kind{{Name: "learn", Queue: 10}, {Name: "arp", Queue: 100}, {Name: "lldp"}},
		Classify: func(h Head) int {
			switch {
			case string(h.Userdata) == "arp" || h.TableID == 5:
				return arp
			case h.Cookie>>56 != 0x5d:
				return -1
			case h.Reason == 1:
				return lldp
			}
			return learn
		},
	}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	for n := range 50 {
		for range 4 {
			sw.Send(t, packetIn(1, []byte("flood"))) // nobody takes these
		}
		switch n % 4 {
		case 0:
			sw.Send(t, &openflow.PacketIn2{Cookie: 0x5d << 56, Userdata: []byte("arp"), Data: []byte("second form")})
		case 1:
			sw.Send(t, &openflow.PacketIn{TableID: 5, Cookie: 7, Data: []byte("by table")})
		case 2:
			p := packetIn(1, []byte("by reason"))
			p.Reason = 1
			sw.Send(t, p)
		case 3:
			sw.Send(t, &openflow.PacketIn{Cookie: 1, Data: []byte("unwanted")})
		}
	}
	if err := c.Barrier(t.Context()); err != nil { // behind the flood
		t.Fatal(err)
	}
	type counts struct{ Queued, Dropped uint64 }
	var got [3]counts
	for kind := range got {
		got[kind] = counts{k.stats.PacketIns[kind].Queued.Load(), k.stats.PacketIns[kind].Dropped.Load()}
	}
	if diff := cmp.Diff([3]counts{learn: {10, 190}, arp: {26, 0}, lldp: {12, 0}}, got); diff != "" {
		t.Errorf("counts by kind (-want +got):\n%s", diff)
	}
	if n := k.stats.PacketInsUnwanted.Load(); n != 12 {
		t.Errorf("%d unwanted, want 12", n)
	}
	var data []string
	batch, err := c.PacketIns(arp).Take(t.Context(), nil)
	for i := range batch {
		data = append(data, string(batch[i].Data))
	}
	if err != nil || len(data) != 26 || data[0] != "second form" || data[1] != "by table" {
		t.Errorf("packet-ins %q, error %v", data, err)
	}
	if dropped := c.PacketIns(learn).Dropped(); dropped != 190 {
		t.Errorf("%d dropped at this switch, want 190", dropped)
	}
}

func TestHeadIsReadFromBothForms(t *testing.T) {
	t.Parallel()
	want := Head{Cookie: 0x1122334455667788, Reason: 3, TableID: 9}
	first := openflow.AppendMessage(nil, 0, &openflow.PacketIn{Cookie: want.Cookie, Reason: 3, TableID: 9, Data: []byte("data")})
	if diff := cmp.Diff(want, headOf(first)); diff != "" {
		t.Errorf("OFPT_PACKET_IN (-want +got):\n%s", diff)
	}
	want.Userdata = []byte{1, 2, 3}
	second := openflow.AppendMessage(nil, 0, &openflow.PacketIn2{
		Cookie: want.Cookie, Reason: 3, TableID: 9, Userdata: want.Userdata, Data: []byte("odd"), Match: packetIn(4, nil).Match,
	})
	if diff := cmp.Diff(want, headOf(second)); diff != "" {
		t.Errorf("NXT_PACKET_IN2 (-want +got):\n%s", diff)
	}
	// What is cut off anywhere yields less, and no panic.
	for n := openflow.HeaderLen; n < len(second); n++ {
		headOf(second[:max(n, packetIn2Fixed)])
		headOf(first[:min(n, len(first))])
	}
}

func TestTooManyKindsAreRefused(t *testing.T) {
	t.Parallel()
	if err := Serve(t.Context(), nil, Config{PacketIns: make([]Kind, MaxKinds+1)}, nil); err == nil {
		t.Error("accepted")
	}
}

func TestLargePacketInsAreNotKept(t *testing.T) {
	t.Parallel()
	q := newQueue(lasting{}, 64)
	var batch []openflow.PacketIn2
	// Large ones at ever earlier places of the batch, so that no later batch reaches them.
	for n := 60; n > 0; n -= 2 {
		for range n {
			_, _ = q.put(whole(packetIn(1, nil)))
		}
		_, _ = q.put(whole(packetIn(1, make([]byte, 60_000))))
		var err error
		if batch, err = q.Take(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if held, most := q.held(), (Kind{Queue: 64}).maxHeld(); held > most {
			t.Fatalf("%d bytes are held for an empty queue, want %d at most", held, most)
		}
	}
	_, _ = q.put(whole(packetIn(1, nil)))
	if _, err := q.Take(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if held := q.held(); held > 100_000 {
		t.Errorf("%d bytes are held for an empty queue", held)
	}
}
