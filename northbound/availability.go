package northbound

import (
	"math/big"
	"strconv"

	"github.com/macloom/macloom/controller/store"
)

// bigCount is a count that may be too large for 64 bits; shown only.
var bigCount = valueType[*big.Int]{
	name:   "integer",
	shows:  whole,
	append: func(b []byte, n *big.Int) []byte { return n.Append(b, 10) },
}

// subnetAvailability is shown only.
var subnetAvailability = valueType[store.SubnetAvailability]{
	name: `{"subnet_id": UUID, "subnet_name": string, "cidr": IP prefix, "ip_version": 4 or 6, "total_ips": integer, "used_ips": integer}`,
	shows: objectOf(map[string]schema{
		"subnet_id": uuidSchema, "subnet_name": {"type": "string"}, "cidr": prefixSchema, "ip_version": chosen("integer", 4, 6), "total_ips": whole, "used_ips": whole,
	}),
	append: func(b []byte, s store.SubnetAvailability) []byte {
		b = append(b, `{"subnet_id":`...)
		b = appendString(b, s.ID)
		b = append(b, `,"subnet_name":`...)
		b = appendString(b, s.Name)
		b = append(b, `,"cidr":`...)
		b = appendPrefix(b, s.CIDR)
		b = append(b, `,"ip_version":`...)
		b = append(b, map[bool]byte{true: '4', false: '6'}[s.CIDR.Addr().Is4()])
		b = append(b, `,"total_ips":`...)
		b = s.Total.Append(b, 10)
		b = append(b, `,"used_ips":`...)
		b = strconv.AppendInt(b, s.Used, 10)
		return append(b, '}')
	},
}

func availabilities(st *store.Store) *collection[store.NetworkAvailability] {
	type network = store.NetworkAvailability
	found := access{filter: true}
	return &collection[network]{
		single: "network_ip_availability", plural: "network_ip_availabilities", path: "network-ip-availabilities", kind: store.KindNetwork, keyAttr: "network_id",
		silent: true,
		doc:    "How many addresses a network has in the allocation pools of its subnets, and how many of its subnets are in use.",
		attributes: table[network]{
			derived("network_id", id, func(n *network) string { return n.NetworkID }, access{filter: true, sort: true}, "The network."),
			derived("network_name", text(255), func(n *network) string { return n.Name }, found, "Its name."),
			derived("tenant_id", text(255), func(n *network) string { return n.TenantID }, found, "Its owner."),
			derived("project_id", text(255), func(n *network) string { return n.TenantID }, found, "The same as `tenant_id`, in newer words."),
			derived("total_ips", bigCount, func(n *network) *big.Int {
				total := new(big.Int)
				for _, s := range n.Subnets {
					total.Add(total, s.Total)
				}
				return total
			}, access{}, "Addresses in all pools."),
			derived("used_ips", number[int64](0, 1<<62), func(n *network) (used int64) {
				for _, s := range n.Subnets {
					used += s.Used
				}
				return used
			}, access{}, "Addresses in use, in and outside of the pools."),
			derived("subnet_ip_availability", list(subnetAvailability, 0), func(n *network) []store.SubnetAvailability { return n.Subnets }, access{}, "The same of each subnet."),
			derived("ip_version", oneNumber(4, 6), func(*network) int { return 0 }, access{seen: nobody, filter: true}, "Counts only the subnets of this version, of networks that have some."),
		},
		readBy:  admins,
		backend: backend[network]{list: st.Availabilities, get: st.Availability},
	}
}
