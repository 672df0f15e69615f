package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
)

// Owner is the resource that a flow exists for.
type Owner struct {
	Kind string // "port", "security_group_rule", "network", "mac_segment", "mac_allow_list", "block", "affinity_pool", "affinity_backend", "switch", "table" or what the pipeline calls it
	ID   string // empty: it has none, or the asker may not know
	Name string
	// Of a rule.
	GroupID, GroupName string
	Detail             string // in words

	cookie pipeline.Cookie
	tenant string
}

// Owners finds the resources that flows with these cookies exist for.
func Owners(s *intent.State, cookies map[pipeline.Cookie]bool) map[pipeline.Cookie]Owner {
	owners := make(map[pipeline.Cookie]Owner, len(cookies))
	kinds := map[pipeline.Kind]bool{}
	for c := range cookies {
		o := Owner{Kind: c.Kind().String(), Detail: c.String()}
		switch c.Kind() {
		case pipeline.KindTable:
			o.Name = tableName(uint8(c.Object()))
		case pipeline.KindFree, pipeline.KindLearned, pipeline.KindPause, pipeline.KindDiscover:
			o.Name = fmt.Sprint(int32(c.Object()))
		}
		if !c.Ours() {
			o = Owner{Kind: "foreign", Detail: c.String()}
		}
		owners[c] = o
		kinds[c.Kind()] = true
	}
	own := func(kind pipeline.Kind, num uint32, owner func() Owner) {
		if c := pipeline.NewCookie(kind, num); cookies[c] {
			owners[c] = owner()
		}
	}
	if ofPort := []pipeline.Kind{pipeline.KindPort, pipeline.KindResolve, pipeline.KindConfigure, pipeline.KindFar}; slices.ContainsFunc(ofPort, func(k pipeline.Kind) bool { return kinds[k] }) {
		for p := range s.Ports() {
			for _, kind := range ofPort {
				own(kind, p.Num, func() Owner {
					return Owner{Kind: "port", ID: p.ID, Name: p.Name, Detail: p.MAC.String(), tenant: p.TenantID}
				})
			}
		}
	}
	if kinds[pipeline.KindRule] {
		for g := range s.Groups() {
			for _, r := range g.Rules {
				own(pipeline.KindRule, r.Num, func() Owner {
					return Owner{
						Kind: "security_group_rule", ID: r.ID, Name: r.Name, GroupID: g.ID, GroupName: g.Name, Detail: ruleWords(s, r), tenant: g.TenantID,
					}
				})
			}
		}
	}
	if kinds[pipeline.KindNetwork] || kinds[pipeline.KindTag] {
		for n := range s.Networks() {
			for kind, detail := range map[pipeline.Kind]string{pipeline.KindNetwork: fmt.Sprint("VNI ", n.VNI), pipeline.KindTag: fmt.Sprint("VLAN ", n.VLAN)} {
				own(kind, n.VNI, func() Owner {
					return Owner{Kind: "network", ID: n.ID, Name: n.Name, Detail: detail, tenant: n.TenantID}
				})
			}
		}
	}
	if kinds[pipeline.KindQoS] {
		for p := range s.QoSPolicies() {
			own(pipeline.KindQoS, p.Num, func() Owner { return Owner{Kind: "qos_policy", ID: p.ID, Name: p.Name, tenant: p.TenantID} })
		}
	}
	if kinds[pipeline.KindAllow] {
		for n := range s.Networks() {
			own(pipeline.KindAllow, n.VNI, func() Owner { return ofLists(n, s.MACAllowLists(n.ID)) })
		}
	}
	if ofBalance(kinds) {
		ofPools(s, own)
	}
	if kinds[pipeline.KindSegment] {
		for g := range s.HostSegments() {
			own(pipeline.KindSegment, g.Num, func() Owner {
				return Owner{Kind: "mac_segment", ID: g.ID, Name: g.Block.String(), Detail: "of host " + g.Host.String()}
			})
		}
	}
	if kinds[pipeline.KindBlock] {
		for b := range s.Blocks() {
			own(pipeline.KindBlock, b.Num, func() Owner {
				return Owner{Kind: "block", ID: b.ID, Name: b.String(), Detail: strings.TrimSpace(string(b.Cause) + " " + b.Reason)}
			})
		}
	}
	if kinds[pipeline.KindHost] {
		for h := range s.Hosts() {
			own(pipeline.KindHost, h.Slot, func() Owner {
				return Owner{Kind: "switch", ID: h.DPID.String(), Name: h.Tunnel.String(), Detail: "tunnel to " + h.Tunnel.String()}
			})
		}
	}
	return owners
}

// ofLists is the MAC allow lists of a network, of which mostly there is one.
func ofLists(n intent.Network, lists []intent.MACAllowList) Owner {
	o := Owner{Kind: "mac_allow_list", Detail: "of network " + nameOr(n.Name, n.ID), tenant: n.TenantID}
	var names []string
	for _, l := range lists {
		names = append(names, nameOr(l.Name, l.ID))
	}
	if len(lists) == 1 {
		o.ID = lists[0].ID
	}
	o.Name = strings.Join(names, ", ")
	return o
}

// ruleWords describe a rule: "ingress IPv4 tcp 80 from group web".
func ruleWords(s *intent.State, r intent.Rule) string {
	words := []string{string(r.Direction), string(r.EtherType)}
	if r.Protocol != nil {
		words = append(words, protocolName(*r.Protocol))
	}
	switch {
	case r.PortMin != nil && r.PortMax != nil && *r.PortMin != *r.PortMax:
		words = append(words, fmt.Sprintf("%d-%d", *r.PortMin, *r.PortMax))
	case r.PortMin != nil:
		words = append(words, fmt.Sprint(*r.PortMin))
	}
	way := "from"
	if r.Direction == intent.Egress {
		way = "to"
	}
	switch {
	case r.RemoteGroupID != "":
		g, _ := s.Group(r.RemoteGroupID)
		words = append(words, way, "group", nameOr(g.Name, r.RemoteGroupID))
	case r.RemoteAddressGroupID != "":
		words = append(words, way, "address group", r.RemoteAddressGroupID)
	case r.RemotePrefix.IsValid():
		words = append(words, way, r.RemotePrefix.String())
	default:
		words = append(words, way, "anywhere")
	}
	return strings.Join(words, " ")
}

// settle gives the flows of an answer their owners, as far as the asker may know
// them.
func (e *explainer) settle(a *Answer) {
	ways := []*Way{&a.Way}
	if a.Reply != nil {
		ways = append(ways, a.Reply)
	}
	cookies := map[pipeline.Cookie]bool{}
	each := func(f func(*Step)) {
		for _, w := range ways {
			for h := range w.Hops {
				for i := range w.Hops[h].Steps {
					if step := &w.Hops[h].Steps[i]; step.Flow != "" {
						f(step)
					}
				}
			}
		}
	}
	each(func(s *Step) { cookies[s.Owner.cookie] = true })
	var owners map[pipeline.Cookie]Owner
	e.w.Read(func(s *intent.State) { owners = Owners(s, cookies) })
	each(func(s *Step) {
		kind := s.Owner.cookie.Kind()
		s.Owner = owners[s.Owner.cookie]
		if (kind == pipeline.KindTag || kind == pipeline.KindFar || kind == pipeline.KindPath) && !e.sees("") {
			s.Does, s.Owner.Detail = "by the links of the fabric", ""
		}
		if s.Owner.Kind == "table" || e.sees(s.Owner.tenant) {
			return
		}
		if s.Owner.Kind == "switch" {
			s.Does = "out by the tunnel to the host that has it"
		}
		s.Owner = Owner{Kind: s.Owner.Kind}
	})
}
