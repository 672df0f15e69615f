package northbound

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/store"
)

// changes returns the whole change feed up to and with the creation of the
// object marker.
func (a *api) changes(marker string) []store.Change {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	var all []store.Change
	done := fmt.Errorf("marker seen")
	err := a.store.Watch(ctx, 0, func(batch []store.Change) error {
		all = append(all, batch...)
		for _, c := range batch {
			if c.ID == marker {
				return done
			}
		}
		return nil
	})
	if len(all) == 0 || all[len(all)-1].ID != marker {
		a.t.Fatalf("change feed without %s: %v", marker, err)
	}
	return all
}

func TestBadRequestsNameTheFieldAndChangeNothing(t *testing.T) {
	t.Parallel()
	a := setup(t)
	const missing = "0b0b0b0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b"
	red := idOf(a.make("/v2.0/networks", "red", `{"network": {"name": "red"}}`))
	segmented := idOf(a.make("/v2.0/networks", "red", `{"network": {"name": "segmented"}}`))
	blue := idOf(a.make("/v2.0/networks", "blue", `{"network": {"name": "blue"}}`))
	subnet := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+red+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`))
	segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"network_id": "`+segmented+`", "tenant_id": "red", "base_address": "02:00:05:00:00:00", "prefix_length": 24}}`))
	group := idOf(a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "web"}}`))
	blueGroup := idOf(a.make("/v2.0/security-groups", "blue", `{"security_group": {"name": "web"}}`))
	a.make("/v2.0/security-group-rules", "red", `{"security_group_rule": {"security_group_id": "`+group+`", "direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}}`)
	port := idOf(a.make("/v2.0/ports", "admin", `{"port": {"tenant_id": "red", "network_id": "`+red+`", "mac_address": "02:00:09:00:00:01", "fixed_ips": [{"ip_address": "10.0.0.9"}],
		"security_groups": ["`+group+`"], "binding:host_id": "00000000000000a1", "binding:profile": {"interface_name": "s1-eth1"}}}`))

	ofPort := func(attrs string) string { return `{"port": {"network_id": "` + red + `", ` + attrs + `}}` }
	ofSubnet := func(attrs string) string { return `{"subnet": {"network_id": "` + red + `", ` + attrs + `}}` }
	ofRule := func(attrs string) string {
		return `{"security_group_rule": {"security_group_id": "` + group + `", ` + attrs + `}}`
	}
	ofSegment := func(attrs string) string { return `{"mac_segment": {` + attrs + `}}` }
	cases := []struct {
		name, method, path, token, body string
		code                            int
		names                           string // what the message must contain
	}{
		{"no JSON", "POST", "networks", "red", `{"network": `, 400, "Body contains invalid data"},
		{"no body", "POST", "networks", "red", ``, 400, "body required"},
		{"other root key", "POST", "networks", "red", `{"net": {}}`, 400, "'network'"},
		{"second root key", "POST", "networks", "red", `{"network": {}, "colour": 1}`, 400, "'colour'"},
		{"both root keys", "POST", "networks", "red", `{"network": {}, "networks": [{}]}`, 400, "'network'"},
		{"key twice", "POST", "networks", "red", `{"network": {"name": "a", "name": "b"}}`, 400, "'name'"},
		{"no object", "POST", "networks", "red", `{"network": [1]}`, 400, "'network'"},
		{"empty bulk", "POST", "ports", "red", `{"ports": []}`, 400, "'ports'"},
		{"unknown attribute", "POST", "networks", "red", `{"network": {"colour": "red"}}`, 400, "Unrecognized attribute(s) 'colour'"},
		{"attribute that does not work yet", "POST", "networks", "admin", `{"network": {"vlan_transparent": true}}`, 400, "Unrecognized attribute(s) 'vlan_transparent'"},
		{"id chosen by the client", "POST", "networks", "admin", `{"network": {"id": "` + missing + `"}}`, 400, "Attribute 'id' not allowed in POST"},
		{"name of a wrong type", "POST", "networks", "red", `{"network": {"name": 5}}`, 400, "name"},
		{"name too long", "POST", "networks", "red", `{"network": {"name": "` + strings.Repeat("é", 256) + `"}}`, 400, "name"},
		{"name with NUL", "POST", "networks", "red", `{"network": {"name": "a\u0000"}}`, 400, `\u0000`},
		{"switch of a wrong type", "POST", "networks", "red", `{"network": {"admin_state_up": "maybe"}}`, 400, "admin_state_up"},
		{"fraction", "POST", "networks", "red", `{"network": {"mtu": 1450.5}}`, 400, "mtu"},
		{"number that wraps", "POST", "networks", "red", `{"network": {"mtu": 18446744073709553066}}`, 400, "mtu"},
		{"tenant of others", "POST", "networks", "red", `{"network": {"tenant_id": "blue"}}`, 400, "'tenant_id'"},
		{"two tenants", "POST", "networks", "admin", `{"network": {"tenant_id": "blue", "project_id": "red"}}`, 400, "'tenant_id'"},
		{"read-only attribute", "PUT", "networks/" + red, "red", `{"network": {"status": "DOWN"}}`, 400, "status"},
		{"owner changed", "PUT", "networks/" + red, "admin", `{"network": {"tenant_id": "blue"}}`, 400, "tenant_id"},
		{"network with ports", "DELETE", "networks/" + red, "red", ``, 409, "ports still in use"},
		{"network with a segment", "DELETE", "networks/" + segmented, "red", ``, 409, "MAC segment"},

		{"subnet without cidr", "POST", "subnets", "red", ofSubnet(`"ip_version": 4`), 400, "cidr"},
		{"subnet of IPv5", "POST", "subnets", "red", ofSubnet(`"ip_version": 5, "cidr": "10.9.0.0/24"`), 400, "ip_version"},
		{"cidr of the other family", "POST", "subnets", "red", ofSubnet(`"ip_version": 6, "cidr": "10.9.0.0/24"`), 400, "cidr"},
		{"cidr without length", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.9.0.0"`), 400, "cidr"},
		{"cidr of everything", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "0.0.0.0/0"`), 400, "cidr"},
		{"cidr of groups", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "224.0.0.0/24"`), 400, "cidr"},
		{"overlapping subnet", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.0.0.128/25"`), 400, "overlaps with another subnet"},
		{"subnet of a foreign network", "POST", "subnets", "red", `{"subnet": {"network_id": "` + blue + `", "ip_version": 4, "cidr": "10.9.0.0/24"}}`, 404, blue},
		{"gateway of the other family", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.9.0.0/24", "gateway_ip": "2001:db8::1"`), 400, "gateway_ip"},
		{"gateway that is broadcast", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.9.0.0/24", "gateway_ip": "10.9.0.255"`), 400, "gateway_ip"},
		{"gateway in a pool", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.1", "end": "10.9.0.9"}]`), 409, "gateway_ip"},
		{"gateway moved into a pool", "PUT", "subnets/" + subnet, "red", `{"subnet": {"gateway_ip": "10.0.0.7"}}`, 409, "gateway_ip"},
		{"pool outside", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.2", "end": "10.9.1.9"}]`), 400, "allocation_pools"},
		{"pools overlap", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.2", "end": "10.9.0.9"}, {"start": "10.9.0.9", "end": "10.9.0.12"}]`), 409, "allocation_pools"},
		{"pool backwards", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.9", "end": "10.9.0.2"}]`), 400, "allocation_pools"},
		{"six name servers", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.9.0.0/24", "dns_nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5", "1.1.1.6"]`), 400, "dns_nameservers"},
		{"name server by name", "POST", "subnets", "red", ofSubnet(`"ip_version": 4, "cidr": "10.9.0.0/24", "dns_nameservers": ["dns.example"]`), 400, "dns_nameservers"},
		{"cidr changed", "PUT", "subnets/" + subnet, "red", `{"subnet": {"cidr": "10.9.0.0/24"}}`, 400, "cidr"},
		{"subnet in use", "DELETE", "subnets/" + subnet, "red", ``, 409, subnet},

		{"misaligned segment", "POST", "mac-segments", "admin", ofSegment(`"base_address": "02:00:06:00:00:01", "prefix_length": 24`), 400, "base_address"},
		{"segment with the group bit", "POST", "mac-segments", "admin", ofSegment(`"base_address": "03:00:06:00:00:00", "prefix_length": 24`), 400, "base_address"},
		{"segment of 49 bits", "POST", "mac-segments", "admin", ofSegment(`"base_address": "02:00:06:00:00:00", "prefix_length": 49`), 400, "prefix_length"},
		{"segment without length", "POST", "mac-segments", "admin", ofSegment(`"base_address": "02:00:06:00:00:00"`), 400, "'prefix_length'"},
		{"overlapping segment", "POST", "mac-segments", "admin", ofSegment(`"base_address": "02:00:05:00:00:00", "prefix_length": 24`), 409, "base_address"},
		{"segment outside its parent", "POST", "mac-segments", "admin", ofSegment(`"base_address": "02:00:06:00:00:00", "prefix_length": 24, "parent_id": "` + segment + `"`), 400, "parent_id"},
		{"segment of an unknown network", "POST", "mac-segments", "admin", ofSegment(`"base_address": "02:00:06:00:00:00", "prefix_length": 24, "network_id": "` + missing + `"`), 404, missing},
		{"shared segment of a tenant", "POST", "mac-segments", "admin", ofSegment(`"base_address": "02:00:06:00:00:00", "prefix_length": 24, "tenant_id": "red", "shared": true`), 400, "shared"},
		{"segment without block and size", "POST", "mac-segments", "admin", ofSegment(`"name": "x"`), 400, "'size'"},
		{"segment with block and size", "POST", "mac-segments", "admin", ofSegment(`"base_address": "02:00:06:00:00:00", "size": 9`), 400, "size"},
		{"segment of no addresses", "POST", "mac-segments", "admin", ofSegment(`"size": 0`), 400, "size"},
		{"segment too large for any gap", "POST", "mac-segments", "admin", ofSegment(`"size": 1099511627776`), 409, "size"},
		{"segment of an unknown strategy", "POST", "mac-segments", "admin", ofSegment(`"size": 9, "strategy": "random"`), 400, "sequential, scrambled, instance-hash"},
		{"segment of an unknown policy", "POST", "mac-segments", "admin", ofSegment(`"size": 9, "conflict_policy": "panic"`), 400, "report, refuse, reassign"},
		{"endless quarantine", "POST", "mac-segments", "admin", ofSegment(`"size": 9, "quarantine_seconds": -1`), 400, "quarantine_seconds"},
		{"resize with other changes", "PUT", "mac-segments/" + segment, "admin", ofSegment(`"prefix_length": 25, "name": "x"`), 400, "prefix_length"},
		{"another base", "PUT", "mac-segments/" + segment, "admin", ofSegment(`"base_address": "02:00:06:00:00:00"`), 400, "base_address"},
		{"split without length", "PUT", "mac-segments/" + segment + "/split", "admin", `{}`, 400, "'prefix_length'"},
		{"split with more", "PUT", "mac-segments/" + segment + "/split", "admin", `{"prefix_length": 25, "name": "x"}`, 400, "'name'"},
		{"split of a wrong type", "PUT", "mac-segments/" + segment + "/split", "admin", `{"prefix_length": "long"}`, 400, "prefix_length"},
		{"split into a shorter one", "PUT", "mac-segments/" + segment + "/split", "admin", `{"prefix_length": 23}`, 400, "prefix_length"},
		{"split into too many", "PUT", "mac-segments/" + segment + "/split", "admin", `{"prefix_length": 48}`, 400, "prefix_length"},
		{"split of none", "PUT", "mac-segments/" + missing + "/split", "admin", `{"prefix_length": 25}`, 404, missing},
		{"split by GET", "GET", "mac-segments/" + segment + "/split", "admin", ``, 405, ""},
		{"split of a foreign segment", "PUT", "mac-segments/" + segment + "/split", "blue", `{"prefix_length": 25}`, 404, segment},
		{"split by a reader", "PUT", "mac-segments/" + segment + "/split", "red-reader", `{"prefix_length": 25}`, 403, "split_mac_segment"},
		{"segment of a member outside its own", "POST", "mac-segments", "red", ofSegment(`"base_address": "02:00:06:00:00:00", "prefix_length": 24`), 400, "base_address"},
		{"segment in the name of another", "POST", "mac-segments", "blue", ofSegment(`"tenant_id": "red", "size": 9`), 400, "tenant_id"},
		{"segment of a member for a host", "POST", "mac-segments", "red", ofSegment(`"size": 9, "host": "h"`), 403, "create_mac_segment:host"},
		{"shared segment of a member", "POST", "mac-segments", "red", ofSegment(`"size": 9, "shared": true`), 403, "create_mac_segment:shared"},
		{"segment grown by a member", "PUT", "mac-segments/" + segment, "red", ofSegment(`"prefix_length": 23`), 403, "update_mac_segment:prefix_length"},
		{"segment made by a reader", "POST", "mac-segments", "red-reader", ofSegment(`"size": 9`), 403, "create_mac_segment"},
		{"segment changed by a reader", "PUT", "mac-segments/" + segment, "red-reader", ofSegment(`"name": "mine"`), 403, "update_mac_segment"},

		{"port without network", "POST", "ports", "red", `{"port": {"name": "p"}}`, 400, "'network_id'"},
		{"port of a bad network id", "POST", "ports", "red", `{"port": {"network_id": "red"}}`, 400, "network_id"},
		{"port of an unknown network", "POST", "ports", "red", `{"port": {"network_id": "` + missing + `"}}`, 404, missing},
		{"port of a foreign network", "POST", "ports", "red", `{"port": {"network_id": "` + blue + `"}}`, 404, blue},
		{"bulk with one foreign network", "POST", "ports", "red", `{"ports": [{"network_id": "` + red + `"}, {"network_id": "` + blue + `"}]}`, 404, blue},
		{"MAC of a wrong type", "POST", "ports", "red", ofPort(`"mac_address": 7`), 400, "mac_address"},
		{"MAC of a group", "POST", "ports", "red", ofPort(`"mac_address": "03:00:00:00:00:01"`), 400, "mac_address"},
		{"MAC of zeros", "POST", "ports", "red", ofPort(`"mac_address": "00:00:00:00:00:00"`), 400, "mac_address"},
		{"MAC taken", "POST", "ports", "red", ofPort(`"mac_address": "02-00-09-00-00-01"`), 409, "02:00:09:00:00:01"},
		{"MAC outside the segment", "POST", "ports", "red", `{"port": {"network_id": "` + segmented + `", "mac_address": "02:00:06:00:00:01"}}`, 400, "mac_address"},
		{"MAC inside a foreign segment", "POST", "ports", "blue", `{"port": {"network_id": "` + blue + `", "mac_address": "02:00:05:00:00:01"}}`, 400, "mac_address"},
		{"MAC changed by a member", "PUT", "ports/" + port, "red", `{"port": {"mac_address": "02:00:09:00:00:02"}}`, 403, "update_port:mac_address"},
		{"address outside the subnet", "POST", "ports", "red", ofPort(`"fixed_ips": [{"ip_address": "10.9.9.9"}]`), 400, "10.9.9.9"},
		{"address outside the named subnet", "POST", "ports", "red", ofPort(`"fixed_ips": [{"subnet_id": "` + subnet + `", "ip_address": "10.9.9.9"}]`), 400, "10.9.9.9"},
		{"address taken", "POST", "ports", "red", ofPort(`"fixed_ips": [{"ip_address": "10.0.0.9"}]`), 409, "10.0.0.9"},
		{"address twice", "POST", "ports", "red", ofPort(`"fixed_ips": [{"ip_address": "10.0.0.5"}, {"ip_address": "10.0.0.5"}]`), 400, "fixed_ips"},
		{"address of a wrong type", "POST", "ports", "red", ofPort(`"fixed_ips": ["10.0.0.5"]`), 400, "fixed_ips"},
		{"address with an unknown key", "POST", "ports", "red", ofPort(`"fixed_ips": [{"ip": "10.0.0.5"}]`), 400, "fixed_ips"},
		{"addresses not in a list", "POST", "ports", "red", ofPort(`"fixed_ips": {"ip_address": "10.0.0.5"}`), 400, "fixed_ips"},
		{"unknown subnet", "POST", "ports", "red", ofPort(`"fixed_ips": [{"subnet_id": "` + missing + `"}]`), 404, missing},
		{"the same group twice", "POST", "ports", "red", ofPort(`"security_groups": ["` + missing + `", "` + strings.ToUpper(missing) + `"]`), 400, "Duplicate items"},
		{"entry with two names", "POST", "networks", "red", `{"networks": [{"network": {}, "name": "x"}]}`, 400, "Unrecognized attribute(s) 'network'"},
		{"named entry that is no object", "POST", "networks", "red", `{"networks": [{"network": 7}]}`, 400, "'network' in entry 0"},
		{"quota that Neutron does not take", "PUT", "quotas/red", "admin", `{"quota": {"network": 2147483648}}`, 400, "network"},
		{"unknown group", "POST", "ports", "red", ofPort(`"security_groups": ["` + missing + `"]`), 404, missing},
		{"foreign group", "POST", "ports", "red", ofPort(`"security_groups": ["` + blueGroup + `"]`), 404, blueGroup},
		{"group by name", "POST", "ports", "red", ofPort(`"security_groups": ["web"]`), 400, "security_groups"},
		{"binding by a member", "POST", "ports", "red", ofPort(`"binding:host_id": "00000000000000a1"`), 403, "create_port:binding:host_id"},
		{"profile of two places", "POST", "ports", "admin", ofPort(`"binding:host_id": "00000000000000a1", "binding:profile": {"interface_name": "x", "port_no": 1}`), 400, "binding:profile"},
		{"profile with a reserved port", "POST", "ports", "admin", ofPort(`"binding:host_id": "00000000000000a1", "binding:profile": {"port_no": 4294967294}`), 400, "binding:profile"},
		{"profile without a switch", "POST", "ports", "admin", ofPort(`"binding:profile": {"port_no": 1}`), 400, "binding:profile"},
		{"two ports on one interface", "POST", "ports", "admin", ofPort(`"binding:host_id": "00000000000000A1", "binding:profile": {"interface_name": "s1-eth1"}`), 409, "binding:profile"},
		{"unknown kind of interface", "POST", "ports", "red", ofPort(`"binding:vnic_type": "quantum"`), 400, "binding:vnic_type"},

		{"group name of a wrong type", "POST", "security-groups", "red", `{"security_group": {"name": true}}`, 400, "name"},
		{"second default group", "POST", "security-groups", "red", `{"security_group": {"name": "default"}}`, 409, "Default"},
		{"group in use", "DELETE", "security-groups/" + group, "red", ``, 409, group},
		{"rule without direction", "POST", "security-group-rules", "red", ofRule(`"protocol": "tcp"`), 400, "'direction'"},
		{"rule of a wrong direction", "POST", "security-group-rules", "red", ofRule(`"direction": "up"`), 400, "direction"},
		{"rule with min over max", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "tcp", "port_range_min": 90, "port_range_max": 80`), 400, "port_range_min"},
		{"rule with min only", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "tcp", "port_range_min": 90`), 400, "port_range_max"},
		{"ports without protocol", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "port_range_min": 80, "port_range_max": 80`), 400, "protocol"},
		{"ports of a protocol without", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "gre", "port_range_min": 80, "port_range_max": 80`), 400, "port_range_min"},
		{"port 65536", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 65536`), 400, "port_range_max"},
		{"port below any", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "tcp", "port_range_min": -16, "port_range_max": 80`), 400, "Invalid value for port -16 (port_range_min)"},
		{"port that is none", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "tcp", "port_range_min": 1, "port_range_max": "http"`), 400, "Invalid value for port http (port_range_max)"},
		{"remote group by name", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_group_id": "web"`), 404, "Security group web does not exist"},
		{"remote address group by name", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_address_group_id": "web"`), 404, "Address group web could not be found"},
		{"rule of a group by name", "POST", "security-group-rules", "red", `{"security_group_rule": {"security_group_id": "web", "direction": "ingress"}}`, 404, "Security group web does not exist"},
		{"remote group of a wrong type", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_group_id": 7`), 400, "remote_group_id"},
		{"ICMP code without type", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "icmp", "port_range_max": 0`), 400, "port_range_min"},
		{"ICMP type 256", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "icmp", "port_range_min": 256`), 400, "port_range_min"},
		{"any protocol by name", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "any"`), 400, "protocol"},
		{"protocol 256", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": 256`), 400, "protocol"},
		{"protocol of IPv6 in IPv4", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "icmpv6"`), 400, "protocol"},
		{"prefix of the other family", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_ip_prefix": "2001:db8::/64"`), 400, "remote_ip_prefix"},
		{"group address", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_mac": "01:00:5e:00:00:01"`), 400, "remote_mac"},
		{"two MAC remotes", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_mac": "02:00:00:00:00:01", "remote_mac_segment_id": "` + segment + `"`), 400, "remote_mac_segment_id"},
		{"no such segment", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_mac_segment_id": "` + missing + `"`), 404, missing},
		{"segment of another", "POST", "security-group-rules", "blue", `{"security_group_rule": {"security_group_id": "` + blueGroup + `", "direction": "ingress", "remote_mac_segment_id": "` + segment + `"}}`, 404, segment},
		{"bad prefix", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_ip_prefix": "10.0.0.0/33"`), 400, "remote_ip_prefix"},
		{"two remotes", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "` + group + `"`), 400, "remote_group_id"},
		{"unknown remote group", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "remote_group_id": "` + missing + `"`), 404, missing},
		{"rule of an unknown group", "POST", "security-group-rules", "red", `{"security_group_rule": {"security_group_id": "` + missing + `", "direction": "ingress"}}`, 404, missing},
		{"rule of a foreign group", "POST", "security-group-rules", "red", `{"security_group_rule": {"security_group_id": "` + blueGroup + `", "direction": "ingress"}}`, 404, blueGroup},
		{"the same rule again", "POST", "security-group-rules", "red", ofRule(`"direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80`), 409, "rule"},

		{"tenant made by a member", "POST", "tenants", "red", `{"tenant": {"name": "mine"}}`, 403, "create_tenant"},
		{"tenant with a blank id", "POST", "tenants", "admin", `{"tenant": {"id": " "}}`, 400, "id"},
		{"tenant that exists", "POST", "tenants", "admin", `{"tenant": {"id": "red"}}`, 409, "red"},
		{"tenant that owns objects", "DELETE", "tenants/red", "admin", ``, 409, "red"},
		{"unknown filter", "GET", "ports?colour=red", "red", ``, 400, "'colour'"},
		{"filter of a wrong type", "GET", "ports?admin_state_up=maybe", "red", ``, 400, "admin_state_up"},
		{"malformed address filter", "GET", "ports?fixed_ips=10.0.0.9", "red", ``, 400, "fixed_ips"},
		{"address filter by no subnet", "GET", "ports?fixed_ips=subnet_id%3Dx", "red", ``, 400, "fixed_ips"},
		{"filter by what only administrators see", "GET", "ports?binding:host_id=00000000000000a1", "red", ``, 400, "binding:host_id"},
		{"broken query", "GET", "ports?name=%zz", "red", ``, 400, "query"},
	}
	a.snapshot() // the first list of groups makes the administrator's default group
	marker := idOf(a.make("/v2.0/tenants", "admin", `{"tenant": {"id": "before"}}`))
	feed := a.changes(marker)
	a.want(http.StatusNoContent, "DELETE", "/v2.0/tenants/before", "admin", "")
	before := a.snapshot()
	for _, c := range cases {
		got := a.do(c.method, "/v2.0/"+c.path, c.token, c.body)
		if got.code != c.code {
			t.Errorf("%s: code %d, want %d: %s", c.name, got.code, c.code, got.text)
			continue
		}
		if _, message := got.message(t); !strings.Contains(message, c.names) {
			t.Errorf("%s: the message does not name %q: %s", c.name, c.names, message)
		}
	}
	if diff := cmp.Diff(before, a.snapshot()); diff != "" {
		t.Errorf("bad requests changed what is stored (-before +after):\n%s", diff)
	}
	marker = idOf(a.make("/v2.0/tenants", "admin", `{"tenant": {"id": "after"}}`))
	if after := a.changes(marker); len(after) != len(feed)+2 { // before deleted, after made
		t.Errorf("bad requests left changes in the feed: %+v", after[len(feed)+1:len(after)-1])
	}
}
