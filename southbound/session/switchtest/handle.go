package switchtest

import (
	"maps"
	"slices"

	"github.com/macloom/macloom/southbound/openflow"
)

// answer is a message to the controller.
type answer struct {
	xid uint32
	m   openflow.Message
}

// experimenterONF is the id under which errors about bundles travel.
const experimenterONF = 0x4f4e4600

// Codes of the bundle extension's errors (OFPBFC_*), offset by its base.
const (
	bundleBadID     = 2300 + 2
	bundleExists    = 2300 + 3
	bundleClosed    = 2300 + 4
	bundleBadXID    = 2300 + 9
	bundleMsgUnsup  = 2300 + 10
	bundleMsgFailed = 2300 + 13
)

type bundle struct {
	closed   bool
	messages []*openflow.BundleAdd
}

// handle does what m asks for. The caller holds s.mu.
func (s *Switch) handle(h openflow.Header, m openflow.Message, frame []byte) []answer {
	s.received[h.Type]++
	reply := func(m openflow.Message) []answer { return []answer{{h.XID, m}} }
	refuse := func(e openflow.Error) []answer {
		e.Data = slices.Clone(frame[:min(len(frame), 64)])
		return reply(&e)
	}
	switch m := m.(type) {
	case *openflow.Hello:
		return nil
	case *openflow.EchoRequest:
		if s.opts.NoEcho {
			return nil
		}
		return reply(&openflow.EchoReply{Data: m.Data})
	case *openflow.BundleAdd:
		if _, ok := m.Message.(*openflow.FlowMod); ok {
			s.flowMods++
		}
	case *openflow.FlowMod:
		s.flowMods++
	}
	if s.opts.Refuse != nil {
		if e := s.opts.Refuse(m); e != nil {
			return refuse(*e)
		}
	}
	switch m := m.(type) {
	case *openflow.EchoReply, *openflow.Error, *openflow.SetConfig:
		return nil
	case *openflow.FeaturesRequest:
		return reply(&openflow.FeaturesReply{DatapathID: s.opts.DPID, NTables: 254, Capabilities: 1})
	case *openflow.GetConfigRequest:
		return reply(&openflow.GetConfigReply{MissSendLen: 128})
	case *openflow.BarrierRequest:
		return reply(&openflow.BarrierReply{})
	case *openflow.RoleRequest:
		if m.Role != openflow.RoleNoChange {
			s.role = *m
		}
		return reply(&openflow.RoleReply{Role: s.role.Role, GenerationID: s.role.GenerationID})
	case *openflow.PacketOut:
		s.packetOuts = append(s.packetOuts, *m)
		return nil
	case *openflow.CTFlushZone:
		s.flushed = append(s.flushed, m.Zone)
		return nil
	case *openflow.FlowMod:
		removed, e := s.applyFlowMod(m)
		if e != nil {
			return refuse(*e)
		}
		return removed
	case *openflow.GroupMod:
		if e := s.applyGroupMod(m); e != nil {
			return refuse(*e)
		}
		return nil
	case *openflow.MeterMod:
		if e := s.applyMeterMod(m); e != nil {
			return refuse(*e)
		}
		return nil
	case *openflow.MultipartRequest:
		return s.multipart(h.XID, m, refuse)
	case *openflow.BundleControl, *openflow.BundleAdd:
		if s.opts.NoBundles {
			return refuse(openflow.Error{ErrType: openflow.ErrorBadRequest, Code: openflow.BadRequestExperimenter})
		}
		if add, ok := m.(*openflow.BundleAdd); ok {
			if code := s.bundleAdd(h, add); code != 0 {
				return refuse(bundleError(code))
			}
			return nil
		}
		return s.bundleControl(h, m.(*openflow.BundleControl), refuse)
	}
	return refuse(openflow.Error{ErrType: openflow.ErrorBadRequest, Code: openflow.BadRequestType})
}

func bundleError(code uint16) openflow.Error {
	return openflow.Error{ErrType: openflow.ErrorExperimenter, Experimenter: experimenterONF, Code: code}
}

func (s *Switch) bundleAdd(h openflow.Header, add *openflow.BundleAdd) (code uint16) {
	b := s.bundles[add.BundleID]
	switch {
	case b == nil:
		b = new(bundle) // as the extension has it: adding opens
		s.bundles[add.BundleID] = b
	case b.closed:
		return bundleClosed
	}
	if add.XID != h.XID {
		return bundleBadXID
	}
	switch add.Message.(type) {
	case *openflow.FlowMod, *openflow.GroupMod, *openflow.PacketOut:
		b.messages = append(b.messages, add)
		return 0
	}
	return bundleMsgUnsup
}

func (s *Switch) bundleControl(h openflow.Header, m *openflow.BundleControl, refuse func(openflow.Error) []answer) []answer {
	b := s.bundles[m.BundleID]
	if m.Ctrl == openflow.BundleOpenRequest {
		if b != nil {
			return refuse(bundleError(bundleExists))
		}
		s.bundles[m.BundleID] = new(bundle)
	} else if b == nil {
		return refuse(bundleError(bundleBadID))
	}
	var answers []answer
	switch m.Ctrl {
	case openflow.BundleCloseRequest:
		b.closed = true
	case openflow.BundleDiscardRequest:
		delete(s.bundles, m.BundleID)
	case openflow.BundleCommitRequest:
		delete(s.bundles, m.BundleID)
		var failed *answer
		if answers, failed = s.commit(b); failed != nil {
			return append([]answer{*failed}, refuse(bundleError(bundleMsgFailed))...)
		}
	}
	return append(answers, answer{h.XID, &openflow.BundleControl{BundleID: m.BundleID, Ctrl: m.Ctrl + 1, Flags: m.Flags}})
}

// commit applies all of the bundle or nothing.
func (s *Switch) commit(b *bundle) (answers []answer, failed *answer) {
	s.before = []was{}
	defer func() { s.before = nil }()
	groups := maps.Clone(s.groups)
	var out []openflow.PacketOut
	for _, add := range b.messages {
		var e *openflow.Error
		if s.opts.Refuse != nil {
			e = s.opts.Refuse(add.Message)
		}
		if e == nil {
			switch m := add.Message.(type) {
			case *openflow.FlowMod:
				var removed []answer
				removed, e = s.applyFlowMod(m)
				answers = append(answers, removed...)
			case *openflow.GroupMod:
				e = s.applyGroupMod(m)
			case *openflow.PacketOut:
				out = append(out, *m)
			}
		}
		if e != nil {
			s.undo()
			s.groups = groups
			frame := openflow.AppendMessage(nil, add.XID, add.Message)
			answered := *e
			answered.Data = frame[:min(len(frame), 64)]
			return nil, &answer{add.XID, &answered}
		}
	}
	s.packetOuts = append(s.packetOuts, out...)
	return answers, nil
}

// multipart answers in parts of some ten kilobytes.
func (s *Switch) multipart(xid uint32, m *openflow.MultipartRequest, refuse func(openflow.Error) []answer) []answer {
	var bodies []openflow.MultipartBody
	switch req := m.Body.(type) {
	case *openflow.DescRequest:
		bodies = append(bodies, &openflow.Desc{Manufacturer: "macloom", Hardware: "switchtest", Software: "switchtest"})
	case *openflow.PortDescRequest:
		for ports := range slices.Chunk(s.ports, 200) {
			bodies = append(bodies, &openflow.PortDescReply{Ports: slices.Clone(ports)})
		}
		if bodies == nil {
			bodies = append(bodies, &openflow.PortDescReply{})
		}
	case *openflow.FlowStatsRequest:
		flows := s.sortedFlows(func(k flowKey, f openflow.FlowStats) bool {
			return selects(req.TableID, req.Cookie, req.CookieMask, req.OutPort, req.OutGroup, req.Match, f)
		})
		part, size := new(openflow.FlowStatsReply), 0
		for _, f := range flows {
			n := len((&openflow.FlowStatsReply{Flows: []openflow.FlowStats{f}}).AppendMultipart(nil))
			if size+n > 32<<10 {
				bodies = append(bodies, part)
				part, size = new(openflow.FlowStatsReply), 0
			}
			part.Flows = append(part.Flows, f)
			size += n
		}
		bodies = append(bodies, part)
	case *openflow.GroupDescRequest:
		bodies = append(bodies, s.groupDesc())
	case *openflow.MeterConfigRequest:
		bodies = append(bodies, s.meterConfig(req.MeterID))
	case *openflow.GroupFeaturesRequest:
		if s.opts.Groups {
			bodies = append(bodies, &openflow.GroupFeatures{Types: 1<<openflow.GroupAll | 1<<openflow.GroupSelect | 1<<openflow.GroupFastFailover})
		}
	}
	if len(bodies) == 0 {
		const badMultipart = 2 // OFPBRC_BAD_MULTIPART
		return refuse(openflow.Error{ErrType: openflow.ErrorBadRequest, Code: badMultipart})
	}
	answers := make([]answer, len(bodies))
	for i, body := range bodies {
		reply := &openflow.MultipartReply{Body: body}
		if i < len(bodies)-1 {
			reply.Flags = openflow.MultipartMore
		}
		answers[i] = answer{xid, reply}
	}
	return answers
}
