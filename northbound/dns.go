package northbound

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/macloom/macloom/controller/store"
)

const (
	maxDomain = 255 // octets of a name in DNS, RFC 1035 §2.3.4
	// localDomain is what the names of ports end in, as in a Neutron that has
	// not been told otherwise.
	localDomain = "openstacklocal."
)

// dnsText is a name as readName reads it.
const dnsText = `[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?)*`

// notAName ends in a number, as addresses do.
var notAName = matching(`\.[0-9]+\.?$`)

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// readName reads a domain name, without regard to case.
func readName(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%s is not a valid string", show(v))
	}
	s = strings.ToLower(s)
	if s == "" {
		return "", nil
	}
	if len(s) > maxDomain {
		return "", fmt.Errorf("%s exceeds the %d character FQDN limit", show(s), maxDomain)
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	if last := labels[len(labels)-1]; len(labels) > 1 && strings.Trim(last, "0123456789") == "" {
		return "", fmt.Errorf("%s not a valid PQDN or FQDN. Reason: TLD '%s' must not be all numeric", show(s), clip(last))
	}
	for _, label := range labels {
		if !dnsLabel.MatchString(label) {
			return "", fmt.Errorf("%s not a valid PQDN or FQDN. Reason: Name '%s' must be 1-63 characters long, each of which can only be alphanumeric or a hyphen", show(s), clip(label))
		}
	}
	return s, nil
}

// dnsName is the name of a host, or empty.
var dnsName = valueType[string]{
	name:  "DNS name of a host; empty: none",
	shows: matching(`^(` + dnsText + `\.?)?$`).with(schema{"not": notAName, "maxLength": maxDomain, "examples": []any{"web-1"}}),
	parse: readName, append: appendString,
}

// dnsDomain is a full domain name, or empty.
var dnsDomain = valueType[string]{
	name:  "DNS domain that ends in a dot; empty: none",
	shows: matching(`^(` + dnsText + `\.)?$`).with(schema{"not": notAName, "maxLength": maxDomain, "examples": []any{"example.org."}}),
	parse: func(v any) (string, error) {
		s, err := readName(v)
		if err == nil && s != "" && !strings.HasSuffix(s, ".") {
			err = fmt.Errorf("%s is not a FQDN", show(s))
		}
		return s, err
	},
	append: appendString,
}

// dnsRecord is the name that an address of a port has.
type dnsRecord struct {
	addr netip.Addr
	name string // of the port; empty: the address has one of its own
}

// dnsRecords are the names of a port.
func dnsRecords(p *store.NewPort) []dnsRecord {
	records := make([]dnsRecord, len(p.FixedIPs))
	for i, ip := range p.FixedIPs {
		records[i] = dnsRecord{ip.Addr, p.Extras.DNSName}
	}
	return records
}

// appendHostname writes the name of a host in a domain, or without one. That of
// an address is spelt in place: every port of a list has one.
func (r dnsRecord) appendHostname(b []byte, domain string) []byte {
	if r.name != "" {
		if strings.HasSuffix(r.name, ".") {
			domain = ""
		}
		return appendString(b, r.name+domain)
	}
	b = append(b, `"host-`...)
	from := len(b)
	b = r.addr.AppendTo(b)
	for i := from; i < len(b); i++ {
		if b[i] == '.' || b[i] == ':' {
			b[i] = '-'
		}
	}
	return append(append(b, domain...), '"')
}

// dnsAssignment is shown only.
var dnsAssignment = valueType[dnsRecord]{
	name:  `{"ip_address": IP address, "hostname": string, "fqdn": string}`,
	shows: objectOf(map[string]schema{"ip_address": ipSchema, "hostname": text(maxDomain).shows, "fqdn": text(2 * maxDomain).shows}),
	append: func(b []byte, r dnsRecord) []byte {
		b = append(b, `{"ip_address":`...)
		b = appendIP(b, r.addr)
		b = append(b, `,"hostname":`...)
		b = r.appendHostname(b, "")
		b = append(b, `,"fqdn":`...)
		b = r.appendHostname(b, "."+localDomain)
		return append(b, '}')
	},
}
