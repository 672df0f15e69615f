package session

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/macloom/macloom/southbound/openflow"
)

const (
	// A queue of n packet-ins holds no more than n times this many bytes of
	// packets, and a buffer larger than this is not kept for reuse.
	queuedPacketLen = 2048
	// Likewise for a match.
	keptMatch = 512
	// Batches up to this size are always kept for reuse.
	smallBatch = 64
)

// Queue is a bounded queue of packet-ins. The reader of the session fills it
// and never waits: what finds it full is dropped and counted.
//
// Its place in the session is one queue for all packet-ins; it knows nothing of
// the session but when that ends, so that there can be one per kind of packet.
type Queue struct {
	end      ender
	max      int
	maxBytes int
	ready    chan struct{} // holds a token if packets may wait
	dropped  atomic.Uint64

	mu    sync.Mutex
	fill  []openflow.PacketIn
	bytes int
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
// first. They are the caller's until they are handed back: buf is a batch that
// the caller is done with, whose memory (packet data and matches included) is
// used again for packet-ins to come, or nil. Take fails when ctx is done or the
// session has ended; it returns buf then.
func (q *Queue) Take(ctx context.Context, buf []openflow.PacketIn) ([]openflow.PacketIn, error) {
	for {
		q.mu.Lock()
		if len(q.fill) > 0 {
			batch := q.fill
			q.fill, q.bytes = buf[:0], 0
			// After a burst, do not hold on to its memory.
			if cap(buf) > smallBatch && cap(buf) > 8*len(batch) {
				q.fill = nil
			}
			q.mu.Unlock()
			return batch, nil
		}
		q.mu.Unlock()
		select {
		case <-q.ready:
		case <-ctx.Done():
			return buf, ctx.Err()
		case <-q.end.Done():
			return buf, q.end.Err()
		}
	}
}

// Dropped is how many packet-ins found the queue full.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

// put queues a copy of the packet-in in body and says whether there was room.
// The taker is not woken before wake.
func (q *Queue) put(body []byte) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.fill)
	if n >= q.max || q.bytes+len(body) > q.maxBytes && n > 0 {
		q.dropped.Add(1)
		return false, nil
	}
	if n < cap(q.fill) {
		q.fill = q.fill[:n+1] // with the buffers of a packet-in of old
	} else {
		q.fill = append(q.fill, openflow.PacketIn{})
	}
	p := &q.fill[n]
	data := p.Data[:0]
	if cap(data) > queuedPacketLen {
		data = nil
	}
	if cap(p.Match) > keptMatch {
		p.Match = nil
	}
	if err := p.Decode(body); err != nil {
		p.Data = data
		q.fill = q.fill[:n]
		return false, err
	}
	p.Data = append(data, p.Data...)
	q.bytes += len(body)
	return true, nil
}

func (q *Queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
