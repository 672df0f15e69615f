package northbound

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// subnet is a subnet with what a client says of it beside: the address family,
// and where a prefix is to come from that is not given.
type subnet struct {
	intent.Subnet
	version     int
	length      int  // of the prefix to cut out of a pool; 0: not given
	defaultPool bool // cut it out of the default pool
	autoGateway bool // the gateway is left to the server
}

const (
	maxNameservers = 5  // as in Neutron
	maxPools       = 64 // ranges of one subnet
	maxHostRoutes  = 20 // as in Neutron

	maxServiceTypes = 32
)

func subnets(st *store.Store) *collection[subnet] {
	meta := func(s *subnet) *intent.Meta { return &s.Meta }
	return &collection[subnet]{
		single: "subnet", plural: "subnets", path: "subnets", tags: "subnets",
		doc: "A subnet is an IP prefix of a network; its allocation pools are where ports get their addresses from. Subnets of one network must not overlap. " +
			"A subnet cannot be deleted while ports have addresses of it.",
		attributes: tagged(meta, access{}, standard(meta,
			name(meta),
			stored("network_id", id, func(s *subnet) *string { return &s.NetworkID }, access{post: required, filter: true, sort: true}, "The network that it belongs to."),
			stored("ip_version", oneNumber(4, 6), func(s *subnet) *int { return &s.version }, access{post: required, filter: true, sort: true}, "The address family."),
			stored("cidr", orNull(cidr), func(s *subnet) *netip.Prefix { return &s.CIDR }, access{post: optional, filter: true, sort: true}, "The prefix; host bits are masked. If not given, it is cut out of a subnet pool."),
			stored("subnetpool_id", idOrNull, func(s *subnet) *string { return &s.PoolID }, access{post: optional, filter: true, sort: true},
				"The subnet pool that the prefix is cut out of; all subnets of a network and family come from one pool, or from pools of one address scope."),
			stored("prefixlen", number[int](1, 128), func(s *subnet) *int { return &s.length }, access{post: optional, seen: nobody},
				"Length of the prefix to cut out of the pool; if not given, the `default_prefixlen` of the pool. Not together with `cidr`."),
			stored("use_default_subnetpool", boolean, func(s *subnet) *bool { return &s.defaultPool }, access{post: optional, seen: nobody, def: "false"},
				"Cut the prefix out of the default pool of the family."),
			derived("shared", boolean, func(s *subnet) bool { return s.Shared }, access{filter: true}, "Whether its network is shared with the caller."),
			stored("gateway_ip", ipOrNull, func(s *subnet) *netip.Addr { return &s.Gateway }, access{post: optional, put: true, filter: true, sort: true},
				"The router's address; if not given, the first address; null: none."),
			stored("allocation_pools", list(addressRange, maxPools), func(s *subnet) *[]intent.Range { return &s.Pools }, access{post: optional, put: true},
				"Where automatic addresses come from; if not given, all addresses but the gateway's."),
			stored("dns_nameservers", exhausted("DNSNameServersExhausted", "dns_nameservers", list(ipAddress, maxNameservers), maxNameservers), func(s *subnet) *[]netip.Addr { return &s.Nameservers }, access{post: optional, put: true},
				"Name servers for instances."),
			stored("enable_dhcp", boolean, func(s *subnet) *bool { return &s.EnableDHCP }, access{post: optional, put: true, def: "true", filter: true, sort: true},
				"Whether instances may get their address by DHCP."),
			stored("host_routes", exhausted("HostRoutesExhausted", "host_routes", list(hostRoute, maxHostRoutes), maxHostRoutes), func(s *subnet) *[]intent.Route { return &s.HostRoutes }, access{post: optional, put: true},
				"Routes for instances."),
			stored("ipv6_ra_mode", ipv6Mode, func(s *subnet) *intent.IPv6Mode { return &s.RAMode }, access{post: optional, filter: true, sort: true},
				"How routers announce an IPv6 prefix. With `slaac` or `dhcpv6-stateless` the prefix has 64 bits, and every port of the network but a router's has the address that its MAC forms there."),
			stored("ipv6_address_mode", ipv6Mode, func(s *subnet) *intent.IPv6Mode { return &s.AddressMode }, access{post: optional, filter: true, sort: true},
				"How instances get an address of an IPv6 prefix; the same as `ipv6_ra_mode` if both are given."),
			stored("service_types", list(serviceType, maxServiceTypes), func(s *subnet) *[]string { return &s.ServiceTypes }, access{post: optional, put: true, byPost: admins, byPut: admins},
				"The `device_owner` of ports that get their addresses here rather than from subnets without; none: any."),
		)),
		meta:      meta,
		check:     checkSubnet,
		fromStore: wrappedAs(wrapSubnet),
		stream:    streamed(wrapSubnet, st.EachSubnet),
		backend: wrapped(wrapSubnet, subnet.request, subnet.bare,
			st.Subnets, st.Subnet, st.CreateSubnets, st.UpdateSubnet, st.DeleteSubnet),
	}
}

func wrapSubnet(s intent.Subnet) subnet {
	version := 4
	if s.CIDR.Addr().Is6() {
		version = 6
	}
	return subnet{Subnet: s, version: version}
}

func (s subnet) request() store.NewSubnet {
	n := store.NewSubnet{Subnet: s.Subnet, IPVersion: s.version, PrefixLen: s.length, AutoGateway: s.autoGateway}
	if s.defaultPool {
		n.PoolID = store.DefaultPool
	}
	return n
}

func (s subnet) bare() intent.Subnet { return s.Subnet }

// addressRange is {"start": address, "end": address}.
var addressRange = valueType[intent.Range]{
	name: `{"start": IP address, "end": IP address}`,
	shows: objectOf(map[string]schema{"start": ipSchema, "end": ipSchema}).closed().
		with(schema{"examples": []any{map[string]any{"start": "10.0.0.2", "end": "10.0.0.254"}}}),
	parse: func(v any) (r intent.Range, err error) {
		o, ok := v.(object)
		start, hasStart := o.get("start")
		end, hasEnd := o.get("end")
		if !ok || !hasStart || !hasEnd || len(o) != 2 {
			return r, fmt.Errorf("%s is not an object with start and end", show(v))
		}
		if r.First, err = readIP(start); err != nil {
			return r, err
		}
		if r.Last, err = readIP(end); err != nil {
			return r, err
		}
		if r.First.BitLen() != r.Last.BitLen() || r.Last.Less(r.First) {
			return r, invalid("InvalidAllocationPool", "Invalid input for allocation_pools. Reason: the range %s-%s does not run upwards in one address family", r.First, r.Last)
		}
		return r, nil
	},
	append: func(b []byte, r intent.Range) []byte {
		b = append(b, `{"start":`...)
		b = appendIP(b, r.First)
		b = append(b, `,"end":`...)
		b = appendIP(b, r.Last)
		return append(b, '}')
	},
}

// exhausted is a list, of which more values than most have a name in Neutron.
func exhausted[V any](kind, attr string, t valueType[[]V], most int) valueType[[]V] {
	parse := t.parse
	t.parse = func(v any) ([]V, error) {
		if items, ok := v.([]any); ok && len(items) > most {
			return nil, invalid(kind, "Unable to complete operation. The number of %s, %d, exceeds the limit %d.", attr, len(items), most)
		}
		return parse(v)
	}
	return t
}

// ipv6Mode is a mode or null, which is empty inside.
var ipv6Mode = orNull(oneOf(intent.SLAAC, intent.DHCPv6Stateful, intent.DHCPv6Stateless))

// hostRoute is {"destination": prefix, "nexthop": address}.
var hostRoute = valueType[intent.Route]{
	name: `{"destination": IP prefix, "nexthop": IP address}`,
	shows: objectOf(map[string]schema{"destination": prefixSchema, "nexthop": ipSchema}).closed().
		with(schema{"examples": []any{map[string]any{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}}}),
	parse: func(v any) (r intent.Route, err error) {
		o, ok := v.(object)
		destination, hasDestination := o.get("destination")
		hop, hasHop := o.get("nexthop")
		if !ok || !hasDestination || !hasHop || len(o) != 2 {
			return r, fmt.Errorf("%s is not an object with destination and nexthop", show(v))
		}
		if r.Destination, err = readPrefix(destination); err != nil {
			return r, err
		}
		if r.Destination != r.Destination.Masked() {
			return r, fmt.Errorf("%s isn't a recognized IP subnet cidr, '%s' is recommended", show(destination), r.Destination.Masked())
		}
		r.NextHop, err = readIP(hop)
		return r, err
	},
	append: func(b []byte, r intent.Route) []byte {
		b = append(b, `{"destination":`...)
		b = appendPrefix(b, r.Destination)
		b = append(b, `,"nexthop":`...)
		b = appendIP(b, r.NextHop)
		return append(b, '}')
	},
}

var serviceTypeForm = regexp.MustCompile(`^[a-z][a-z0-9_-]*:`)

// serviceType is the start of what a device_owner can be. Neutron means to take those
// that it knows, network, compute, baremetal and trunk, but takes others, and its clients use these.
var serviceType = valueType[string]{
	name:  "device_owner: network:…, compute:… or the like",
	shows: matching(serviceTypeForm.String()).with(schema{"maxLength": 255, "examples": []any{"compute:nova"}}),
	parse: func(v any) (string, error) {
		s, err := text(255).parse(v)
		if err != nil {
			return "", err
		}
		if !serviceTypeForm.MatchString(s) {
			return "", fmt.Errorf("Subnet service type %s does not correspond to a valid device owner", show(s))
		}
		return s, nil
	},
	append: appendString,
}

// Prefixes that no instance can have an address of.
var unusable = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("ff00::/8"),
}

// checkSubnet fills in what the client left to the server. Pools against prefix
// and gateway are for the store to check, which knows them all at an update.
func checkSubnet(before, s *subnet, given given) error {
	if before == nil {
		if err := checkSource(s, given); err != nil {
			return err
		}
		s.autoGateway = !given["gateway_ip"]
	}
	if s.Gateway.IsValid() {
		if err := sameFamily(s, "gateway_ip", s.Gateway); err != nil {
			return err
		}
	}
	for i, a := range s.Nameservers {
		if err := sameFamily(s, "dns_nameservers", a); err != nil {
			return err
		}
		if slices.Contains(s.Nameservers[:i], a) {
			return invalidValue("dns_nameservers", "%s is given twice", a)
		}
	}
	for i, r := range s.HostRoutes {
		if err := sameFamily(s, "destination", r.Destination.Addr()); err != nil {
			return err
		}
		if err := sameFamily(s, "nexthop", r.NextHop); err != nil {
			return err
		}
		if slices.Contains(s.HostRoutes[:i], r) {
			return invalidValue("host_routes", "Duplicate hostroute '%s via %s'", r.Destination, r.NextHop)
		}
	}
	for i, t := range s.ServiceTypes {
		if slices.Contains(s.ServiceTypes[:i], t) {
			return invalidValue("service_types", "Duplicate item '%s' in the list", t)
		}
	}
	return nil
}

// checkSource says what is wrong with where the prefix is to come from.
func checkSource(s *subnet, given given) error {
	wrong := func(what string) error { return invalid("BadRequest", "Bad subnets request: %s.", what) }
	switch {
	case s.defaultPool && s.PoolID != "":
		return wrong("subnetpool_id and use_default_subnetpool cannot both be specified")
	case s.CIDR.IsValid() && given["prefixlen"]:
		return wrong("cidr and prefixlen must not be supplied together")
	case s.CIDR.IsValid():
		return checkCIDR(s)
	case !s.defaultPool && s.PoolID == "":
		return wrong("a subnetpool must be specified in the absence of a cidr")
	}
	return nil
}

func checkCIDR(s *subnet) error {
	if err := sameFamily(s, "cidr", s.CIDR.Addr()); err != nil {
		return err
	}
	if s.CIDR.Bits() == 0 {
		return invalidValue("cidr", "0 is not allowed as CIDR prefix length")
	}
	for _, p := range unusable {
		if p.Overlaps(s.CIDR) {
			return invalidValue("cidr", "%s has addresses of %s, which no instance can have", s.CIDR, p)
		}
	}
	return nil
}

func sameFamily(s *subnet, attr string, a netip.Addr) error {
	if a.Is6() != (s.version == 6) {
		return invalid("InvalidInput", "Invalid input for operation: %s '%s' does not match the ip_version '%d'.", attr, a, s.version)
	}
	return nil
}
