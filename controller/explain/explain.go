// Package explain says what becomes of a frame, and why: it runs it through the
// flows that the controller wants its switches to hold, from the sender's switch by way of
// tunnels and links to the receivers, and tells of each flow which rule, port, segment or network it
// comes from. What the switches really hold is not asked for. It is pure.
package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow/walk"
	"github.com/macloom/macloom/southbound/openflow"
)

// World is what explanations are made of.
type World interface {
	// Read calls f with the intent, which does not change meanwhile.
	Read(f func(*intent.State))
	// Switch returns what is known of a switch, which nobody may change.
	Switch(d intent.DPID) (Switch, error)
	// Beyond returns the other end of the link that a port of a switch leads to.
	Beyond(d intent.DPID, port uint32) (far intent.Place, linked bool)
	// Standings return the realized status of ports, of those that exist.
	Standings(ids []string) (map[string]Standing, error)
}

// Switch is what is known of a switch.
type Switch struct {
	Connected bool
	Hostname  string
	View      *intent.View // with its ports by now, or when it was last connected
	Desired   pipeline.Desired
}

// Standing is the realized status of a port.
type Standing struct {
	Status intent.PortStatus
	Reason string
}

// Question asks what becomes of a frame of a port. What is left open is as the
// port would send it: from its own addresses, an echo request if there is no protocol.
type Question struct {
	From string // id of the sending port

	// Where to: one of these.
	ToPort string
	ToIP   netip.Addr
	ToMAC  mac.Addr

	EtherType        string // "IPv4", "IPv6", "ARP"; empty: what fits
	Protocol         *uint8
	SrcPort, DstPort uint16
	Type, Code       *uint8 // of ICMP
	SrcIP, DstIP     netip.Addr
	SrcMAC           mac.Addr // 0: that of the port

	// Frame is the very frame, from its destination address on, rather than one that
	// follows from the rest. Only ToPort may be given besides.
	Frame []byte

	// Sees reports whether the asker may know of what a tenant has; nil: of all. What
	// he may not know is told without its name.
	Sees func(tenantID string) bool
}

// Verdict is what becomes of a frame.
type Verdict string

// The verdicts.
const (
	Delivered  Verdict = "delivered"
	Dropped    Verdict = "dropped"
	Answered   Verdict = "answered"   // by the sender's switch itself
	Controller Verdict = "controller" // the controller gets it, and decides
)

// Answer says what becomes of a frame.
type Answer struct {
	Way
	Frame    string // in words
	Reply    *Way   // of the answer to a frame that was delivered; nil: there is none to expect
	Warnings []string
}

// Way is the way of a frame through the switches.
type Way struct {
	Verdict    Verdict
	Summary    string // the verdict with its reason, in words
	Hops       []Hop
	Deliveries []Delivery
}

// Hop is the way through one switch.
type Hop struct {
	Switch intent.DPID
	Host   string // name of the switch's host; empty: not known
	Entry  string // where the frame came in, in words
	Steps  []Step
}

// Step is one lookup in a table.
type Step struct {
	Table uint8
	Name  string // of the table
	From  int    // step that led here; -1: none
	Does  string // what the flow does, in words
	Owner Owner
	Flow  string // in the words of ovs-ofctl; empty: none matches
	Drops string // why this copy of the frame ends here; empty: it does not
}

// Delivery is a copy that leaves a switch at a port.
type Delivery struct {
	Port   string // id; empty: of no tenant port, or of one that the asker does not see
	Name   string
	Switch intent.DPID
	PortNo uint32
	VLAN   uint16 // tag of the frame: of a sub-port of a trunk; 0: it has none

	num uint32
}

// hops bounds how many tunnels one copy passes: by the switch of the sender, the one that the address
// belongs to, the one that has it by now, and one more while they disagree.
const hops = 4

// links bounds how many links of a fabric one copy passes: each switch is passed twice at most.
const links = 2 * mac.MaxSlot

// Explain answers a question. That the asker may ask of the ports is for the caller to know.
func Explain(w World, q Question) (Answer, error) {
	e := &explainer{w: w, q: q, stations: map[intent.DPID]*station{}}
	var p plan
	w.Read(func(s *intent.State) { p = e.resolve(s) })
	a := Answer{Frame: p.words()}
	if p.nowhere != "" {
		a.Way = Way{Verdict: Dropped, Summary: "dropped: " + p.nowhere}
		return a, e.warn(&a, p)
	}
	pool, balanced := e.balanced(&p)
	if balanced {
		p.to = nil // whoever it comes to is meant
	}
	way, err := e.send(p.from, p.bytes(), p.to)
	if err != nil {
		return a, err
	}
	a.Way = way
	if balanced {
		e.chosen(&a, &p, pool)
	}
	if reply, ok := p.reply(); ok && way.Verdict == Delivered && p.to != nil {
		back, err := e.send(*p.to, reply.Bytes(), &p.from)
		if err != nil {
			return a, err
		}
		a.Reply = &back
	}
	e.settle(&a)
	return a, e.warn(&a, p)
}

// ErrUnknown says that the flows of a switch have something that this package cannot
// follow.
var ErrUnknown = errors.New("explain: the flows cannot be followed")

type explainer struct {
	w        World
	q        Question
	stations map[intent.DPID]*station
}

// station is a switch that frames pass, with the connections that they have opened
// there.
type station struct {
	facts Switch
	view  *intent.View
	sw    *walk.Switch
}

func (e *explainer) station(d intent.DPID) (*station, error) {
	if s := e.stations[d]; s != nil {
		return s, nil
	}
	facts, err := e.w.Switch(d)
	if err != nil {
		return nil, err
	}
	s := &station{facts: facts, view: facts.View, sw: walk.New(facts.Desired.State)}
	e.stations[d] = s
	return s, nil
}

// local finds the place of a port on the switch.
func (s *station) local(num uint32) (p intent.LocalPort, reason string) {
	for _, p := range s.view.Ports {
		if p.Num == num {
			return p, ""
		}
	}
	for _, state := range s.view.States {
		if state.Num == num {
			return p, state.Reason
		}
	}
	return p, "it is not bound there"
}

// leg is a frame that is to pass one more switch.
type leg struct {
	d       intent.DPID
	arrival walk.Arrival
	entry   string
	passed  int // tunnels, and the first switch
	crossed int // links
}

// send follows a frame of a port to wherever it goes.
func (e *explainer) send(from intent.Port, frame []byte, to *intent.Port) (Way, error) {
	d, bound := from.Binding.DPID()
	if !bound {
		return Way{Verdict: Dropped, Summary: fmt.Sprintf("dropped: %s is not bound to a host", e.portWords(from))}, nil
	}
	s, err := e.station(d)
	if err != nil {
		return Way{}, err
	}
	at, reason := s.local(from.Num)
	if reason != "" {
		return Way{Verdict: Dropped, Summary: fmt.Sprintf("dropped: %s is %s: %s", e.portWords(from), intent.PortDown, reason)}, nil
	}
	way := Way{Verdict: Dropped}
	var ends []string
	heard := false
	legs := []leg{{d, walk.Arrival{Port: at.OFPort, Frame: withTag(frame, at.VLAN)}, "by " + e.portWords(from) + tagWords(at.VLAN), 1, 0}}
	for len(legs) > 0 {
		l := legs[0]
		legs = legs[1:]
		s, err := e.station(l.d)
		if err != nil {
			return way, err
		}
		trace, err := s.sw.Walk(l.arrival)
		if err != nil {
			return way, fmt.Errorf("%w: switch %s: %w", ErrUnknown, l.d, err)
		}
		hop := e.hop(s, trace, l)
		way.Hops = append(way.Hops, hop)
		for _, step := range hop.Steps {
			// To its sender alone a frame to all does not go, and should not.
			if step.Drops != "" && (step.Drops != goesBack || frame[0]&1 == 0) {
				ends = append(ends, fmt.Sprintf("dropped by table %d %s%s because %s", step.Table, step.Name, e.onSwitch(l.d), step.Drops))
			}
		}
		for _, o := range trace.Outputs {
			far, linked := e.w.Beyond(l.d, o.Port)
			switch {
			case o.Port == openflow.PortController:
				heard = heard || !follows(trace, o.Step)
			case s.view.Tunnel != 0 && o.Port == s.view.Tunnel:
				next, end := e.through(l, o)
				if end != "" {
					ends = append(ends, end)
					continue
				}
				legs = append(legs, next)
			case linked && l.crossed == links:
				ends = append(ends, fmt.Sprintf("not followed further than by %d links", links))
			case linked:
				legs = append(legs, leg{
					d: far.Switch, passed: l.passed, crossed: l.crossed + 1, entry: "by a link" + e.fromSwitch(l.d),
					arrival: walk.Arrival{Port: far.Port, Frame: o.Frame},
				})
			default:
				way.Deliveries = append(way.Deliveries, e.delivery(s, l.d, o))
			}
		}
	}
	way.conclude(from, to, ends, heard, e)
	return way, nil
}

// follows reports whether a step leads on beside what it sends: a packet-in is
// a copy then.
func follows(t *walk.Trace, step int) bool {
	return slices.ContainsFunc(t.Steps[step].Taken, func(a walk.Taken) bool { return a.Child >= 0 })
}

// through finds the switch at the other end of a tunnel.
func (e *explainer) through(l leg, o walk.Output) (next leg, end string) {
	var host intent.Host
	var found bool
	e.w.Read(func(s *intent.State) { host, found = s.HostAt(o.Tunnel.Dst) })
	switch {
	case !found:
		return next, fmt.Sprintf("lost in the tunnel: no host has the address %s", o.Tunnel.Dst)
	case l.passed >= hops:
		return next, fmt.Sprintf("not followed further than through %d switches", hops)
	}
	next = leg{d: host.DPID, passed: l.passed + 1, entry: "by the tunnel", arrival: walk.Arrival{
		Frame: o.Frame, Tunnel: walk.Tunnel{ID: o.Tunnel.ID, Dst: o.Tunnel.Dst},
	}}
	if s, err := e.station(host.DPID); err == nil {
		next.arrival.Port = s.view.Tunnel
	}
	if next.arrival.Port == 0 {
		return next, fmt.Sprintf("lost in the tunnel: the host with the address %s has no tunnel port", o.Tunnel.Dst)
	}
	return next, ""
}

func (e *explainer) delivery(s *station, d intent.DPID, o walk.Output) Delivery {
	out := Delivery{Switch: d, PortNo: o.Port}
	tag := walk.TagOf(o.Frame)
	for _, p := range s.view.Ports {
		// Where there is no trunk, a tag is part of what a port without port security has sent.
		if p.OFPort == o.Port&0xffff && (p.VLAN == tag || p.VLAN == 0 && !p.Trunk) {
			out.VLAN = p.VLAN
			out.num, out.Port = p.Num, p.ID
			e.w.Read(func(s *intent.State) {
				if port, ok := s.Port(p.ID); ok {
					if out.Name = port.Name; !e.sees(port.TenantID) {
						out.Port, out.Name = "", ""
					}
				}
			})
		}
	}
	return out
}

// conclude comes to the verdict.
func (w *Way) conclude(from intent.Port, to *intent.Port, ends []string, heard bool, e *explainer) {
	var reached []string
	arrived, returned := false, len(w.Deliveries) > 0
	for _, d := range w.Deliveries {
		arrived = arrived || to == nil && d.num != from.Num || to != nil && d.num == to.Num
		returned = returned && d.num == from.Num
		words := "port " + strings.TrimSpace(d.Name+" "+d.Port) + tagWords(d.VLAN)
		if d.Port == "" {
			words = "a port of another tenant"
		}
		if d.num == 0 {
			words = fmt.Sprintf("the unmanaged port %d", d.PortNo)
		}
		reached = append(reached, words+e.onSwitch(d.Switch))
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	switch {
	case arrived:
		w.Verdict, w.Summary = Delivered, "delivered to "+strings.Join(reached, ", ")
		if to == nil && len(ends) > 0 {
			w.Summary += "; other copies are " + strings.Join(ends, ", ")
		}
	case returned:
		w.Verdict, w.Summary = Answered, "answered by the switch itself"
	case len(reached) > 0:
		w.Summary = "not delivered where it should go, but to " + strings.Join(reached, ", ")
	case heard:
		w.Verdict, w.Summary = Controller, "handed to the controller"
	case len(ends) > 0:
		w.Summary = strings.Join(ends, ", ")
	default:
		w.Summary = "dropped: no flow sends it anywhere"
	}
}

// warn says what makes the answer less than certain.
func (e *explainer) warn(a *Answer, p plan) error {
	ids := []string{p.from.ID}
	if p.to != nil {
		ids = append(ids, p.to.ID)
	}
	for _, d := range a.Deliveries {
		if d.Port != "" {
			ids = append(ids, d.Port)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	standings, err := e.w.Standings(ids)
	if err != nil {
		return err
	}
	if p.guess != "" {
		a.Warnings = append(a.Warnings, p.guess)
	}
	for _, id := range ids {
		if s, ok := standings[id]; ok && s.Status != intent.PortActive {
			why := ""
			if s.Reason != "" && e.sees("") {
				why = ": " + s.Reason
			}
			a.Warnings = append(a.Warnings, fmt.Sprintf("port %s is %s%s; its switch may hold other flows than these", id, s.Status, why))
		}
	}
	var away []string
	for d, s := range e.stations {
		if !s.facts.Connected {
			away = append(away, fmt.Sprintf("the switch%s is not connected; it goes on with the flows that it had", e.nameOf(d)))
		}
	}
	slices.Sort(away)
	a.Warnings = append(a.Warnings, away...)
	return nil
}

// sees reports whether the asker may know of what a tenant has. No tenant: of
// what is the operator's.
func (e *explainer) sees(tenant string) bool {
	return e.q.Sees == nil || tenant != "" && e.q.Sees(tenant)
}

// nameOf is a switch for whoever may know it.
func (e *explainer) nameOf(d intent.DPID) string {
	if !e.sees("") {
		return ""
	}
	return " " + d.String()
}

func (e *explainer) fromSwitch(d intent.DPID) string {
	if !e.sees("") {
		return ""
	}
	return " from switch " + d.String()
}

func (e *explainer) onSwitch(d intent.DPID) string {
	if !e.sees("") {
		return ""
	}
	return " on switch " + d.String()
}

// withTag is a frame as a sub-port with a VLAN sends it.
func withTag(frame []byte, vlan uint16) []byte {
	if vlan == 0 || len(frame) < 14 {
		return frame
	}
	return slices.Insert(slices.Clone(frame), 12, 0x81, 0, byte(vlan>>8), byte(vlan))
}

// tagWords names the tag of a sub-port's frames.
func tagWords(vlan uint16) string {
	if vlan == 0 {
		return ""
	}
	return fmt.Sprintf(" with VLAN tag %d", vlan)
}

// portWords names a port, if the asker may know of it.
func (e *explainer) portWords(p intent.Port) string {
	if !e.sees(p.TenantID) {
		return "a port of another tenant"
	}
	return "port " + strings.TrimSpace(p.Name+" "+p.ID)
}
