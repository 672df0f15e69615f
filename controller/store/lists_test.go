package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// crowd writes n ports of a thousand tenants straight into the tables, each on
// one of a thousand networks, with a MAC and an IP address.
func (b *bundle) crowd(n int) {
	b.t.Helper()
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	id := func(kind, number string) string {
		return "('" + kind + "0000-0000-7000-8000-' || lpad(to_hex(" + number + "), 12, '0'))::uuid"
	}
	port, network, subnet, group := id("aaaa", "i"), id("bbbb", "i % 1000"), id("cccc", "i % 1000"), id("dddd", "i % 1000")
	for _, sql := range []string{
		`SET session_replication_role = replica`, // no triggers, and so no foreign keys
		`INSERT INTO tenants (id) SELECT 'tenant-' || i FROM generate_series(0, 999) AS i`,
		`INSERT INTO networks (id, tenant_id, vni, segmentation_id) SELECT ` + network + `, 'tenant-' || i, i + 1, i + 1 FROM generate_series(0, 999) AS i`,
		`INSERT INTO subnets (id, tenant_id, network_id, cidr) SELECT ` + subnet + `, 'tenant-' || i, ` + network + `, '10.0.0.0/8' FROM generate_series(0, 999) AS i`,
		`INSERT INTO ports (id, tenant_id, network_id, name, device_id, host) SELECT ` + port + `, 'tenant-' || i % 1000, ` + network + `, 'port-' || i, 'vm-' || i / 2,
			to_hex(i % 5000) FROM generate_series(1, $1::int) AS i`,
		`INSERT INTO mac_addresses (address, port_id, tenant_id, state, origin) SELECT (2::bigint << 40) + i, ` + port + `, 'tenant-' || i % 1000, 'active', 'port' FROM generate_series(1, $1::int) AS i`,
		`INSERT INTO fixed_ips (subnet_id, address, port_id, ord) SELECT ` + subnet + `, '10.0.0.1'::inet + i, ` + port + `, 0 FROM generate_series(1, $1::int) AS i`,
		`INSERT INTO security_groups (id, tenant_id, name) SELECT ` + group + `, 'tenant-' || i, 'default' FROM generate_series(0, 999) AS i`,
		`INSERT INTO port_security_groups (port_id, group_id) SELECT ` + port + `, ` + group + ` FROM generate_series(1, $1::int) AS i`,
		`ANALYZE`,
	} {
		var args []any
		if strings.Contains(sql, "$1") {
			args = []any{n}
		}
		if _, err := conn.Exec(b.ctx, sql, args...); err != nil {
			b.t.Fatalf("%s: %v", sql, err)
		}
	}
}

func TestListsOfManyPortsUseIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.crowd(50_000)
	some := intent.Port{Meta: intent.Meta{ID: "aaaa0000-0000-7000-8000-000000000005"}}
	filter := func(words ...string) store.Query {
		q := store.Query{Filter: map[string][]string{}}
		for i := 0; i < len(words); i += 2 {
			q.Filter[words[i]] = append(q.Filter[words[i]], words[i+1])
		}
		return q
	}
	page := filter("tenant_id", "tenant-5")
	page.Limit, page.Marker = 100, "aaaa0000-0000-7000-8000-000000000005"
	all := store.Query{Limit: 100, Marker: some.ID}
	back := all
	back.Reverse = true
	tenant := store.Scope{TenantID: "tenant-5"}
	for name, c := range map[string]struct {
		sc    store.Scope
		query store.Query
		index string // that must be used
		count int
	}{
		"tenant":           {admin, filter("tenant_id", "tenant-5"), "ports_tenant", 50},
		"project":          {admin, filter("project_id", "tenant-5"), "ports_tenant", 50},
		"own":              {tenant, store.Query{}, "ports_tenant", 50},
		"device":           {admin, filter("device_id", "vm-5"), "ports_device", 2},
		"device of own":    {tenant, filter("device_id", "vm-2"), "ports_device", 1},
		"network":          {admin, filter("network_id", "bbbb0000-0000-7000-8000-000000000005"), "ports_network", 50},
		"name":             {admin, filter("name", "port-7"), "ports_name", 1},
		"id":               {admin, filter("id", some.ID), "ports_pkey", 1},
		"MAC":              {admin, filter("mac_address", "02:00:00:00:00:05"), "mac_addresses_pkey", 1},
		"address":          {admin, filter("fixed_ips", "ip_address=10.0.0.6"), "fixed_ips_address", 1},
		"address of own":   {tenant, filter("fixed_ips", "ip_address=10.0.0.6"), "fixed_ips_address", 1},
		"subnet":           {admin, filter("fixed_ips", "subnet_id=cccc0000-0000-7000-8000-000000000005"), "fixed_ips_pkey", 50},
		"group":            {admin, filter("security_groups", "dddd0000-0000-7000-8000-000000000005"), "port_security_groups_group", 50},
		"host":             {admin, filter("binding:host_id", "5"), "ports_host", 10},
		"page of a tenant": {admin, page, "ports_tenant", 49},
		"page of all":      {admin, all, "ports_pkey", 100},
		"page before":      {admin, back, "ports_pkey", 4},
	} {
		plan := must(b.ExplainPorts(b.ctx, c.sc, c.query))(t)
		if !strings.Contains(plan, c.index) {
			t.Errorf("%s: index %s is not used:\n%s", name, c.index, plan)
		}
		for _, table := range []string{"ports", "mac_addresses", "fixed_ips", "port_security_groups"} {
			if strings.Contains(plan, "Seq Scan on "+table) {
				t.Errorf("%s: the plan reads the whole of %s:\n%s", name, table, plan)
			}
		}
		if got := len(must(b.Ports(b.ctx, c.sc, c.query))(t)); got != c.count {
			t.Errorf("%s: %d ports, want %d", name, got, c.count)
		}
	}
}

func TestAStreamIsTheList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	for i := range 5 {
		p := newPort(n)
		p.Name, p.MAC = fmt.Sprint(i%2), mac.Addr(0x020000000100+i)
		b.port(red, p)
	}
	first := must(b.Ports(b.ctx, red, store.Query{}))(t)[0].ID
	for _, q := range []store.Query{
		{},
		{Sort: []store.SortKey{{Attr: "name", Desc: true}, {Attr: "mac_address"}}},
		{Limit: 2, Reverse: true},
		{Marker: first},
		{Marker: first, Reverse: true},
		{Filter: map[string][]string{"name": {"1"}}},
	} {
		var got []string
		err := b.EachPort(b.ctx, red, q, func(p *intent.Port) error { got = append(got, p.ID); return nil })
		var want []string
		for _, p := range must(b.Ports(b.ctx, red, q))(t) {
			want = append(want, p.ID)
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v: %v %v, want %v", q, got, err, want)
		}
	}
	var rules int
	if err := b.EachSecurityGroup(b.ctx, red, store.Query{}, func(g *intent.SecurityGroup) error { rules += len(g.Rules); return nil }); err != nil || rules != 4 {
		t.Errorf("%d rules of the default group (%v), want 4", rules, err)
	}
}

func TestAStreamEndsWithItsReader(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.crowd(20_000)
	gone := errors.New("gone")
	seen := 0
	err := b.EachPort(b.ctx, admin, store.Query{}, func(*intent.Port) error {
		if seen++; seen == 3 {
			return gone
		}
		return nil
	})
	if !errors.Is(err, gone) || seen != 3 {
		t.Errorf("after %d ports: %v, want the reader's error after 3", seen, err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	seen = 0
	err = b.EachPort(ctx, admin, store.Query{}, func(*intent.Port) error { seen++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || seen == 20_000 {
		t.Errorf("after %d ports: %v, want the end of the context before all of them", seen, err)
	}
	// No statement goes on in the server.
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for busy := -1; busy != 0; {
		err := conn.QueryRow(b.ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT ports.id%'`).Scan(&busy)
		if err != nil {
			t.Fatal(err)
		}
	}
	if list := must(b.Ports(b.ctx, admin, store.Query{Limit: 5}))(t); len(list) != 5 {
		t.Errorf("%d ports after that, want 5", len(list))
	}
}
