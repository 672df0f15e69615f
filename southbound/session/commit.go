package session

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/openflow"
)

// CommitError is a Commit that the switch refused because of one message.
type CommitError struct {
	Index   int              // of Message in what was given to Commit
	Message openflow.Message // the one that the switch refused
	// Partial says that messages before Index, and in an unordered way those
	// behind it, may be in effect. Where it is false none of them is.
	Partial bool
	Err     error // *SwitchError
}

func (e *CommitError) Error() string {
	effect := "nothing was applied"
	if e.Partial {
		effect = "other messages may have been applied"
	}
	return fmt.Sprintf("session: commit: message %d, %s: %v", e.Index, effect, e.Err)
}

func (e *CommitError) Unwrap() error { return e.Err }

// bundleSupport is what is known of a switch.
const (
	bundlesUnknown = iota
	bundlesTaken
	bundlesRefused
)

const bundleFlags = openflow.BundleAtomic | openflow.BundleOrdered

// Commit sends msgs and returns when all are in effect, in their order.
// Messages that a bundle can hold (flow and group modifications, packet-outs)
// go as one ordered atomic bundle: all of them apply, at once, or none. The
// others end a bundle. Open vSwitch refuses meter modifications and
// experimenter messages, such as a conntrack flush, in any
// (OFPBFC_MSG_UNSUP), port modifications in an atomic one (OFPBFC_MSG_FAILED).
// They take effect after what is before and before what is
// behind them. So all is atomic where meters to be added come first, then
// everything else, then meters to be removed in a call of their own. A
// switch that refuses bundles gets plain messages and a barrier.
//
// A message that the switch refuses yields a *CommitError, which names it and
// says whether others took effect; nothing behind the run that it is part of was
// sent. After any other error it is unknown what is in effect. A request, which
// has an answer, is not for Commit: it is refused before anything is sent.
//
// Commit waits while a slow switch has much to read. The messages must not
// change before it returns.
func (c *Conn) Commit(ctx context.Context, msgs []openflow.Message) error {
	for i, m := range msgs {
		// Experimenter messages may or may not have an answer.
		if _, ok := answerType(m.MsgType()); ok && m.MsgType() != openflow.TypeExperimenter {
			return fmt.Errorf("session: commit: message %d is %v, which has an answer", i, m.MsgType())
		}
	}
	for start := 0; start < len(msgs); {
		bundled := fitsBundle(msgs[start])
		end := start + 1
		for end < len(msgs) && fitsBundle(msgs[end]) == bundled {
			end++
		}
		run := msgs[start:end]
		var err error
		// One message is atomic by itself, with half the round trips.
		if bundled && len(run) > 1 && c.bundles.Load() != bundlesRefused {
			err = c.commitBundle(ctx, run)
		} else {
			err = c.commitPlain(ctx, run)
		}
		if err != nil {
			var ce *CommitError
			if errors.As(err, &ce) {
				ce.Index += start
				ce.Partial = ce.Partial || start > 0
			}
			return err
		}
		start = end
	}
	return nil
}

func fitsBundle(m openflow.Message) bool {
	switch m.MsgType() {
	case openflow.TypeFlowMod, openflow.TypeGroupMod, openflow.TypePacketOut:
		return true
	}
	return false
}

// newSpan gives msgs their transaction ids and collects the errors about them.
func (c *Conn) newSpan(msgs []openflow.Message) *span {
	s := &span{first: c.nextXIDs(len(msgs)), n: len(msgs), failed: make(chan struct{})}
	c.calls.addSpan(s)
	return s
}

// failure makes a CommitError of the first error about a message of s, if any.
func (c *Conn) failure(s *span, msgs []openflow.Message, partial bool) error {
	i, err := c.calls.failure(s)
	if err == nil {
		return nil
	}
	return &CommitError{Index: i, Message: msgs[i], Partial: partial, Err: &SwitchError{Err: *err, Request: msgs[i]}}
}

func (c *Conn) commitPlain(ctx context.Context, msgs []openflow.Message) error {
	s := c.newSpan(msgs)
	defer c.calls.removeSpan(s)
	if err := c.sendAll(ctx, s.first, msgs, nil, s.failed); err != nil {
		return err
	}
	// Errors come before the answer to the barrier: the reader is in order.
	if err := c.Barrier(ctx); err != nil {
		return err
	}
	return c.failure(s, msgs, len(msgs) > 1)
}

// commitBundle opens a bundle, fills it, closes it to see whether the switch
// took every message, and only then commits: a switch may drop what it
// refuses and commit the others.
func (c *Conn) commitBundle(ctx context.Context, msgs []openflow.Message) error {
	id := c.bundleID.Add(1)
	control := func(ctrl openflow.BundleCtrl) *openflow.BundleControl {
		return &openflow.BundleControl{BundleID: id, Ctrl: ctrl, Flags: bundleFlags}
	}
	open, err := c.newCall(control(openflow.BundleOpenRequest))
	if err != nil {
		return err
	}
	// Once a switch is known to take bundles its answer is not waited for: up to the
	// request to close, a small one is a single write.
	if err := c.prepare(ctx, open); err != nil {
		return err
	}
	defer c.end(open)
	known := c.bundles.Load() == bundlesTaken
	if !known {
		c.flush()
		if refused, err := c.bundleOpened(ctx, open); refused {
			return c.commitPlain(ctx, msgs)
		} else if err != nil {
			return err
		}
	}

	gone := false
	defer func() {
		if !gone { // free the memory of the switch; its answer is of no use
			_ = c.Send(control(openflow.BundleDiscardRequest))
		}
	}()
	s := c.newSpan(msgs)
	defer c.calls.removeSpan(s)
	add := &openflow.BundleAdd{BundleID: id, Flags: bundleFlags}
	if err := c.queueAll(ctx, s.first, msgs, add, s.failed); err != nil {
		return err
	}
	_, closeErr := c.Request(ctx, control(openflow.BundleCloseRequest))
	if known {
		if refused, err := c.bundleOpened(ctx, open); refused {
			gone = true
			return c.commitPlain(ctx, msgs)
		} else if err != nil {
			return err
		}
	}
	if err := c.failure(s, msgs, false); err != nil {
		return err
	}
	if closeErr != nil {
		return closeErr
	}
	_, err = c.Request(ctx, control(openflow.BundleCommitRequest))
	gone = true
	// The error about the message says more than the one about the bundle.
	if err := c.failure(s, msgs, false); err != nil {
		return err
	}
	return err
}

// bundleOpened waits for the answer to a bundle open request and notes what it
// says of the switch.
func (c *Conn) bundleOpened(ctx context.Context, open *call) (refused bool, err error) {
	_, err = c.wait(ctx, open)
	var se *SwitchError
	if !errors.As(err, &se) {
		if err == nil {
			c.bundles.Store(bundlesTaken)
		}
		return false, err
	}
	if se.Err.ErrType != openflow.ErrorBadRequest {
		return true, nil // no bundle now, perhaps later
	}
	if c.bundles.Swap(bundlesRefused) != bundlesRefused {
		c.log.Load().Info("switch refuses bundles, changes to it are not atomic", zap.Error(se))
	}
	return true, nil
}
