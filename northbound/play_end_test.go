package northbound

import (
	"maps"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/store"
)

// playTables are those of the kinds that are played with.
var playTables = map[store.Kind]string{
	store.KindNetwork: "networks", store.KindSubnet: "subnets", store.KindPort: "ports",
	store.KindSecurityGroup: "security_groups", store.KindSegment: "mac_segments",
}

// checkEnd says what does not hold of the database when a play is over.
func (p *play) checkEnd(a *api, url string) {
	conn, err := pgx.Connect(p.t.Context(), url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = conn.Close(p.t.Context()) }()
	count := func(sql string, args ...any) (n int) {
		if err := conn.QueryRow(p.t.Context(), sql, args...).Scan(&n); err != nil {
			p.t.Fatalf("%s: %v", sql, err)
		}
		return n
	}
	// The publisher may have been cut off, too.
	for deadline := time.Now().Add(time.Minute); count(`SELECT count(*) FROM outbox WHERE revision IS NULL`) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal("the feed does not come to rest")
		}
	}
	for what, sql := range map[string]string{
		"ports without a MAC address":          `SELECT count(*) FROM ports WHERE NOT EXISTS (SELECT FROM mac_addresses m WHERE m.port_id = ports.id AND m.state = 'active')`,
		"active addresses without their ports": `SELECT count(*) FROM mac_addresses WHERE state = 'active' AND origin = 'port' AND port_id IS NULL`,
		"addresses twice in a subnet":          `SELECT count(*) FROM (SELECT FROM fixed_ips GROUP BY subnet_id, address HAVING count(*) > 1) AS t`,
		"MAC addresses twice":                  `SELECT count(*) FROM (SELECT FROM mac_addresses WHERE port_id IS NOT NULL GROUP BY address HAVING count(*) > 1) AS t`,
		"IP addresses of other networks":       `SELECT count(*) FROM fixed_ips f JOIN ports ON ports.id = f.port_id JOIN subnets s ON s.id = f.subnet_id WHERE s.network_id <> ports.network_id`,
		"groups of other tenants":              `SELECT count(*) FROM port_security_groups pg JOIN ports ON ports.id = pg.port_id JOIN security_groups g ON g.id = pg.group_id WHERE g.tenant_id <> ports.tenant_id`,
		"security groups without a rule for what goes out": `SELECT count(*) FROM security_groups g WHERE NOT EXISTS (
			SELECT FROM security_group_rules r WHERE r.group_id = g.id AND r.direction = 'egress')`,
	} {
		if n := count(sql); n != 0 {
			p.t.Errorf("%d %s", n, what)
		}
	}
	for name, all := range p.unsure {
		if n := count(`SELECT count(*) FROM ports WHERE name = $1`, name); n != 0 && n != all {
			p.t.Errorf("%d of the %d ports of %s were made", n, all, name)
		}
	}
	var sure []string
	for id, th := range p.things {
		if th.within != "" && p.things[th.within] == nil {
			continue // subnets go with their network
		}
		sure = append(sure, id)
		if got := a.do("GET", "/v2.0/"+th.path+"/"+id, th.token, ""); got.code != 200 {
			p.t.Errorf("%s %s is lost: %d", th.path, id, got.code)
		}
	}
	for _, table := range playTables {
		if n := count(`SELECT count(*) FROM `+table+` WHERE id = ANY($1::uuid[])`, p.gone); n != 0 {
			p.t.Errorf("%d of %s are there that were deleted", n, table)
		}
	}
	if len(sure) < players || len(p.gone) < players {
		p.t.Errorf("only %d objects were made to stay and %d deleted", len(sure), len(p.gone))
	}
	p.checkQuotas(a, count)
	p.checkRecords(a, conn)
}

// checkQuotas compares what quotas count with the rows.
func (p *play) checkQuotas(a *api, count func(string, ...any) int) {
	for _, tenant := range []string{"red", "blue"} {
		details := a.want(200, "GET", "/v2.0/quotas/"+tenant+"/details", "admin", "").object(p.t)
		want, got := map[string]int{}, map[string]int{}
		for resource, sql := range map[string]string{
			"network": "FROM networks", "subnet": "FROM subnets", "port": "FROM ports", "security_group": "FROM security_groups",
			"security_group_rule": "FROM security_group_rules", "mac_segment": "FROM mac_segments",
			"mac_address": "FROM mac_addresses",
		} {
			where := " WHERE tenant_id = $1"
			if resource == "mac_address" {
				where += " AND state IN ('active', 'reserved')"
			}
			want[resource] = count("SELECT count(*) "+sql+where, tenant)
			got[resource] = int(details[resource].(map[string]any)["used"].(float64))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			p.t.Errorf("what %s uses: (-rows +quotas)\n%s", tenant, diff)
		}
	}
}

// life is what a record tells of an object.
type life struct {
	Kind store.Kind
	Name string // as the audit log has it
}

// checkRecords replays the feed and the audit log, and compares what is left
// with the rows.
func (p *play) checkRecords(a *api, conn *pgx.Conn) {
	ctx := p.t.Context()
	rows := map[string]life{}
	for kind, table := range playTables {
		r, err := conn.Query(ctx, `SELECT id::text, name FROM `+table+` WHERE id <> ALL ($1::uuid[])`, p.born)
		var id, name string
		if err == nil {
			_, err = pgx.ForEachRow(r, []any{&id, &name}, func() error { rows[id] = life{kind, name}; return nil })
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	fed := replay{p: p, what: "the feed", left: map[string]life{}}
	var revision int64
	for {
		changes, err := a.store.Changes(ctx, revision, 1000)
		if err != nil {
			p.t.Fatal(err)
		}
		if len(changes) == 0 {
			break
		}
		for _, c := range changes {
			if revision++; c.Revision != revision {
				p.t.Fatalf("revision %d comes after %d", c.Revision, revision-1)
			}
			fed.tell(c.Kind, c.ID, c.Op, nil)
		}
	}
	unnamed := map[string]life{}
	for id, l := range rows {
		unnamed[id] = life{Kind: l.Kind}
	}
	fed.compare(unnamed)

	audited := replay{p: p, what: "the audit log", left: map[string]life{}}
	r, err := conn.Query(ctx, `SELECT kind, object_id, op, became ->> 'name' FROM audit_log ORDER BY id`)
	if err == nil {
		var kind store.Kind
		var id string
		var op store.Op
		var name *string
		_, err = pgx.ForEachRow(r, []any{&kind, &id, &op, &name}, func() error { audited.tell(kind, id, op, name); return nil })
	}
	if err != nil {
		p.t.Fatal(err)
	}
	audited.compare(rows)
	p.t.Logf("%d changes in the feed", revision)
}

// replay is what a record of changes says that there is.
type replay struct {
	p    *play
	what string
	left map[string]life
}

func (r *replay) tell(kind store.Kind, id string, op store.Op, name *string) {
	if _, ours := playTables[kind]; !ours {
		return
	}
	now, there := r.left[id]
	if there == (op == store.OpCreate) {
		r.p.t.Errorf("%s tells %s of %s %s, which was there: %v", r.what, op, kind, id, there)
	}
	if op == store.OpDelete {
		delete(r.left, id)
		return
	}
	now.Kind = kind
	if name != nil {
		now.Name = *name
	}
	r.left[id] = now
}

func (r *replay) compare(rows map[string]life) {
	if maps.Equal(rows, r.left) {
		return
	}
	var wrong []string
	for id := range rows {
		if rows[id] != r.left[id] {
			wrong = append(wrong, id)
		}
	}
	for id := range r.left {
		if _, there := rows[id]; !there {
			wrong = append(wrong, id)
		}
	}
	slices.Sort(wrong)
	for _, id := range wrong[:min(len(wrong), 10)] {
		r.p.t.Errorf("%s: %s is %v in its table and %v in the record", r.what, id, rows[id], r.left[id])
	}
}
