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
		case openflow.WriteActions:
			parts = append(parts, "write_actions("+strings.Join(actionTexts(in), ",")+")")
		case openflow.ClearActions:
			parts = append(parts, "clear_actions")
		case openflow.Meter:
			parts = append(parts, fmt.Sprintf("meter:%d", in.ID))
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

// actionText returns ovs-ofctl's words for an action in canonical form. ok is false where there are
// none that would be read back as the same.
func actionText(a openflow.Action) (text string, ok bool) {
	switch a := a.(type) {
	case openflow.ActionOutput, openflow.ActionOutputReg, openflow.ActionOutputTrunc, openflow.ActionController, openflow.ActionController2,
		openflow.ActionGroup, openflow.ActionSetQueue, openflow.ActionPopQueue:
		return outputText(a)
	case openflow.ActionSetField:
		n := namingByID[a.Field]
		if n == nil || n.id != a.Field || int(a.Len) != a.Field.Len() || a.HasMask {
			return "", false
		}
		return "set_field:" + n.kind.text(a.Value[:a.Len]) + "->" + n.set, true
	case openflow.ActionLoad:
		dst, ok := subfieldText(a.Dst)
		return "load:" + cHex(a.Value) + "->" + dst, ok && (a.Dst.Bits >= 64 || a.Value>>a.Dst.Bits == 0)
	case openflow.ActionMove:
		src, ok1 := subfieldText(a.Src)
		dst, ok2 := subfieldText(a.Dst)
		return "move:" + src + "->" + dst, ok1 && ok2
	case openflow.ActionPush:
		src, ok := subfieldText(a.Src)
		return "push:" + src, ok
	case openflow.ActionPop:
		dst, ok := subfieldText(a.Dst)
		return "pop:" + dst, ok
	case openflow.ActionDeleteField:
		n := a.Field - tunnelOption0
		return fmt.Sprintf("delete_field:tun_metadata%d", n), n < tunnelOptions && a.Len == tunnelOptionLen
	case openflow.ActionCheckPktLarger:
		dst, ok := subfieldText(a.Dst)
		return fmt.Sprintf("check_pkt_larger(%d)->%s", a.Len, dst), ok
	case openflow.ActionResubmit:
		return resubmitText(a.InPort, a.Table, false), true
	case openflow.ActionResubmitCT:
		return resubmitText(a.InPort, a.Table, true), true
	case openflow.ActionConjunction:
		return fmt.Sprintf("conjunction(%d,%d/%d)", a.ID, int(a.Clause)+1, a.Clauses), true
	case openflow.ActionMultipath, openflow.ActionBundle, openflow.ActionBundleLoad:
		return choiceText(a)
	case openflow.ActionLearn:
		return learnText(a)
	case openflow.ActionCT:
		return ctText(a)
	case openflow.ActionNAT:
		return natText(a)
	case openflow.ActionClone:
		if len(a) == 0 {
			return "clone(drop)", true
		}
		return "clone(" + strings.Join(actionTexts(a), ",") + ")", true
	case openflow.ActionNote:
		return "note:" + dotted(a), true
	case openflow.ActionFinTimeout:
		var w words
		w.number("idle_timeout", uint64(a.Idle))
		w.number("hard_timeout", uint64(a.Hard))
		return "fin_timeout(" + w.join() + ")", true
	case openflow.ActionSample:
		return sampleText(openflow.ActionSample2{ActionSample: a, Port: noPort16}, 0), true
	case openflow.ActionSample2:
		return sampleText(a, 0), true
	case openflow.ActionSample3:
		return sampleText(openflow.ActionSample2{ActionSample: a.ActionSample, Port: a.Port}, a.Direction), a.Direction <= openflow.SampleEgress
	default:
		return headerText(a)
	}
}

// headerText writes the actions without fields, ports or tables.
func headerText(a openflow.Action) (text string, ok bool) {
	switch a := a.(type) {
	case openflow.ActionPushVLAN:
		return fmt.Sprintf("push_vlan:%#x", a.EthType), a.EthType != 0
	case openflow.ActionPopVLAN:
		return "pop_vlan", true
	case openflow.ActionPushMPLS:
		return fmt.Sprintf("push_mpls:0x%04x", a.EthType), true
	case openflow.ActionPopMPLS:
		return fmt.Sprintf("pop_mpls:0x%04x", a.EthType), true
	case openflow.ActionSetNwTTL:
		return fmt.Sprintf("mod_nw_ttl:%d", a.TTL), true
	case openflow.ActionDecNwTTL:
		return "dec_ttl", true
	case openflow.ActionDecTTLIDs:
		ids := make(words, len(a))
		for i, id := range a {
			ids[i] = fmt.Sprint(id)
		}
		return "dec_ttl(" + ids.join() + ")", len(a) > 0
	case openflow.ActionSetMPLSTTL:
		return fmt.Sprintf("set_mpls_ttl(%d)", a.TTL), true
	case openflow.ActionDecMPLSTTL:
		return "dec_mpls_ttl", true
	case openflow.ActionCTClear:
		return "ct_clear", true
	case openflow.ActionExit:
		return "exit", true
	}
	return "", false
}

// words are the arguments of an action.
type words []string

func (w *words) add(word string) { *w = append(*w, word) }

// flag adds a word if set.
func (w *words) flag(set bool, word string) {
	if set {
		w.add(word)
	}
}

// number adds name=v unless v is 0.
func (w *words) number(name string, v uint64) {
	if v != 0 {
		w.add(fmt.Sprintf("%s=%d", name, v))
	}
}

func (w words) join() string { return strings.Join(w, ",") }

// dotted writes bytes as ovs-ofctl does in notes and userdata.
func dotted(b []byte) string {
	var s strings.Builder
	for i, c := range b {
		if i > 0 {
			s.WriteByte('.')
		}
		fmt.Fprintf(&s, "%02x", c)
	}
	return s.String()
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

// noPort16 is OFPP_NONE in 16 bits.
const noPort16 = 0xffff

// port16 widens a port number of OpenFlow 1.0, of which the highest are reserved.
func port16(p uint16) uint32 {
	if p >= uint16(openflow.PortMax&0xffff) {
		return 0xffff0000 | uint32(p)
	}
	return uint32(p)
}

// port16Text writes a 16-bit port: reserved ones by name, or as 16 bits.
func port16Text(p uint16) string {
	if name := portNames[port16(p)]; name != "" {
		return name
	}
	return fmt.Sprint(p)
}

// outputText writes the actions that send a packet somewhere, or choose a queue.
func outputText(a openflow.Action) (text string, ok bool) {
	switch a := a.(type) {
	case openflow.ActionOutput:
		switch {
		case a.Port == openflow.PortController:
			return fmt.Sprintf("CONTROLLER:%d", a.MaxLen), true
		case portNames[a.Port] != "":
			return portNames[a.Port], a.MaxLen == 0
		}
		return fmt.Sprintf("output:%d", a.Port), a.MaxLen == 0
	case openflow.ActionOutputReg:
		src, ok := subfieldText(a.Src)
		return "output:" + src, ok && a.MaxLen == 0xffff
	case openflow.ActionOutputTrunc:
		return fmt.Sprintf("output(port=%s,max_len=%d)", port16Text(a.Port), a.MaxLen), true
	case openflow.ActionGroup:
		return fmt.Sprintf("group:%d", a.ID), true
	case openflow.ActionSetQueue:
		return fmt.Sprintf("set_queue:%d", a.ID), true
	case openflow.ActionPopQueue:
		return "pop_queue", true
	case openflow.ActionController:
		return controllerText(openflow.ActionController2{MaxLen: a.MaxLen, ID: a.ID, Reason: a.Reason}), true
	case openflow.ActionController2:
		return controllerText(a), true
	}
	return "", false
}

func controllerText(a openflow.ActionController2) string {
	var w words
	if a.Reason != reasonAction {
		reason := fmt.Sprint(a.Reason)
		if int(a.Reason) < len(reasonNames) {
			reason = reasonNames[a.Reason]
		}
		w.add("reason=" + reason)
	}
	if a.MaxLen != 0xffff {
		w.add(fmt.Sprintf("max_len=%d", a.MaxLen))
	}
	w.number("id", uint64(a.ID))
	if len(a.Userdata) != 0 {
		w.add("userdata=" + dotted(a.Userdata))
	}
	w.flag(a.Pause, "pause")
	w.number("meter_id", uint64(a.MeterID))
	return "controller(" + w.join() + ")"
}

func resubmitText(inPort uint16, table uint8, ct bool) string {
	port, number, suffix := "", "", ""
	if inPort != openflow.ResubmitInPort {
		port = port16Text(inPort)
	}
	if table != openflow.TableAll {
		number = fmt.Sprint(table)
	}
	if ct {
		suffix = ",ct"
	}
	if number == "" {
		if port == "" {
			port = "IN_PORT" // ovs-ofctl prints resubmit(,) and does not read it
		}
		if !ct {
			return "resubmit:" + port
		}
	}
	return "resubmit(" + port + "," + number + suffix + ")"
}

func sampleText(a openflow.ActionSample2, direction openflow.SampleDirection) string {
	w := words{
		fmt.Sprintf("probability=%d", a.Probability), fmt.Sprintf("collector_set_id=%d", a.CollectorSetID),
		fmt.Sprintf("obs_domain_id=%d", a.ObsDomainID), fmt.Sprintf("obs_point_id=%d", a.ObsPointID),
	}
	if a.Port != noPort16 {
		w.add("sampling_port=" + port16Text(a.Port))
	}
	w.flag(direction == openflow.SampleIngress, "ingress")
	w.flag(direction == openflow.SampleEgress, "egress")
	return "sample(" + w.join() + ")"
}

// choiceText writes the actions that choose by hash.
func choiceText(a openflow.Action) (text string, ok bool) {
	var b openflow.ActionBundle
	name, dst := "bundle", ""
	switch a := a.(type) {
	case openflow.ActionMultipath:
		dst, ok := subfieldText(a.Dst)
		if !ok || int(a.Fields) >= len(hashNames) || int(a.Algorithm) >= len(multipathNames) {
			return "", false
		}
		return fmt.Sprintf("multipath(%s,%d,%s,%d,%d,%s)", hashNames[a.Fields], a.Basis, multipathNames[a.Algorithm], int(a.MaxLink)+1, a.Arg, dst), true
	case openflow.ActionBundle:
		b = a
	case openflow.ActionBundleLoad:
		b, name = a.ActionBundle, "bundle_load"
		if dst, ok = subfieldText(a.Dst); !ok {
			return "", false
		}
		dst += ","
	}
	if int(b.Fields) >= len(hashNames) || int(b.Algorithm) >= len(bundleNames) {
		return "", false
	}
	members := make(words, len(b.Members))
	for i, m := range b.Members {
		members[i] = port16Text(m)
	}
	return fmt.Sprintf("%s(%s,%d,%s,ofport,%smembers:%s)", name, hashNames[b.Fields], b.Basis, bundleNames[b.Algorithm], dst, members.join()), true
}

// Words by number.
var (
	reasonNames    = [...]string{"no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"}
	hashNames      = [...]string{"eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3"}
	multipathNames = [...]string{"modulo_n", "hash_threshold", "hrw", "iter_hash"}
	bundleNames    = [...]string{"active_backup", "hrw"}
)
