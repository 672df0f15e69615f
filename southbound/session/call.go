package session

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/macloom/macloom/southbound/openflow"
)

// SwitchError is an error message that the switch sent in answer to Request.
type SwitchError struct {
	Err     openflow.Error
	Request openflow.Message
}

func (e *SwitchError) Error() string {
	return fmt.Sprintf("session: the switch refused %v: %v", e.Request.MsgType(), &e.Err)
}

const (
	// waitingBytes is how much of an answer may wait for its taker.
	waitingBytes = 64 << 20
	// partCost is what a part of an answer costs besides its bytes.
	partCost = 64
)

// callTable knows what the switch owes answers for.
type callTable struct {
	n     atomic.Int32 // of calls but streams
	mu    sync.Mutex
	calls map[uint32]*call
	spans []*span
	// monitor takes the multipart replies that answer no request.
	monitor *call
}

// call is a request that waits for its answer.
type call struct {
	request openflow.Message
	xid     uint32
	want    openflow.Type
	limit   int           // of bytes
	stream  bool          // the answer has no end, and limit is for what waits
	ready   chan struct{} // holds a token if there is news

	// Below is guarded by callTable.mu.
	parts   [][]byte // whole messages, not decoded yet
	waiting int      // bytes in parts
	total   int      // bytes of all parts so far
	last    bool     // no more parts will come
	err     error
}

// span is a run of messages with successive transaction ids that have no
// answer unless they fail.
type span struct {
	first  uint32
	n      int
	failed chan struct{} // closed with the first error

	// Below is guarded by callTable.mu.
	index int
	err   *openflow.Error
}

// answerType is the type of the answer to a request of type t.
func answerType(t openflow.Type) (openflow.Type, bool) {
	switch t {
	case openflow.TypeEchoRequest, openflow.TypeFeaturesRequest, openflow.TypeGetConfigRequest,
		openflow.TypeMultipartRequest, openflow.TypeBarrierRequest, openflow.TypeRoleRequest,
		openflow.TypeGetAsyncRequest, openflow.TypeQueueGetConfigRequest:
		return t + 1, true
	case openflow.TypeExperimenter:
		return t, true
	}
	return 0, false
}

func (ct *callTable) add(k *call) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	if ct.calls == nil {
		ct.calls = make(map[uint32]*call)
	}
	ct.calls[k.xid] = k
	if !k.stream {
		ct.n.Add(1)
	}
}

// pending says whether anybody waits for an answer that is due.
func (ct *callTable) pending() bool { return ct.n.Load() > 0 }

// held is how many bytes of answers wait for their takers.
func (ct *callTable) held() (n int) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	for _, k := range ct.calls {
		n += k.waiting
	}
	return n
}

func (ct *callTable) remove(k *call) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	if ct.calls[k.xid] == k {
		delete(ct.calls, k.xid)
		if !k.stream {
			ct.n.Add(-1)
		}
	}
}

func (ct *callTable) addSpan(s *span) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	ct.spans = append(ct.spans, s)
}

func (ct *callTable) removeSpan(s *span) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	ct.spans = slices.DeleteFunc(ct.spans, func(t *span) bool { return t == s })
}

// failure returns the first error about a message of s.
func (ct *callTable) failure(s *span) (int, *openflow.Error) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	return s.index, s.err
}

// answer gives a copy of frame to the call that waits for it, and says whether
// one does.
func (ct *callTable) answer(xid uint32, t openflow.Type, frame []byte) bool {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	k := ct.calls[xid]
	if k == nil && t == openflow.TypeMultipartReply {
		k = ct.monitor
	}
	if k == nil {
		return false
	}
	if k.last {
		return true
	}
	const flagsAt = openflow.HeaderLen + 2 // of ofp_multipart_reply
	more := t == openflow.TypeMultipartReply && len(frame) >= flagsAt+2 &&
		frame[flagsAt+1]&byte(openflow.MultipartMore) != 0
	if !k.stream {
		k.total += len(frame) + partCost
	}
	k.waiting += len(frame) + partCost
	switch {
	case t != k.want:
		k.err = fmt.Errorf("session: the switch answered %v with %v", k.request.MsgType(), t)
	case k.total > k.limit:
		k.err = fmt.Errorf("session: answer to %v is longer than %d bytes", k.request.MsgType(), k.limit)
	case k.waiting > min(k.limit, waitingBytes):
		k.err = fmt.Errorf("session: answer to %v comes faster than it is taken", k.request.MsgType())
	default:
		k.parts = append(k.parts, bytes.Clone(frame))
	}
	k.last = k.err != nil || !more && !k.stream
	k.news()
	return true
}

// fail gives the error to what it is about and says whether there was such.
func (ct *callTable) fail(xid uint32, e *openflow.Error) bool {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	if k := ct.calls[xid]; k != nil {
		if !k.last {
			k.err, k.last = &SwitchError{Err: *e, Request: k.request}, true
			k.news()
		}
		return true
	}
	for _, s := range ct.spans {
		if i := xid - s.first; i < uint32(s.n) {
			if s.err == nil {
				s.index, s.err = int(i), e
				close(s.failed)
			}
			return true
		}
	}
	return false
}

func (k *call) news() {
	select {
	case k.ready <- struct{}{}:
	default:
	}
}

// newCall makes a call for request.
func (c *Conn) newCall(request openflow.Message) (*call, error) {
	want, ok := answerType(request.MsgType())
	if !ok {
		return nil, fmt.Errorf("session: %v has no answer to wait for", request.MsgType())
	}
	return &call{
		request: request, xid: c.nextXIDs(1), want: want,
		limit: c.cfg.MultipartBytes, ready: make(chan struct{}, 1),
	}, nil
}

// start sends the request of k, when a slow switch has left room for it. The
// caller must end it.
func (c *Conn) start(ctx context.Context, k *call) error {
	err := c.prepare(ctx, k)
	if err == nil {
		c.flush()
	}
	return err
}

// prepare is start for a request that goes out together with more that is sent at once.
func (c *Conn) prepare(ctx context.Context, k *call) error {
	c.calls.add(k)
	if err := c.queueAll(ctx, k.xid, []openflow.Message{k.request}, nil, nil); err != nil {
		c.calls.remove(k)
		return err
	}
	c.expectAnswer()
	return nil
}

// begin sends a request. The caller must end it.
func (c *Conn) begin(ctx context.Context, request openflow.Message) (*call, error) {
	k, err := c.newCall(request)
	if err != nil {
		return nil, err
	}
	return k, c.start(ctx, k)
}

func (c *Conn) end(k *call) { c.calls.remove(k) }

// take waits for parts of the answer and returns those that there are.
func (c *Conn) take(ctx context.Context, k *call) (parts [][]byte, last bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	return c.takeWhenever(ctx, k)
}

// takeWhenever is take without a timeout. The end of the session is the reason
// of failure before that of the context: most contexts end with the session.
func (c *Conn) takeWhenever(ctx context.Context, k *call) (parts [][]byte, last bool, err error) {
	for {
		c.calls.mu.Lock()
		parts, last, err = k.parts, k.last, k.err
		k.parts, k.waiting = nil, 0
		c.calls.mu.Unlock()
		if err != nil || last || len(parts) > 0 {
			return parts, last, err
		}
		select {
		case <-k.ready:
		case <-ctx.Done():
			if err := c.Err(); err != nil {
				return nil, false, err
			}
			return nil, false, fmt.Errorf("session: no answer to %v: %w", k.request.MsgType(), ctx.Err())
		case <-c.ctx.Done():
			return nil, false, c.Err()
		}
	}
}

// wait waits for an answer of one message.
func (c *Conn) wait(ctx context.Context, k *call) (openflow.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	return c.waitWhenever(ctx, k)
}

// waitWhenever is wait without a timeout.
func (c *Conn) waitWhenever(ctx context.Context, k *call) (openflow.Message, error) {
	parts, _, err := c.takeWhenever(ctx, k)
	if err != nil {
		return nil, err
	}
	_, m, err := openflow.Decode(parts[0])
	if err != nil {
		return nil, fmt.Errorf("session: answer to %v: %w", k.request.MsgType(), err)
	}
	return m, nil
}

// Request sends m and waits for its answer. Where that is an error message,
// Request fails with a *SwitchError. A timeout means that it is unknown what
// the switch did. Multipart requests are for Multipart, messages without an
// answer for Send and Commit.
func (c *Conn) Request(ctx context.Context, m openflow.Message) (openflow.Message, error) {
	if m.MsgType() == openflow.TypeMultipartRequest {
		return nil, fmt.Errorf("session: %v may have an answer of many parts, use Multipart", m.MsgType())
	}
	k, err := c.begin(ctx, m)
	if err != nil {
		return nil, err
	}
	defer c.end(k)
	return c.wait(ctx, k)
}

// Barrier returns when the switch has handled all that was sent before.
func (c *Conn) Barrier(ctx context.Context) error {
	_, err := c.Request(ctx, &openflow.BarrierRequest{})
	return err
}
