package flow

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

func ctText(a openflow.ActionCT) (text string, ok bool) {
	var w words
	w.flag(a.Commit, "commit")
	w.flag(a.Force, "force")
	if a.Table != openflow.NoTable {
		w.add(fmt.Sprintf("table=%d", a.Table))
	}
	if a.ZoneSrc.Bits != 0 {
		zone, ok := subfieldText(a.ZoneSrc)
		if !ok {
			return "", false
		}
		w.add("zone=" + zone)
	} else {
		w.number("zone", uint64(a.Zone))
	}
	exec := a.Exec
	if len(exec) > 0 {
		if nat, isNAT := exec[0].(openflow.ActionNAT); isNAT {
			if text, ok := natText(nat); ok {
				w.add(text)
				exec = exec[1:]
			}
		}
	}
	if len(exec) > 0 {
		w.add("exec(" + strings.Join(actionTexts(exec), ",") + ")")
	}
	if name := algNames[a.ALG]; name != "" {
		w.add("alg=" + name)
	} else {
		w.number("alg", uint64(a.ALG))
	}
	return "ct(" + w.join() + ")", true
}

// natText writes what ovs-ofctl reads. Of flags without a range it would not write
// them, though they mean something.
func natText(a openflow.ActionNAT) (text string, ok bool) {
	if natFault(a) != "" || a.Flags >= openflow.NATRandom<<1 || canonicalNAT(a) != a {
		return "", false
	}
	var w words
	direction := ""
	switch {
	case a.Flags&openflow.NATSrc != 0:
		direction = "src"
	case a.Flags&openflow.NATDst != 0:
		direction = "dst"
	default:
		return "nat", true
	}
	if a.AddrMin.IsValid() {
		direction += "=" + natRange(a)
	}
	w.add(direction)
	w.flag(a.Flags&openflow.NATPersistent != 0, "persistent")
	w.flag(a.Flags&openflow.NATHash != 0, "hash")
	w.flag(a.Flags&openflow.NATRandom != 0, "random")
	return "nat(" + w.join() + ")", true
}

// natRange writes ADDR[-ADDR][:PORT[-PORT]], with IPv6 addresses in brackets before a port.
func natRange(a openflow.ActionNAT) string {
	addr := func(addr netip.Addr) string {
		if addr.Is6() && a.PortMin != 0 {
			return "[" + addr.String() + "]"
		}
		return addr.String()
	}
	s := addr(a.AddrMin)
	if a.AddrMax.IsValid() {
		s += "-" + addr(a.AddrMax)
	}
	if a.PortMin != 0 {
		s += fmt.Sprintf(":%d", a.PortMin)
	}
	if a.PortMax != 0 {
		s += fmt.Sprintf("-%d", a.PortMax)
	}
	return s
}

// defaultPriority is the priority that ovs-ofctl does not write.
const defaultPriority = 0x8000

func learnText(a openflow.ActionLearn) (text string, ok bool) {
	w := words{fmt.Sprintf("table=%d", a.Table)}
	w.number("idle_timeout", uint64(a.IdleTimeout))
	w.number("hard_timeout", uint64(a.HardTimeout))
	w.number("fin_idle_timeout", uint64(a.FinIdleTimeout))
	w.number("fin_hard_timeout", uint64(a.FinHardTimeout))
	if a.Priority != defaultPriority {
		w.add(fmt.Sprintf("priority=%d", a.Priority))
	}
	w.flag(a.SendFlowRem, "send_flow_rem")
	w.flag(a.DeleteLearned, "delete_learned")
	if a.Cookie != 0 {
		w.add("cookie=" + cHex(a.Cookie))
	}
	w.number("limit", uint64(a.Limit))
	if a.Result.Bits != 0 {
		dst, ok := subfieldText(a.Result)
		if !ok {
			return "", false
		}
		w.add("result_dst=" + dst)
	}
	for i := range a.Specs {
		spec, ok := learnSpecText(&a.Specs[i])
		if !ok {
			return "", false
		}
		w.add(spec)
	}
	return "learn(" + w.join() + ")", a.Extended == (a.Limit != 0 || a.Result.Bits != 0)
}

func learnSpecText(s *openflow.LearnSpec) (text string, ok bool) {
	var src, dst string
	if s.Kind == openflow.LearnMatchValue || s.Kind == openflow.LearnLoadValue {
		// What does not fit the bits would be lost.
		if !fits(s.Value[:], int(s.Bits)) {
			return "", false
		}
		src = hexadecimal.text(s.Value[:])
	} else if src, ok = subfieldText(Bits(s.Src, int(s.SrcOffset), int(s.Bits))); !ok {
		return "", false
	}
	if s.Kind == openflow.LearnOutput {
		return "output:" + src, true
	}
	part := Bits(s.Dst, int(s.DstOffset), int(s.Bits))
	if dst, ok = subfieldText(part); !ok {
		return "", false
	}
	switch s.Kind {
	case openflow.LearnLoad, openflow.LearnLoadValue:
		return "load:" + src + "->" + dst, true
	case openflow.LearnMatch:
		if s.Src == s.Dst && s.SrcOffset == s.DstOffset {
			return dst, true
		}
	case openflow.LearnMatchValue:
		if part == Whole(s.Dst) {
			n := namingByID[s.Dst]
			return n.set + "=" + n.kind.text(s.Value[len(s.Value)-s.Dst.Len():]), true
		}
	}
	return dst + "=" + src, true
}

// fits reports whether a number has no bits above the lowest n.
func fits(v []byte, n int) bool {
	for i, c := range v {
		if above := 8*(len(v)-i) - n; above >= 8 && c != 0 || above > 0 && above < 8 && c>>(8-above) != 0 {
			return false
		}
	}
	return true
}
