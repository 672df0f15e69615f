package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// qosUse is what a policy is used for, as far as rules may not be enforced there.
// What only a connected switch knows, the status of the port says.
type qosUse struct {
	segment bool
	hosts   []string // that its ports are bound to, by either name
	network string   // whose ports are meant
}

var usedBySegment = qosUse{segment: true}

func usedByPort(hosts ...string) qosUse { return qosUse{hosts: hosts} }
func usedByNetwork(id string) qosUse    { return qosUse{network: id} }
func (u *qosUse) lacks(reason string, r *intent.QoSRule) error {
	return &Conflict{"QosRuleNotSupported", "qos_policy_id", fmt.Sprintf("Rule %s is not supported: %s", r.Kind, reason)}
}

// useQoSPolicy makes sure that the caller may refer to a policy and that it can be
// enforced where it is to be used.
func useQoSPolicy(ctx context.Context, tx *writeTx, sc Scope, id string, u qosUse) error {
	if id == "" {
		return nil
	}
	if err := qosPolicies.use(ctx, tx, sc, some(id)); err != nil {
		return err
	}
	return qosRulesSupported(ctx, tx, id, u)
}

// qosRulesSupported looks at all rules of a policy.
func qosRulesSupported(ctx context.Context, tx *writeTx, id string, u qosUse) error {
	rules, err := qosRuleRows.query(ctx, tx, "qos_rules.policy_id = $1", args{id})
	for i := range rules {
		if err == nil {
			err = u.supports(ctx, tx, &rules[i])
		}
	}
	return err
}

// qosRuleSupported looks at all that a policy is used for.
func qosRuleSupported(ctx context.Context, tx *writeTx, r *intent.QoSRule) error {
	u := qosUse{}
	var used bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM mac_segments WHERE qos_policy_id = $1),
			EXISTS (SELECT FROM networks WHERE qos_policy_id = $1) OR EXISTS (SELECT FROM ports WHERE qos_policy_id = $1),
			ARRAY(SELECT DISTINCT host FROM ports WHERE host <> '' AND (qos_policy_id = $1
				OR qos_policy_id IS NULL AND network_id IN (SELECT id FROM networks WHERE qos_policy_id = $1)))`, r.PolicyID).
		Scan(&u.segment, &used, &u.hosts)
	if err != nil || !used && !u.segment {
		return err
	}
	return u.supports(ctx, tx, r)
}

// supports says why a rule can never be enforced for what a policy is used for.
func (u *qosUse) supports(ctx context.Context, tx *writeTx, r *intent.QoSRule) error {
	switch {
	case r.Kind == intent.QoSMinimumPacketRate:
		return u.lacks("no switch guarantees packet rates", r)
	case !u.segment:
	case r.Kind == intent.QoSPriority, r.Kind == intent.QoSDSCPMarking, r.Kind == intent.QoSBandwidthLimit && r.Direction == intent.Egress:
	default:
		return u.lacks("a MAC segment takes priority and dscp_marking rules, and a bandwidth_limit of egress, which its addresses on a host share", r)
	}
	if r.Kind != intent.QoSMinimumBandwidth {
		return nil
	}
	if r.Direction == intent.Ingress {
		return u.lacks("a minimum bandwidth is kept where hosts send, so its direction must be egress", r)
	}
	rows, err := tx.Query(ctx, `
		SELECT coalesce(nullif(hostname, ''), dpid) FROM switches
		WHERE datapath_type = 'netdev' AND (dpid = ANY($1::text[]) OR hostname <> '' AND hostname = ANY($1::text[])
			OR $2 <> '' AND dpid IN (SELECT host FROM ports WHERE network_id::text = $2)) LIMIT 1`, u.hosts, u.network)
	host, found, err := one(rows, err, pgx.RowTo[string])
	if found && err == nil {
		err = u.lacks(fmt.Sprintf("host %s has the userspace datapath, which has no queues", host), r)
	}
	return err
}

const selectQoSSegments = `SELECT id, num, lower(block), upper(block), coalesce(network_id::text, ''), qos_policy_id FROM mac_segments WHERE qos_policy_id IS NOT NULL`

func collectQoSSegments(rows pgx.Rows, err error) ([]intent.QoSSegment, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (g intent.QoSSegment, err error) {
		var lower, upper int64
		if err := row.Scan(&g.ID, &g.Num, &lower, &upper, &g.NetworkID, &g.PolicyID); err != nil {
			return g, err
		}
		g.Block, err = blockOf(lower, upper)
		return g, err
	})
}

// QoSSegmentsByID returns those of the MAC segments that have a QoS policy.
func (s *Store) QoSSegmentsByID(ctx context.Context, ids []string) (list []intent.QoSSegment, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, selectQoSSegments+` AND id = ANY($1::uuid[])`, uuids(ids))
		list, err = collectQoSSegments(rows, err)
		return err
	})
	return list, err
}

// QoSPoliciesByID returns those of the policies that exist, of all tenants, with
// their rules.
func (s *Store) QoSPoliciesByID(ctx context.Context, ids []string) (m map[string]intent.QoSPolicy, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		m, err = qosPolicies.byID(ctx, q, ids, func(p *intent.QoSPolicy) string { return p.ID })
		return err
	})
	return m, err
}
