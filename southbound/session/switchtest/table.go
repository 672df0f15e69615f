package switchtest

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/macloom/macloom/southbound/openflow"
)

// flowKey identifies a flow within a switch.
type flowKey struct {
	table    uint8
	priority uint16
	match    string
}

func keyOf(table uint8, priority uint16, m openflow.Match) flowKey {
	return flowKey{table, priority, string(m)}
}

// normal returns m in the form that a switch keeps: sorted, masked-out bits
// zero, masks that do nothing gone.
func normal(m openflow.Match) openflow.Match {
	var fields []openflow.OXM
	var rest []byte // TLVs that fit no OXM
	for tlv := range m.TLVs() {
		f, ok := openflow.DecodeOXM(tlv)
		if !ok {
			rest = append(rest, tlv...)
			continue
		}
		if f.HasMask {
			allZero, allOne := true, true
			for i := range int(f.Len) {
				f.Value[i] &= f.Mask[i]
				allZero = allZero && f.Mask[i] == 0
				allOne = allOne && f.Mask[i] == 0xff
			}
			if allZero {
				continue
			}
			if allOne {
				f.HasMask, f.Mask = false, [16]byte{}
			}
		}
		fields = append(fields, f)
	}
	slices.SortStableFunc(fields, func(a, b openflow.OXM) int { return cmp.Compare(a.Field, b.Field) })
	return append(openflow.NewMatch(fields...), rest...)
}

// sortedFlows returns the flows that keep keeps; all if it is nil.
func (s *Switch) sortedFlows(keep func(flowKey, openflow.FlowStats) bool) []openflow.FlowStats {
	var keys []flowKey
	for k, f := range s.flows {
		if keep == nil || keep(k, f) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b flowKey) int {
		return cmp.Or(cmp.Compare(a.table, b.table), -cmp.Compare(a.priority, b.priority), cmp.Compare(a.match, b.match))
	})
	flows := make([]openflow.FlowStats, len(keys))
	for i, k := range keys {
		flows[i] = s.flows[k]
	}
	return flows
}

// applyFlowMod changes the flow table and returns the flow-removed messages
// that this causes. Overlap is not checked. The caller holds s.mu.
func (s *Switch) applyFlowMod(m *openflow.FlowMod) (removed []answer, e *openflow.Error) {
	const badTable, badCommand = 2, 6 // OFPFMFC_BAD_TABLE_ID, OFPFMFC_BAD_COMMAND
	match := normal(m.Match)
	key := keyOf(m.TableID, m.Priority, match)
	deletes := m.Command == openflow.FlowDelete || m.Command == openflow.FlowDeleteStrict
	if m.TableID == openflow.TableAll && !deletes {
		return nil, &openflow.Error{ErrType: openflow.ErrorFlowModFailed, Code: badTable}
	}
	strict := m.Command == openflow.FlowModifyStrict || m.Command == openflow.FlowDeleteStrict
	chosen := func(k flowKey, f openflow.FlowStats) bool {
		if strict && (k.priority != key.priority || k.match != key.match) {
			return false
		}
		outPort, outGroup := m.OutPort, m.OutGroup
		if !deletes {
			outPort, outGroup = openflow.PortAny, openflow.GroupAny
		}
		return selects(m.TableID, m.Cookie, m.CookieMask, outPort, outGroup, match, f)
	}
	switch m.Command {
	case openflow.FlowAdd:
		f := openflow.FlowStats{
			TableID: m.TableID, Priority: m.Priority, IdleTimeout: m.IdleTimeout, HardTimeout: m.HardTimeout,
			Flags: m.Flags, Cookie: m.Cookie, Match: match, Instructions: m.Instructions,
		}
		if old, ok := s.flows[key]; ok && m.Flags&openflow.FlagResetCounts == 0 {
			f.PacketCount, f.ByteCount = old.PacketCount, old.ByteCount
		}
		s.put(key, f)
	case openflow.FlowModify, openflow.FlowModifyStrict:
		for k, f := range s.flows {
			if chosen(k, f) {
				f.Instructions = m.Instructions
				s.put(k, f)
			}
		}
	case openflow.FlowDeleteStrict:
		if f, there := s.flows[key]; there && chosen(key, f) {
			removed = s.remove(f, openflow.RemovedDelete)
		}
	case openflow.FlowDelete:
		for _, f := range s.sortedFlows(chosen) {
			removed = append(removed, s.remove(f, openflow.RemovedDelete)...)
		}
	default:
		return nil, &openflow.Error{ErrType: openflow.ErrorFlowModFailed, Code: badCommand}
	}
	return removed, nil
}

// was is a flow as it was before a bundle changed it.
type was struct {
	key   flowKey
	flow  openflow.FlowStats
	there bool
}

// remember notes what a flow was, for the case that the bundle fails.
func (s *Switch) remember(k flowKey) {
	if s.before != nil {
		f, there := s.flows[k]
		s.before = append(s.before, was{k, f, there})
	}
}

func (s *Switch) put(k flowKey, f openflow.FlowStats) {
	s.remember(k)
	s.flows[k] = f
}

// undo brings back what is remembered.
func (s *Switch) undo() {
	for _, w := range slices.Backward(s.before) {
		if w.there {
			s.flows[w.key] = w.flow
		} else {
			delete(s.flows, w.key)
		}
	}
}

func (s *Switch) remove(f openflow.FlowStats, reason openflow.FlowRemovedReason) []answer {
	key := keyOf(f.TableID, f.Priority, f.Match)
	s.remember(key)
	delete(s.flows, key)
	if f.Flags&openflow.FlagSendFlowRem == 0 {
		return nil
	}
	return []answer{{0, &openflow.FlowRemoved{
		Cookie: f.Cookie, Priority: f.Priority, Reason: reason, TableID: f.TableID,
		IdleTimeout: f.IdleTimeout, HardTimeout: f.HardTimeout,
		PacketCount: f.PacketCount, ByteCount: f.ByteCount, Match: f.Match,
	}}}
}

// Expire removes the flows that which chooses as a timeout would, and reports
// those that are flagged for it.
func (s *Switch) Expire(reason openflow.FlowRemovedReason, which func(openflow.FlowStats) bool) error {
	var reports []answer
	var l *link
	s.change(func() {
		for _, f := range s.sortedFlows(func(_ flowKey, f openflow.FlowStats) bool { return which(f) }) {
			reports = append(reports, s.remove(f, reason)...)
		}
		l = s.link
	})
	if l == nil {
		return nil
	}
	for _, r := range reports {
		if err := l.send(r.xid, r.m, false); err != nil {
			return err
		}
	}
	return l.flush()
}

// selects says whether a request that is not strict means flow f.
func selects(table uint8, cookie, mask uint64, outPort, outGroup uint32, match openflow.Match, f openflow.FlowStats) bool {
	if table != openflow.TableAll && table != f.TableID || f.Cookie&mask != cookie&mask {
		return false
	}
	// No flow of this switch outputs to a group.
	if outGroup != openflow.GroupAny || outPort != openflow.PortAny && !outputs(f.Instructions, outPort) {
		return false
	}
	for tlv := range match.TLVs() {
		want, ok := openflow.DecodeOXM(tlv)
		if !ok {
			if !slices.ContainsFunc(slices.Collect(f.Match.TLVs()), func(have []byte) bool { return bytes.Equal(have, tlv) }) {
				return false
			}
			continue
		}
		if have, ok := f.Match.Find(want.Field); !ok || !within(have, want) {
			return false
		}
	}
	return true
}

// within says whether every value that have matches is one that want matches.
func within(have, want openflow.OXM) bool {
	if have.Field != want.Field || have.Len != want.Len {
		return false
	}
	maskOf := func(o openflow.OXM, i int) byte {
		if o.HasMask {
			return o.Mask[i]
		}
		return 0xff
	}
	for i := range int(want.Len) {
		w := maskOf(want, i)
		if maskOf(have, i)&w != w || have.Value[i]&w != want.Value[i]&w {
			return false
		}
	}
	return true
}

func outputs(instructions openflow.Instructions, port uint32) bool {
	for _, in := range instructions.List() {
		actions, ok := in.(openflow.ApplyActions)
		if !ok {
			continue
		}
		for _, a := range actions {
			if out, ok := a.(openflow.ActionOutput); ok && out.Port == port {
				return true
			}
		}
	}
	return false
}
