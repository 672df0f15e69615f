package northbound

import (
	"strings"
	"testing"
)

func TestTrunkRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	var ports []string
	for _, p := range a.want(201, "POST", "/v2.0/ports", "red", `{"ports": [`+strings.Repeat(`{"network_id": "`+network+`"},`, 2)+`{"network_id": "`+network+`"}]}`).list(t) {
		ports = append(ports, idOf(p))
	}
	names[ports[0]], names[ports[1]], names[ports[2]] = "PARENT", "ONE", "TWO"
	made := a.want(201, "POST", "/v2.0/trunks", "red", `{"trunk": {"name": "t", "port_id": "`+ports[0]+`", "sub_ports": [{"port_id": "`+ports[1]+`", "segmentation_type": "vlan", "segmentation_id": 7}]}}`)
	trunk := func(revision, subs string) string {
		return `{"id":"ID4","tenant_id":"red","project_id":"red","description":"","name":"t","port_id":"PARENT","admin_state_up":true,"status":"DOWN","sub_ports":[` + subs + `],
			"created_at":"TIME","updated_at":"TIME","revision_number":` + revision + `,"tags":[]}`
	}
	const one, two = `{"segmentation_id":7,"segmentation_type":"vlan","port_id":"ONE"}`, `{"segmentation_id":8,"segmentation_type":"vlan","port_id":"TWO"}`
	a.wantBody(names, made, `{"trunk":`+trunk("1", one)+`}`)
	path := "/v2.0/trunks/" + idOf(made.object(t))
	a.wantBody(names, a.want(200, "PUT", path+"/add_subports", "red", `{"sub_ports": [{"port_id": "`+ports[2]+`", "segmentation_type": "vlan", "segmentation_id": 8}]}`), trunk("2", one+","+two))
	a.wantBody(names, a.want(200, "GET", path+"/get_subports", "red", ""), `{"sub_ports":[`+one+`,`+two+`]}`)
	a.wantBody(names, a.want(200, "PUT", path+"/remove_subports", "red", `{"sub_ports": [{"port_id": "`+ports[1]+`"}]}`), trunk("3", two))

	for token, code := range map[string]int{"blue": 404, "red-reader": 403} {
		a.want(code, "PUT", path+"/remove_subports", token, `{"sub_ports": [{"port_id": "`+ports[2]+`"}]}`)
	}
	a.want(404, "GET", path+"/get_subports", "blue", "")
	for port, kind := range map[string]string{ports[0]: "PortInUseAsTrunkParent", ports[2]: "PortInUseAsSubPort"} {
		if got, message := a.want(409, "DELETE", "/v2.0/ports/"+port, "red", "").message(t); got != kind || !strings.Contains(message, port) {
			t.Errorf("deleting a port of a trunk: %s %s, want %s", got, message, kind)
		}
	}
	a.want(200, "PUT", path, "red", `{"trunk": {"admin_state_up": false, "name": "u"}}`)
	for _, c := range [][2]string{{"PUT", "/add_subports"}, {"PUT", "/remove_subports"}, {"DELETE", ""}} {
		if kind, _ := a.want(409, c[0], path+c[1], "red", `{"sub_ports": []}`).message(t); kind != "TrunkDisabled" {
			t.Errorf("%s%s of a disabled trunk: %s, want TrunkDisabled", c[0], c[1], kind)
		}
	}
	a.want(200, "PUT", path, "red", `{"trunk": {"admin_state_up": true}}`)
	a.want(204, "DELETE", path, "red", "")
	a.want(204, "DELETE", "/v2.0/ports/"+ports[2], "red", "")
}

func TestTrunksRefuseWhatDoesNotGoTogether(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	large := idOf(a.make("/v2.0/networks", "red", `{"network": {"mtu": 1500}}`))
	foreign := idOf(a.make("/v2.0/networks", "blue", `{"network": {}}`))
	port := func(network, token string) string {
		return idOf(a.make("/v2.0/ports", token, `{"port": {"network_id": "`+network+`"}}`))
	}
	parent, used, spare, big, theirs := port(network, "red"), port(network, "red"), port(network, "red"), port(large, "red"), port(foreign, "blue")
	sub := func(port, rest string) string { return `{"sub_ports": [{"port_id": "` + port + `"` + rest + `}]}` }
	const vlan = `, "segmentation_type": "vlan", "segmentation_id": 9`
	trunk := "/v2.0/trunks/" + idOf(a.make("/v2.0/trunks", "red", `{"trunk": {"port_id": "`+parent+`", "sub_ports": [{"port_id": "`+used+`"`+vlan+`}]}}`))
	vlan77 := idOf(a.make("/v2.0/networks", "admin", `{"network": {"tenant_id": "red", "provider:network_type": "vlan", "provider:physical_network": "p", "provider:segmentation_id": 77, "mtu": 1400}}`))
	if got := a.want(200, "PUT", trunk+"/add_subports", "red", sub(port(vlan77, "red"), `, "segmentation_type": "inherit"`)).text; !strings.Contains(got, `"segmentation_id":77,"segmentation_type":"vlan"`) {
		t.Errorf("inherited from a VLAN: %s", got)
	}
	before := a.want(200, "GET", trunk, "red", "").text
	for _, c := range []struct {
		method, path, body string
		code               int
		kind, names        string
	}{
		{"POST", "/v2.0/trunks", `{"trunk": {}}`, 400, "HTTPBadRequest", "port_id"},
		{"POST", "/v2.0/trunks", `{"trunk": {"port_id": "` + parent + `"}}`, 409, "PortInUseAsTrunkParent", parent},
		{"POST", "/v2.0/trunks", `{"trunk": {"port_id": "` + used + `"}}`, 409, "PortInUseAsSubPort", used},
		{"POST", "/v2.0/trunks", `{"trunk": {"port_id": "` + theirs + `"}}`, 404, "PortNotFound", theirs},
		{"POST", "/v2.0/trunks", `{"trunk": {"port_id": "` + spare + `", ` + sub(spare, vlan)[1:] + `}`, 409, "ParentPortInUse", spare},
		{"PUT", trunk + "/add_subports", `{"ports": []}`, 400, "HTTPBadRequest", "sub_ports"},
		{"POST", "/v2.0/trunks", `{"trunk": {"port_id": "` + parent + `", "sub_ports": [{"port_id": "` + used + `"` + vlan + `}, {"port_id": "` + parent + `"` + vlan + `}]}}`, 400, "InvalidInput", "segmentation_id"},
		{"PUT", trunk + "/add_subports", `{"sub_ports": {}}`, 400, "HTTPBadRequest", "sub_ports"},
		{"PUT", trunk + "/add_subports", sub(spare, ``), 400, "HTTPBadRequest", "segmentation_type"},
		{"PUT", trunk + "/add_subports", sub(spare, `, "segmentation_type": "vlan"`), 400, "HTTPBadRequest", "segmentation_id"},
		{"PUT", trunk + "/add_subports", sub(spare, `, "segmentation_type": "vlan", "segmentation_id": 4095`), 400, "HTTPBadRequest", "segmentation_id"},
		{"PUT", trunk + "/add_subports", sub(spare, `, "segmentation_type": "gre", "segmentation_id": 1`), 400, "HTTPBadRequest", "segmentation_type"},
		{"PUT", trunk + "/add_subports", `{"sub_ports": [{"segmentation_type": "vlan", "segmentation_id": 1}]}`, 400, "HTTPBadRequest", "port_id"},
		{"PUT", trunk + "/add_subports", sub(spare, `, "segmentation_type": "inherit"`), 400, "InvalidInput", "inherited"},
		{"PUT", trunk + "/add_subports", sub(spare, vlan), 409, "DuplicateSubPort", "9"},
		{"PUT", trunk + "/add_subports", sub(used, vlan), 409, "PortInUseAsSubPort", used},
		{"PUT", trunk + "/add_subports", sub(parent, vlan), 409, "ParentPortInUse", parent},
		{"PUT", trunk + "/add_subports", sub(big, `, "segmentation_type": "vlan", "segmentation_id": 1`), 409, "SubPortMtuGreaterThanTrunkPortMtu", "1500"},
		{"PUT", trunk + "/add_subports", sub(theirs, `, "segmentation_type": "vlan", "segmentation_id": 1`), 404, "PortNotFound", theirs},
		{"PUT", trunk + "/remove_subports", sub(spare, ``), 404, "SubPortNotFound", spare},
		{"PUT", trunk, `{"trunk": {"sub_ports": []}}`, 400, "HTTPBadRequest", "sub_ports"},
	} {
		kind, message := a.want(c.code, c.method, c.path, "red", c.body).message(t)
		if kind != c.kind || !strings.Contains(message, c.names) {
			t.Errorf("%s %s %s: %s %s, want %s that names %s", c.method, c.path, c.body, kind, message, c.kind, c.names)
		}
	}
	if after := a.want(200, "GET", trunk, "red", "").text; after != before {
		t.Errorf("the trunk changed:\n%s\n%s", before, after)
	}
}
