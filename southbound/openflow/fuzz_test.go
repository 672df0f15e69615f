package openflow

import "testing"

// FuzzDecode holds the decoder to its promises for any bytes: no panic, memory
// bounded by the input, and a decoded message encodes and decodes to itself.
func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		f.Add(AppendMessage(nil, 1, s.message))
	}
	f.Add(matchFrame("\x80\x00\x14\x01\x06\xff\xff\x55\x08ONF\x00\x00\x02\x00\x02\x80\x00\x0a\x00"))
	f.Add(AppendMessageVersion(nil, Version10, 1, &Hello{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < HeaderLen || len(b) > MaxMessageLen {
			return
		}
		frame := append([]byte(nil), b...)
		putLen(frame, 2, len(frame)) // a wrong length ends decoding at once and is tested elsewhere
		var m Message
		var err error
		// The slack covers what the machinery around the test takes meanwhile.
		if got, limit := allocated(func() { _, m, err = Decode(frame) }), uint64(16*len(frame)+16384); got > limit {
			t.Errorf("%d bytes of memory for a message of %d", got, len(frame))
		}
		if err != nil {
			return
		}
		assertStable(t, m)
	})
}
