package e2e

import (
	"net/http"
	"testing"

	"github.com/macloom/macloom/test/lab"
)

// share lets a tenant use an object of another.
func (c *cloud) share(kind, id, tenant string) {
	c.t.Helper()
	c.create("rbac-policies", "rbac_policy", map[string]any{
		"object_type": kind, "object_id": id, "action": "access_as_shared", "target_tenant": tenant,
	})
}

func (c *cloud) defaultGroup(tenant string) string {
	c.t.Helper()
	all := c.ctl.Must(http.MethodGet, "/v2.0/security-groups?name=default&tenant_id="+tenant, nil)["security_groups"].([]any)
	if len(all) != 1 {
		c.t.Fatalf("%s has %d default groups", tenant, len(all))
	}
	return all[0].(map[string]any)["id"].(string)
}

// A port of another tenant on a shared network is one of that network, and
// keeps to the groups of its own tenant, whose rules may name groups and
// addresses that the other shares.
func TestSharedNetworkCarriesPortsOfOtherTenants(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	net := c.network("acme", "shared", "10.0.0.0/24")
	c.share("network", net, "globex")
	a := c.instance("sa", "acme", net, "10.0.0.1", nil)
	g := c.instance("sg", "globex", net, "10.0.0.2", nil)
	g2 := c.instance("sg2", "globex", net, "10.0.0.3", nil)
	acme, globex := c.defaultGroup("acme"), c.defaultGroup("globex")

	c.reaches(g, g2, true)
	c.reaches(a, g, false) // the group `default` of either admits its own members
	c.reaches(g, a, false)

	c.share("security_group", acme, "globex")
	rule := c.create("security-group-rules", "security_group_rule", map[string]any{
		"security_group_id": globex, "tenant_id": "globex", "direction": "ingress", "remote_group_id": acme,
	})
	c.comes(a, g, true)
	c.reaches(g, a, false)

	set := c.create("address-groups", "address_group", map[string]any{"tenant_id": "globex", "addresses": []string{"10.0.0.2/32"}})
	c.share("address_group", set["id"].(string), "acme")
	c.create("security-group-rules", "security_group_rule", map[string]any{
		"security_group_id": acme, "tenant_id": "acme", "direction": "ingress", "remote_address_group_id": set["id"],
	})
	c.comes(g, a, true)
	c.reaches(g2, a, false)
	change := map[string]any{"addresses": []string{"10.0.0.3/32"}}
	c.ctl.Must(http.MethodPut, "/v2.0/address-groups/"+set["id"].(string)+"/add_addresses", change)
	c.comes(g2, a, true)
	c.ctl.Must(http.MethodPut, "/v2.0/address-groups/"+set["id"].(string)+"/remove_addresses", change)
	c.comes(g2, a, false)

	c.ctl.Must(http.MethodDelete, "/v2.0/security-group-rules/"+rule["id"].(string), nil)
	c.comes(a, g, false)
}
