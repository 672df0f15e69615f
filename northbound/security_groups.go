package northbound

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func securityGroups(st *store.Store) *collection[intent.SecurityGroup] {
	meta := func(g *intent.SecurityGroup) *intent.Meta { return &g.Meta }
	return &collection[intent.SecurityGroup]{
		single: "security_group", plural: "security_groups", path: "security-groups", tags: "security-groups",
		doc: "A security group is a set of rules that ports subscribe to; what no rule of its groups allows, a port neither gets nor sends. Rules are stateful: answers pass. " +
			"A new group allows all egress. Every tenant has a group `default`, which also allows ingress from itself; it cannot be renamed, nor deleted by its owner.",
		attributes: tagged(meta, access{}, standard(meta,
			name(meta),
			derived("shared", boolean, func(g *intent.SecurityGroup) bool { return g.Shared }, access{filter: true}, "Whether an RBAC policy shares it with the caller."),
			mapped("stateful", boolean, func(g *intent.SecurityGroup) bool { return !g.Stateless }, func(g *intent.SecurityGroup, v bool) { g.Stateless = !v },
				access{post: optional, put: true, def: "true", filter: true}, "Whether answers pass without a rule of their own; the rules of a stateless group look at single packets. It cannot change while a port has the group."),
			derived("security_group_rules", list(ruleObject, 0), func(g *intent.SecurityGroup) []intent.Rule { return g.Rules }, access{}, "Its rules, oldest first."),
		)),
		meta:   meta,
		stream: st.EachSecurityGroup,
		backend: backend[intent.SecurityGroup]{
			st.SecurityGroups, st.SecurityGroup, st.CreateSecurityGroups, st.UpdateSecurityGroup, st.DeleteSecurityGroup,
		},
	}
}

// ruleObject is a rule inside of its group.
var ruleObject = valueType[intent.Rule]{
	name:   "security group rule",
	shows:  schema{"$ref": "#/components/schemas/security_group_rule"},
	append: func(b []byte, r intent.Rule) []byte { return ruleAttributes.append(b, &r) },
}
