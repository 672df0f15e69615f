package main

import (
	"strings"
	"testing"
)

// A tenant's network is made, shown, changed and removed with commands alone.
func TestNetworksAreMadeByCommandsAlone(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	for _, c := range []struct{ columns, command, want string }{
		{"id,name", "tenant create demo --name Demo", "demo,Demo"},
		{"description,enabled", "tenant set Demo --description x --enabled=false", "x,false"},
		{"enabled", "tenant set demo --enabled", "true"},
		{"name,tenant_id,mtu", "network create front --tenant demo --mtu 1400 --description d", "front,demo,1400"},
		{"provider:network_type,provider:segmentation_id", "network create lan --provider-type vlan --provider-physical-network physnet1 --provider-segment 7", "vlan,7"},
		{"name", "network list --provider-type vlan", "lan"},
		{"name", "network list --tenant demo --status ACTIVE --admin-up --name front", "front"},
		{"name,admin_state_up", "network set front --name back --admin-up=false", "back,false"},
		{"name,admin_state_up", "network set back --name front --admin-up", "front,true"},
		{"name,ip_version,gateway_ip", "subnet create four --tenant demo --network front --cidr 10.0.0.0/24 --pool 10.0.0.10-10.0.0.19 --pool 10.0.0.30-10.0.0.39 --dns 9.9.9.9 --dns 149.112.112.112", "four,4,10.0.0.1"},
		{"name,ip_version,ipv6_address_mode", "subnet create six --tenant demo --network front --cidr 2001:db8::/64 --ipv6-address-mode slaac --ipv6-ra-mode slaac", "six,6,slaac"},
		{"enable_dhcp,dns_nameservers,host_routes", "subnet set 10.0.0.0/24 --dhcp=false --dns none --route 10.9.0.0/16=10.0.0.2", `false,,"[{""destination"":""10.9.0.0/16"",""nexthop"":""10.0.0.2""}]"`},
		{"name", "subnet list --network front --ip-version 6", "six"},
		{"name,tenant_id", "security-group create web --tenant demo", "web,demo"},
		{"description", "security-group set web --description rules", "rules"},
		{"direction,protocol,port_range_min,port_range_max", "security-group-rule create web --tenant demo --protocol tcp --port 80:81 --remote-ip 10.0.0.0/8", "ingress,tcp,80,81"},
		{"direction,ethertype,protocol", "security-group-rule create web --tenant demo --protocol ipv6-icmp --ethertype IPv6 --direction egress", "egress,IPv6,ipv6-icmp"},
		{"protocol", "security-group-rule list --security-group web --direction ingress", "tcp"},
		{"name,mac_address,device_id", "port create web-1 --tenant demo --network front --mac 02:00:05:00:00:01 --ip 10.0.0.11 --security-group web --device web-1", "web-1,02:00:05:00:00:01,web-1"},
		{"name", "port list --network front --subnet four --security-group web --device web-1 --ip 10.0.0.11", "web-1"},
		{"name,description,security_groups", "port set 02:00:05:00:00:01 --description d --security-group none", "web-1,d,"},
		{"binding:host_id,binding:profile", "port set web-1 --host 00000000000000b0 --interface tap1", "00000000000000b0,interface_name=tap1"},
		{"name", "port list --host 00000000000000b0", "web-1"},
		{"binding:host_id", "port set web-1 --host none", ""},
		{"port_security_enabled", "port set web-1 --port-security=false", "false"},
	} {
		if got := l.rows(c.columns, strings.Fields(c.command)...); got != c.want {
			t.Errorf("macloom %s: %q, want %q", c.command, got, c.want)
		}
	}
	if got := l.run("port", "show", "web-1"); !strings.Contains(got, "10.0.0.11") {
		t.Errorf("shown: %s", got)
	}
	var rules []struct{ ID, Protocol string }
	l.json(&rules, "security-group-rule", "list", "--security-group", "web", "--protocol", "tcp")
	if len(rules) != 1 {
		t.Fatalf("rules %v, want one", rules)
	}
	if got := l.rows("description", "security-group-rule", "set", rules[0].ID, "--description", "web"); got != "web" {
		t.Errorf("rule described: %q", got)
	}
	l.run("security-group-rule", "delete", rules[0].ID)
	l.refused(map[string]string{
		"network delete front":                   "NetworkInUse: ",
		"network show nothing":                   `there is no network "nothing"`,
		"tenant delete demo":                     "TenantInUse: ",
		"subnet create x --network front":        "ip_version",
		"port set web-1 --mac 01:00:00:00:00:00": "group bit",
	})
	l.run("port", "delete", "web-1", "--keep-mac")
	if got := l.rows("state", "mac", "list", "--device", "web-1"); got != "reserved" {
		t.Errorf("the MAC of a port that was deleted with --keep-mac is %q, want reserved", got)
	}
	l.run("mac", "release", "02:00:05:00:00:01")
	l.run("security-group", "delete", "web")
	l.run("subnet", "delete", "six", "10.0.0.0/24")
	l.run("network", "delete", "front", "lan")
}
