package session

import (
	"context"
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

// Monitor sends a multipart request whose answer does not end, such as the one
// for a flow monitor, and calls each with the body of every part: first of the
// answer to the request, then (update is true) of what the switch sends under the
// same transaction id as long as the monitor lives. Monitor returns when ctx is done,
// each fails, the switch refuses, or the session ends; it sends cancel then, if that
// is not nil and the session lasts.
//
// Updates that come faster than each takes them end Monitor with an error when
// the Limit is reached: what was missed can only be made good by monitoring anew.
func (c *Conn) Monitor(ctx context.Context, body openflow.MultipartBody, cancel openflow.Message,
	each func(part openflow.MultipartBody, update bool) error, options ...MultipartOption,
) error {
	k, err := c.newMultipart(body, options)
	if err != nil {
		return err
	}
	k.stream = true
	if err := c.start(ctx, k); err != nil {
		return err
	}
	defer c.end(k)
	err = c.follow(ctx, k, each)
	if cancel != nil && c.Err() == nil {
		_ = c.Send(cancel) // one that is not sent ends with the session
	}
	return err
}

func (c *Conn) follow(ctx context.Context, k *call, each func(openflow.MultipartBody, bool) error) error {
	update := false
	for {
		// The first answer is due within Config.RequestTimeout, an update whenever.
		take := c.take
		if update {
			take = c.takeWhenever
		}
		parts, _, err := take(ctx, k)
		if err != nil {
			return err
		}
		for _, part := range parts {
			reply, err := decodePart(k, part)
			if err != nil {
				return err
			}
			if err := each(reply.Body, update); err != nil {
				return err
			}
			update = update || !reply.More()
		}
	}
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
