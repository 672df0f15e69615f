// Package hypervisor brings hosts under control over OVSDB: "ovs-vsctl
// set-manager" on the host is all that it takes. For each connected host it
// sets up the integration bridge (Plan says how), records what OVSDB tells of
// its bridges, and reports the interfaces that carry the id of a port in
// external_ids:iface-id, the convention of Neutron, OVN, libvirt and Docker
// plugins.
//
// Tables and columns are those of ovs-vswitchd.conf.db(5).
package hypervisor

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/ovsdb"
)

// Kinds of datapath that can be asked for.
const (
	DatapathAuto   = "auto"   // the kernel's where there is one
	DatapathSystem = "system" // the kernel's
	DatapathNetdev = "netdev" // the userspace one
)

// datapathKey is the key of Open_vSwitch:external_ids by which a host asks for
// a kind of datapath of its own.
const datapathKey = "macloom-datapath-type"

// ownerKey marks the rows that we made, by external_ids.
const (
	ownerKey = "owner"
	owner    = "macloom"
)

// Want is what a host is to be.
type Want struct {
	Bridge       string         // name of the integration bridge
	Controller   string         // target of its controller, such as "tcp:192.0.2.1:6653"
	DatapathType string         // of a bridge that is to be made
	SystemID     string         // for a host that has none
	Tunnel       netip.Addr     // of its tunnel end point; invalid: it gets no tunnels
	TunnelStated bool           // the host itself has said so
	Queues       *intent.Queues // nil: not known yet, so left as they are
	// Applied says that ovs-vswitchd has brought about a step of this
	// connection: it is running, and what it has not made by now it cannot make.
	Applied bool
}

// Step is one transaction on the way.
type Step struct {
	Kind string // what it is about, one of a few words
	Text string // what it does
	// Ops end with the new value of next_cfg, which ovs-vswitchd puts into
	// cur_cfg when it has brought the step about.
	Ops []ovsdb.Operation
}

// Plan says what it takes to bring a host from its state to what is wanted: no
// steps if it is right. The first step is to be taken; the others tell what
// will follow and must be planned anew on the state after it. Every step has
// guards, so that it fails if what it rests on has changed meanwhile.
//
// The error says what stands in the way and that we leave to a person, such as
// a controller that is not ours.
func Plan(s ovsdb.Snapshot, w Want) ([]Step, error) {
	if s.Root == "" {
		return nil, nil // ovs-vswitchd has never run: there is nothing to hold on to yet
	}
	if s.ExternalIDs["ovn-remote"] != "" && cmp.Or(s.ExternalIDs["ovn-bridge"], "br-int") == w.Bridge {
		return nil, fmt.Errorf("bridge %s belongs to OVN (external_ids:ovn-remote is set on the host); give macloom another --bridge", w.Bridge)
	}
	p := planner{s: s, w: w}
	if i := slices.IndexFunc(s.Bridges, func(b ovsdb.Bridge) bool { return b.Name == w.Bridge }); i >= 0 {
		p.b = &s.Bridges[i]
	}
	own, foreign := p.controllers()
	var obstacle error
	if foreign != "" {
		obstacle = fmt.Errorf("bridge %s has the controller %s, remove it with ovs-vsctl del-controller %[1]s", w.Bridge, foreign)
		if len(own) == 0 {
			return nil, obstacle
		}
	}
	switch {
	case s.SystemID == "":
		// Before all else: the datapath id may follow from it.
		p.step("system-id", "give the host the system-id "+w.SystemID,
			ovsdb.Mutate("Open_vSwitch", row(s.Root), insertPairs("external_ids", ovsdb.Map{"system-id": w.SystemID})))
	case p.b == nil:
		p.makeBridge()
	default:
		p.failMode()
		p.datapathType()
		p.protocols()
		p.settings()
		p.controller(own)
		obstacle = cmp.Or(obstacle, p.tunnel(), p.queues())
	}
	return p.steps, obstacle
}

type planner struct {
	s     ovsdb.Snapshot
	w     Want
	b     *ovsdb.Bridge // the integration bridge; nil: there is none
	steps []Step
}

// step adds a transaction that ends with asking ovs-vswitchd to tell when it
// is done.
func (p *planner) step(kind, text string, ops ...ovsdb.Operation) {
	root := row(p.s.Root)
	p.steps = append(p.steps, Step{Kind: kind, Text: text, Ops: append(ops,
		ovsdb.Mutate("Open_vSwitch", root, ovsdb.Mutation{Column: "next_cfg", Mutator: "+=", Value: 1}),
		ovsdb.Select("Open_vSwitch", root, "next_cfg"))})
}

// makeBridge makes the bridge, in secure mode from its first moment.
func (p *planner) makeBridge() {
	name, dpid := p.w.Bridge, intent.DPIDOfSystem(p.s.SystemID).String()
	kind := p.datapath()
	if kind == DatapathAuto {
		kind = DatapathNetdev
		if slices.Contains(p.s.DatapathTypes, DatapathSystem) {
			kind = DatapathSystem
		}
	}
	ours := ovsdb.Map{ownerKey: owner}
	bridges := make(ovsdb.Set, len(p.s.Bridges))
	for i, b := range p.s.Bridges {
		bridges[i] = b.UUID
	}
	p.step("bridge", fmt.Sprintf("make the bridge %s with the datapath id %s and the datapath %s", name, dpid, kind),
		guard("Open_vSwitch", p.s.Root, ovsdb.Values{"bridges": bridges}),
		ovsdb.Insert("Interface", "interface", ovsdb.Values{"name": name, "type": "internal"}),
		ovsdb.Insert("Port", "port", ovsdb.Values{"name": name, "interfaces": ovsdb.NamedUUID("interface")}),
		ovsdb.Insert("Bridge", "bridge", ovsdb.Values{
			"name": name, "ports": ovsdb.NamedUUID("port"), "fail_mode": "secure", "datapath_type": kind, "protocols": "OpenFlow13",
			"other_config": ovsdb.Map{"datapath-id": dpid, "disable-in-band": "true"}, "external_ids": ours,
		}),
		ovsdb.Mutate("Open_vSwitch", row(p.s.Root), ovsdb.Mutation{Column: "bridges", Mutator: "insert", Value: ovsdb.NamedUUID("bridge")}))
}

// failMode comes before anything else is done to a bridge: a standalone one
// forwards by itself as soon as it is without a controller.
func (p *planner) failMode() {
	if p.b.FailMode == "secure" {
		return
	}
	was := ovsdb.Set{}
	if p.b.FailMode != "" {
		was = append(was, p.b.FailMode)
	}
	p.step("fail-mode", "set the fail mode of "+p.b.Name+" to secure",
		guard("Bridge", p.b.UUID, ovsdb.Values{"fail_mode": was}),
		ovsdb.Update("Bridge", row(p.b.UUID), ovsdb.Values{"fail_mode": "secure"}))
}

// datapathType changes the kind of datapath of a bridge that we made: when
// somebody asks for one, and when it turns out that the kernel has none. Open
// vSwitch lists "system" among its datapath_types whether the kernel has the
// module or not; without, ovs-vswitchd goes on without making the bridge.
func (p *planner) datapathType() {
	if p.b.ExternalIDs[ownerKey] != owner {
		return
	}
	is := cmp.Or(p.b.DatapathType, DatapathSystem)
	kind := p.datapath()
	if kind == DatapathAuto {
		if p.b.DatapathID != "" || is != DatapathSystem {
			return
		}
		if !p.w.Applied {
			p.step("apply", "wait for ovs-vswitchd to make "+p.b.Name)
			return
		}
		kind = DatapathNetdev
	}
	if is != kind {
		p.step("datapath-type", fmt.Sprintf("change the datapath of %s from %s to %s", p.b.Name, is, kind),
			guard("Bridge", p.b.UUID, ovsdb.Values{"datapath_type": p.b.DatapathType}),
			ovsdb.Update("Bridge", row(p.b.UUID), ovsdb.Values{"datapath_type": kind}))
	}
}

// datapath is the kind of datapath that is asked for, the host's word first.
func (p *planner) datapath() string {
	switch kind := p.s.ExternalIDs[datapathKey]; kind {
	case DatapathAuto, DatapathSystem, DatapathNetdev:
		return kind
	}
	return cmp.Or(p.w.DatapathType, DatapathAuto)
}

// protocols adds the version that we speak to those that somebody set.
func (p *planner) protocols() {
	if slices.Contains(p.b.Protocols, "OpenFlow13") {
		return
	}
	was := ovsdb.Set{}
	for _, v := range p.b.Protocols {
		was = append(was, v)
	}
	p.step("protocols", "let "+p.b.Name+" speak OpenFlow13",
		guard("Bridge", p.b.UUID, ovsdb.Values{"protocols": was}),
		ovsdb.Mutate("Bridge", row(p.b.UUID), ovsdb.Mutation{Column: "protocols", Mutator: "insert", Value: ovsdb.Set{"OpenFlow13"}}))
}

// settings pins the datapath id, which otherwise follows from the MACs of the
// ports and changes with them, and turns the hidden flows of in-band control
// off, unless somebody has decided on that.
func (p *planner) settings() {
	missing := ovsdb.Map{}
	if p.b.OtherConfig["datapath-id"] == "" && p.b.DatapathID != "" {
		missing["datapath-id"] = p.b.DatapathID
	}
	if p.b.OtherConfig["disable-in-band"] == "" {
		missing["disable-in-band"] = "true"
	}
	if len(missing) == 0 {
		return
	}
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(missing)) {
		texts = append(texts, key+"="+missing[key])
	}
	// A key that has been set meanwhile is left as it is: insert does not replace.
	p.step("settings", "set "+strings.Join(texts, " ")+" on "+p.b.Name,
		ovsdb.Mutate("Bridge", row(p.b.UUID), insertPairs("other_config", missing)))
}

// controllers returns the controllers of the bridge that we made, and the
// target of one that is neither ours nor right.
func (p *planner) controllers() (own []ovsdb.Controller, foreign string) {
	if p.b == nil {
		return nil, ""
	}
	for _, c := range p.b.Controllers {
		switch {
		case c.ExternalIDs[ownerKey] == owner:
			own = append(own, c)
		case c.Target != p.w.Controller && foreign == "":
			foreign = c.Target
		}
	}
	return own, foreign
}

// controller points the bridge at us. A target of ours that is not right any
// more is changed in place, which keeps the flows of the bridge; to set the
// first controller or to remove the last one would flush them.
func (p *planner) controller(own []ovsdb.Controller) {
	if p.b.DatapathID == "" {
		return // not made yet; by then, its datapath id will be pinned
	}
	all := ovsdb.Set{}
	right := -1 // the row that is to stay
	for i, c := range p.b.Controllers {
		all = append(all, c.UUID)
		if c.Target == p.w.Controller && (right < 0 || c.ExternalIDs[ownerKey] != owner) {
			right = i
		}
	}
	unchanged := guard("Bridge", p.b.UUID, ovsdb.Values{"controller": all})
	if right < 0 && len(own) == 0 {
		p.step("controller", fmt.Sprintf("give %s the controller %s", p.b.Name, p.w.Controller), unchanged,
			ovsdb.Insert("Controller", "controller", ovsdb.Values{
				"target": p.w.Controller, "connection_mode": "out-of-band", "max_backoff": 1000, "external_ids": ovsdb.Map{ownerKey: owner},
			}),
			ovsdb.Mutate("Bridge", row(p.b.UUID), ovsdb.Mutation{Column: "controller", Mutator: "insert", Value: ovsdb.NamedUUID("controller")}))
		return
	}
	var keep ovsdb.UUID
	if right >= 0 {
		keep = p.b.Controllers[right].UUID
	} else {
		keep = own[0].UUID
		p.step("controller", fmt.Sprintf("change the controller of %s from %s to %s", p.b.Name, own[0].Target, p.w.Controller),
			guard("Controller", keep, ovsdb.Values{"target": own[0].Target}),
			ovsdb.Update("Controller", row(keep), ovsdb.Values{"target": p.w.Controller}))
	}
	var surplus ovsdb.Set
	var targets []string
	for _, c := range own {
		if c.UUID != keep {
			surplus, targets = append(surplus, c.UUID), append(targets, c.Target)
		}
	}
	if len(surplus) > 0 {
		p.step("controller", fmt.Sprintf("remove the controller %s of earlier from %s", strings.Join(targets, ", "), p.b.Name), unchanged,
			ovsdb.Mutate("Bridge", row(p.b.UUID), ovsdb.Mutation{Column: "controller", Mutator: "delete", Value: surplus}))
	}
}

// row selects one row.
func row(id ovsdb.UUID) []ovsdb.Condition {
	return []ovsdb.Condition{{Column: "_uuid", Function: "==", Value: id}}
}

// guard makes the transaction fail unless a row has these values.
func guard(table string, id ovsdb.UUID, values ovsdb.Values) ovsdb.Operation {
	return ovsdb.Wait(table, row(id), slices.Sorted(maps.Keys(values)), "==", values)
}

// insertPairs adds pairs to a map column, where it does not have their keys.
func insertPairs(column string, pairs ovsdb.Map) ovsdb.Mutation {
	return ovsdb.Mutation{Column: column, Mutator: "insert", Value: pairs}
}
