package northbound

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

var (
	testAdmin  = principal{user: "root", tenantID: "ops", admin: true, writer: true}
	testMember = principal{user: "alice", tenantID: "red", writer: true}
)

// codeOf is the status code that an error of a handler becomes.
func codeOf(t *testing.T, err error) int {
	t.Helper()
	var api *apiError
	if !errors.As(err, &api) {
		t.Fatalf("error %v is none of the API", err)
	}
	return api.code
}

func TestJSONIsReadStrictly(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2)
	for text, want := range map[string]string{
		``:                         "unexpected end",
		`{`:                        "unexpected end",
		`{"a":1}}`:                 "after top-level value",
		`{"a":1} {"b":2}`:          "after top-level value",
		`{"a":1,}`:                 "invalid character",
		`[1,]`:                     "invalid character",
		`{"a":01}`:                 "invalid character",
		`{"a":NaN}`:                "invalid character",
		`{'a':1}`:                  "invalid character",
		`{"a":1,"a":2}`:            "key 'a' is given twice",
		`{"n":{"b":1,"\u0062":2}}`: "key 'b' is given twice",
		`{"a":"x\u0000"}`:          `\u0000`,
		"{\"a\":\"\xff\"}":         "not UTF-8",
		deep:                       "nested deeper than 32 levels",
		"[" + strings.Repeat("0,", maxValues) + "0]": "more than 500000 values",
	} {
		if v, err := parseJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseJSON(%.40q) = %v, %v; want an error with %q", text, v, err, want)
		}
	}
}

func TestNumbersAreNeitherRoundedNorWrapped(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		`1450`: true, `"1450"`: true, `68`: true, `9000`: true,
		`1450.0`: false, `1450.5`: false, `1.45e3`: false, `9001`: false, `-1450`: false, `67`: false,
		`18446744073709553066`: false, `4294968746`: false, `"1450 "`: false, `""`: false, `true`: false, `null`: false, `[1450]`: false,
	} {
		bodies, _, err := networks(nil).postBodies([]byte(`{"network":{"mtu":` + text + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = networks(nil).newObjects(bodies, testMember)
		if (err == nil) != ok {
			t.Errorf("mtu %s: error %v, want accepted: %t", text, err, ok)
		}
	}
}

func TestBooleansAreReadAsNeutronReadsThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`true`: "true", `1`: "true", `"True"`: "true", `"true"`: "true", `"1"`: "true", `"yes"`: "true", `"On"`: "true", `"t"`: "true", `" Y "`: "true",
		`false`: "false", `0`: "false", `"False"`: "false", `"0"`: "false", `"no"`: "false", `"OFF"`: "false", `"f"`: "false", `"n"`: "false",
		`2`: "", `"maybe"`: "", `null`: "", `[]`: "", `1.0`: "", `""`: "",
	} {
		v, err := parseJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if b, err := boolean.parse(v); err == nil {
			got = string(boolean.append(nil, b))
		}
		if got != want {
			t.Errorf("boolean %s = %q, want %q", text, got, want)
		}
	}
}

func TestBodyChecksComeInNeutronsOrder(t *testing.T) {
	t.Parallel()
	// Each body has the faults of all lines below it, too.
	for _, c := range []struct{ body, want string }{
		{`{"port": {`, "Body contains invalid data"},
		{`{"prot": {"colour": 1, "id": "x", "mac_address": 5, "binding:host_id": "00000000000000a1"}}`, "Unable to find 'port' in request body"},
		{`{"port": {"colour": 1, "id": "x", "mac_address": 5, "binding:host_id": "00000000000000a1"}}`, "Unrecognized attribute(s) 'colour'"},
		{`{"port": {"id": "x", "mac_address": 5, "binding:host_id": "00000000000000a1"}}`, "Attribute 'id' not allowed in POST"},
		{`{"port": {"mac_address": 5, "binding:host_id": "00000000000000a1"}}`, "Failed to parse request. Required attribute 'network_id' not specified"},
		{`{"port": {"network_id": "2ab6bfa6-84ef-4c6c-8b65-2b6f2b2b2b2b", "mac_address": 5, "binding:host_id": "00000000000000a1"}}`,
			"Invalid input for mac_address. Reason: '5' is not a valid MAC address"},
		{`{"port": {"network_id": "2ab6bfa6-84ef-4c6c-8b65-2b6f2b2b2b2b", "binding:host_id": "00000000000000a1"}}`,
			"rule:create_port:binding:host_id is disallowed by policy"},
	} {
		coll := ports(nil)
		bodies, _, err := coll.postBodies([]byte(c.body))
		if err == nil {
			_, err = coll.newObjects(bodies, testMember)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.body, err, c.want)
		}
	}
}

func TestMembersMaySayInPOSTWhatIsSoAnyway(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"shared": false, "is_default": "False", "router:external": 0}`: "",
		`{"shared": true}`:                   "rule:create_network:shared is disallowed by policy",
		`{"router:external": "yes"}`:         "rule:create_network:router:external is disallowed by policy",
		`{"provider:network_type": "vxlan"}`: "rule:create_network:provider:network_type is disallowed by policy",
	} {
		bodies, _, err := networks(nil).postBodies([]byte(`{"network": ` + body + `}`))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if _, err := networks(nil).newObjects(bodies, testMember); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	// What is so by default need not be so now.
	if ch, err := networks(nil).attributes.parsePut(object{{"shared", false}}, testMember); err != nil || ch.onlyFor != "shared" {
		t.Errorf("PUT of shared: refused for %q (%v), want shared", ch.onlyFor, err)
	}
}

func TestPutRefusesReadOnlyAttributes(t *testing.T) {
	t.Parallel()
	_, err := ports(nil).attributes.parsePut(object{{"status", "ACTIVE"}}, testAdmin)
	if want := "Cannot update read-only attribute status"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestOwnershipIsSettledByRole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		who  principal
		body object
		want string // owner, or the beginning of a message
	}{
		{testMember, object{}, "red"},
		{testMember, object{{"tenant_id", "red"}}, "red"},
		{testMember, object{{"project_id", "red"}, {"tenant_id", "red"}}, "red"},
		{testMember, object{{"tenant_id", "blue"}}, "Specifying 'project_id' or 'tenant_id' other than"},
		{testMember, object{{"project_id", "blue"}}, "Specifying 'project_id' or 'tenant_id' other than"},
		{testAdmin, object{{"project_id", "blue"}}, "blue"},
		{testAdmin, object{{"project_id", "blue"}, {"tenant_id", "red"}}, "'project_id' and 'tenant_id' do not match"},
		{testAdmin, object{}, "ops"},
		{testAdmin, object{{"tenant_id", ""}}, "Invalid input for tenant_id"},
		{testAdmin, object{{"tenant_id", nil}}, "Invalid input for tenant_id"},
	} {
		got := ""
		made, err := networks(nil).newObjects([]object{c.body}, c.who)
		if err != nil {
			got = err.Error()
		} else {
			got = made[0].TenantID
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s gives %v: got %s, want %s", c.who.user, c.body, got, c.want)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	big := `{"network":{"name":"` + strings.Repeat("a", maxSingleBody) + `"}}`
	if _, _, err := networks(nil).postBodies([]byte(big)); codeOf(t, err) != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of %d bytes: %v", len(big), err)
	}
	many := `{"networks":[` + strings.Repeat("{},", maxBulk) + `{}]}`
	if _, _, err := networks(nil).postBodies([]byte(many)); codeOf(t, err) != http.StatusBadRequest {
		t.Errorf("%d networks at once: %v", maxBulk+1, err)
	}
}

// bodyParser is a collection of whatever type for the fuzz target.
type bodyParser interface {
	fuzz(text []byte, p principal) error
}

func (c *collection[E]) fuzz(text []byte, p principal) error {
	if bodies, _, err := c.postBodies(text); err == nil {
		made, err := c.newObjects(bodies, p)
		if err != nil {
			return err
		}
		for i := range made {
			if _, err := parseJSON(c.attributes.append(nil, &made[i])); err != nil {
				return errors.New("what was taken is not shown as JSON: " + err.Error())
			}
		}
		return nil
	}
	body, err := c.putBody(text)
	if err != nil {
		return err
	}
	ch, err := c.attributes.parsePut(body, p)
	if err != nil {
		return err
	}
	var e E
	ch.to(&e)
	if c.check != nil {
		before := e
		return c.check(&before, &e, ch.given)
	}
	return nil
}

// FuzzBodies feeds every resource: nothing panics, nothing is answered by 5xx.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{"network":{"name":"n","admin_state_up":"False","mtu":1450,"tenant_id":"red","project_id":"red"}}`,
		`{"subnet":{"network_id":"2ab6bfa6-84ef-4c6c-8b65-2b6f2b2b2b2b","ip_version":4,"cidr":"10.0.0.0/24","gateway_ip":null,"allocation_pools":[{"start":"10.0.0.2","end":"10.0.0.9"}],"dns_nameservers":["9.9.9.9"]}}`,
		`{"ports":[{"network_id":"2ab6bfa6-84ef-4c6c-8b65-2b6f2b2b2b2b","mac_address":"02-00-05-00-00-01","fixed_ips":[{"ip_address":"10.0.0.4"}],"security_groups":[]}]}`,
		`{"port":{"binding:host_id":"00000000000000a1","binding:profile":{"port_no":1},"network_id":"2ab6bfa6-84ef-4c6c-8b65-2b6f2b2b2b2b"}}`,
		`{"security_group_rule":{"security_group_id":"2ab6bfa6-84ef-4c6c-8b65-2b6f2b2b2b2b","direction":"ingress","protocol":"icmp","port_range_min":8,"remote_ip_prefix":"10.1.2.3/8","ethertype":"IPv6"}}`,
		`{"mac_segment":{"base_address":"02:00:05:00:00:00","prefix_length":24,"parent_id":null}}`,
		`{"security_group":{"name":true}}`, `{"tenant":{"id":"t"}}`, `[]`, `{"network":null}`, `{"networks":[]}`,
	} {
		f.Add([]byte(seed))
	}
	all := resources(nil)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, r := range all {
			for _, who := range []principal{testAdmin, testMember} {
				err := r.(bodyParser).fuzz(text, who)
				if err == nil {
					continue
				}
				var api *apiError
				if !errors.As(err, &api) || api.code < 400 || api.code > 499 || api.message == "" {
					t.Fatalf("%q: error %#v, want one of 4xx", text, err)
				}
			}
		}
	})
}

func TestEntriesOfABulkMayBeNamed(t *testing.T) {
	t.Parallel()
	a := setup(t)
	made := a.want(201, "POST", "/v2.0/networks", "red", `{"networks": [{"network": {"name": "a"}}, {"name": "b"}]}`).list(t)
	if len(made) != 2 || made[0]["name"] != "a" || made[1]["name"] != "b" {
		t.Errorf("made %v", made)
	}
}

func TestWhoseSecurityGroupsAreListedHasADefaultGroup(t *testing.T) {
	t.Parallel()
	a := setup(t)
	if got := a.want(200, "GET", "/v2.0/security-groups?project_id=violet", "admin", "").list(t); len(got) != 1 || got[0]["name"] != "default" || got[0]["tenant_id"] != "violet" {
		t.Errorf("%v", got)
	}
	if got := a.want(200, "GET", "/v2.0/security-groups?project_id=violet", "red", "").list(t); len(got) != 0 {
		t.Errorf("a member sees %v", got)
	}
}
