package openflow

import (
	"fmt"
	"iter"
)

// Match is the list of fields of an ofp_match of type OXM: TLVs in wire form,
// without the header and the padding of the match. The empty Match matches
// every packet. Decoding checks that the TLVs are whole, so walking them cannot
// fail.
type Match []byte

// NewMatch encodes fields in the given order.
func NewMatch(fields ...OXM) Match {
	var m Match
	for i := range fields {
		m = fields[i].AppendTo(m)
	}
	return m
}

// DecodeMatch returns b as a match if its TLVs are whole. It does not copy.
func DecodeMatch(b []byte) (Match, error) {
	r := reader{b: b}
	m := r.fields(len(b))
	return m, r.end()
}

// Append appends a field, like append.
func (m Match) Append(o OXM) Match { return o.AppendTo(m) }

// TLVs yields every TLV, whole, in the order of the match. They alias m.
func (m Match) TLVs() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for b := []byte(m); len(b) >= oxmHeaderLen; {
			n := oxmHeaderLen + int(b[3])
			if n > len(b) || !yield(b[:n:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// Fields yields the fields that fit an OXM. Those that do not (of an experimenter
// that is not known, no value, value longer than 16 bytes) are among TLVs only.
func (m Match) Fields() iter.Seq[OXM] {
	return func(yield func(OXM) bool) {
		for tlv := range m.TLVs() {
			if o, ok := DecodeOXM(tlv); ok && !yield(o) {
				return
			}
		}
	}
}

// Find returns the first field with the given id.
func (m Match) Find(id FieldID) (OXM, bool) {
	for tlv := range m.TLVs() {
		if got, _, ok := FieldOf(tlv); ok && got == id {
			return DecodeOXM(tlv)
		}
	}
	return OXM{}, false
}

// appendTo appends the ofp_match with its padding.
func (m Match) appendTo(b []byte) []byte {
	start := len(b)
	n := 4 + len(m)
	b = append(b, 0, matchTypeOXM, byte(n>>8), byte(n))
	b = append(b, m...)
	return appendPad(b, start)
}

// match reads an ofp_match with its padding. The result aliases the buffer.
func (r *reader) match() Match {
	kind, n := r.u16(), int(r.u16())
	if r.err != nil {
		return nil
	}
	if kind != matchTypeOXM {
		r.fail("match of type %d is not OXM", kind)
		return nil
	}
	if n < 4 {
		r.fail("match: length %d", n)
		return nil
	}
	m := r.fields(n - 4)
	r.skip(-n & 7)
	return m
}

// fields reads n bytes of match TLVs.
func (r *reader) fields(n int) Match {
	b := r.take(n)
	for rest := b; len(rest) > 0; {
		if len(rest) < oxmHeaderLen || oxmHeaderLen+int(rest[3]) > len(rest) {
			r.failWith(errShort)
			return nil
		}
		rest = rest[oxmHeaderLen+int(rest[3]):]
	}
	return some(b)
}

// Actions is a list of actions in wire form. Decoding checks its framing.
type Actions []byte

// NewActions encodes actions one after the other.
func NewActions(actions ...Action) Actions { return AppendActions(nil, actions) }

// List decodes the actions. What the codec does not know is an ActionRaw.
func (a Actions) List() []Action {
	list, _ := DecodeActions(a) // the framing was checked when a was decoded, or a was encoded here
	return list
}

// actions reads n bytes of actions, of which it checks the framing. The result
// aliases the buffer.
func (r *reader) actions(n int) Actions {
	b := r.take(n)
	if err := checkActions(b); err != nil {
		r.failWith(err)
		return nil
	}
	return some(b)
}

// checkActions walks the lengths of a list of actions.
func checkActions(b []byte) error {
	for len(b) > 0 {
		n, err := tlv8(b, "action")
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Instructions is the list of instructions of a flow in wire form. Decoding
// checks its framing, that of the actions in it included. The empty value drops.
type Instructions []byte

// NewInstructions encodes instructions one after the other.
func NewInstructions(list ...Instruction) Instructions {
	var b []byte
	for _, i := range list {
		b = i.AppendInstruction(b)
	}
	return b
}

// List decodes the instructions. What the codec does not know is an InstructionRaw.
func (i Instructions) List() []Instruction {
	list, _ := DecodeInstructions(i) // as in Actions.List
	return list
}

// instructions reads all that is left as instructions. The result aliases the
// buffer.
func (r *reader) instructions() Instructions {
	b := r.rest()
	if err := checkInstructions(b); err != nil {
		r.failWith(err)
		return nil
	}
	return b
}

func checkInstructions(b []byte) error {
	for len(b) > 0 {
		n, err := tlv8(b, "instruction")
		if err != nil {
			return err
		}
		switch be.Uint16(b) {
		case instructionWriteActions, instructionApplyActions:
			if err := checkActions(b[8:n]); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

// tlv8 returns the length of the TLV in front of b, which is a multiple of 8.
func tlv8(b []byte, what string) (int, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("%s: %w", what, errShort)
	}
	n := int(be.Uint16(b[2:]))
	if n < 8 || n&7 != 0 || n > len(b) {
		return 0, fmt.Errorf("%s of type %d: length %d of %d bytes", what, be.Uint16(b), n, len(b))
	}
	return n, nil
}

// some is b, but nil where it is empty: what is decoded is then equal to what
// nobody filled in.
func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
