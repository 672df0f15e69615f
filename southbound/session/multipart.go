package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/macloom/macloom/southbound/openflow"
)

// MultipartOption changes one request.
type MultipartOption func(*call)

// Limit is the largest answer to a multipart request, in bytes, in place of
// Config.MultipartBytes. A request for something small should have one: it is
// all that a hostile switch can send.
func Limit(bytes int) MultipartOption { return func(k *call) { k.limit = bytes } }

// Multipart sends a multipart request and calls each with the body of every
// part of the answer, in the caller's goroutine and while further parts arrive.
// The body is the callee's to keep. An error of each ends Multipart with it.
func (c *Conn) Multipart(ctx context.Context, body openflow.MultipartBody, each func(openflow.MultipartBody) error, options ...MultipartOption) error {
	k, err := c.newMultipart(body, options)
	if err != nil {
		return err
	}
	if err := c.start(ctx, k); err != nil {
		return err
	}
	defer c.end(k)
	for {
		parts, last, err := c.take(ctx, k)
		if err != nil {
			return err
		}
		for i, part := range parts {
			reply, err := decodePart(k, part)
			if err != nil {
				return err
			}
			parts[i] = nil
			if err := each(reply.Body); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// Parts is Multipart for answers with bodies of type B. An answer of another
// type, which only a broken switch sends, is an error.
func Parts[B openflow.MultipartBody](ctx context.Context, c *Conn, body openflow.MultipartBody, each func(B) error, options ...MultipartOption) error {
	return c.Multipart(ctx, body, func(m openflow.MultipartBody) error {
		b, ok := m.(B)
		if !ok {
			return fmt.Errorf("session: multipart request of type %d was answered with %T", body.MultipartType(), m)
		}
		return each(b)
	}, options...)
}

// ErrMonitoring is returned by Monitor while there is another on the connection.
var ErrMonitoring = errors.New("session: there is a flow monitor on this connection already")

// Monitor has the switch report changes of its flows and calls each with them:
// first with the flows that there are, where the request asks for them, then
// (update is true) with changes as they happen. It returns when ctx is done, each
// fails, the switch refuses, or the session ends, and cancels the monitors
// then.
//
// Reports do not say which monitor they are of, so there can be one call at a
// time, of any number of monitors. (A monitor that was requested otherwise
// reports to Notices.) Reports that come faster than each takes
// them end Monitor, not the session, with an error when the Limit (of what
// waits, 64 MiB at most) is reached: what was missed can only be made good by a new
// monitor.
func (c *Conn) Monitor(ctx context.Context, request *openflow.FlowMonitorRequest,
	each func(changes openflow.FlowUpdates, update bool) error, options ...MultipartOption,
) error {
	k, err := c.newMultipart(request, options)
	if err != nil {
		return err
	}
	k.stream = true
	if !c.calls.setMonitor(k) {
		return ErrMonitoring
	}
	defer c.calls.endMonitor()
	if err := c.start(ctx, k); err != nil {
		return err
	}
	defer c.end(k)
	err = c.follow(ctx, k, each)
	for _, m := range request.Monitors {
		// What cannot be sent now ends with the session.
		if c.Send(&openflow.FlowMonitorCancel{ID: m.ID}) != nil {
			break
		}
	}
	return err
}

func (c *Conn) follow(ctx context.Context, k *call, each func(openflow.FlowUpdates, bool) error) error {
	take := c.take // the answer is due within Config.RequestTimeout, a report whenever
	for {
		parts, _, err := take(ctx, k)
		if err != nil {
			return err
		}
		for _, part := range parts {
			reply, err := decodePart(k, part)
			if err != nil {
				return err
			}
			changes, ok := reply.Body.(*openflow.FlowMonitorReply)
			if !ok {
				return fmt.Errorf("session: a flow monitor was answered with %T", reply.Body)
			}
			if !reply.More() {
				take = c.takeWhenever
			}
			if err := each(changes.Updates, xidOf(part) != k.xid); err != nil {
				return err
			}
		}
	}
}

func (ct *callTable) setMonitor(k *call) bool {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	if ct.monitor != nil {
		return false
	}
	ct.monitor = k
	return true
}

func (ct *callTable) endMonitor() {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	ct.monitor = nil
}

func (c *Conn) newMultipart(body openflow.MultipartBody, options []MultipartOption) (*call, error) {
	k, err := c.newCall(&openflow.MultipartRequest{Body: body})
	if err != nil {
		return nil, err
	}
	for _, o := range options {
		o(k)
	}
	return k, nil
}

// decodePart decodes a part of the answer to k.
func decodePart(k *call, part []byte) (*openflow.MultipartReply, error) {
	_, m, err := openflow.Decode(part)
	if err != nil {
		return nil, fmt.Errorf("session: answer to %v: %w", k.request.MsgType(), err)
	}
	asked := k.request.(*openflow.MultipartRequest).Body.MultipartType()
	reply, ok := m.(*openflow.MultipartReply)
	if !ok || reply.Body.MultipartType() != asked {
		return nil, fmt.Errorf("session: multipart request of type %d was answered with something else", asked)
	}
	return reply, nil
}
