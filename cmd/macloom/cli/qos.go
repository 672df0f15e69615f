package cli

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/client"
)

var qosPolicyResource = resource{
	collection: qosPolicies, use: "qos-policy", short: "Limit, mark and order packets by policies and their rules", word: nameWord,
	columns: []string{"id", "name", "tenant_id", "shared", "is_default", "rules"},
	options: []option{
		renamed, describedAs, ofTenant,
		truthOption(onAll, "shared", "shared", "whether all tenants may use it; for administrators"),
		truthOption(onAll, "default", "is_default", "whether new networks of its tenant get it"),
	},
	more:     func(conn *connection) []*cobra.Command { return []*cobra.Command{qosRules(conn), qosStatistics(conn)} },
	examples: map[string]string{"create": "  macloom qos-policy create voice --tenant demo --shared"},
}

// qosRuleTypes are the types of rules, in the words of the API.
var qosRuleTypes = []string{"bandwidth_limit", "dscp_marking", "minimum_bandwidth", "minimum_packet_rate", "packet_rate_limit", "priority"}

// qosRuleOptions are what rules of some type have: of which, the API says.
var qosRuleOptions = []option{
	numberOption(onWrite, "max-kbps", "max_kbps", "limit in kbit/s, of a bandwidth_limit"),
	numberOption(onWrite, "max-burst-kbps", "max_burst_kbps", "its burst in kbit; 0: chosen"),
	numberOption(onWrite, "max-kpps", "max_kpps", "limit in thousands of packets a second, of a packet_rate_limit"),
	numberOption(onWrite, "max-burst-kpps", "max_burst_kpps", "its burst in thousands of packets; 0: chosen"),
	numberOption(onWrite, "min-kbps", "min_kbps", "kbit/s that others leave, of a minimum_bandwidth"),
	numberOption(onWrite, "min-kpps", "min_kpps", "thousands of packets a second that others leave, of a minimum_packet_rate"),
	numberOption(onWrite, "dscp", "dscp_mark", "mark, of a dscp_marking"),
	numberOption(onWrite, "class", "class", "0 to 7, which goes first, of a priority"),
	choiceOption(onWrite, "direction", "direction", "what the instance sends, or what it receives", "egress", "ingress", "any"),
}

// rulesOfType is where the rules of a type in a policy are.
func rulesOfType(policy, kind string) collection {
	single := kind + "_rule"
	return collection{path: "qos/policies/" + policy + "/" + single + "s", single: single, plural: single + "s"}
}

// qosRuleOf is a rule as its policy shows it.
type qosRuleOf struct {
	id, kind string
	raw      json.RawMessage
}

// rulesOf reads the rules of a policy that a word names.
func rulesOf(q *call, word string) (policy string, rules []qosRuleOf, err error) {
	if policy, err = qosPolicies.find(q, word); err != nil {
		return "", nil, err
	}
	raw, err := qosPolicies.show(q, policy)
	if err != nil {
		return "", nil, err
	}
	shown, err := parseRecord(raw)
	if err != nil {
		return "", nil, err
	}
	parts, err := split(shown.at("rules"), '[', ']')
	for _, part := range parts {
		r, broken := parseRecord(part)
		if broken != nil {
			return "", nil, broken
		}
		rules = append(rules, qosRuleOf{r.text("id"), r.text("type"), part})
	}
	return policy, rules, err
}

// ruleType reads a type, which may be written with dashes.
func ruleType(word string) (string, error) {
	kind := strings.ReplaceAll(word, "-", "_")
	if !slices.Contains(qosRuleTypes, kind) {
		return "", usage("%q is no type of rules: %s", word, strings.Join(qosRuleTypes, ", "))
	}
	return kind, nil
}

// pickRule finds the rule that a word names: its id, or its type if there is one of it.
func pickRule(rules []qosRuleOf, word string) (qosRuleOf, error) {
	if isUUID(word) {
		for _, r := range rules {
			if strings.EqualFold(r.id, word) {
				return r, nil
			}
		}
		return qosRuleOf{}, fmt.Errorf("the policy has no rule %s", word)
	}
	kind, err := ruleType(word)
	if err != nil {
		return qosRuleOf{}, err
	}
	var found []qosRuleOf
	var ids []string
	for _, r := range rules {
		if r.kind == kind {
			found, ids = append(found, r), append(ids, r.id)
		}
	}
	switch len(found) {
	case 0:
		return qosRuleOf{}, fmt.Errorf("the policy has no rule of type %s", kind)
	case 1:
		return found[0], nil
	}
	return qosRuleOf{}, fmt.Errorf("the policy has %d rules of type %s: give the id of one: %s", len(found), kind, strings.Join(ids, ", "))
}

// qosRules returns the commands about the rules of policies.
func qosRules(conn *connection) *cobra.Command {
	r := resource{options: qosRuleOptions}
	policies := qosPolicies.complete(conn, "name")
	command := func(use, short, example string, args cobra.PositionalArgs) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Example: example, Args: args,
			ValidArgsFunction: func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
				if len(args) == 0 {
					return policies(cmd, args, start)
				}
				return qosRuleTypes, cobra.ShellCompDirectiveNoFileComp
			}}
	}

	list := command("list POLICY", "List the rules of a policy", "", cobra.ExactArgs(1))
	parameters := column{name: "parameters", of: ruleParameters}
	conn.run(list, newOutput(list, parameters), func(c *call) error {
		_, rules, err := rulesOf(c, c.args[0])
		var parts []json.RawMessage
		for _, r := range rules {
			parts = append(parts, r.raw)
		}
		return c.list([]column{{name: "id"}, {name: "type"}, parameters}, came(parts, err))
	})

	add := command("add POLICY TYPE", "Add a rule to a policy", "  macloom qos-policy rule add voice priority --class 5\n"+
		"  macloom qos-policy rule add slow bandwidth_limit --max-kbps 10000 --direction ingress", cobra.ExactArgs(2))
	r.declare(add, onCreate)
	conn.run(add, newOutput(add), func(c *call) error {
		kind, err := ruleType(c.args[1])
		if err != nil {
			return err
		}
		body, err := r.body(c, onCreate)
		if err != nil {
			return err
		}
		policy, err := qosPolicies.find(c, c.args[0])
		if err != nil {
			return err
		}
		return c.show(rulesOfType(policy, kind).create(c, body))
	})

	set := command("set POLICY RULE", "Change a rule, named by its id or its type", "  macloom qos-policy rule set voice priority --class 6", cobra.ExactArgs(2))
	r.declare(set, onSet)
	conn.run(set, newOutput(set), func(c *call) error {
		body, err := r.body(c, onSet)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return usage("say what to change")
		}
		policy, rules, err := rulesOf(c, c.args[0])
		if err != nil {
			return err
		}
		rule, err := pickRule(rules, c.args[1])
		if err != nil {
			return err
		}
		return c.show(rulesOfType(policy, rule.kind).update(c, rule.id, body))
	})

	remove := command("delete POLICY RULE…", "Delete a rule, named by its id or its type, or several", "", cobra.MinimumNArgs(2))
	conn.run(remove, nil, func(c *call) error {
		policy, rules, err := rulesOf(c, c.args[0])
		if err != nil {
			return err
		}
		var meant []qosRuleOf // before the first goes
		for _, word := range c.args[1:] {
			rule, err := pickRule(rules, word)
			if err != nil {
				return err
			}
			meant = append(meant, rule)
		}
		for _, rule := range meant {
			if err := rulesOfType(policy, rule.kind).remove(c, rule.id, nil); err != nil {
				return err
			}
		}
		return nil
	})
	return group("rule", "Say what a policy does to packets", list, add, set, remove)
}

// ruleParameters are what a rule has besides what all of them have.
func ruleParameters(r record) string {
	var words []string
	for _, a := range r {
		if !slices.Contains([]string{"id", "type", "qos_policy_id", "tenant_id", "project_id"}, a.name) {
			words = append(words, a.name+"="+cell(a.value))
		}
	}
	return strings.Join(words, " ")
}

// qosStatistics shows what switches have counted of a policy.
func qosStatistics(conn *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "statistics POLICY", Short: "Show what switches have counted under a policy", Args: cobra.ExactArgs(1), ValidArgsFunction: qosPolicies.complete(conn, "name")}
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		policy, err := qosPolicies.find(c, c.args[0])
		if err != nil {
			return err
		}
		raw, err := c.api.Object(c.ctx, client.Request{Method: http.MethodGet, Path: qosPolicies.at(policy, "statistics")}, "statistics")
		if err != nil {
			return err
		}
		shown, err := parseRecord(raw)
		if err != nil {
			return err
		}
		if silent := shown.text("silent_switches"); silent != "0" {
			fmt.Fprintf(c.stderr, "%s switches did not answer\n", visible(silent))
		}
		counters, err := split(shown.at("counters"), '[', ']')
		return c.list(attributes("type", "direction", "packets", "bytes", "dropped_packets", "dropped_bytes"), came(counters, err))
	})
}

// came is a list that has come as a whole, or has not.
func came(parts []json.RawMessage, err error) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if err != nil {
			yield(nil, err)
			return
		}
		for _, part := range parts {
			if !yield(part, nil) {
				return
			}
		}
	}
}
