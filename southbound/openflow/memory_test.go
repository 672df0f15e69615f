package openflow

import (
	"maps"
	"runtime"
	"strings"
	"testing"
)

// hostile returns messages that are lists of the smallest elements there are,
// of about n bytes each.
func hostile(n int) map[string][]byte {
	reply := func(kind MultipartType, element string) []byte {
		return rawFrame(TypeMultipartReply, "\x00"+string(rune(kind))+"\x00\x00\x00\x00\x00\x00", element, n)
	}
	request := func(kind MultipartType, element string) []byte {
		return rawFrame(TypeMultipartRequest, "\x00"+string(rune(kind))+"\x00\x00\x00\x00\x00\x00", element, n)
	}
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	monitor := "\xff\xff\x00\x00\x00\x00\x00\x00" + "ONF\x00\x00\x00\x07\x4e"
	const nicira = "\x00\x00\x23\x20\x00\x00\x00"
	emptyBucket := "\x00\x10" + zeros(14)
	band := "\x00\x01\x00\x10" + zeros(12)
	frames := map[string][]byte{
		"hello elements":                  rawFrame(TypeHello, "", "\x00\x01\x00\x04\x00\x00\x00\x00", n),
		"fields of one byte":              matchFrame(strings.Repeat("\x80\x00\x14\x01\x06", n/5)),
		"fields of no byte":               matchFrame(strings.Repeat("\x80\x00\x14\x00", n/4)),
		"actions":                         AppendMessage(nil, 1, &PacketOut{Actions: Actions(strings.Repeat("\x00\x18\x00\x08\x00\x00\x00\x00", n/8))}),
		"instructions":                    AppendMessage(nil, 1, &FlowMod{Instructions: Instructions(strings.Repeat("\x00\x05\x00\x08\x00\x00\x00\x00", n/8))}),
		"buckets":                         rawFrame(TypeGroupMod, zeros(8), emptyBucket, n),
		"buckets of one action":           rawFrame(TypeGroupMod, zeros(8), "\x00\x18"+zeros(14)+"\x00\x18\x00\x08\x00\x00\x00\x00", n),
		"bands":                           rawFrame(TypeMeterMod, zeros(8), band, n),
		"bands of no known type":          rawFrame(TypeMeterMod, zeros(8), "\x00\x09\x00\x10"+zeros(12), n),
		"queues":                          rawFrame(TypeQueueGetConfigReply, zeros(8), zeros(8)+"\x00\x10"+zeros(6), n),
		"queues of one property":          rawFrame(TypeQueueGetConfigReply, zeros(8), zeros(8)+"\x00\x18"+zeros(6)+"\x00\x01\x00\x08"+zeros(4), n),
		"flows":                           reply(MultipartFlow, "\x00\x38"+zeros(46)+"\x00\x01\x00\x04"+zeros(4)),
		"tables":                          reply(MultipartTable, zeros(tableStatsLen)),
		"port stats":                      reply(MultipartPortStats, zeros(portStatsLen)),
		"queue stats":                     reply(MultipartQueue, zeros(queueStatsLen)),
		"group stats":                     reply(MultipartGroup, "\x00\x28"+zeros(38)),
		"group stats with a bucket":       reply(MultipartGroup, "\x00\x38"+zeros(54)),
		"groups":                          reply(MultipartGroupDesc, "\x00\x08"+zeros(6)),
		"groups of one bucket":            reply(MultipartGroupDesc, "\x00\x18"+zeros(6)+emptyBucket),
		"group of buckets":                reply(MultipartGroupDesc, "\x40\x08"+zeros(6)+strings.Repeat(emptyBucket, 1024)),
		"meter stats":                     reply(MultipartMeter, zeros(4)+"\x00\x28"+zeros(34)),
		"meters":                          reply(MultipartMeterConfig, "\x00\x08"+zeros(6)),
		"meters of one band":              reply(MultipartMeterConfig, "\x00\x18"+zeros(6)+band),
		"table features":                  reply(MultipartTableFeatures, "\x00\x40"+zeros(62)),
		"table features with a long name": reply(MultipartTableFeatures, "\x00\x40"+zeros(6)+strings.Repeat("n", 32)+zeros(24)),
		"table properties":                reply(MultipartTableFeatures, "\x08\x40"+zeros(62)+strings.Repeat("\x00\x00\x00\x04\x00\x00\x00\x00", 256)),
		"ports":                           reply(MultipartPortDesc, zeros(16)+strings.Repeat("n", 16)+zeros(32)),
		"features to set":                 request(MultipartTableFeatures, "\x00\x40"+zeros(62)),
		"monitors":                        rawFrame(TypeMultipartRequest, monitor, zeros(16)+"\x00\x01\x00\x04"+zeros(4), n),
		"flow updates":                    rawFrame(TypeMultipartReply, monitor, "\x00\x08\x00\x03"+zeros(4), n),
		"properties of a packet-in2":      rawFrame(TypeExperimenter, nicira+"\x1e", "\x00\x09\x00\x04\x00\x00\x00\x00", n),
		"userdata again and again":        rawFrame(TypeExperimenter, nicira+"\x1e", "\x00\x07\x00\x08uuuu", n),
		"userdata that grows":             AppendMessage(nil, 1, &Experimenter{Experimenter: experimenterNicira, ExpType: typePacketIn2, Data: growing(n)}),
		"ct flush":                        rawFrame(TypeExperimenter, nicira+"\x20"+"\x06"+zeros(7), "\x00\x02\x00\x06\x00\x01\x00\x00", n),
		"bundle of flows to add":          AppendMessage(nil, 1, &BundleAdd{XID: 1, Message: &FlowMod{Match: Match(strings.Repeat("\x80\x00\x14\x01\x06", n/5))}}),
		"error":                           rawFrame(TypeError, "\x00\x01\x00\x01", "x", n),
		"echo":                            rawFrame(TypeEchoRequest, "", "x", n),
		"unknown type":                    rawFrame(99, "", "x", n),
	}
	// A list whose last element is broken has been walked as well.
	for name, frame := range maps.Clone(frames) {
		frames[name+", cut"] = cut(frame)
	}
	return frames
}

// growing is a list of properties of the same kind, each longer than the last.
func growing(n int) []byte {
	var b []byte
	for size := 4; len(b)+size+12 < n; size += 8 {
		b = appendProperty(b, packetInUserdata, make([]byte, size))
	}
	return b
}

func rawFrame(kind Type, head, element string, n int) []byte {
	body := head + strings.Repeat(element, (n-HeaderLen-len(head))/len(element))
	return AppendMessage(nil, 1, &Raw{Of: kind, Body: []byte(body)})
}

func cut(frame []byte) []byte {
	frame = append([]byte(nil), frame[:len(frame)-1]...)
	putLen(frame, 2, len(frame))
	return frame
}

func matchFrame(fields string) []byte {
	return AppendMessage(nil, 1, &FlowMod{Match: Match(fields)})
}

// memoryLimit is what decoding a frame may allocate: four times its size and a
// constant for the message itself and for an error. The allocator
// rounds a block up, by a quarter at most, which counts where entries of 8
// bytes become values of 32: groups without buckets and meters without bands.
func memoryLimit(frame []byte) uint64 {
	n := uint64(len(frame))
	if Type(frame[1]) == TypeMultipartReply && n > 16 {
		switch MultipartType(be.Uint16(frame[8:])) {
		case MultipartGroupDesc, MultipartMeterConfig:
			return 5*n + 1024
		}
	}
	return 4*n + 1024
}

// allocated returns how many bytes f allocates. Other goroutines allocate too,
// so that the least of some runs counts.
func allocated(limit uint64, f func()) (least uint64) {
	least = ^uint64(0)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least <= limit {
			break
		}
	}
	return least
}

// Not parallel: what other tests allocate would count.
func TestMemoryForADecodedMessageIsBoundedByItsSize(t *testing.T) {
	for _, n := range []int{40, 500, 8216, 20_000, 33_000, 65_000} {
		for name, frame := range hostile(n) {
			if len(frame) < HeaderLen {
				t.Fatalf("%s: no frame", name)
			}
			limit := memoryLimit(frame)
			if got := allocated(limit, func() { _, _, _ = Decode(frame) }); got > limit {
				t.Errorf("%s: %d bytes for a message of %d, which is %.1f times as much", name, got, len(frame), float64(got)/float64(len(frame)))
			}
		}
	}
}

func TestHostileMessagesDecodeOrAreRefused(t *testing.T) {
	t.Parallel()
	for name, frame := range hostile(3000) {
		_, m, err := Decode(frame)
		if err != nil {
			if !strings.HasSuffix(name, "cut") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		assertStable(t, m)
	}
}
