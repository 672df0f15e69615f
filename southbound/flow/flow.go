// Package flow holds OpenFlow flows, groups and meters as comparable values in
// one canonical form, which is the form that Open vSwitch reads back. A flow that
// the controller wants and the same flow dumped from a switch are therefore equal
// by ==, and the difference of two switches is one walk over two sorted lists.
package flow

import (
	"github.com/macloom/macloom/southbound/openflow"
)

// Match is the canonical encoding of the match fields of a flow: OXM TLVs,
// sorted by field (standard ones first), masked bits of the value zero, full
// masks left out, all-zero masks dropped. The empty Match matches every packet.
type Match string

// Instructions is the canonical encoding of the instructions of a flow.
// The empty value drops.
type Instructions string

// Flow is one flow entry. Two flows are the same entry of a switch if their
// Keys are equal, and need no change if they are == (see Diff).
type Flow struct {
	Table        uint8
	Priority     uint16
	IdleTimeout  uint16 // seconds; 0: none
	HardTimeout  uint16
	Flags        openflow.FlowModFlags
	Cookie       uint64
	Match        Match
	Instructions Instructions
}

// Key identifies a flow entry within a switch.
type Key struct {
	Table    uint8
	Priority uint16
	Match    Match
}

// Key returns what identifies f within a switch.
func (f Flow) Key() Key { return Key{f.Table, f.Priority, f.Match} }

// FromStats returns the flow that a switch reports, in canonical form. It is
// == to the flow that was installed.
func FromStats(s openflow.FlowStats) (Flow, error) {
	match, err := readMatch(s.Match)
	if err != nil {
		return Flow{}, err
	}
	instructions, err := readInstructions(s.Instructions)
	if err != nil {
		return Flow{}, err
	}
	return Flow{
		Table: s.TableID, Priority: s.Priority, IdleTimeout: s.IdleTimeout, HardTimeout: s.HardTimeout,
		Flags: s.Flags, Cookie: s.Cookie, Match: match, Instructions: instructions,
	}, nil
}

// FromRemoved returns the key of the flow that a switch says is gone.
func FromRemoved(r openflow.FlowRemoved) Key {
	match, err := readMatch(r.Match)
	if err != nil {
		// No flow has such a match, so the key must not be that of one.
		match = Match(r.Match)
	}
	return Key{Table: r.TableID, Priority: r.Priority, Match: match}
}

// Add returns the message that installs f, in place of a flow with the same key
// if there is one.
func (f Flow) Add() *openflow.FlowMod {
	// One block of memory for both.
	b := make([]byte, 0, len(f.Match)+len(f.Instructions))
	b = append(append(b, f.Match...), f.Instructions...)
	n := len(f.Match)
	return &openflow.FlowMod{
		Command: openflow.FlowAdd, TableID: f.Table, Priority: f.Priority, Cookie: f.Cookie, Flags: f.Flags,
		IdleTimeout: f.IdleTimeout, HardTimeout: f.HardTimeout,
		BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
		Match: b[:n:n], Instructions: b[n:],
	}
}

// DeleteStrict returns the message that removes the flow with the key of f, and
// no other, whatever its cookie and instructions are.
func (f Flow) DeleteStrict() *openflow.FlowMod { return f.Key().DeleteStrict() }

// DeleteStrict returns the message that removes the flow with this key.
func (k Key) DeleteStrict() *openflow.FlowMod {
	return &openflow.FlowMod{
		Command: openflow.FlowDeleteStrict, TableID: k.Table, Priority: k.Priority,
		BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
		Match: openflow.Match(k.Match),
	}
}
