package respond

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/insomniacslk/dhcp/rfc1035label"

	"github.com/macloom/macloom/controller/intent"
)

// shape is how the value of an option is written.
type shape uint8

const (
	anyShape shape = iota // as the value looks
	text
	addresses
	number8
	number16
	number32
	names // domain names (RFC 1035)
	bytes // hexadecimal
	routes
)

// nextServer stands for the field of DHCPv4 that no option has: siaddr.
const nextServer = 255

type option struct {
	code  uint8
	shape shape
}

// options4 are the options of DHCPv4 by the names that dnsmasq, and so Neutron, has for them.
var options4 = map[string]option{
	"netmask": {1, addresses}, "time-offset": {2, number32}, "router": {3, addresses}, "dns-server": {6, addresses}, "log-server": {7, addresses},
	"lpr-server": {9, addresses}, "hostname": {12, text}, "boot-file-size": {13, number16}, "domain-name": {15, text}, "swap-server": {16, addresses},
	"root-path": {17, text}, "extension-path": {18, text}, "ip-forward-enable": {19, number8}, "non-local-source-routing": {20, number8},
	"policy-filter": {21, addresses}, "max-datagram-reassembly": {22, number16}, "default-ttl": {23, number8}, "mtu": {26, number16},
	"all-subnets-local": {27, number8}, "broadcast": {28, addresses}, "router-discovery": {31, number8}, "router-solicitation": {32, addresses},
	"static-route": {33, addresses}, "trailer-encapsulation": {34, number8}, "arp-timeout": {35, number32}, "ethernet-encap": {36, number8},
	"tcp-ttl": {37, number8}, "tcp-keepalive": {38, number32}, "nis-domain": {40, text}, "nis-server": {41, addresses}, "ntp-server": {42, addresses},
	"vendor-encap": {43, bytes}, "netbios-ns": {44, addresses}, "netbios-dd": {45, addresses}, "netbios-nodetype": {46, number8}, "netbios-scope": {47, text},
	"x-windows-fs": {48, addresses}, "x-windows-dm": {49, addresses}, "lease-time": {51, number32}, "t1": {58, number32}, "t2": {59, number32},
	"nis+-domain": {64, text}, "nis+-server": {65, addresses}, "tftp-server": {66, text}, "bootfile-name": {67, text}, "mobile-ip-home": {68, addresses},
	"smtp-server": {69, addresses}, "pop3-server": {70, addresses}, "nntp-server": {71, addresses}, "irc-server": {74, addresses},
	"domain-search": {119, names}, "classless-static-route": {121, routes}, "tftp-server-address": {150, addresses}, "server-ip-address": {nextServer, addresses},
}

// options6 are those of DHCPv6.
var options6 = map[string]option{
	"dns-server": {23, addresses}, "domain-search": {24, names}, "nis-server": {27, addresses}, "nis+-server": {28, addresses},
	"nis-domain": {29, names}, "nis+-domain": {30, names}, "sntp-server": {31, addresses}, "information-refresh-time": {32, number32},
	"bootfile-url": {59, text}, "bootfile-param": {60, bytes},
}

// option4 encodes an option of a port for DHCPv4.
func option4(o intent.DHCPOption) (code uint8, value []byte, ok bool) {
	if o.Version != 4 {
		return 0, nil, false
	}
	code, value, ok = encode(options4, o, netip.Addr.Is4)
	return code, value, ok && len(value) <= 255 && (code != nextServer || len(value) == 4)
}

// option6 encodes an option of a port for DHCPv6.
func option6(o intent.DHCPOption) (code uint8, value []byte, ok bool) {
	if o.Version != 6 {
		return 0, nil, false
	}
	return encode(options6, o, netip.Addr.Is6)
}

// encode writes the value of an option that is named or numbered. What is no such value is left out.
func encode(known map[string]option, o intent.DHCPOption, family func(netip.Addr) bool) (code uint8, value []byte, ok bool) {
	name := strings.TrimPrefix(strings.ToLower(o.Name), "option:")
	opt, named := known[name]
	if !named {
		n, err := strconv.ParseUint(name, 10, 8)
		if err != nil || n == 0 || n == 255 {
			return 0, nil, false
		}
		opt = option{code: uint8(n)}
		for _, k := range known {
			if k.code == opt.code {
				opt = k
			}
		}
	}
	value, ok = encodeValue(opt.shape, strings.TrimSpace(o.Value), family)
	return opt.code, value, ok && len(value) > 0
}

func encodeValue(s shape, v string, family func(netip.Addr) bool) ([]byte, bool) {
	switch s {
	case anyShape:
		// Addresses, a number, octets, or else a text, as dnsmasq takes it.
		for _, s := range []shape{addresses, number8, number16, number32, bytes} {
			if b, ok := encodeValue(s, v, family); ok {
				return b, true
			}
		}
		return []byte(v), true
	case text:
		return []byte(v), true
	case addresses:
		return addressList(v, family)
	case number8, number16, number32:
		width := map[shape]int{number8: 1, number16: 2, number32: 4}[s]
		n, err := strconv.ParseUint(v, 10, 8*width)
		return binary.BigEndian.AppendUint32(nil, uint32(n))[4-width:], err == nil
	case names:
		list := strings.FieldsFunc(v, separator)
		for _, name := range list {
			for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
				if len(label) == 0 || len(label) > 63 {
					return nil, false
				}
			}
		}
		return (&rfc1035label.Labels{Labels: list}).ToBytes(), len(list) > 0
	case bytes:
		v, prefixed := strings.CutPrefix(v, "0x")
		if !prefixed && !strings.Contains(v, ":") {
			return nil, false
		}
		b, err := hex.DecodeString(strings.ReplaceAll(v, ":", ""))
		return b, err == nil
	case routes:
		return routeList(v)
	}
	return nil, false
}

func separator(r rune) bool { return r == ',' || r == ' ' || r == ';' }

func addressList(v string, family func(netip.Addr) bool) (b []byte, ok bool) {
	for _, f := range strings.FieldsFunc(v, separator) {
		a, err := netip.ParseAddr(strings.Trim(f, "[]"))
		if err != nil || !family(a) || a.Zone() != "" {
			return nil, false
		}
		b = append(b, a.AsSlice()...)
	}
	return b, len(b) > 0
}

// routeList reads destination and next hop by turns.
func routeList(v string) (b []byte, ok bool) {
	fields := strings.FieldsFunc(v, separator)
	for ; len(fields) >= 2; fields = fields[2:] {
		to, err := netip.ParsePrefix(fields[0])
		via, err2 := netip.ParseAddr(fields[1])
		if err != nil || err2 != nil || !to.Addr().Is4() || !via.Is4() {
			return nil, false
		}
		b = append(b, byte(to.Bits()))
		b = append(b, to.Masked().Addr().AsSlice()[:(to.Bits()+7)/8]...)
		b = append(b, via.AsSlice()...)
	}
	return b, len(b) > 0 && len(fields) == 0
}
