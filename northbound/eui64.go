package northbound

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// eui64Text is the Modified EUI-64 of an address as RFC 4291 writes it:
// 36-56-78-ff-fe-9a-bc-de.
func eui64Text(a mac.Addr) string {
	id := a.EUI64()
	b := make([]byte, 0, 3*len(id))
	for i := range id {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, id[i:i+1])
	}
	return string(b)
}

// formed is an address that a station forms by itself in a prefix.
type formed struct {
	subnet string // empty: the prefix was given
	prefix netip.Prefix
	addr   netip.Addr
}

// maxPrefixes bounds subnet_id and prefix in one question.
const maxPrefixes = 100

func (s *server) eui64Actions() group {
	return group{"eui64", "The IPv6 addresses that stations form of a MAC address, and back.", []action{{
		method: http.MethodGet, path: "/eui64", serve: s.serveEUI64, doc: "Give one of `mac`, `address` and `port_id`.",
		query: []parameter{
			{name: "mac", doc: "The MAC address.", value: macSchema}, {name: "address", doc: "An IPv6 address that was formed of it.", value: schema{"type": "string", "format": "ipv6"}},
			{name: "port_id", doc: "The port that has it; in the subnets of the port.", value: uuidSchema},
			{name: "subnet_id", doc: "A subnet to form an address in.", value: uuidSchema, many: true}, {name: "prefix", doc: "A prefix to form an address in.", value: prefixSchema, many: true},
		},
		gives: asJSON(under("eui64", objectOf(map[string]schema{
			"mac_address": macSchema, "interface_id": {"type": "string"}, "link_local": ipSchema, "addresses": list(formedAddress, 0).shows,
		}))),
	}}}
}

// serveEUI64 answers GET /v2.0/eui64: what addresses a station forms of its MAC
// address, and back.
func (s *server) serveEUI64(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("Invalid query string: %v", err)
	}
	if err := knownQuery(query, "mac", "address", "port_id", "subnet_id", "prefix"); err != nil {
		return err
	}
	sc := principalOf(r.Context()).scope()
	station, found, err := s.stationOf(r.Context(), sc, query)
	if err != nil {
		return err
	}
	if len(query["subnet_id"])+len(query["prefix"]) > maxPrefixes {
		return invalidValue("subnet_id", "more than %d subnets and prefixes at once", maxPrefixes)
	}
	for _, text := range query["subnet_id"] {
		canonical, err := readUUID(text)
		if err != nil {
			return invalidValue("subnet_id", "%v", err)
		}
		subnet, err := s.store.Subnet(r.Context(), sc, canonical)
		if err != nil {
			return err
		}
		addr, ok := station.SLAAC(subnet.CIDR)
		if !ok {
			return invalidValue("subnet_id", "%s is %s; stations form addresses in IPv6 prefixes of 64 bits only", canonical, subnet.CIDR)
		}
		found = append(found, formed{canonical, subnet.CIDR, addr})
	}
	for _, text := range query["prefix"] {
		prefix, err := readPrefix(text)
		if err != nil {
			return invalidValue("prefix", "%v", err)
		}
		addr, ok := station.SLAAC(prefix.Masked())
		if !ok {
			return invalidValue("prefix", "%s: stations form addresses in IPv6 prefixes of 64 bits only", prefix)
		}
		found = append(found, formed{"", prefix.Masked(), addr})
	}
	b := append([]byte(nil), `{"eui64":{"mac_address":`...)
	b = appendMAC(b, station)
	b = append(b, `,"interface_id":`...)
	b = appendString(b, eui64Text(station))
	b = append(b, `,"link_local":`...)
	b = appendIP(b, station.LinkLocal())
	b = append(b, `,"addresses":`...)
	b = list(formedAddress, 0).append(b, found)
	writeJSON(w, http.StatusOK, append(b, "}}"...))
	return nil
}

// formedAddress is shown only.
var formedAddress = valueType[formed]{
	shows: objectOf(map[string]schema{"subnet_id": uuidSchema.orNull(), "prefix": prefixSchema, "address": ipSchema}),
	append: func(b []byte, f formed) []byte {
		b = append(b, `{"subnet_id":`...)
		b = idOrNull.append(b, f.subnet)
		b = append(b, `,"prefix":`...)
		b = appendPrefix(b, f.prefix)
		b = append(b, `,"address":`...)
		b = appendIP(b, f.addr)
		return append(b, '}')
	},
}

// stationOf finds the MAC address that a question is about and, of a port, the
// addresses in its subnets.
func (s *server) stationOf(ctx context.Context, sc store.Scope, query url.Values) (a mac.Addr, found []formed, err error) {
	if len(query["mac"])+len(query["address"])+len(query["port_id"]) != 1 {
		return 0, nil, badRequest("Give one of mac=MAC ADDRESS, address=IPv6 ADDRESS, port_id=ID")
	}
	switch {
	case query.Has("mac"):
		if a, err = station.parse(query.Get("mac")); err != nil {
			return 0, nil, invalidValue("mac", "%v", err)
		}
		return a, nil, nil
	case query.Has("address"):
		ip, err := readIP(query.Get("address"))
		if err != nil || !ip.Is6() {
			return 0, nil, invalidValue("address", "%s is not an IPv6 address", show(query.Get("address")))
		}
		a, ok := mac.FromEUI64(ip)
		if !ok || a.IsGroup() {
			return 0, nil, invalidValue("address", "the interface identifier of %s was not formed of a MAC address: it has no ff:fe in the middle, or the group bit", ip)
		}
		return a, nil, nil
	}
	canonical, err := readUUID(query.Get("port_id"))
	if err != nil {
		return 0, nil, invalidValue("port_id", "%v", err)
	}
	port, err := s.store.Port(ctx, sc, canonical)
	if err != nil {
		return 0, nil, err
	}
	for _, ip := range port.FixedIPs {
		subnet, err := s.store.Subnet(ctx, sc, ip.SubnetID)
		if err != nil {
			return 0, nil, err
		}
		if addr, ok := port.MAC.SLAAC(subnet.CIDR); ok {
			found = append(found, formed{subnet.ID, subnet.CIDR, addr})
		}
	}
	return port.MAC, found, nil
}

// knownQuery refuses words of a query string that would do nothing.
func knownQuery(query url.Values, words ...string) error {
	for name := range query {
		if !slices.Contains(words, name) {
			return badRequest("['%s'] is not a parameter here; the parameters are %s", clip(name), strings.Join(words, ", "))
		}
	}
	return nil
}
