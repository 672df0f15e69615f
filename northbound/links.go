package northbound

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// linkSpace makes UUIDs of the ends of links: both together name a link, and
// would not fit a path.
var linkSpace = uuid.MustParse("0b0c6a0e-63a1-4c51-8a5c-3f2a5d0f7d11")

// fabricLink is a link as the API shows it.
type fabricLink struct {
	fabric.Known
	aName, bName string // of the interfaces; empty: not known
}

func linkID(l *fabricLink) string { return uuid.NewSHA1(linkSpace, []byte(l.Link.String())).String() }

func fabricLinks(st *store.Store) *collection[fabricLink] {
	type link = fabricLink
	found := access{filter: true, sort: true}
	switchOf := func(end func(*link) fabric.End) func(*link) string {
		return func(l *link) string { return end(l).DPID.String() }
	}
	portOf := func(end func(*link) fabric.End) func(*link) uint32 {
		return func(l *link) uint32 { return end(l).Port }
	}
	a, b := func(l *link) fabric.End { return l.A }, func(l *link) fabric.End { return l.B }
	number := number[uint32](0, 1<<32-1)
	c := &collection[link]{
		single: "link", plural: "links", path: "links",
		silent: true,
		doc:    "The links between switches, as LLDP finds them at unmanaged ports. For administrators only.",
		attributes: table[link]{
			derived("id", id, linkID, found, "Follows from both ends."),
			derived("a_switch", text(16), switchOf(a), found, "The switch at one end."),
			derived("a_port", number, portOf(a), found, "The OpenFlow number of the port there."),
			derived("a_interface", text(255), func(l *link) string { return l.aName }, found, "The name of that port."),
			derived("b_switch", text(16), switchOf(b), found, "The switch at the other end."),
			derived("b_port", number, portOf(b), found, "The OpenFlow number of the port there."),
			derived("b_interface", text(255), func(l *link) string { return l.bName }, found, "The name of that port."),
			derived("status", oneOf("up", "down"), linkStatus, found, "`down`: it was lost, and nothing else has been found at its ports."),
			derived("in_tree", boolean, func(l *link) bool { return l.Tree }, found, "Whether it is in the flood tree. Another one that is up is a spare."),
			derived("since", timestamp, func(l *link) time.Time { return l.Since }, access{sort: true}, "When it was found, or lost."),
		},
		readBy:  admins,
		writeBy: admins,
	}
	all := func(ctx context.Context) ([]link, error) {
		t, err := readTopology(ctx, st, nil)
		return t.links, err
	}
	c.backend = backend[link]{
		list: func(ctx context.Context, _ store.Scope, q store.Query) ([]link, error) {
			links, err := all(ctx)
			if err != nil {
				return nil, err
			}
			return c.heldList(links, q)
		},
		get: func(ctx context.Context, _ store.Scope, key string) (link, error) {
			links, err := all(ctx)
			if err != nil {
				return link{}, err
			}
			return c.heldObject(links, key)
		},
	}
	return c
}

func linkStatus(l *fabricLink) string {
	if l.Down {
		return "down"
	}
	return "up"
}

// topology is the switches of the fabric and their links.
type topology struct {
	switches []intent.Switch // that are connected, or have links or hosts
	links    []fabricLink
	names    map[fabric.End]string // of interfaces
}

// readTopology reads the fabric with the switches of some hosts.
func readTopology(ctx context.Context, st *store.Store, hosts []fabric.Host) (t topology, err error) {
	known, err := st.Links(ctx)
	if err != nil {
		return t, err
	}
	switches, err := st.Switches(ctx)
	if err != nil {
		return t, err
	}
	linked := map[intent.DPID]bool{}
	for _, k := range known {
		linked[k.A.DPID], linked[k.B.DPID] = true, true
	}
	for _, h := range hosts {
		linked[h.At.DPID] = true
	}
	for _, s := range switches {
		if s.Connected || linked[s.DPID] {
			t.switches = append(t.switches, s)
		}
	}
	t.names = interfaceNames(switches)
	for _, k := range known {
		t.links = append(t.links, fabricLink{k, t.names[k.A], t.names[k.B]})
	}
	return t, nil
}

func interfaceNames(switches []intent.Switch) map[fabric.End]string {
	names := map[fabric.End]string{}
	for _, s := range switches {
		for _, p := range s.Ports {
			names[fabric.End{DPID: s.DPID, Port: p.No}] = p.Name
		}
	}
	return names
}

// topologyActions declares GET /v2.0/topology.
func (s *server) topologyActions() group {
	word := schema{"type": "string"}
	end := objectOf(map[string]schema{"switch": word, "port": between(0, 1<<32-1), "interface": word})
	link := objectOf(map[string]schema{"a": end, "b": end, "state": chosen("string", "tree", "spare", "down")})
	node := objectOf(map[string]schema{"id": word, "hostname": word, "connected": boolean.shows})
	host := objectOf(map[string]schema{"mac_address": macSchema, "ip_addresses": arrayOf(word, 0), "at": end})
	gives := asJSON(under("topology", objectOf(map[string]schema{"switches": arrayOf(node, 0), "links": arrayOf(link, 0), "hosts": arrayOf(host, 0)})))
	gives["text/vnd.graphviz"], gives["image/svg+xml"] = word, word
	return group{"topology", "The switches, the links between them and the hosts at them, as a whole.", []action{{
		method: http.MethodGet, path: "/topology", serve: s.serveTopology,
		doc:   "The fabric: as JSON, in the language of Graphviz, or as a picture. Links of the flood tree are drawn in full, spare ones dashed, lost ones dotted. Hosts are drawn at their switches, in the picture up to 12 at each. For administrators only.",
		query: []parameter{{name: "format", doc: "`json` if it is not given.", value: chosen("string", "json", "dot", "svg")}},
		gives: gives,
	}}}
}

type topologyEnd struct {
	Switch    string `json:"switch"`
	Port      uint32 `json:"port"`
	Interface string `json:"interface"`
}

type topologyLink struct {
	A     topologyEnd `json:"a"`
	B     topologyEnd `json:"b"`
	State string      `json:"state"`
}

type topologyHost struct {
	MAC string       `json:"mac_address"`
	IPs []netip.Addr `json:"ip_addresses"`
	At  topologyEnd  `json:"at"`
}

type topologyNode struct {
	ID        string `json:"id"`
	Hostname  string `json:"hostname"`
	Connected bool   `json:"connected"`
}

func (s *server) serveTopology(w http.ResponseWriter, r *http.Request) error {
	if !principalOf(r.Context()).admin {
		return forbidden("get_topology")
	}
	query := r.URL.Query()
	if err := knownQuery(query, "format"); err != nil {
		return err
	}
	format := query.Get("format")
	if format != "" && format != "json" && format != "dot" && format != "svg" {
		return invalidValue("format", "%s is not in json, dot, svg", show(format))
	}
	hosts, err := s.store.FabricHosts(r.Context())
	if err != nil {
		return err
	}
	t, err := readTopology(r.Context(), s.store, hosts)
	if err != nil {
		return err
	}
	if format == "dot" || format == "svg" {
		nodes, links := make([]fabric.Node, len(t.switches)), make([]fabric.Known, len(t.links))
		for i, sw := range t.switches {
			nodes[i] = fabric.Node{DPID: sw.DPID, Name: sw.Hostname, Away: !sw.Connected}
		}
		for i, l := range t.links {
			links[i] = l.Known
		}
		draw, kind := fabric.Dot, "text/vnd.graphviz"
		if format == "svg" {
			draw, kind = fabric.SVG, "image/svg+xml"
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(draw(nodes, links, hosts)) // a client that has gone away reads no error either
		return nil
	}
	nodes, links := make([]topologyNode, len(t.switches)), make([]topologyLink, len(t.links))
	for i, sw := range t.switches {
		nodes[i] = topologyNode{sw.DPID.String(), sw.Hostname, sw.Connected}
	}
	for i, l := range t.links {
		links[i] = topologyLink{topologyEnd{l.A.DPID.String(), l.A.Port, l.aName}, topologyEnd{l.B.DPID.String(), l.B.Port, l.bName}, l.State()}
	}
	stations := make([]topologyHost, len(hosts))
	for i, h := range hosts {
		stations[i] = topologyHost{h.MAC.String(), h.IPs, topologyEnd{h.At.DPID.String(), h.At.Port, t.names[h.At]}}
	}
	return writeValue(w, map[string]any{"topology": map[string]any{"switches": nodes, "links": links, "hosts": stations}})
}
