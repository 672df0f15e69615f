package openflow

import "testing"

// FuzzDecode holds the decoder to its promises for any bytes: no panic, memory
// bounded by the input, and a decoded message encodes and decodes to itself.
func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		f.Add(AppendMessage(nil, 1, s.message))
	}
	f.Add(matchFrame("\x80\x00\x14\x01\x06\xff\xff\x55\x08ONF\x00\x00\x02\x00\x02\x80\x00\x0a\x00"))
	for _, frame := range hostile(500) {
		f.Add(frame)
	}
	f.Add(AppendMessageVersion(nil, Version10, 1, &Hello{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < HeaderLen || len(b) > MaxMessageLen {
			return
		}
		frame := append([]byte(nil), b...)
		putLen(frame, 2, len(frame)) // a wrong length ends decoding at once and is tested elsewhere
		var m Message
		var err error
		limit := memoryLimit(frame)
		if got := allocated(limit, func() { _, m, err = Decode(frame) }); got > limit {
			t.Errorf("%d bytes of memory for a message of %d", got, len(frame))
		}
		if err != nil {
			return
		}
		assertStable(t, m)
	})
}
