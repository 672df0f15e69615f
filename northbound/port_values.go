package northbound

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

const (
	maxPairs   = 10  // as in Neutron
	maxListed  = 100 // entries of a list that is checked entry by entry
	maxProfile = 4095
)

var vnicTypes = []string{
	"normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic", "vdpa",
	"accelerator-direct", "accelerator-direct-physical", "remote-managed",
}

// askedHost is where binding:host_id is kept: what was asked for, or where an
// interface has bound the port if nothing was.
func askedHost(p *store.NewPort) *string {
	if p.AskedHost != "" && p.Binding.Host != p.AskedHost {
		return &p.AskedHost
	}
	return &p.Binding.Host
}

// hostID is a datapath id, in lower case, the name of a host, or empty: none.
var hostID = valueType[string]{
	name:  "datapath id of a switch, 16 hex digits, or name of a host; empty or null: unbound",
	shows: text(255).shows,
	takes: text(255).shows.with(schema{"examples": []any{"00000000000000a1", "compute-1"}}).orNull(),
	parse: func(v any) (string, error) {
		if v == nil {
			return "", nil
		}
		s, err := text(255).parse(v)
		if err != nil {
			return "", err
		}
		if d, err := intent.ParseDPID(s); err == nil {
			return d.String(), nil
		}
		return s, nil
	},
	append: appendString,
	filter: func(s string) (string, bool, error) {
		if d, err := intent.ParseDPID(s); err == nil {
			return d.String(), true, nil
		}
		return s, true, nil
	},
}

// vifDetails follows from the type.
var vifDetails = valueType[string]{
	name:  "object",
	shows: schema{"type": "object"},
	append: func(b []byte, vif string) []byte {
		if vif != "ovs" {
			return append(b, "{}"...)
		}
		return append(b, `{"connectivity":"l2","port_filter":true}`...)
	},
}

// plug names a port of a switch: by name, by OpenFlow number, or not at all;
// with it comes what others keep in binding:profile.
type plug struct {
	interfaceName string
	portNo        uint32
	rest          string // a JSON object, or empty
}

var plugSchema = objectOf(map[string]schema{"interface_name?": filled(255).shows, "port_no?": between(1, maxOFPort)}).
	with(schema{"additionalProperties": true, "not": schema{"required": []string{"interface_name", "port_no"}}, "examples": []any{map[string]any{"port_no": 3, "card": "pci-7"}}})

// profile is an object of which interface_name and port_no mean something.
var profile = valueType[plug]{
	name:  `object, with "interface_name": string or "port_no": integer; {} or null: none`,
	shows: plugSchema,
	takes: plugSchema.orNull(),
	parse: func(v any) (p plug, err error) {
		if v == nil {
			return p, nil
		}
		o, ok := v.(object)
		if !ok {
			return p, fmt.Errorf("%s is not a dictionary", show(v))
		}
		rest := object{}
		for _, m := range o {
			switch m.key {
			case "interface_name":
				p.interfaceName, err = filled(255).parse(m.value)
			case "port_no":
				p.portNo, err = number[uint32](1, maxOFPort).parse(m.value)
			default:
				rest = append(rest, m)
			}
			if err != nil {
				return p, fmt.Errorf("%s: %w", clip(m.key), err)
			}
		}
		if p.interfaceName != "" && p.portNo != 0 {
			return p, fmt.Errorf("give one of interface_name and port_no, not both")
		}
		if len(rest) > 0 {
			p.rest = string(appendValue(nil, rest))
		}
		if len(p.rest) > maxProfile {
			return p, fmt.Errorf("it is longer than %d octets", maxProfile)
		}
		return p, nil
	},
	append: func(b []byte, p plug) []byte {
		b = append(b, '{')
		switch {
		case p.interfaceName != "":
			b = append(b, `"interface_name":`...)
			b = appendString(b, p.interfaceName)
		case p.portNo != 0:
			b = append(b, `"port_no":`...)
			b = strconv.AppendUint(b, uint64(p.portNo), 10)
		}
		if p.rest != "" {
			if b[len(b)-1] != '{' {
				b = append(b, ',')
			}
			return append(b, p.rest[1:]...)
		}
		return append(b, '}')
	},
}

// appendValue writes a parsed JSON value as it was.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		return append(b, v...)
	case string:
		return appendString(b, v)
	case []any:
		return list(valueType[any]{append: appendValue}, 0).append(b, v)
	}
	b = append(b, '{')
	for i, m := range v.(object) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, m.key), ':')
		b = appendValue(b, m.value)
	}
	return append(b, '}')
}

// addressPair is {"ip_address": address or prefix, "mac_address": address or prefix}.
var addressPair = valueType[intent.AddressPair]{
	name:  `{"ip_address": IP address or prefix, "mac_address": MAC address or prefix}`,
	shows: objectOf(map[string]schema{"ip_address": anyOf(ipSchema, prefixSchema), "mac_address": anyOf(macSchema, macPrefixSchema)}),
	takes: objectOf(map[string]schema{"ip_address": anyOf(ipSchema, prefixSchema), "mac_address?": anyOf(station.taken(), macPrefixSchema).orNull()}).closed().
		with(schema{"examples": []any{map[string]any{"ip_address": "10.0.0.100"}}}),
	parse: func(v any) (pair intent.AddressPair, err error) {
		o, ok := v.(object)
		if !ok {
			return pair, fmt.Errorf("%s is not an object with ip_address", show(v))
		}
		for _, m := range o {
			switch m.key {
			case "ip_address":
				pair.Address, err = readAddressOrPrefix(m.value)
			case "mac_address":
				if m.value != nil {
					pair.MAC, pair.MACBits, err = readStations(m.value)
				}
			default:
				err = fmt.Errorf("unexpected key '%s'; the keys are ip_address and mac_address", clip(m.key))
			}
			if err != nil {
				return pair, err
			}
		}
		if pair.Address == "" {
			return pair, fmt.Errorf("AllowedAddressPair must contain ip_address")
		}
		return pair, nil
	},
	append: func(b []byte, pair intent.AddressPair) []byte {
		b = append(b, `{"ip_address":`...)
		b = appendString(b, pair.Address)
		b = append(b, `,"mac_address":`...)
		b = appendString(b, stationWords(pair))
		return append(b, '}')
	},
}

// readStations reads a MAC address, or a prefix with its length; 0: an address.
func readStations(v any) (a mac.Addr, bits int, err error) {
	if s, _ := v.(string); !strings.Contains(s, "/") {
		if a, err = station.parse(v); err != nil {
			err = fmt.Errorf("mac_address: %w; a prefix is written BASE/BITS, such as 52:54:00:00:00:00/24", err)
		}
		return a, 0, err
	}
	block, err := macPrefix.parse(v)
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("mac_address: %w", err)
	case block.Bits() < mac.MaxPrefixLen:
		return block.Base(), block.Bits(), nil
	case block.Base() == 0:
		return 0, 0, fmt.Errorf("mac_address: %s is not the address of a station", show(v))
	}
	return block.Base(), 0, nil
}

// readAddressOrPrefix reads what may be either, and keeps which it was.
func readAddressOrPrefix(v any) (string, error) {
	if a, err := readIP(v); err == nil {
		return a.String(), nil
	}
	p, err := readPrefix(v)
	if err != nil {
		return "", fmt.Errorf("%s is neither a valid IP address, nor is it a valid IP subnet", show(v))
	}
	return p.String(), nil
}

// shownPairs are the pairs of a port with the MAC addresses that count.
func shownPairs(p *store.NewPort) []intent.AddressPair {
	pairs := slices.Clone(p.Extras.Pairs)
	for i := range pairs {
		if pairs[i].MAC == 0 {
			pairs[i].MAC = p.MAC
		}
	}
	return pairs
}

// stationWords is the MAC or the MAC prefix of a shown pair.
func stationWords(pair intent.AddressPair) string {
	if pair.MACBits == 0 {
		return pair.MAC.String()
	}
	return pair.Block(0).String()
}

func checkPairs(p *store.NewPort) error {
	if len(p.Extras.Pairs) > maxPairs {
		return invalid("AllowedAddressPairExhausted", "The number of allowed address pair exceeds the maximum %d (allowed_address_pairs).", maxPairs)
	}
	type key struct {
		address string
		station string
	}
	seen := map[key]bool{}
	for _, pair := range shownPairs(p) {
		k := key{pair.Prefix().String(), stationWords(pair)}
		if seen[k] {
			return invalid("DuplicateAddressPairInRequest", "Request contains duplicate address pair: mac_address %s ip_address %s (allowed_address_pairs).", stationWords(pair), pair.Address)
		}
		seen[k] = true
	}
	return nil
}

// dhcpChange is an option to set or, without a value, to remove.
type dhcpChange struct {
	intent.DHCPOption
	remove bool
}

// dhcpOption is {"opt_name": string, "opt_value": string or null, "ip_version": 4 or 6}.
var dhcpOption = valueType[dhcpChange]{
	name:  `{"opt_name": string, "opt_value": string or null, "ip_version": 4 or 6}`,
	shows: objectOf(map[string]schema{"opt_name": filled(64).shows, "opt_value": filled(255).shows, "ip_version": chosen("integer", 4, 6)}),
	takes: objectOf(map[string]schema{"opt_name": filled(64).shows, "opt_value": filled(255).shows.orNull(), "ip_version?": chosen("integer", 4, 6)}).closed().
		with(schema{"examples": []any{map[string]any{"opt_name": "bootfile-name", "opt_value": "pxelinux.0"}}}),
	parse: func(v any) (d dhcpChange, err error) {
		o, ok := v.(object)
		value, hasValue := o.get("opt_value")
		if _, hasName := o.get("opt_name"); !ok || !hasName || !hasValue {
			return d, fmt.Errorf("%s is not an object with opt_name and opt_value", show(v))
		}
		d.Version, d.remove = 4, value == nil
		for _, m := range o {
			switch {
			case m.key == "opt_name":
				d.Name, err = filled(64).parse(m.value)
			case m.key == "opt_value" && !d.remove:
				d.Value, err = filled(255).parse(m.value)
			case m.key == "ip_version":
				d.Version, err = oneNumber(4, 6).parse(m.value)
			case m.key != "opt_value":
				err = fmt.Errorf("unexpected key; the keys are opt_name, opt_value and ip_version")
			}
			if err != nil {
				return d, fmt.Errorf("%s: %w", clip(m.key), err)
			}
		}
		return d, nil
	},
	append: func(b []byte, d dhcpChange) []byte {
		b = append(b, `{"opt_name":`...)
		b = appendString(b, d.Name)
		b = append(b, `,"opt_value":`...)
		b = appendString(b, d.Value)
		b = append(b, `,"ip_version":`...)
		b = strconv.AppendInt(b, int64(d.Version), 10)
		return append(b, '}')
	},
}

func shownOptions(options []intent.DHCPOption) []dhcpChange {
	return each(options, func(o intent.DHCPOption) dhcpChange { return dhcpChange{DHCPOption: o} })
}

// mergeOptions changes options by name and address family.
func mergeOptions(options []intent.DHCPOption, changes []dhcpChange) []intent.DHCPOption {
	options = slices.Clone(options)
	for _, c := range changes {
		at := slices.IndexFunc(options, func(o intent.DHCPOption) bool { return o.Name == c.Name && o.Version == c.Version })
		switch {
		case at < 0 && !c.remove:
			options = append(options, c.DHCPOption)
		case at >= 0 && c.remove:
			options = slices.Delete(options, at, at+1)
		case at >= 0:
			options[at] = c.DHCPOption
		}
	}
	if len(options) == 0 {
		return nil
	}
	return options
}
