package flow

import (
	"fmt"

	"github.com/macloom/macloom/southbound/openflow"
)

// LearnSpec says what flow a packet adds to a table. Timeouts are in seconds, 0 for none.
type LearnSpec struct {
	Table          uint8
	Priority       uint16
	Cookie         uint64
	IdleTimeout    uint16
	HardTimeout    uint16
	FinIdleTimeout uint16 // once a TCP connection ended
	FinHardTimeout uint16
	SendFlowRem    bool
	DeleteLearned  bool              // when the flow that learns is deleted
	Limit          uint32            // of flows in Table with Cookie; 0: none
	Result         openflow.Subfield // where it has Bits, which is 1: whether Limit let the flow in
}

// Learn adds a flow that is made of parts. Prerequisites of a field come before it.
func Learn(s LearnSpec, parts ...openflow.LearnSpec) openflow.Action {
	if s.Result.Bits > 1 {
		panic(fmt.Sprintf("flow: result of learn in %d bits", s.Result.Bits))
	}
	s.Result.Field = s.Result.Field.NXM()
	return openflow.ActionLearn{
		Table: s.Table, Priority: s.Priority, Cookie: s.Cookie, IdleTimeout: s.IdleTimeout, HardTimeout: s.HardTimeout,
		FinIdleTimeout: s.FinIdleTimeout, FinHardTimeout: s.FinHardTimeout, SendFlowRem: s.SendFlowRem, DeleteLearned: s.DeleteLearned,
		Limit: s.Limit, Result: s.Result, Extended: s.Limit != 0 || s.Result.Bits != 0, Specs: parts,
	}
}

// LearnMatch lets the learned flow match on dst what src holds in this packet.
func LearnMatch(dst, src openflow.Subfield) openflow.LearnSpec {
	return learnPart(openflow.LearnMatch, src, dst)
}

// LearnSame lets the learned flow match what this packet has.
func LearnSame(part openflow.Subfield) openflow.LearnSpec { return LearnMatch(part, part) }

// LearnField lets the learned flow match a field, which has no mask.
func LearnField(f Field) openflow.LearnSpec {
	if f.raw != "" || f.oxm.HasMask {
		panic(fmt.Sprintf("flow: learn a match on %s", f))
	}
	s := learnPart(openflow.LearnMatchValue, openflow.Subfield{}, Whole(f.oxm.Field))
	copy(s.Value[len(s.Value)-int(f.oxm.Len):], f.Value())
	return s
}

// LearnMatchValue lets the learned flow match on some bits.
func LearnMatchValue(dst openflow.Subfield, v uint64) openflow.LearnSpec {
	s := learnPart(openflow.LearnMatchValue, openflow.Subfield{}, dst)
	putUint(s.Value[:], v)
	return s
}

// LearnLoad lets the learned flow load what src holds in this packet to dst.
func LearnLoad(src, dst openflow.Subfield) openflow.LearnSpec {
	return learnPart(openflow.LearnLoad, src, dst)
}

// LearnLoadValue lets the learned flow set some bits.
func LearnLoadValue(dst openflow.Subfield, v uint64) openflow.LearnSpec {
	s := learnPart(openflow.LearnLoadValue, openflow.Subfield{}, dst)
	putUint(s.Value[:], v)
	return s
}

// LearnOutput lets the learned flow send to the port that src holds in this packet, as
// InPort16 does.
func LearnOutput(src openflow.Subfield) openflow.LearnSpec {
	return learnPart(openflow.LearnOutput, src, openflow.Subfield{})
}

// InPort16 is the port that a packet came in by as learned flows can have it, 16 bits wide.
func InPort16() openflow.Subfield { return Whole(openflow.NXMInPort) }

// learnPart returns a part of a flow; the fields of a side that the kind does not
// have are zero.
func learnPart(kind openflow.LearnKind, src, dst openflow.Subfield) openflow.LearnSpec {
	s := openflow.LearnSpec{Kind: kind, Bits: max(src.Bits, dst.Bits)}
	if src.Bits != 0 {
		s.Src, s.SrcOffset = src.Field.NXM(), src.Offset
	}
	if dst.Bits != 0 {
		s.Dst, s.DstOffset = dst.Field.NXM(), dst.Offset
	}
	if src.Bits != 0 && dst.Bits != 0 && src.Bits != dst.Bits {
		panic(fmt.Sprintf("flow: learn %d bits of %d", dst.Bits, src.Bits))
	}
	return s
}
