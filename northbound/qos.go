package northbound

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// maxRate is what Neutron takes at most, in any unit.
const maxRate = 1<<31 - 1

// dscpMarks are the values that have a meaning: the class selectors, assured and expedited forwarding (RFC 2474, 2597, 3246).
var dscpMarks = []int{0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 46, 48, 56}

func qosPolicies(st *store.Store) *collection[intent.QoSPolicy] {
	type policy = intent.QoSPolicy
	meta := func(p *policy) *intent.Meta { return &p.Meta }
	return &collection[policy]{
		single: "policy", plural: "policies", path: "qos/policies", kind: store.KindQoSPolicy, tags: "policies",
		doc: "A QoS policy is a set of rules for the packets of the ports that name it, or whose network does. " +
			"It cannot be deleted while a network, a port or a MAC segment has it. A port is under its own policy, else that of the longest MAC segment of its address that has one, else that of its network. " +
			"What a switch cannot enforce, the `status_reason` of the port says.",
		attributes: tagged(meta, access{}, standard(meta,
			name(meta),
			stored("shared", boolean, func(p *policy) *bool { return &p.Shared }, access{post: optional, put: true, def: "false", filter: true},
				"Whether it is shared with the caller. Setting it shares the policy with all tenants."),
			stored("is_default", boolean, func(p *policy) *bool { return &p.Default }, access{post: optional, put: true, def: "false", filter: true},
				"The one that new networks of the tenant get; at most one is it."),
			derived("rules", list(qosRuleObject, 0), func(p *policy) []intent.QoSRule { return p.Rules }, access{}, "Its rules, each with its `type`."),
		)),
		meta:    meta,
		writeBy: admins,
		backend: backend[policy]{st.QoSPolicies, st.QoSPolicy, st.CreateQoSPolicies, st.UpdateQoSPolicy, st.DeleteQoSPolicy},
	}
}

// qosRuleKind is what tells the kinds of rules apart.
type qosRuleKind struct {
	kind intent.QoSRuleKind
	doc  string
	own  table[intent.QoSRule]
}

var qosRuleKinds = []qosRuleKind{
	{intent.QoSBandwidthLimit, "A bandwidth limit drops or delays what is above it.", table[intent.QoSRule]{
		qosRate("max_kbps", "Limit in kbit/s."), qosBurst("max_burst_kbps", "Size of a burst in kbit; 0: chosen by the switch."), qosDirection(intent.Egress, intent.Ingress),
	}},
	{intent.QoSDSCPMarking, "A DSCP mark is set in the IP header of packets that the port sends.", table[intent.QoSRule]{
		stored("dscp_mark", oneNumber(dscpMarks...), func(r *intent.QoSRule) *int { return &r.DSCP }, access{post: required, put: true, filter: true, sort: true}, "The mark."),
	}},
	{intent.QoSMinimumBandwidth, "A minimum bandwidth is what the port gets when all others want more, too.", table[intent.QoSRule]{
		qosRate("min_kbps", "Minimum in kbit/s."), qosDirection(intent.Egress, intent.Ingress),
	}},
	{intent.QoSMinimumPacketRate, "A minimum packet rate is what the port gets when all others want more, too.", table[intent.QoSRule]{
		qosRate("min_kpps", "Minimum in thousands of packets a second."), qosDirection(intent.Egress, intent.Ingress, intent.AnyDirection),
	}},
	{intent.QoSPacketRateLimit, "A packet rate limit drops what is above it.", table[intent.QoSRule]{
		qosRate("max_kpps", "Limit in thousands of packets a second."), qosBurst("max_burst_kpps", "Size of a burst in thousands of packets; 0: chosen by the switch."),
		qosDirection(intent.Egress, intent.Ingress),
	}},
	{intent.QoSPriority, "A priority says who goes first where packets have to wait: in the queues of kernel datapaths; and everywhere as the class selector in the DSCP, unless a rule sets another mark.", table[intent.QoSRule]{
		stored("class", number[int](0, intent.MaxClass), func(r *intent.QoSRule) *int { return &r.Class }, access{post: required, put: true, filter: true, sort: true},
			"0, as without a rule, to 7, which goes before all others."),
		qosDirection(intent.Egress, intent.Ingress),
	}},
}

// supported says whether some switch enforces rules of the kind.
func (k *qosRuleKind) supported() bool { return k.kind != intent.QoSMinimumPacketRate }

func qosRate(name, doc string) attribute[intent.QoSRule] {
	return stored(name, number[int](0, maxRate), func(r *intent.QoSRule) *int { return &r.Rate }, access{post: required, put: true, filter: true, sort: true}, doc)
}

func qosBurst(name, doc string) attribute[intent.QoSRule] {
	return stored(name, number[int](0, maxRate), func(r *intent.QoSRule) *int { return &r.Burst }, access{post: optional, put: true, def: "0", filter: true, sort: true}, doc)
}

func qosDirection(words ...intent.Direction) attribute[intent.QoSRule] {
	return stored("direction", oneOf(words...), func(r *intent.QoSRule) *intent.Direction { return &r.Direction },
		access{post: optional, put: true, def: `"egress"`, filter: true, sort: true}, "Seen from the instance: `egress` is what it sends.")
}

// attributes are the identity of a rule and what its kind has.
func (k qosRuleKind) attributes() table[intent.QoSRule] {
	return part(func(r *intent.QoSRule) *intent.Meta { return &r.Meta }, "policy", k.own...)
}

// qosRules are the rules of one kind: within their policies, and once more by
// their ids alone.
func qosRules(st *store.Store, k qosRuleKind) (inPolicy, alone *collection[intent.QoSRule]) {
	type rule = intent.QoSRule
	single := string(k.kind) + "_rule"
	inPolicy = &collection[rule]{
		single: single, plural: single + "s", path: "qos/policies/{policy_id}/" + single + "s", kind: store.KindQoSRule,
		partial:    true,
		doc:        k.doc + " A policy has at most one such rule for a packet.",
		attributes: k.attributes(),
		fromStore: func(object any) (*rule, bool) {
			r, ok := object.(*rule)
			return r, ok && r.Kind == k.kind
		},
		writeBy: admins,
		within: &within[rule]{
			param: "policy_id", single: "policy", kind: store.KindQoSPolicy, attr: "qos_policy_id",
			id: func(r *rule) *string { return &r.PolicyID },
			see: func(ctx context.Context, sc store.Scope, id string) error {
				_, err := st.QoSPolicy(ctx, sc, id)
				return err
			},
		},
		backend: backend[rule]{
			list: func(ctx context.Context, sc store.Scope, q store.Query) ([]rule, error) {
				return st.QoSRules(ctx, sc, k.kind, q)
			},
			get: func(ctx context.Context, sc store.Scope, id string) (rule, error) {
				return st.QoSRule(ctx, sc, k.kind, id)
			},
			create: func(ctx context.Context, sc store.Scope, in []rule) ([]rule, error) {
				for i := range in {
					in[i].Kind = k.kind
				}
				return st.CreateQoSRules(ctx, sc, in)
			},
			update: func(ctx context.Context, sc store.Scope, id string, change func(*rule) error) (rule, error) {
				return st.UpdateQoSRule(ctx, sc, k.kind, id, change)
			},
			remove: func(ctx context.Context, sc store.Scope, id string) error {
				return st.DeleteQoSRule(ctx, sc, k.kind, id)
			},
		},
	}
	alias := *inPolicy
	alias.single, alias.plural, alias.path = "alias_"+single, "alias_"+single+"s", "qos/alias_"+single+"s"
	alias.doc = "The same rules as `" + inPolicy.path + "`, by their ids without the policy."
	alias.also = []string{strings.ReplaceAll("alias-"+single+"s", "_", "-")}
	alias.within, alias.create = nil, nil
	return inPolicy, &alias
}

// qosRuleTypes are the kinds of rules as clients ask for them.
func qosRuleTypes() *collection[qosRuleKind] {
	either := access{seen: nobody, filter: true}
	word := func(name, doc string) attribute[qosRuleKind] {
		return derived(name, boolean, func(*qosRuleKind) bool { return true }, either, doc)
	}
	c := &collection[qosRuleKind]{
		single: "rule_type", plural: "rule_types", path: "qos/rule-types", kind: "qos_rule_type", keyAttr: "type", public: true,
		silent: true,
		doc:    "The types of rules that a QoS policy may have and that switches enforce.",
		attributes: table[qosRuleKind]{
			derived("type", text(255), func(k *qosRuleKind) string { return string(k.kind) }, access{filter: true, sort: true}, "The type."),
			derived("drivers", list(ruleDriver, 0), func(k *qosRuleKind) []qosRuleKind {
				if !k.supported() {
					return nil
				}
				return []qosRuleKind{*k}
			}, access{seen: admins, single: true}, "What takes rules of the type, and their parameters."),
			word("all_rules", "All types that are known, also those that nothing enforces."),
			word("all_supported", "All types that some driver takes: the same as without it."),
		},
	}
	c.list = func(_ context.Context, _ store.Scope, q store.Query) ([]qosRuleKind, error) {
		q.Filter = maps.Clone(q.Filter)
		list := slices.Clone(qosRuleKinds)
		if all := q.Filter["all_rules"]; len(all) == 0 || all[0] != "true" {
			list = slices.DeleteFunc(list, func(k qosRuleKind) bool { return !k.supported() })
		}
		delete(q.Filter, "all_rules")
		delete(q.Filter, "all_supported")
		return c.heldList(list, q)
	}
	c.get = func(_ context.Context, sc store.Scope, key string) (qosRuleKind, error) {
		k, err := c.heldObject(qosRuleKinds, key)
		if err == nil && !sc.Admin {
			err = forbidden("get_rule_type")
		}
		return k, err
	}
	return c
}

// ruleDriver is what takes rules of a kind, with the values of their attributes.
var ruleDriver = valueType[qosRuleKind]{
	name: `{"name": string, "supported_parameters": [{"parameter_name": string, "parameter_type": "range" or "choices", "parameter_values": {"start", "end"} or list}]}`,
	shows: objectOf(map[string]schema{"name": {"type": "string"}, "supported_parameters": arrayOf(objectOf(map[string]schema{
		"parameter_name": {"type": "string"}, "parameter_type": chosen("string", "range", "choices"),
		"parameter_values": anyOf(objectOf(map[string]schema{"start": whole, "end": whole}), arrayOf(schema{}, 0)),
	}), 0)}),
	append: func(b []byte, k qosRuleKind) []byte {
		b = append(b, `{"name":"openvswitch","supported_parameters":[`...)
		for i, a := range k.own {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"parameter_name":`...)
			b = appendString(b, a.name)
			choice, isChoice := a.shows["enum"]
			if !isChoice {
				b = fmt.Appendf(b, `,"parameter_type":"range","parameter_values":{"start":0,"end":%v}}`, a.shows["maximum"])
				continue
			}
			if k.kind == intent.QoSMinimumBandwidth {
				choice = []intent.Direction{intent.Egress} // where hosts send
			}
			values, err := json.Marshal(choice)
			if err != nil {
				panic(err) // declared in this program
			}
			b = fmt.Appendf(b, `,"parameter_type":"choices","parameter_values":%s}`, values)
		}
		return append(b, "]}"...)
	},
}

// qosRuleTables are the attributes of the rules of each kind.
var qosRuleTables = func() map[intent.QoSRuleKind]table[intent.QoSRule] {
	m := map[intent.QoSRuleKind]table[intent.QoSRule]{}
	for _, k := range qosRuleKinds {
		m[k.kind] = k.attributes()
	}
	return m
}()

// qosRuleSchema is the schema of a rule of any kind inside of its policy.
func qosRuleSchema() schema {
	var kinds []schema
	for _, k := range qosRuleKinds {
		properties := map[string]schema{"type": {"const": k.kind}, "qos_policy_id": uuidSchema}
		for _, a := range k.attributes() {
			properties[a.name] = a.shows
		}
		kinds = append(kinds, objectOf(properties))
	}
	return anyOf(kinds...)
}

// qosRuleObject is a rule inside of its policy.
var qosRuleObject = valueType[intent.QoSRule]{
	name:  "QoS rule",
	shows: qosRuleSchema(),
	append: func(b []byte, r intent.QoSRule) []byte {
		b = append(b, `{"type":`...)
		b = appendString(b, string(r.Kind))
		b = append(b, `,"qos_policy_id":`...)
		b = appendString(b, r.PolicyID)
		b = append(b, ',')
		// The rest is the object of the rule without its brace.
		return append(b, qosRuleTables[r.Kind].append(nil, &r)[1:]...)
	},
}
