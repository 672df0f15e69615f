package session

import (
	"context"

	"github.com/macloom/macloom/southbound/openflow"
)

// Try asks whether the switch would take msgs, which must fit a bundle: it puts them into one and
// throws that away, so that nothing of them is ever in effect. A message that the switch
// refuses as such (a field or an action that it does not know) yields a
// *CommitError; what depends on what else the switch holds, such as room in a
// table, is not found out. A switch that refuses bundles yields a *SwitchError.
func (c *Conn) Try(ctx context.Context, msgs []openflow.Message) error {
	id := c.bundleID.Add(1)
	control := func(ctrl openflow.BundleCtrl) *openflow.BundleControl {
		return &openflow.BundleControl{BundleID: id, Ctrl: ctrl, Flags: bundleFlags}
	}
	if _, err := c.Request(ctx, control(openflow.BundleOpenRequest)); err != nil {
		return err
	}
	s := c.newSpan(msgs)
	defer c.calls.removeSpan(s)
	// Not by send: what is only tried does not count among what was sent to change the switch.
	if err := c.out.put(s.first, msgs, &openflow.BundleAdd{BundleID: id, Flags: bundleFlags}); err != nil {
		return err
	}
	// The errors come before this answer: the switch answers in order.
	_, err := c.Request(ctx, control(openflow.BundleDiscardRequest))
	if refused := c.failure(s, msgs, false); refused != nil {
		return refused
	}
	return err
}
