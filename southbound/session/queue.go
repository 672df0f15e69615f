package session

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/macloom/macloom/southbound/openflow"
)

// MaxKinds is how many kinds of packet-ins there can be.
const MaxKinds = 16

// Kind is a class of packet-ins, with a queue of its own at every session, so
// that a flood of one kind costs packets of that kind and of no other.
type Kind struct {
	Name  string
	Queue int // how many packet-ins of one switch may wait (4,096)
}

// Head is what can be known of a packet-in before it is decoded.
type Head struct {
	Cookie  uint64 // of the flow that sent it
	Reason  uint8  // enum ofp_packet_in_reason
	TableID uint8
	// Userdata is what the controller action of the flow carries
	// (NXT_PACKET_IN2 only). It is valid during the call.
	Userdata []byte
}

const (
	// A queue of n packet-ins holds no more than n times this many bytes of
	// them, and a buffer larger than this is not kept for reuse.
	queuedPacketLen = 2048
	// Likewise for a match, userdata and continuation.
	keptMatch = 512
	// Batches up to this size are always kept for reuse.
	smallBatch = 64
)

// Queue is a bounded queue of packet-ins. What finds it full is dropped and
// counted; whoever reads from the switch never waits.
type Queue struct {
	end      ender
	max      int
	maxBytes int
	ready    chan struct{} // holds a token if packets may wait
	dropped  atomic.Uint64
	// read, if not nil, reads from the switch for a taker that has nothing to
	// do, until there are packets here. It returns false at once if somebody
	// reads already; then, ready will tell.
	read    func(ctx context.Context, q *Queue) bool
	waiting atomic.Int32 // takers that wait for ready

	mu    sync.Mutex
	fill  []openflow.PacketIn2
	bytes int
	large bool // there was a packet-in that is not kept for reuse
}

// ender is what a Queue has to know of its session.
type ender interface {
	Done() <-chan struct{}
	Err() error
}

func newQueue(end ender, n int) *Queue {
	return &Queue{end: end, max: n, maxBytes: n * queuedPacketLen, ready: make(chan struct{}, 1)}
}

// Take returns all packet-ins that wait, in order of arrival; it waits for the
// first. One that came as OFPT_PACKET_IN lacks what only NXT_PACKET_IN2 has. They are the caller's until they are handed back: buf is a batch that
// the caller is done with, whose memory (packet data and matches included) is
// used again for packet-ins to come, or nil. Take fails when ctx is done or the
// session has ended; it returns buf then.
//
// While it waits, Take reads from the switch in place of the session's own
// reader where it can, which spares a hand-over between goroutines.
func (q *Queue) Take(ctx context.Context, buf []openflow.PacketIn2) ([]openflow.PacketIn2, error) {
	for {
		if batch := q.takeNow(buf); batch != nil {
			return batch, nil
		}
		if q.read != nil && ctx.Err() == nil && q.read(ctx, q) {
			if q.holdsSome() {
				continue
			}
		}
		q.waiting.Add(1)
		var err error
		select {
		case <-q.ready:
		case <-ctx.Done():
			err = cmp.Or(q.end.Err(), ctx.Err())
		case <-q.end.Done():
			err = q.end.Err()
		}
		q.waiting.Add(-1)
		if err != nil {
			return buf, err
		}
	}
}

// takeNow returns what waits, nil if that is nothing.
func (q *Queue) takeNow(buf []openflow.PacketIn2) []openflow.PacketIn2 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.fill) == 0 {
		return nil
	}
	batch := q.fill
	q.fill, q.bytes = buf[:0], 0
	if q.large {
		for i := range buf[:cap(buf)] {
			trim(&buf[:cap(buf)][i])
		}
	}
	// After a burst, do not hold on to its memory.
	if cap(buf) > smallBatch && cap(buf) > 8*len(batch) {
		q.fill = nil
	}
	return batch
}

func (q *Queue) holdsSome() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.fill) > 0
}

// Dropped is how many packet-ins found the queue full.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

// put queues a copy of the packet-in in frame, a whole message, and says whether
// there was room. The taker is not woken before wake.
func (q *Queue) put(frame []byte) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := len(q.fill)
	if at >= q.max || q.bytes+len(frame) > q.maxBytes && at > 0 {
		q.dropped.Add(1)
		return false, nil
	}
	if at < cap(q.fill) {
		q.fill = q.fill[:at+1] // with the buffers of a packet-in of old
	} else {
		q.fill = append(q.fill, openflow.PacketIn2{})
	}
	if err := decodePacketIn(&q.fill[at], frame); err != nil {
		q.fill = q.fill[:at]
		return false, err
	}
	q.bytes += len(frame)
	q.large = q.large || len(frame) > keptMatch
	return true, nil
}

// decodePacketIn makes p the packet-in in frame, with bytes of its own in the
// memory that it has already.
func decodePacketIn(p *openflow.PacketIn2, frame []byte) error {
	data := p.Data[:0]
	*p = openflow.PacketIn2{Match: p.Match[:0], Userdata: p.Userdata[:0], Continuation: p.Continuation[:0], Other: p.Other[:0]}
	var err error
	if body := frame[openflow.HeaderLen:]; openflow.Type(frame[1]) == openflow.TypePacketIn {
		first := openflow.PacketIn{Match: p.Match}
		err = first.Decode(body)
		p.BufferID, p.FullLen, p.Reason, p.TableID = first.BufferID, uint32(first.TotalLen), first.Reason, first.TableID
		p.Cookie, p.Match, p.Data = first.Cookie, first.Match, first.Data
	} else {
		err = p.Decode(body)
	}
	p.Data = append(data, p.Data...)
	return err
}

// trim gives back what is too large to be kept for reuse.
func trim(p *openflow.PacketIn2) {
	if cap(p.Data) > queuedPacketLen {
		p.Data = nil
	}
	p.Match = openflow.Match(small(p.Match))
	p.Userdata, p.Continuation, p.Other = small(p.Userdata), small(p.Continuation), small(p.Other)
}

func small(b []byte) []byte {
	if cap(b) > keptMatch {
		return nil
	}
	return b
}

// wake tells takers that packets wait, and says whether there are takers.
func (q *Queue) wake() bool {
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return q.waiting.Load() > 0
}

// held is how many bytes the queue has room for, taken or not.
func (q *Queue) held() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := cap(q.fill) * int(unsafe.Sizeof(openflow.PacketIn2{}))
	for _, p := range q.fill[:cap(q.fill)] {
		n += cap(p.Match) + cap(p.Data) + cap(p.Userdata) + cap(p.Continuation) + cap(p.Other)
	}
	return n
}

// maxHeld is more than what held can be.
func (k Kind) maxHeld() int {
	slot := 2*int(unsafe.Sizeof(openflow.PacketIn2{})) + queuedPacketLen + 4*keptMatch
	return k.Queue*(slot+2*queuedPacketLen) + 2*openflow.MaxMessageLen
}
