package flow

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// String returns what ovs-ofctl writes after "actions=".
func (i Instructions) String() string {
	list, err := i.List()
	if err != nil {
		return "instruction:" + hex.EncodeToString([]byte(i))
	}
	if len(list) == 0 {
		return "drop"
	}
	var parts []string
	for _, in := range list {
		switch in := in.(type) {
		case openflow.ApplyActions:
			parts = append(parts, actionTexts(in)...)
		case openflow.WriteMetadata:
			s := "write_metadata:" + cHex(in.Metadata)
			if in.Mask != ^uint64(0) {
				s += "/" + cHex(in.Mask)
			}
			parts = append(parts, s)
		case openflow.GotoTable:
			parts = append(parts, fmt.Sprintf("goto_table:%d", in.Table))
		default:
			parts = append(parts, "instruction:"+hex.EncodeToString(in.AppendInstruction(nil)))
		}
	}
	return strings.Join(parts, ",")
}

func actionTexts(actions []openflow.Action) []string {
	texts := make([]string, len(actions))
	for i, a := range actions {
		text, ok := actionText(a)
		if !ok {
			text = "raw:" + hex.EncodeToString(a.AppendAction(nil))
		}
		texts[i] = text
	}
	return texts
}

// actionText returns ovs-ofctl's words for an action. ok is false where there are none that would be
// read back as the same.
func actionText(a openflow.Action) (text string, ok bool) {
	switch a := a.(type) {
	case openflow.ActionOutput:
		switch {
		case a.Port == openflow.PortController:
			return fmt.Sprintf("CONTROLLER:%d", a.MaxLen), true
		case portNames[a.Port] != "":
			return portNames[a.Port], a.MaxLen == 0
		}
		return fmt.Sprintf("output:%d", a.Port), a.MaxLen == 0
	case openflow.ActionSetField:
		n := namingByID[a.Field]
		if n == nil || n.id != a.Field || int(a.Len) != a.Field.Len() || a.HasMask {
			return "", false
		}
		return "set_field:" + n.kind.text(a.Value[:a.Len]) + "->" + n.set, true
	case openflow.ActionLoad:
		dst, ok := subfieldText(a.Dst)
		return "load:" + cHex(a.Value) + "->" + dst, ok
	case openflow.ActionMove:
		src, ok1 := subfieldText(a.Src)
		dst, ok2 := subfieldText(a.Dst)
		return "move:" + src + "->" + dst, ok1 && ok2
	case openflow.ActionResubmit:
		return resubmitText(a), true
	case openflow.ActionOutputReg:
		src, ok := subfieldText(a.Src)
		return "output:" + src, ok && a.MaxLen == 0xffff
	case openflow.ActionConjunction:
		return fmt.Sprintf("conjunction(%d,%d/%d)", a.ID, int(a.Clause)+1, a.Clauses), true
	case openflow.ActionCT:
		return ctText(a)
	}
	return "", false
}

// subfieldText writes NAME[], NAME[bit] or NAME[low..high].
func subfieldText(s openflow.Subfield) (text string, ok bool) {
	n := namingByID[s.Field]
	if n == nil || n.id.NXM() != s.Field || s.Bits == 0 {
		return "", false
	}
	switch {
	case s.Offset == 0 && int(s.Bits) == s.Field.Bits():
		return n.subfield + "[]", true
	case s.Bits == 1:
		return fmt.Sprintf("%s[%d]", n.subfield, s.Offset), true
	}
	return fmt.Sprintf("%s[%d..%d]", n.subfield, s.Offset, int(s.Offset)+int(s.Bits)-1), true
}

// port16 widens a port number of OpenFlow 1.0, of which the highest are reserved.
func port16(p uint16) uint32 {
	if p >= uint16(openflow.PortMax&0xffff) {
		return 0xffff0000 | uint32(p)
	}
	return uint32(p)
}

func resubmitText(a openflow.ActionResubmit) string {
	port, table := "", ""
	if a.InPort != openflow.ResubmitInPort {
		port = portNames[port16(a.InPort)]
		if port == "" {
			port = fmt.Sprint(a.InPort)
		}
	}
	if a.Table != openflow.TableAll {
		table = fmt.Sprint(a.Table)
	}
	if table == "" {
		if port == "" {
			port = "IN_PORT" // ovs-ofctl prints resubmit(,) and does not read it
		}
		return "resubmit:" + port
	}
	return "resubmit(" + port + "," + table + ")"
}

func ctText(a openflow.ActionCT) (text string, ok bool) {
	var parts []string
	if a.Commit {
		parts = append(parts, "commit")
	}
	if a.Force {
		parts = append(parts, "force")
	}
	if a.Table != openflow.NoTable {
		parts = append(parts, fmt.Sprintf("table=%d", a.Table))
	}
	if a.ZoneSrc.Bits != 0 {
		zone, ok := subfieldText(a.ZoneSrc)
		if !ok {
			return "", false
		}
		parts = append(parts, "zone="+zone)
	} else if a.Zone != 0 {
		parts = append(parts, fmt.Sprintf("zone=%d", a.Zone))
	}
	if len(a.Exec) != 0 {
		parts = append(parts, "exec("+strings.Join(actionTexts(a.Exec), ",")+")")
	}
	if name := algNames[a.ALG]; name != "" {
		parts = append(parts, "alg="+name)
	} else if a.ALG != 0 {
		parts = append(parts, fmt.Sprintf("alg=%d", a.ALG))
	}
	return "ct(" + strings.Join(parts, ",") + ")", true
}
