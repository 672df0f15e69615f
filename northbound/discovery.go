package northbound

import (
	"encoding/json"
	"net/http"

	"github.com/go-chi/chi/v5"
)

type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

var (
	linksSchema     = arrayOf(objectOf(map[string]schema{"rel": {"type": "string"}, "href": {"type": "string", "format": "uri"}}), 0)
	extensionSchema = objectOf(map[string]schema{
		"alias": {"type": "string"}, "name": {"type": "string"}, "description": {"type": "string"}, "updated": {"type": "string"}, "links": linksSchema,
	})
)

func (s *server) discovery() group {
	return group{"discovery", "What of the API there is.", []action{
		{method: http.MethodGet, path: "/", serve: s.serveResources, doc: "The collections.", gives: asJSON(under("resources", arrayOf(objectOf(map[string]schema{
			"name": {"type": "string"}, "collection": {"type": "string"}, "links": linksSchema,
		}), 0)))},
		{method: http.MethodGet, path: "/extensions", serve: serveExtensions, doc: "The extensions of the API that work.", gives: asJSON(under("extensions", arrayOf(extensionSchema, 0)))},
		{method: http.MethodGet, path: "/extensions/{alias}", serve: serveExtension, doc: "One extension; 404 if it does not work.", gives: asJSON(under("extension", extensionSchema))},
	}}
}

// serveVersions answers GET /, which clients ask without a token.
func serveVersions(w http.ResponseWriter, r *http.Request) error {
	type version struct {
		ID     string `json:"id"`
		Status string `json:"status"`
		Links  []link `json:"links"`
	}
	return writeValue(w, map[string]any{"versions": []version{{
		ID: "v2.0", Status: "CURRENT", Links: []link{{"self", endpoint(r) + "/v2.0/"}},
	}}})
}

// serveResources answers GET /v2.0/.
func (s *server) serveResources(w http.ResponseWriter, r *http.Request) error {
	type entry struct {
		Name       string `json:"name"`
		Collection string `json:"collection"`
		Links      []link `json:"links"`
	}
	entries := []entry{{"extension", "extensions", []link{{"self", endpoint(r) + "/v2.0/extensions"}}}}
	for _, resource := range s.resources {
		if resource.nested() {
			continue
		}
		single, plural, path := resource.names()
		entries = append(entries, entry{single, plural, []link{{"self", endpoint(r) + "/v2.0/" + path}}})
	}
	return writeValue(w, map[string]any{"resources": entries})
}

// extension is a part of the API that a client can ask for.
type extension struct {
	Alias       string `json:"alias"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Updated     string `json:"updated"`
	Links       []link `json:"links"`
}

// extensions lists exactly what works. Those of Neutron have Neutron's names
// and dates.
var extensions = []extension{
	{"address-group", "Address group", "Support address group", "2020-07-15T10:00:00-00:00", []link{}},
	{"address-scope", "Address scope", "Address scopes extension.", "2015-07-26T10:00:00-00:00", []link{}},
	{"agent", "agent", "The agent management extension.", "2013-02-03T10:00:00-00:00", []link{}},
	{"allowed-address-pairs", "Allowed Address Pairs", "Provides allowed address pairs", "2013-07-23T10:00:00-00:00", []link{}},
	{"availability_zone", "Availability Zone", "The availability zone extension.", "2015-01-01T10:00:00-00:00", []link{}},
	{"availability_zone_filter", "Availability Zone Filter Extension", "Add filter parameters to AvailabilityZone resource", "2018-06-22T10:00:00-00:00", []link{}},
	{"binding", "Port Binding", "Expose port bindings of a virtual port to external application", "2014-02-03T10:00:00-00:00", []link{}},
	{"data-plane-status", "Port data plane status extension", "Expose status of underlying data plane", "2017-01-24T10:00:00-00:00", []link{}},
	{"default-subnetpools", "Default Subnetpools", "Provides ability to mark and use a subnetpool as the default.", "2016-02-18T18:00:00-00:00", []link{}},
	{"dns-domain-ports", "dns_domain for ports", "Allows the DNS domain to be specified for a network port.", "2017-04-24T10:00:00-00:00", []link{}},
	{"dns-integration", "DNS Integration", "Provides integration with DNS.", "2015-08-15T18:00:00-00:00", []link{}},
	{"empty-string-filtering", "Empty String Filtering Extension", "Allow filtering by attributes with empty string value", "2018-05-01T10:00:00-00:00", []link{}},
	{"external-net", "Neutron external network", "Adds external network attribute to network resource.", "2013-01-14T10:00:00-00:00", []link{}},
	{"extra_dhcp_opt", "Neutron Extra DHCP options", "Extra options configuration for DHCP. For example PXE boot options to DHCP clients can be specified (e.g. tftp-server, server-ip-address, bootfile-name)", "2013-03-17T12:00:00-00:00", []link{}},
	{"filter-validation", "Filter parameters validation", "Provides validation on filter parameters.", "2018-03-21T10:00:00-00:00", []link{}},
	{"flavors", "Neutron Service Flavors", "Flavor specification for Neutron advanced services.", "2015-09-17T10:00:00-00:00", []link{}},
	{"ip-substring-filtering", "IP address substring filtering", "Provides IP address substring filtering when listing ports", "2017-11-28T09:00:00-00:00", []link{}},
	{"l2_adjacency", "L2 Adjacency", "Display L2 Adjacency for Neutron Networks.", "2016-04-12T16:00:00-00:00", []link{}},
	{"metering", "Neutron Metering", "Neutron Metering extension.", "2013-06-12T10:00:00-00:00", []link{}},
	{"net-mtu", "Network MTU", "Provides MTU attribute for a network resource.", "2015-03-25T10:00:00-00:00", []link{}},
	{"net-mtu-writable", "Network MTU (writable)", "Provides a writable MTU attribute for a network resource.", "2017-07-12T00:00:00-00:00", []link{}},
	{"network-ip-availability", "Network IP Availability", "Provides IP availability data for each network and subnet.", "2015-09-24T00:00:00-00:00", []link{}},
	{"network_availability_zone", "Network Availability Zone", "Availability zone support for network.", "2015-01-01T10:00:00-00:00", []link{}},
	{"pagination", "Pagination support", "Extension that indicates that pagination is enabled.", "2016-06-12T00:00:00-00:00", []link{}},
	{"port-device-profile", "Port device profile", "Expose the port device profile (Cyborg)", "2020-12-17T10:00:00-00:00", []link{}},
	{"port-numa-affinity-policy", "Port NUMA affinity policy", "Expose the port NUMA affinity policy", "2020-07-08T10:00:00-00:00", []link{}},
	{"port-security", "Port Security", "Provides port security", "2012-07-23T10:00:00-00:00", []link{}},
	{"port-security-groups-filtering", "Port filtering on security groups", "Provides security groups filtering when listing ports", "2018-01-09T09:00:00-07:00", []link{}},
	{"project-id", "project_id field enabled", "Extension that indicates that project_id field is enabled.", "2016-09-09T09:09:09-09:09", []link{}},
	{"provider", "Provider Network", "Expose mapping of virtual networks to physical networks", "2012-09-07T10:00:00-10:00", []link{}},
	{"qos", "Quality of Service", "The Quality of Service extension.", "2015-06-08T10:00:00-00:00", []link{}},
	{"qos-bw-limit-direction", "Direction for QoS bandwidth limit rule", "Allow to configure QoS bandwidth limit rule with specific direction: ingress or egress", "2017-04-10T10:00:00-00:00", []link{}},
	{"qos-bw-minimum-ingress", "Ingress direction for QoS minimum bandwidth rule", "Allow to configure QoS minimum bandwidth rule with ingress direction.", "2018-07-09T10:00:00-00:00", []link{}},
	{"qos-default", "QoS default policy", "Expose the QoS default policy per project", "2017-041-06T10:00:00-00:00", []link{}},
	{"qos-port-network-policy", "QoS port network policy ID", "Adds a the QoS network ID to the port definition", "2019-11-01T10:00:00-00:00", []link{}},
	{"qos-pps", "QoS Rule Type Packet per Second Extension", "Add QoS Rule Type Packet per Second", "2021-05-12T10:00:00-00:00", []link{}},
	{"qos-pps-minimum", "QoS minimum packet rate rule", "Allow to configure QoS minimum packet rate rule.", "2021-07-14T10:00:00-00:00", []link{}},
	{"qos-pps-minimum-rule-alias", "QoS minimum packet rate rule alias", "API to enable GET, PUT and DELETE operations on QoS minimum packet rate rule without specifying policy ID", "2021-10-22T10:00:00-00:00", []link{}},
	{"qos-rule-type-details", "Details of QoS rule types", "Expose details about QoS rule types supported by loaded backend drivers", "2017-06-22T10:00:00-00:00", []link{}},
	{"qos-rule-type-filter", "Allow to filter the list of QoS rule types", "Allows to filter the QoS rule type list adding two new flags. \"all_rules\" prints all implemented QoS rule types.\"all_supported\" prints all supported QoS rule types by the loaded mechanism drivers", "2022-02-02T10:00:00-00:00", []link{}},
	{"qos-rules-alias", "Quality of Service rules alias API", "API to enable GET, PUT and DELETE operations on QoS policy rules without specifying policy ID", "2018-10-07T10:00:00-00:00", []link{}},
	{"quota-check-limit", "Quota engine limit check", "Support for checking the resource usage before applying a new quota limit", "2021-09-08T16:00:00-00:00", []link{}},
	{"quota_details", "Quota details management support", "Expose functions for quotas usage statistics per project", "2017-02-10T10:00:00-00:00", []link{}},
	{"quotas", "Quota management support", "Expose functions for quotas management per tenant", "2012-07-29T10:00:00-00:00", []link{}},
	{"rbac-address-group", "Add address_group type to RBAC", "Add address_group type to network RBAC", "2021-01-31T00:00:00-00:00", []link{}},
	{"rbac-address-scope", "Add address_scope type to RBAC", "Add address_scope type to network RBAC", "2020-04-05T00:00:00-00:00", []link{}},
	{"rbac-policies", "RBAC Policies", "Allows creation and modification of policies that control tenant access to resources.", "2015-06-17T12:15:12-00:00", []link{}},
	{"rbac-security-groups", "Add security_group type to network RBAC", "Add security_group type to network RBAC", "2018-08-07T00:00:00-00:00", []link{}},
	{"rbac-subnetpool", "Add subnetpool type to RBAC", "Add subnetpool type to RBAC", "2020-05-08T00:00:00-00:00", []link{}},
	{"revision-if-match", "If-Match constraints based on revision_number", "Extension indicating that If-Match based on revision_number is supported.", "2016-12-11T00:00:00-00:00", []link{}},
	{"security-group", "security-group", "The security groups extension.", "2012-10-05T10:00:00-00:00", []link{}},
	{"security-groups-normalized-cidr", "Normalized CIDR field for security group rules", "Add new field with normalized remote_ip_prefix cidr in SG rule", "2022-08-25T10:00:00-00:00", []link{}},
	{"security-groups-remote-address-group", "Remote address group id field for security group rules", "Add new field of remote address group id in SG rules", "2020-08-05T10:00:00-00:00", []link{}},
	{"security-groups-remote-mac", "MAC addresses in security group rules", "remote_mac and remote_mac_segment_id of security group rules: the MAC address of the other side, or the MAC segment that it is of.", "2026-11-01T00:00:00-00:00", []link{}},
	{"security-groups-shared-filtering", "Security group filtering on the shared field", "Support filtering security groups on the shared field", "2021-10-06T09:00:00-07:00", []link{}},
	{"service-type", "Neutron Service Type Management", "API for retrieving service providers for Neutron advanced services", "2013-01-20T00:00:00-00:00", []link{}},
	{"sorting", "Sorting support", "Extension that indicates that sorting is enabled.", "2016-06-12T00:00:00-00:00", []link{}},
	{"standard-attr-description", "standard-attr-description", "Extension to add descriptions to standard attributes", "2016-02-10T10:00:00-00:00", []link{}},
	{"standard-attr-revisions", "Resource revision numbers", "This extension will display the revision number of neutron resources.", "2016-04-11T10:00:00-00:00", []link{}},
	{"standard-attr-tag", "Tag support for resources with standard attribute: network, subnet, port, subnetpool, security_group, policy, trunk, mac_segment, mac_allow_list, affinity_pool", "Enables to set tag on resources with standard attribute.", "2017-01-01T00:00:00-00:00", []link{}},
	{"standard-attr-timestamp", "Resource timestamps", "Adds created_at and updated_at fields to all Neutron resources that have Neutron standard attributes.", "2016-09-12T10:00:00-00:00", []link{}},
	{"stateful-security-group", "Stateful security group", "Indicates if the security group is stateful or not", "2019-11-26T09:00:00-00:00", []link{}},
	{"subnet-service-types", "Subnet service types", "Provides ability to set the subnet service_types field", "2016-03-15T18:00:00-00:00", []link{}},
	{"subnet_allocation", "Subnet Allocation", "Enables allocation of subnets from a subnet pool", "2015-03-30T10:00:00-00:00", []link{}},
	{"subnetpool-prefix-ops", "Subnet Pool Prefix Operations", "Provides support for adjusting the prefix list of subnet pools", "2019-02-08T10:00:00-00:00", []link{}},
	{"tag-ports-during-bulk-creation", "Tag Ports During Bulk Creation", "Allow to tag ports during bulk creation", "2019-12-29T19:00:00-00:00", []link{}},
	{"trunk", "Trunk Extension", "Provides support for trunk ports", "2016-01-01T10:00:00-00:00", []link{}},
	{"uplink-status-propagation", "Uplink status propagation extension", "Provides ability to propagate port uplink status.", "2018-05-31T18:00:00-00:00", []link{}},

	{"allowed-address-pairs-mac-prefix", "MAC prefixes in address pairs", "mac_address in allowed_address_pairs of a port may be a prefix, BASE/BITS.", "2026-11-01T00:00:00-00:00", []link{}},
	{"audit-log", "Audit log", "Every change: who made it and when, and what was before and after.", "2026-01-01T00:00:00-00:00", []link{}},
	{"eui64", "Modified EUI-64", "The IPv6 addresses that stations form of a MAC address, and back.", "2026-01-01T00:00:00-00:00", []link{}},
	{"events", "Events", "What happened: ports, hosts, links, switches, MAC addresses that move or clash; as a list and as a stream.", "2026-11-01T00:00:00-00:00", []link{}},
	{"explain", "Explain", "What becomes of a frame of a port, by which rule, port, segment or network; what a switch is to hold, and what would change in it.", "2026-01-01T00:00:00-00:00", []link{}},
	{"fabric", "Fabric", "The links between switches, the hosts at them, the tags of networks on the links, and the fabric as a whole, as JSON or a picture.", "2026-01-01T00:00:00-00:00", []link{}},
	{"mac-address", "MAC addresses", "MAC addresses without a port: one, many or ranges at once, reservations, release.", "2026-01-01T00:00:00-00:00", []link{}},
	{"mac-affinity", "MAC affinity", "Pools of backends behind a virtual address, whose clients stay with the backend that they were given, by MAC or address.", "2026-11-01T00:00:00-00:00", []link{}},
	{"mac-allow-list", "MAC allow lists", "Which MAC addresses, prefixes and segments may attach to a network.", "2026-11-01T00:00:00-00:00", []link{}},
	{"mac-conflict", "MAC conflicts", "Addresses that two parties have.", "2026-01-01T00:00:00-00:00", []link{}},
	{"mac-guard", "MAC guard", "MAC addresses that move between ports of fabrics, what is done about them by network, and the blocks of those that are not trusted.", "2026-11-01T00:00:00-00:00", []link{}},
	{"mac-import", "MAC imports", "Addresses of foreign systems, checked and mapped; export in the same form.", "2026-01-01T00:00:00-00:00", []link{}},
	{"mac-keep", "Kept MAC addresses", "keep_mac at DELETE of a port reserves its MAC address for the next port of the instance.", "2026-01-01T00:00:00-00:00", []link{}},
	{"mac-lineage", "MAC lineage", "What became of MAC addresses, when, by whom and where, and how things were at a moment.", "2026-01-01T00:00:00-00:00", []link{}},
	{"mac-quota", "MAC quotas", "Quotas of mac_segment, mac_address and mac_allow_list for a tenant, under quotas.", "2026-01-01T00:00:00-00:00", []link{}},
	{"mac-segment", "MAC segments", "Blocks of MAC addresses that serve tenants, networks and hosts, by block or by size, to resize and split, with their utilisation; segment_id of a port.", "2026-01-01T00:00:00-00:00", []link{}},
	{"port-status-reason", "Port status reason", "status_reason of a port says why it is in ERROR or still DOWN.", "2026-01-01T00:00:00-00:00", []link{}},
	{"qos-priority", "QoS priorities and MAC segments", "Rules that put packets into one of eight classes, and QoS policies of MAC segments.", "2026-11-01T00:00:00-00:00", []link{}},
	{"qos-statistics", "QoS statistics", "What passed and what was dropped under a policy, in all switches together.", "2026-11-01T00:00:00-00:00", []link{}},
	{"switches", "Switches", "The switches that have connected, with their ports.", "2026-01-01T00:00:00-00:00", []link{}},
	{"tenants", "Tenants", "The tenants that own objects.", "2026-01-01T00:00:00-00:00", []link{}},
}

func serveExtensions(w http.ResponseWriter, _ *http.Request) error {
	return writeValue(w, map[string]any{"extensions": extensions})
}

func serveExtension(w http.ResponseWriter, r *http.Request) error {
	alias := chi.URLParam(r, "alias")
	for _, e := range extensions {
		if e.Alias == alias {
			return writeValue(w, map[string]any{"extension": e})
		}
	}
	return &apiError{http.StatusNotFound, "HTTPNotFound", "Extension with alias " + clip(alias) + " does not exist"}
}

func writeValue(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, b)
	return nil
}
