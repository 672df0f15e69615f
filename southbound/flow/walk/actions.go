package walk

import (
	"fmt"
	"net/netip"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// actions executes a list on a packet.
func (r *run) actions(p *packet, list []openflow.Action, step int) error {
	for _, a := range list {
		if r.exited {
			return nil
		}
		if r.trace.taken >= maxTaken {
			return fmt.Errorf("%w: after %d actions", ErrEndless, maxTaken)
		}
		ended, err := r.action(p, a, step)
		if err != nil || ended {
			return err
		}
	}
	return nil
}

// action executes one. ended says that the rest of its list is not.
func (r *run) action(p *packet, a openflow.Action, step int) (ended bool, err error) {
	took := Taken{Text: actionText(a), Child: -1, Output: -1}
	child := func() int { return len(r.trace.Steps) }
	switch a := a.(type) {
	case openflow.ActionOutput:
		return false, r.output(p, a.Port, 0, step, took)
	case openflow.ActionOutputReg:
		port, err := p.bits(a.Src)
		if err != nil {
			return false, err
		}
		if port != (value{14: port[14], 15: port[15]}) {
			took.Note = "no port has so high a number"
			r.note(step, took)
			return false, nil
		}
		return false, r.output(p, port32(be.Uint16(port[14:])), 0, step, took) // numbers of OpenFlow 1.0
	case openflow.ActionOutputTrunc:
		return false, r.output(p, port32(a.Port), int(a.MaxLen), step, took)
	case openflow.ActionController:
		r.packetIn(p, int(a.MaxLen), 0, step, took)
	case openflow.ActionController2:
		if a.Pause {
			return false, unsupported(took.Text)
		}
		if a.MeterID != 0 && !r.sw.meters[a.MeterID] {
			return false, unsupported(fmt.Sprintf("meter %d, which there is not", a.MeterID))
		}
		r.packetIn(p, int(a.MaxLen), a.MeterID, step, took)
	case openflow.ActionResubmit:
		took.Child = child()
		r.note(step, took)
		return false, r.resubmit(p, a.InPort, a.Table, step)
	case openflow.ActionResubmitPort:
		took.Child = child()
		r.note(step, took)
		return false, r.resubmit(p, a.InPort, openflow.TableAll, step)
	case openflow.ActionClone:
		r.note(step, took)
		copied := p.clone()
		err := r.actions(copied, a, step)
		r.exited = false // an exit ends the clone alone
		return false, err
	case openflow.ActionGroup:
		r.note(step, took)
		return false, r.group(p, a.ID, step)
	case openflow.ActionCT:
		return false, r.conntrack(p, a, step, took)
	case openflow.ActionCTClear:
		p.clearCT()
		r.note(step, took)
	case openflow.ActionLearn:
		return false, r.learn(p, a, step, took)
	case openflow.ActionMultipath:
		return false, r.multipath(p, a, step, took)
	case openflow.ActionExit:
		r.note(step, took)
		r.exited = true
	case openflow.ActionDecNwTTL, openflow.ActionDecTTLIDs:
		ttl := p.num(openflow.IPTTL)
		if p.at.end > 0 && ttl <= 1 {
			took.Note = "no TTL is left"
			r.packetIn(p, 0xffff, 0, step, took)
			return true, nil
		}
		return false, r.set(p, openflow.IPTTL, value{byte(ttl - 1)}, step, took)
	case openflow.ActionSetNwTTL:
		return false, r.set(p, openflow.IPTTL, value{a.TTL}, step, took)
	case openflow.ActionConjunction, openflow.ActionNote, openflow.ActionSetQueue, openflow.ActionPopQueue, openflow.ActionFinTimeout:
		r.note(step, took) // nothing that a trace could tell
	case openflow.ActionPushVLAN:
		p.pushVLAN(a.EthType)
		r.note(step, took)
	case openflow.ActionPopVLAN:
		p.popVLAN()
		r.note(step, took)
	default:
		return false, r.setting(p, a, step, took)
	}
	return false, nil
}

// setting executes the actions that write fields.
func (r *run) setting(p *packet, a openflow.Action, step int, took Taken) error {
	switch a := a.(type) {
	case openflow.ActionSetField:
		return r.set(p, a.Field, a.Value, step, took)
	case openflow.ActionLoad2:
		old, err := p.read(a.Field)
		if err != nil {
			return err
		}
		for i := range old {
			mask := a.Mask[i]
			if !a.HasMask {
				mask = 0xff
			}
			old[i] = old[i]&^mask | a.Value[i]&mask
		}
		return r.set(p, a.Field, old, step, took)
	case openflow.ActionLoad:
		var v value
		be.PutUint64(v[8:], a.Value)
		return r.setBits(p, a.Dst, v, step, took)
	case openflow.ActionMove:
		return r.move(p, a.Src, a.Dst, step, took)
	case openflow.ActionCopyField:
		return r.move(p, a.Src, a.Dst, step, took)
	case openflow.ActionSetTunnel:
		var v value
		be.PutUint64(v[:], uint64(a.ID))
		return r.set(p, openflow.TunnelID, v, step, took)
	case openflow.ActionSetTunnel64:
		var v value
		be.PutUint64(v[:], a.ID)
		return r.set(p, openflow.TunnelID, v, step, took)
	case openflow.ActionCheckPktLarger:
		var v value
		if len(p.frame) > int(a.Len) {
			v[15] = 1
		}
		return r.setBits(p, a.Dst, v, step, took)
	case openflow.ActionPush:
		v, err := p.bits(a.Src)
		if err != nil {
			return err
		}
		if len(p.stack) >= maxStack {
			return fmt.Errorf("%w: the stack is full", ErrEndless)
		}
		p.stack = append(p.stack, v)
		r.note(step, took)
		return nil
	case openflow.ActionPop:
		if len(p.stack) == 0 {
			took.Note = "the stack is empty"
			r.note(step, took)
			return nil
		}
		v := p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
		return r.setBits(p, a.Dst, v, step, took)
	}
	return unsupported("action " + took.Text)
}

func (r *run) move(p *packet, src, dst openflow.Subfield, step int, took Taken) error {
	v, err := p.bits(src)
	if err != nil {
		return err
	}
	return r.setBits(p, dst, v, step, took)
}

func (r *run) setBits(p *packet, dst openflow.Subfield, v value, step int, took Taken) error {
	if err := p.setBits(dst, v); err != nil {
		return err
	}
	return r.changed(p, dst.Field, step, took)
}

func (r *run) set(p *packet, id openflow.FieldID, v value, step int, took Taken) error {
	if id.InMatch() == openflow.VLANVID && p.num(openflow.VLANVID) == 0 && be.Uint16(v[:])&vlanPresent != 0 {
		p.pushVLAN(etherVLAN) // as Open vSwitch does
	}
	if err := p.write(id, v); err != nil {
		return err
	}
	return r.changed(p, id, step, took)
}

// changed notes what a field has become.
func (r *run) changed(p *packet, id openflow.FieldID, step int, took Taken) error {
	v, err := p.read(id)
	if err != nil {
		return err
	}
	id = id.InMatch()
	if f, err := flow.NewField(id, v[:id.Len()], nil); err == nil {
		took.Sets = append(took.Sets, f)
	}
	r.note(step, took)
	return nil
}

// output sends the frame to a port, but never to the one that it came by unless
// that is asked for. maxLen cuts it; 0: not.
func (r *run) output(p *packet, port uint32, maxLen, step int, took Taken) error {
	entry := uint32(p.num(openflow.InPort))
	switch port {
	case openflow.PortController:
		r.packetIn(p, 0xffff, 0, step, took)
		return nil
	case openflow.PortFlood, openflow.PortAll:
		r.note(step, took)
		for _, to := range r.sw.Ports {
			if to != entry {
				r.send(p, to, maxLen, step, Taken{Text: fmt.Sprint("output:", to), Child: -1})
			}
		}
		return nil
	case openflow.PortInPort:
		port = entry
	case entry:
		took.Note = "skipped: the frame came by this port"
		r.note(step, took)
		return nil
	case openflow.PortAny:
		took.Note = "no port"
		r.note(step, took)
		return nil
	default:
		if port >= openflow.PortMax && port != openflow.PortLocal {
			return unsupported("action " + took.Text)
		}
	}
	r.send(p, port, maxLen, step, took)
	return nil
}

func (r *run) send(p *packet, port uint32, maxLen, step int, took Taken) {
	frame := p.bytes()
	if maxLen > 0 && len(frame) > maxLen {
		frame = frame[:maxLen]
	}
	took.Output = len(r.trace.Outputs)
	r.trace.Outputs = append(r.trace.Outputs, Output{Step: step, Port: port, Frame: frame, Tunnel: p.tunnel()})
	r.note(step, took)
}

func (r *run) packetIn(p *packet, maxLen int, meter uint32, step int, took Taken) {
	frame := p.bytes()
	if maxLen < len(frame) {
		frame = frame[:maxLen]
	}
	took.Output = len(r.trace.Outputs)
	r.trace.Outputs = append(r.trace.Outputs, Output{
		Step: step, Port: openflow.PortController, Frame: frame, Table: r.trace.Steps[step].Table, MeterID: meter,
	})
	r.note(step, took)
}

// tunnel returns what the packet says of a tunnel.
func (p *packet) tunnel() Tunnel {
	end := func(v4, v6 openflow.FieldID) netip.Addr {
		if n := p.num(v4); n != 0 {
			return netip.AddrFrom4([4]byte(p.get(v4)[:4]))
		}
		if v := *p.get(v6); v != (value{}) {
			return netip.AddrFrom16(v)
		}
		return netip.Addr{}
	}
	return Tunnel{ID: p.num(openflow.TunnelID), Src: end(openflow.TunnelSrc, openflow.TunnelIPv6Src), Dst: end(openflow.TunnelDst, openflow.TunnelIPv6Dst)}
}

// actionText is an action in the words of ovs-ofctl.
func actionText(a openflow.Action) string { return text(openflow.ApplyActions{a}) }
