package cli

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newInventory(env Environment) *cobra.Command {
	conn := newConnection(env)
	cmd := &cobra.Command{
		Use: "inventory", Short: "Show the instances as a dynamic inventory of Ansible", Args: cobra.NoArgs,
		Long: `Show the instances as a dynamic inventory of Ansible: every device_id that has
ports, in groups by tenant, network, MAC segment and host, with its addresses
and ports as variables.`,
		Example: "  macloom inventory --list\n  macloom inventory --host web-1",
	}
	var list bool
	var host, tenant string
	f := cmd.Flags()
	f.BoolVar(&list, "list", false, "show all groups, hosts and variables")
	f.StringVar(&host, "host", "", "show the variables of one host")
	f.StringVar(&tenant, "tenant", "", "only instances of a tenant (MACLOOM_INVENTORY_TENANT)")
	cmd.MarkFlagsOneRequired("list", "host")
	cmd.MarkFlagsMutuallyExclusive("list", "host")
	conn.run(cmd, nil, func(c *call) error {
		if !c.flags.Changed("tenant") {
			tenant = conn.env.Getenv("MACLOOM_INVENTORY_TENANT") // Ansible gives no flags of its own
		}
		cloud, err := readCloud(c, tenant)
		if err != nil {
			return err
		}
		inventory := cloud.inventory()
		var shown any = inventory.list()
		if !list {
			vars, ok := inventory.vars[host]
			if !ok {
				return fmt.Errorf("there is no instance %q", host)
			}
			shown = vars
		}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(shown); err != nil {
			return fmt.Errorf("inventory: %w", err)
		}
		_, err = c.stdout.Write(b.Bytes())
		return err
	})
	return conn.attach(cmd)
}

// cloudPort is what an inventory uses of a port.
type cloudPort struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Tenant      string `json:"tenant_id"`
	Device      string `json:"device_id"`
	DeviceOwner string `json:"device_owner"`
	Network     string `json:"network_id"`
	Segment     string `json:"segment_id"`
	MAC         string `json:"mac_address"`
	Status      string `json:"status"`
	Host        string `json:"binding:host_id"`
	FixedIPs    []struct {
		Address string `json:"ip_address"`
	} `json:"fixed_ips"`
}

// cloud is what an inventory is made of.
type cloud struct {
	ports []cloudPort
	names map[string]map[string]string // of tenants, networks, segments and hosts, by id
}

func readCloud(c *call, tenant string) (*cloud, error) {
	cl := &cloud{names: map[string]map[string]string{}}
	query := url.Values{"fields": {"id", "name", "tenant_id", "device_id", "device_owner", "network_id", "segment_id", "mac_address", "status", "binding:host_id", "fixed_ips"}}
	if tenant != "" {
		query.Set("tenant_id", tenant)
	}
	for raw, err := range (collection{path: "ports", plural: "ports"}).list(c, query) {
		var p cloudPort
		if err == nil {
			err = json.Unmarshal(raw, &p)
		}
		if err != nil {
			return nil, fmt.Errorf("ports: %w", err)
		}
		// Ports of routers and the like are no instances.
		if p.Device != "" && !strings.HasPrefix(p.DeviceOwner, "network:") {
			cl.ports = append(cl.ports, p)
		}
	}
	slices.SortFunc(cl.ports, func(a, b cloudPort) int { return cmp.Compare(a.ID, b.ID) })
	for kind, of := range map[string]struct {
		in   collection
		name string
	}{
		"tenant":  {collection{path: "tenants", plural: "tenants"}, "name"},
		"network": {networks, "name"},
		"segment": {segments, "name"},
		"host":    {switches, "hostname"},
	} {
		cl.names[kind] = map[string]string{}
		for raw, err := range of.in.list(c, nil) { // to whom they are not for, the list is empty
			var r record
			if err == nil {
				r, err = parseRecord(raw)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", of.in.path, err)
			}
			cl.names[kind][r.text("id")] = r.text(of.name)
		}
	}
	return cl, nil
}

// inventory is hosts and groups of Ansible.
type inventory struct {
	groups map[string][]string
	vars   map[string]map[string]any
}

// list is the inventory in the form of a script's --list.
func (in inventory) list() map[string]any {
	shown := map[string]any{
		"_meta": map[string]any{"hostvars": in.vars},
		"all":   map[string]any{"children": append(slices.Sorted(maps.Keys(in.groups)), "ungrouped")},
	}
	for name, hosts := range in.groups {
		shown[name] = map[string]any{"hosts": hosts}
	}
	return shown
}

// instance is who has ports: a device_id is a tenant's own word, and two
// tenants may use the same.
type instance struct{ tenant, device string }

func (cl *cloud) inventory() inventory {
	in := inventory{groups: map[string][]string{}, vars: map[string]map[string]any{}}
	ports := map[instance][]cloudPort{}
	for _, p := range cl.ports {
		who := instance{p.Tenant, p.Device}
		ports[who] = append(ports[who], p)
	}
	hosts := distinct(maps.Keys(ports), func(who instance) label {
		name := hostName(who.device)
		return label{name, who.tenant + "\x00" + who.device, taken(name)}
	})
	groups := cl.groupNames()
	for who, name := range hosts {
		in.vars[name] = cl.hostVars(who, ports[who])
		for _, p := range ports[who] {
			for _, member := range p.memberships() {
				group := groups[member]
				if !slices.Contains(in.groups[group], name) {
					in.groups[group] = append(in.groups[group], name)
				}
			}
		}
	}
	for _, members := range in.groups {
		slices.Sort(members)
	}
	return in
}

// membership is a group by what it stands for: a tenant, a network, …
type membership struct{ kind, id string }

func (p cloudPort) memberships() []membership {
	all := []membership{{"tenant", p.Tenant}, {"network", p.Network}, {"segment", p.Segment}, {"host", p.Host}}
	return slices.DeleteFunc(all, func(m membership) bool { return m.id == "" })
}

func (cl *cloud) groupNames() map[membership]string {
	used := map[membership]bool{}
	for _, p := range cl.ports {
		for _, m := range p.memberships() {
			used[m] = true
		}
	}
	return distinct(maps.Keys(used), func(m membership) label {
		return label{name: m.kind + "_" + safe(cmp.Or(cl.names[m.kind][m.id], m.id), ""), key: m.id}
	})
}

// label is the name of a thing as it would like to be called, and the key that
// no other thing has.
type label struct {
	name, key string
	taken     bool // the name means something else to Ansible
}

var suffixed = regexp.MustCompile(`_x[0-9a-f]{16}$`)

// distinct gives every thing its name. Those that would share one get a suffix
// made of their keys, all of them, and so do those that look as if they had
// one: what a tenant calls his things must never lead a play for another's to
// them.
func distinct[T comparable](things iter.Seq[T], labelled func(T) label) map[T]string {
	sharing := map[string]int{}
	names := map[T]string{}
	for t := range things {
		names[t] = labelled(t).name
		sharing[names[t]]++
	}
	for t, name := range names {
		l := labelled(t)
		if sharing[name] > 1 || l.taken || suffixed.MatchString(name) {
			sum := sha256.Sum256([]byte(l.key))
			names[t] = name + "_x" + hex.EncodeToString(sum[:8])
		}
	}
	return names
}

var groupKinds = []string{"tenant", "network", "segment", "host"}

// taken says whether a host of that name would be taken for the machine that
// Ansible runs on, or for a group.
func taken(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsLoopback() {
		return true
	}
	return slices.Contains([]string{"localhost", "all", "ungrouped", ""}, strings.ToLower(host)) ||
		slices.ContainsFunc(groupKinds, func(kind string) bool { return strings.HasPrefix(host, kind+"_") })
}

// hostName is a device_id with nothing in it that is an operator in Ansible's
// patterns of hosts.
func hostName(device string) string {
	name := safe(device, ".-")
	if strings.HasPrefix(name, "-") {
		name = "_" + name[1:]
	}
	return name
}

// safe keeps ASCII letters, digits, _ and more of a word: what a name of a
// group may have.
func safe(word, more string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(more, r) {
			return r
		}
		return '_'
	}, word)
}

func (cl *cloud) hostVars(who instance, ports []cloudPort) map[string]any {
	macs, ips, hosts, shown := []string{}, []string{}, []string{}, []any{}
	for _, p := range ports {
		macs = append(macs, p.MAC)
		if p.Host != "" && !slices.Contains(hosts, p.Host) {
			hosts = append(hosts, p.Host)
		}
		own := []string{}
		for _, ip := range p.FixedIPs {
			own = append(own, ip.Address)
		}
		ips = append(ips, own...)
		shown = append(shown, map[string]any{
			"id": p.ID, "name": inert(p.Name), "mac_address": p.MAC, "ip_addresses": own, "status": p.Status,
			"network_id": p.Network, "network_name": inert(cl.names["network"][p.Network]),
			"segment_id": p.Segment, "segment_name": inert(cl.names["segment"][p.Segment]),
			"host_id": p.Host, "host_name": inert(cl.names["host"][p.Host]),
		})
	}
	vars := map[string]any{
		"macloom_device_id": inert(who.device), "macloom_tenant_id": inert(who.tenant), "macloom_tenant_name": inert(cl.names["tenant"][who.tenant]),
		"macloom_macs": macs, "macloom_ips": ips, "macloom_host_ids": hosts, "macloom_ports": shown,
	}
	if address, err := preferred(ips); err == nil {
		vars["ansible_host"] = address
	}
	return vars
}

// preferred is the address to reach an instance at: the first of IPv4, else
// the first.
func preferred(ips []string) (string, error) {
	for _, ip := range ips {
		if addr, err := netip.ParseAddr(ip); err == nil && addr.Is4() {
			return ip, nil
		}
	}
	if len(ips) == 0 {
		return "", errors.New("no address")
	}
	return ips[0], nil
}

// inert marks a text as data. Ansible expands templates in variables, and a
// tenant may call a port {{ lookup('pipe', …) }}: that would run on the machine
// of whoever plays the inventory.
func inert(text string) any {
	if strings.Contains(text, "{{") || strings.Contains(text, "{%") || strings.Contains(text, "{#") {
		return map[string]string{"__ansible_unsafe": text}
	}
	return text
}
