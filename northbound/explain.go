package northbound

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/explain"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// Explainer knows what the controller wants of its switches.
type Explainer interface {
	Explain(ctx context.Context, q explain.Question) (explain.Answer, error)
	SwitchFlows(ctx context.Context, d intent.DPID) ([]explain.Entry, error)
	SwitchDiff(ctx context.Context, d intent.DPID) ([]explain.Change, error)
	QoSStatistics(ctx context.Context, policy uint32) intent.QoSStatistics
}

var errNoExplainer = &apiError{http.StatusServiceUnavailable, "ServiceUnavailable", "No controller runs here."}

// Protocols that need more than their number.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

var etherTypes = []string{"IPv4", "IPv6", "ARP"}

func (s *server) explainActions() group {
	text, count := schema{"type": "string"}, schema{"type": "integer"}
	owner := objectOf(map[string]schema{
		"kind": text, "id": text.orNull(), "name": text, "detail": text, "security_group_id": text.orNull(), "security_group_name": text,
	})
	step := objectOf(map[string]schema{
		"table": count, "name": text, "from": count.orNull(), "does": text, "owner": owner.orNull(), "flow": text.orNull(), "drops": text.orNull(),
	})
	way := map[string]schema{
		"verdict": chosen("string", string(explain.Delivered), string(explain.Dropped), string(explain.Answered), string(explain.Controller)), "summary": text,
		"hops": arrayOf(objectOf(map[string]schema{"switch": text.orNull(), "host": text, "entry": text, "steps": arrayOf(step, 0)}), 0),
		"deliveries": arrayOf(objectOf(map[string]schema{
			"port_id": text.orNull(), "name": text, "switch": text.orNull(), "port_no": count.orNull(), "segmentation_id": count.orNull(),
		}), 0),
	}
	answer := map[string]schema{"frame": text, "reply": objectOf(way).orNull(), "warnings": arrayOf(text, 0)}
	for name, s := range way {
		answer[name] = s
	}
	entry := map[string]schema{"object": chosen("string", "flow", "group", "meter"), "table": count.orNull(), "table_name": text, "priority": count.orNull(), "text": text, "owner": owner.orNull()}
	change := map[string]schema{"change": chosen("string", "add", "replace", "delete")}
	for name, s := range entry {
		change[name] = s
	}
	small := func(name, doc string) parameter { return parameter{name: name, doc: doc, value: between(0, 255)} }
	return group{"explain", "What becomes of frames, by the flows that the controller wants, and why.", []action{
		{
			method: http.MethodGet, path: "/explain", serve: s.serveExplain,
			doc: "Follows a frame of a port, table by table and switch by switch. Tenants ask of their own ports, and see neither switches nor flows.",
			query: []parameter{
				{name: "from", doc: "The sending port.", value: uuidSchema}, {name: "to", doc: "Where to: the id of a port, an IP address, or a MAC address.", value: text},
				{name: "protocol", doc: "A name or number; an echo request if it is not given.", value: anyOf(protocolNames, protocolText)},
				{name: "dst_port", doc: "Of tcp, udp and sctp, which need it.", value: between(1, 65535)}, {name: "src_port", doc: "Of the same.", value: between(1, 65535)},
				small("icmp_type", "Of icmp and icmpv6."), small("icmp_code", "Of the same."),
				{name: "ethertype", doc: "What fits if it is not given.", value: chosen("string", etherTypes...)},
				{name: "src_ip", doc: "Instead of the first of the port.", value: ipSchema}, {name: "dst_ip", doc: "Instead of the first of the receiver.", value: ipSchema},
				{name: "src_mac", doc: "Instead of that of the port.", value: macSchema},
				{name: "frame", doc: "The very frame, in hexadecimal digits, from its destination address on and without its checksum: of the other parameters only a port as to may be given besides.", value: text},
			},
			gives: asJSON(under("explanation", objectOf(answer))),
		},
		{
			method: http.MethodGet, path: "/switches/{id}/flows", serve: s.serveSwitchFlows, doc: "What a switch is to hold, with what it exists for. For administrators only.",
			gives: asJSON(under("flows", arrayOf(objectOf(entry), 0))),
		},
		{
			method: http.MethodGet, path: "/switches/{id}/diff", serve: s.serveSwitchDiff,
			doc:   "What reconciliation would change in a switch by now: it is read back, and nothing is sent. 409 if it is not connected. For administrators only.",
			gives: asJSON(under("diff", arrayOf(objectOf(change), 0))),
		},
	}}
}

// serveExplain answers GET /v2.0/explain.
func (s *server) serveExplain(w http.ResponseWriter, r *http.Request) error {
	p := principalOf(r.Context())
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("Invalid query string: %v", err)
	}
	q, err := explainQuestion(query)
	if err != nil {
		return err
	}
	from, err := s.store.Port(r.Context(), p.scope(), q.From)
	if err != nil {
		return err
	}
	if !p.admin && from.TenantID != p.tenantID {
		return forbidden("explain_port")
	}
	if q.ToPort != "" {
		if _, err := s.store.Port(r.Context(), p.scope(), q.ToPort); err != nil {
			return err
		}
	}
	if !p.admin {
		q.Sees = func(tenant string) bool { return tenant == p.tenantID }
	}
	if s.explainer == nil {
		return errNoExplainer
	}
	a, err := s.explainer.Explain(r.Context(), q)
	if errors.Is(err, explain.ErrUnknown) {
		return conflict("ExplanationNotPossible", "%v", err)
	}
	if err != nil {
		return err
	}
	body := explanationBody{wayBody: bodyOfWay(&a.Way, p.admin), Frame: a.Frame, Warnings: append([]string{}, a.Warnings...)}
	if a.Reply != nil {
		reply := bodyOfWay(a.Reply, p.admin)
		body.Reply = &reply
	}
	return writeValue(w, map[string]any{"explanation": body})
}

// explainQuestion reads the parameters.
func explainQuestion(query url.Values) (q explain.Question, err error) {
	err = knownQuery(query, "from", "to", "protocol", "dst_port", "src_port", "icmp_type", "icmp_code", "ethertype", "src_ip", "dst_ip", "src_mac", "frame")
	if err != nil {
		return q, err
	}
	given := query.Has("frame")
	for name := range query {
		if given && name != "frame" && name != "from" && name != "to" {
			return q, invalidValue(name, "the frame that is given has it")
		}
	}
	for _, name := range []string{"from", "to"} {
		if !query.Has(name) && !(given && name == "to") {
			return q, invalidValue(name, "it is required: %s", map[string]string{"from": "the id of a port", "to": "the id of a port, an IP address or a MAC address"}[name])
		}
	}
	small := func(v string) (*uint8, error) {
		n, err := readInt(v, 0, 255)
		b := uint8(n)
		return &b, err
	}
	port := func(v string) (uint16, error) {
		n, err := readInt(v, 1, 65535)
		return uint16(n), err
	}
	for name, values := range query {
		if len(values) > 1 {
			return q, invalidValue(name, "it is given %d times; give it once", len(values))
		}
		v := values[0]
		switch name {
		case "from":
			q.From, err = readUUID(v)
		case "to":
			err = explainTarget(&q, v)
		case "protocol":
			if n, ok := protocolNumbers[v]; ok {
				q.Protocol = &n
			} else {
				q.Protocol, err = small(v)
			}
		case "dst_port":
			q.DstPort, err = port(v)
		case "src_port":
			q.SrcPort, err = port(v)
		case "icmp_type":
			q.Type, err = small(v)
		case "icmp_code":
			q.Code, err = small(v)
		case "ethertype":
			if q.EtherType = v; !slices.Contains(etherTypes, v) {
				return q, invalidValue(name, "'%s' is not in %s", clip(v), etherTypes)
			}
		case "src_ip":
			q.SrcIP, err = readIP(v)
		case "dst_ip":
			q.DstIP, err = readIP(v)
		case "src_mac":
			q.SrcMAC, err = station.parse(v)
		case "frame":
			q.Frame, err = readFrame(v)
		}
		if err != nil {
			return q, invalidValue(name, "%v", err)
		}
	}
	return q, checkQuestion(&q)
}

// explainTarget reads where to.
func explainTarget(q *explain.Question, v string) error {
	if id, err := readUUID(v); err == nil {
		q.ToPort = id
		return nil
	}
	if ip, err := readIP(v); err == nil {
		q.ToIP = ip
		return nil
	}
	if a, err := mac.Parse(v); err == nil && a != 0 {
		q.ToMAC = a
		return nil
	}
	return errors.New(show(v) + " is neither the id of a port nor an IP address nor a MAC address")
}

// readFrame reads an Ethernet frame, with or without spaces and colons between its digits.
func readFrame(v string) ([]byte, error) {
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" :\n\t", r) {
			return -1
		}
		return r
	}, v)
	frame, err := hex.DecodeString(digits)
	if err != nil || len(frame) < frameMin || len(frame) > frameMax {
		return nil, fmt.Errorf("%s is no Ethernet frame of %d to %d bytes in hexadecimal digits", show(v), frameMin, frameMax)
	}
	return frame, nil
}

// An Ethernet frame has its header at least (IEEE 802.3 §3), and at most what jumbo frames have.
const frameMin, frameMax = 14, 9018

// checkQuestion ties the parameters to each other.
func checkQuestion(q *explain.Question) error {
	proto := -1
	if q.Protocol != nil {
		proto = int(*q.Protocol)
	}
	ported := proto == 6 || proto == 17 || proto == 132
	pinged := proto < 0 || proto == protocolICMP || proto == protocolICMPv6
	switch {
	case q.Frame != nil && (q.ToIP.IsValid() || q.ToMAC != 0):
		return invalidValue("to", "the frame that is given has its addresses; to may only be the id of a port that it should reach")
	case ported && q.DstPort == 0:
		return invalidValue("dst_port", "it is needed with protocol tcp, udp or sctp")
	case !ported && q.DstPort != 0:
		return invalidValue("dst_port", "only tcp, udp and sctp have ports; give one of them as protocol")
	case !ported && q.SrcPort != 0:
		return invalidValue("src_port", "only tcp, udp and sctp have ports; give one of them as protocol")
	case !pinged && q.Type != nil:
		return invalidValue("icmp_type", "only icmp and icmpv6 have types")
	case !pinged && q.Code != nil:
		return invalidValue("icmp_code", "only icmp and icmpv6 have codes")
	case q.EtherType == "ARP" && q.Protocol != nil:
		return invalidValue("protocol", "ARP has no protocol")
	case q.EtherType == "ARP" && !q.ToIP.IsValid() && q.ToPort == "" && !q.DstIP.IsValid():
		return invalidValue("dst_ip", "it is needed with ethertype ARP unless to is an IP address or a port")
	}
	six := q.EtherType == "IPv6"
	for _, a := range []struct {
		name string
		ip   netip.Addr
	}{{"to", q.ToIP}, {"src_ip", q.SrcIP}, {"dst_ip", q.DstIP}} {
		switch {
		case !a.ip.IsValid():
		case q.EtherType != "" && a.ip.Is6() != six:
			return invalidValue(a.name, "%s is no address of %s", a.ip, q.EtherType)
		case proto == protocolICMPv6 && a.ip.Is4():
			return invalidValue(a.name, "%s is no address of IPv6, which protocol icmpv6 is of", a.ip)
		case a.ip.Is6():
			six = true
		}
	}
	for _, a := range []struct {
		name string
		ip   netip.Addr
	}{{"src_ip", q.SrcIP}, {"dst_ip", q.DstIP}} {
		if six && a.ip.IsValid() && a.ip.Is4() || q.ToIP.Is4() && a.ip.Is6() {
			return invalidValue(a.name, "%s is of another family than the other addresses", a.ip)
		}
	}
	return nil
}

// Bodies of the answers.
type (
	ownerBody struct {
		Kind      string  `json:"kind"`
		ID        *string `json:"id"`
		Name      string  `json:"name"`
		Detail    string  `json:"detail"`
		GroupID   *string `json:"security_group_id"`
		GroupName string  `json:"security_group_name"`
	}
	stepBody struct {
		Table uint8      `json:"table"`
		Name  string     `json:"name"`
		From  *int       `json:"from"`
		Does  string     `json:"does"`
		Owner *ownerBody `json:"owner"`
		Flow  *string    `json:"flow"`
		Drops *string    `json:"drops"`
	}
	hopBody struct {
		Switch *string    `json:"switch"`
		Host   string     `json:"host"`
		Entry  string     `json:"entry"`
		Steps  []stepBody `json:"steps"`
	}
	deliveryBody struct {
		PortID *string `json:"port_id"`
		Name   string  `json:"name"`
		Switch *string `json:"switch"`
		PortNo *uint32 `json:"port_no"`
		VLAN   *uint16 `json:"segmentation_id"`
	}
	wayBody struct {
		Verdict    explain.Verdict `json:"verdict"`
		Summary    string          `json:"summary"`
		Hops       []hopBody       `json:"hops"`
		Deliveries []deliveryBody  `json:"deliveries"`
	}
	explanationBody struct {
		wayBody
		Frame    string   `json:"frame"`
		Reply    *wayBody `json:"reply"`
		Warnings []string `json:"warnings"`
	}
	entryBody struct {
		Object   string     `json:"object"`
		Table    *uint8     `json:"table"`
		Name     string     `json:"table_name"`
		Priority *uint16    `json:"priority"`
		Text     string     `json:"text"`
		Owner    *ownerBody `json:"owner"`
	}
	changeBody struct {
		Change string `json:"change"`
		entryBody
	}
)

// orNothing is null for an empty text.
func orNothing(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func bodyOfOwner(o explain.Owner) *ownerBody {
	if o.Kind == "" {
		return nil
	}
	return &ownerBody{Kind: o.Kind, ID: orNothing(o.ID), Name: o.Name, Detail: o.Detail, GroupID: orNothing(o.GroupID), GroupName: o.GroupName}
}

// bodyOfWay leaves out what is for administrators: switches and flows.
func bodyOfWay(w *explain.Way, admin bool) wayBody {
	place := func(d intent.DPID) *string {
		if !admin {
			return nil
		}
		return orNothing(d.String())
	}
	b := wayBody{Verdict: w.Verdict, Summary: w.Summary, Hops: []hopBody{}, Deliveries: []deliveryBody{}}
	for _, h := range w.Hops {
		hop := hopBody{Switch: place(h.Switch), Entry: h.Entry, Steps: []stepBody{}}
		if admin {
			hop.Host = h.Host
		}
		for _, s := range h.Steps {
			step := stepBody{Table: s.Table, Name: s.Name, Does: s.Does, Owner: bodyOfOwner(s.Owner), Drops: orNothing(s.Drops)}
			if s.From >= 0 {
				step.From = &s.From
			}
			if admin {
				step.Flow = orNothing(s.Flow)
			}
			hop.Steps = append(hop.Steps, step)
		}
		b.Hops = append(b.Hops, hop)
	}
	for _, d := range w.Deliveries {
		out := deliveryBody{PortID: orNothing(d.Port), Name: d.Name, Switch: place(d.Switch)}
		if admin {
			out.PortNo = &d.PortNo
		}
		if d.VLAN != 0 {
			out.VLAN = &d.VLAN
		}
		b.Deliveries = append(b.Deliveries, out)
	}
	return b
}

func bodyOfEntry(e *explain.Entry) entryBody {
	b := entryBody{Object: e.Object, Name: e.Name, Text: e.Text, Owner: bodyOfOwner(e.Owner)}
	if e.Object == "flow" {
		b.Table, b.Priority = &e.Table, &e.Priority
	}
	return b
}

// inspected is the switch that a URL names, for an administrator.
func (s *server) inspected(r *http.Request) (intent.DPID, error) {
	id := chi.URLParam(r, "id")
	if !principalOf(r.Context()).admin {
		return 0, missing(store.KindSwitch, id)
	}
	if err := knownQuery(r.URL.Query()); err != nil {
		return 0, err
	}
	d, err := intent.ParseDPID(id)
	if err != nil {
		return 0, missing(store.KindSwitch, id)
	}
	if _, err := s.store.Switch(r.Context(), d); err != nil {
		return 0, err
	}
	if s.explainer == nil {
		return 0, errNoExplainer
	}
	return d, nil
}

// serveSwitchFlows answers GET /v2.0/switches/{id}/flows.
func (s *server) serveSwitchFlows(w http.ResponseWriter, r *http.Request) error {
	d, err := s.inspected(r)
	if err != nil {
		return err
	}
	entries, err := s.explainer.SwitchFlows(r.Context(), d)
	if err != nil {
		return err
	}
	bodies := make([]entryBody, len(entries))
	for i := range entries {
		bodies[i] = bodyOfEntry(&entries[i])
	}
	return writeValue(w, map[string]any{"flows": bodies})
}

// serveSwitchDiff answers GET /v2.0/switches/{id}/diff.
func (s *server) serveSwitchDiff(w http.ResponseWriter, r *http.Request) error {
	d, err := s.inspected(r)
	if err != nil {
		return err
	}
	changes, err := s.explainer.SwitchDiff(r.Context(), d)
	if errors.Is(err, explain.ErrNotConnected) {
		return conflict("SwitchNotConnected", "Switch %s is not connected; what it holds cannot be read.", d)
	}
	if err != nil {
		return err
	}
	bodies := make([]changeBody, len(changes))
	for i := range changes {
		bodies[i] = changeBody{changes[i].Does, bodyOfEntry(&changes[i].Entry)}
	}
	return writeValue(w, map[string]any{"diff": bodies})
}
