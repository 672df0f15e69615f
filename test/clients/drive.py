"""Drives the openstack command line client against a controller.

Usage: drive.py URL TOKEN MEMBER_TOKEN

Every command is the client's own, in its own process image but not in a
process each: starting Python takes longer than all the rest.
"""

import contextlib
import io
import json
import logging
import sys

from openstackclient import shell
from osc_lib import clientmanager

URL, ADMIN, MEMBER = sys.argv[1:]
failures = []


def forget():
    """Drops the clients of the command before: they hold on to its token."""
    for name in ("identity", "network"):
        if cache := vars(clientmanager.ClientManager).get(name):
            cache._handle = None


def openstack(*words, token=ADMIN, fails=None):
    """Runs a command and returns what it printed, decoded if it is JSON."""
    forget()
    argv = ["--os-auth-type", "admin_token", "--os-endpoint", URL, "--os-token", token, *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.OpenStackShell().run(argv)
        except SystemExit as end:
            code = end.code
        for handler in list(logging.getLogger("").handlers):
            logging.getLogger("").removeHandler(handler)
    text, complaint = out.getvalue(), err.getvalue()
    if bool(code) != bool(fails) or fails and fails not in complaint:
        failures.append(f"openstack {' '.join(words)}: exit {code}, wanted {fails or 'success'}\n{complaint}{text}")
    try:
        return json.loads(text)
    except ValueError:
        return text


class Nothing(dict):
    """What a failed command shows: the commands after it fail too, but run."""

    def __missing__(self, key):
        return ""


def create(*words, **options):
    shown = openstack(*words, "-f", "json", **options)
    return Nothing() if isinstance(shown, str) else shown


show = rows = create


def equal(what, got, want):
    if got != want:
        failures.append(f"{what}: {got!r}, want {want!r}")


def has(what, got, **want):
    """Checks some of the fields of an object; words of keys are joined by _."""
    if not isinstance(got, dict):
        failures.append(f"{what}: {got!r} is no object")
        return
    for key, value in want.items():
        if got.get(key) != value:
            failures.append(f"{what}: {key} is {got.get(key)!r}, want {value!r}")


def names(listed):
    return sorted(r["Name"] for r in listed) if isinstance(listed, list) else listed


# Networks.
net = create("network", "create", "blue", "--description", "the first", "--mtu", "1400", "--tag", "a", "--tag", "b")
has("network create", net, name="blue", description="the first", mtu=1400, admin_state_up=True, status="ACTIVE", tags=["a", "b"])
create("network", "create", "green", "--disable", "--disable-port-security")
has("network show", show("network", "show", "green"), admin_state_up=False, port_security_enabled=False)
openstack("network", "set", "blue", "--name", "azure", "--enable", "--description", "renamed", "--tag", "c")
has("network set", show("network", "show", "azure"), name="azure", description="renamed", tags=["a", "b", "c"], id=net["id"])
openstack("network", "unset", "azure", "--tag", "a")
has("network unset", show("network", "show", net["id"]), tags=["b", "c"])
equal("network list", names(rows("network", "list")), ["azure", "green"])
equal("network list --tags", names(rows("network", "list", "--tags", "b,c")), ["azure"])
equal("network list --not-tags", names(rows("network", "list", "--not-tags", "b")), ["green"])
equal("network list --disable", names(rows("network", "list", "--disable")), ["green"])
equal("network list --long", [r["State"] for r in rows("network", "list", "--long", "--name", "azure")], [True])
openstack("network", "create", "seen", "--share", "--external")
has("network show", show("network", "show", "seen"), shared=True, **{"router:external": True})
openstack("network", "set", "seen", "--no-share", "--internal")
has("network set", show("network", "show", "seen"), shared=False, **{"router:external": False})
openstack("network", "delete", "seen", "green")
openstack("network", "show", "green", fails="No Network found for green")

# Subnets.
sub = create("subnet", "create", "s4", "--network", "azure", "--subnet-range", "10.0.0.0/24", "--dns-nameserver", "10.0.0.2",
             "--allocation-pool", "start=10.0.0.10,end=10.0.0.99", "--host-route", "destination=10.9.0.0/16,gateway=10.0.0.3")
has("subnet create", sub, cidr="10.0.0.0/24", gateway_ip="10.0.0.1", enable_dhcp=True, ip_version=4, dns_nameservers=["10.0.0.2"],
    allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.99"}], host_routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.3"}])
six = create("subnet", "create", "s6", "--network", "azure", "--ip-version", "6", "--subnet-range", "fd00:5::/64",
             "--ipv6-ra-mode", "slaac", "--ipv6-address-mode", "slaac")
has("subnet create", six, ip_version=6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac", gateway_ip="fd00:5::1")
openstack("subnet", "set", "s4", "--name", "four", "--no-dhcp", "--dns-nameserver", "10.0.0.4", "--tag", "x")
has("subnet set", show("subnet", "show", "four"), name="four", enable_dhcp=False, dns_nameservers=["10.0.0.4", "10.0.0.2"], tags=["x"])
openstack("subnet", "unset", "four", "--dns-nameserver", "10.0.0.2", "--host-route", "destination=10.9.0.0/16,gateway=10.0.0.3", "--tag", "x")
has("subnet unset", show("subnet", "show", "four"), dns_nameservers=["10.0.0.4"], host_routes=[], tags=[])
equal("subnet list", names(rows("subnet", "list", "--ip-version", "6")), ["s6"])
equal("subnet list", names(rows("subnet", "list", "--network", "azure", "--subnet-range", "10.0.0.0/24")), ["four"])
openstack("subnet", "create", "twice", "--network", "azure", "--subnet-range", "10.0.0.128/25", fails="overlaps with another subnet")

# Ports.
port = create("port", "create", "p1", "--network", "azure", "--fixed-ip", "subnet=four,ip-address=10.0.0.50", "--device", "vm-1",
              "--device-owner", "compute:nova", "--tag", "one", "--allowed-address", "ip-address=10.0.0.60", "--extra-dhcp-option", "name=mtu,value=1400")
has("port create", port, name="p1", status="DOWN", device_id="vm-1", tags=["one"])
equal("port create: address", sorted(ip["ip_address"] for ip in port["fixed_ips"])[:1], ["10.0.0.50"])
equal("port create: pairs", [p["ip_address"] for p in port["allowed_address_pairs"]], ["10.0.0.60"])
equal("port create: DHCP", port["extra_dhcp_opts"], [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}])
openstack("port", "create", "p2", "--network", "azure", "--no-fixed-ip", "--no-security-group", "--disable-port-security", "--disable")
has("port create", show("port", "show", "p2"), admin_state_up=False, port_security_enabled=False, security_group_ids=[])
openstack("port", "set", "p1", "--name", "first", "--description", "d", "--device", "vm-2", "--no-fixed-ip", "--fixed-ip", "subnet=four")
has("port set", show("port", "show", "first"), name="first", description="d", device_id="vm-2")
openstack("port", "unset", "first", "--allowed-address", "ip-address=10.0.0.60,mac-address=" + port["mac_address"], "--tag", "one")
has("port unset", show("port", "show", "first"), allowed_address_pairs=[], tags=[])
equal("port list", names(rows("port", "list", "--device-owner", "compute:nova", "--network", "azure")), ["first"])
equal("port list --fixed-ip", names(rows("port", "list", "--fixed-ip", "subnet=four")), ["first"])
equal("port list --mac-address", names(rows("port", "list", "--mac-address", port["mac_address"])), ["first"])
openstack("port", "create", "p3", "--network", "azure", "--fixed-ip", "subnet=four,ip-address=10.1.0.1", fails="10.1.0.1")
openstack("network", "delete", "azure", fails="409")

# Security groups and rules, address groups.
group = create("security", "group", "create", "web", "--description", "servers", "--stateful")
has("security group create", group, name="web", description="servers", stateful=True)
rule = create("security", "group", "rule", "create", "web", "--protocol", "tcp", "--dst-port", "80:443", "--remote-ip", "192.0.2.0/24")
has("rule create", rule, protocol="tcp", port_range_min=80, port_range_max=443, remote_ip_prefix="192.0.2.0/24", direction="ingress", ether_type="IPv4")
ping = create("security", "group", "rule", "create", "web", "--protocol", "icmp", "--icmp-type", "8", "--icmp-code", "0", "--remote-group", "web")
has("rule create", ping, port_range_min=8, port_range_max=0, remote_group_id=group["id"])
create("security", "group", "rule", "create", "web", "--egress", "--ethertype", "IPv6", "--protocol", "udp")
equal("rule list", len(rows("security", "group", "rule", "list", "web")), 5)
equal("rule list --ingress", len(rows("security", "group", "rule", "list", "web", "--ingress", "--protocol", "tcp")), 1)
openstack("security", "group", "set", "web", "--name", "front", "--description", "")
has("security group set", show("security", "group", "show", "front"), name="front", description="")
openstack("security", "group", "set", "front", "--tag", "t")
openstack("security", "group", "unset", "front", "--tag", "t")
addresses = create("address", "group", "create", "offices", "--address", "198.51.100.0/24", "--address", "203.0.113.7/32")
equal("address group create", sorted(addresses["addresses"]), ["198.51.100.0/24", "203.0.113.7/32"])
openstack("address", "group", "set", "offices", "--address", "198.51.101.0/24", "--description", "all")
openstack("address", "group", "unset", "offices", "--address", "203.0.113.7/32")
equal("address group show", sorted(show("address", "group", "show", "offices")["addresses"]), ["198.51.100.0/24", "198.51.101.0/24"])
remote = create("security", "group", "rule", "create", "front", "--protocol", "tcp", "--dst-port", "22", "--remote-address-group", "offices")
has("rule create", remote, remote_address_group_id=addresses["id"])
openstack("address", "group", "delete", "offices", fails="409")
openstack("port", "set", "first", "--security-group", "front")
openstack("security", "group", "delete", "front", fails="409")
openstack("port", "unset", "first", "--security-group", "front")
openstack("security", "group", "rule", "delete", remote["id"], rule["id"])
openstack("address", "group", "delete", "offices")
openstack("security", "group", "delete", "front")
equal("security group list", names(rows("security", "group", "list")), ["default"])

# QoS.
create("network", "qos", "policy", "create", "gold", "--description", "fast", "--share")
limit = create("network", "qos", "rule", "create", "gold", "--type", "bandwidth-limit", "--max-kbps", "10000", "--max-burst-kbits", "1000", "--egress")
has("qos rule create", limit, max_kbps=10000, max_burst_kbps=1000, direction="egress")
create("network", "qos", "rule", "create", "gold", "--type", "dscp-marking", "--dscp-mark", "46")
create("network", "qos", "rule", "create", "gold", "--type", "minimum-bandwidth", "--min-kbps", "100", "--egress")
equal("qos rule list", len(rows("network", "qos", "rule", "list", "gold")), 3)
openstack("network", "qos", "rule", "set", "gold", limit["id"], "--max-kbps", "20000")
has("qos rule show", show("network", "qos", "rule", "show", "gold", limit["id"]), max_kbps=20000)
openstack("network", "qos", "rule", "delete", "gold", limit["id"])
openstack("network", "qos", "rule", "create", "gold", "--type", "dscp-marking", "--dscp-mark", "26", fails="409")
rate = create("network", "qos", "rule", "create", "gold", "--type", "minimum-packet-rate", "--min-kpps", "1", "--any")
openstack("network", "set", "azure", "--qos-policy", "gold", fails="409")
openstack("network", "qos", "rule", "delete", "gold", rate["id"])
has("qos rule type show", show("network", "qos", "rule", "type", "show", "dscp_marking"), rule_type_name="dscp_marking")
openstack("network", "qos", "policy", "set", "gold", "--name", "platinum", "--no-share")
has("qos policy show", show("network", "qos", "policy", "show", "platinum"), shared=False)
equal("qos rule type list", "dscp_marking" in [r["Type"] for r in rows("network", "qos", "rule", "type", "list")], True)
openstack("network", "set", "azure", "--qos-policy", "platinum")
openstack("port", "set", "first", "--qos-policy", "platinum")
openstack("network", "qos", "policy", "delete", "platinum", fails="409")
openstack("port", "unset", "first", "--qos-policy")
openstack("network", "set", "azure", "--no-qos-policy")
openstack("network", "qos", "policy", "delete", "platinum")

# RBAC.
shared = create("network", "rbac", "create", "--type", "network", "--action", "access_as_shared", "--target-project", "other", "azure")
has("rbac create", shared, object_type="network", action="access_as_shared", object_id=net["id"])
equal("network list of a member", names(rows("network", "list", token=MEMBER)), [])
openstack("network", "rbac", "set", shared["id"], "--target-project", "member")
equal("network list of the target", names(rows("network", "list", token=MEMBER)), ["azure"])
openstack("network", "delete", "azure", token=MEMBER, fails="403")
equal("rbac list", len(rows("network", "rbac", "list", "--type", "network")), 1)
openstack("network", "rbac", "delete", shared["id"])
for kind, name, words in [("qos_policy", "q", ["network", "qos", "policy"]), ("security_group", "g", ["security", "group"]), ("address_group", "a", ["address", "group"])]:
    made = create(*words, "create", name)
    openstack(*words, "show", name, token=MEMBER, fails=name)
    create("network", "rbac", "create", "--type", kind, "--action", "access_as_shared", "--target-all-projects", name)
    has("a shared " + kind, show(*words, "show", name, token=MEMBER), id=made["id"])
    openstack(*words, "delete", name)
openstack("network", "show", "azure", token=MEMBER, fails="No Network found for azure")

# Subnet pools and address scopes.
scope = create("address", "scope", "create", "inside", "--ip-version", "4", "--share")
pool = create("subnet", "pool", "create", "ten", "--pool-prefix", "10.64.0.0/16", "--default-prefix-length", "26", "--address-scope", "inside")
has("subnet pool create", pool, address_scope_id=scope["id"], default_prefixlen=26)
create("network", "create", "pools")
has("subnet of a pool", create("subnet", "create", "pooled", "--network", "pools", "--subnet-pool", "ten"), cidr="10.64.0.0/26", subnetpool_id=pool["id"])
openstack("subnet", "pool", "set", "ten", "--pool-prefix", "10.65.0.0/16", "--max-prefix-length", "28")
openstack("subnet", "pool", "delete", "ten", fails="ten")
openstack("subnet", "delete", "pooled")
openstack("address", "scope", "delete", "inside", fails="409")
openstack("subnet", "pool", "delete", "ten")
openstack("address", "scope", "delete", "inside")
openstack("network", "delete", "pools")

# Trunks.
create("network", "create", "tagged")
openstack("port", "create", "parent", "--network", "tagged")
openstack("port", "create", "child", "--network", "azure")
trunk = create("network", "trunk", "create", "t1", "--parent-port", "parent", "--subport", "port=child,segmentation-type=vlan,segmentation-id=7")
has("trunk create", trunk, name="t1")
equal("trunk subports", [s["Segmentation ID"] for s in rows("network", "subport", "list", "--trunk", "t1")], [7])
openstack("network", "trunk", "unset", "t1", "--subport", "child")
openstack("network", "trunk", "set", "t1", "--name", "t2", "--disable")
openstack("port", "delete", "parent", fails="409")
openstack("network", "trunk", "delete", "t2", fails="disabled")
openstack("network", "trunk", "set", "t2", "--enable")
openstack("network", "trunk", "delete", "t2")
openstack("port", "delete", "parent", "child")

# Quotas, availability, agents, extensions.
openstack("quota", "set", "--networks", "7", "--secgroup-rules", "70", "member")
equal("quota list", [(r["Project ID"], r["Networks"], r["Security Group Rules"]) for r in rows("quota", "list", "--network")], [("member", 7, 70)])
openstack("quota", "set", "--networks", "7", "member", token=MEMBER, fails="403")
openstack("extension", "list")
has("extension show", show("extension", "show", "quotas"), alias="quotas")
equal("agents", openstack("network", "agent", "list", "-f", "json"), [])
equal("ip availability", [r["Network Name"] for r in rows("ip", "availability", "list", "--ip-version", "4")], ["azure"])
openstack("network", "auto", "allocated", "topology", "create", "--check-resources", fails="could not be found")
openstack("network", "service", "provider", "list")
openstack("network", "meter", "create", "m1")
openstack("network", "meter", "delete", "m1")
openstack("availability", "zone", "list", "--network")

# All of it goes again.
openstack("port", "delete", "first", "p2")
openstack("subnet", "delete", "four", "s6")
openstack("network", "delete", "azure", "tagged")
equal("network list at the end", rows("network", "list"), [])

for failure in failures:
    print(failure, "\n")
sys.exit(1 if failures else 0)
