package northbound

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/explain"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store/storetest"
)

// oracle answers in the place of the controller, and writes down what it was asked.
type oracle struct {
	asked  explain.Question
	answer explain.Answer
	diff   error
}

func (o *oracle) Explain(_ context.Context, q explain.Question) (explain.Answer, error) {
	o.asked = q
	return o.answer, nil
}

func (o *oracle) SwitchFlows(context.Context, intent.DPID) ([]explain.Entry, error) {
	return []explain.Entry{
		{Object: "meter", Text: "meter=1", Owner: explain.Owner{Kind: "table", Name: "learn"}},
		{Object: "flow", Table: 2, Name: "guard", Priority: 100, Text: "table=2", Owner: explain.Owner{Kind: "port", ID: "p", Name: "web", Detail: "02:00:00:00:00:01"}},
	}, nil
}

func (o *oracle) SwitchDiff(context.Context, intent.DPID) ([]explain.Change, error) {
	return []explain.Change{{Does: "delete", Entry: explain.Entry{Object: "flow", Table: 2, Name: "guard", Text: "table=2"}}}, o.diff
}

func (o *oracle) QoSStatistics(context.Context, uint32) intent.QoSStatistics {
	return intent.QoSStatistics{Switches: 2, Silent: 1, Counts: []intent.QoSCount{
		{Kind: intent.QoSBandwidthLimit, Direction: intent.Egress, Packets: 10, Bytes: 1000, Dropped: 3, DroppedBytes: 300},
	}}
}

func explaining(t *testing.T) (*api, *oracle) {
	t.Helper()
	o := &oracle{answer: explain.Answer{Way: explain.Way{Verdict: explain.Dropped}}}
	return setupOn(t, storetest.Open(t, storetest.URL(t)), func(options *Options) { options.Explainer = o }), o
}

func TestAnExplanationIsAskedForAsTheParametersSay(t *testing.T) {
	t.Parallel()
	a, o := explaining(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	from := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	to := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	frame := []byte{2, 0, 5, 0, 0, 1, 2, 0, 5, 0, 0, 2, 8, 6}
	tcp, icmp, kind := uint8(6), uint8(1), uint8(3)
	for query, want := range map[string]explain.Question{
		"to=" + to:                                         {ToPort: to},
		"to=10.0.0.9&protocol=tcp&dst_port=80":             {ToIP: netip.MustParseAddr("10.0.0.9"), Protocol: &tcp, DstPort: 80},
		"to=ff:ff:ff:ff:ff:ff&ethertype=IPv6":              {ToMAC: 0xffffffffffff, EtherType: "IPv6"},
		"to=" + to + "&protocol=1&icmp_type=3":             {ToPort: to, Protocol: &icmp, Type: &kind},
		"to=" + to + "&protocol=6&dst_port=1&src_port=2":   {ToPort: to, Protocol: &tcp, DstPort: 1, SrcPort: 2},
		"frame=" + hex.EncodeToString(frame) + "&to=" + to: {ToPort: to, Frame: frame},
		"frame=02:00:05:00:00:01+02:00:05:00:00:02+0806":   {Frame: frame},
		"to=" + to + "&src_ip=10.9.0.1&src_mac=02:00:00:00:00:09": {
			ToPort: to, SrcIP: netip.MustParseAddr("10.9.0.1"), SrcMAC: 0x020000000009,
		},
	} {
		want.From = from
		a.want(http.StatusOK, "GET", "/v2.0/explain?from="+from+"&"+query, "red", "")
		if diff := cmp.Diff(want, o.asked, cmpopts.IgnoreFields(explain.Question{}, "Sees"), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	if o.asked.Sees == nil || o.asked.Sees("blue") || !o.asked.Sees("red") {
		t.Error("a tenant is not told of what is his alone")
	}
	a.want(http.StatusOK, "GET", "/v2.0/explain?from="+from+"&to="+to, "admin", "")
	if o.asked.Sees != nil {
		t.Error("an administrator does not see all")
	}
	for query, word := range map[string]string{
		"to=" + to: "from", "from=" + from: "to", "from=x&to=" + to: "from", "from=" + from + "&to=nowhere": "to",
		"from=" + from + "&to=" + to + "&protocol=nonsense": "protocol", "from=" + from + "&to=" + to + "&protocol=tcp": "dst_port",
		"from=" + from + "&to=" + to + "&dst_port=80": "dst_port", "from=" + from + "&to=" + to + "&protocol=udp&dst_port=0": "dst_port",
		"from=" + from + "&to=" + to + "&src_ip=1": "src_ip", "from=" + from + "&to=" + to + "&src_mac=1": "src_mac",
		"from=" + from + "&to=" + to + "&ethertype=IPX": "ethertype", "from=" + from + "&to=10.0.0.1&ethertype=IPv6": "to",
		"from=" + from + "&to=fd00::1&src_ip=10.0.0.1": "src_ip", "from=" + from + "&to=" + to + "&protocol=tcp&dst_port=1&icmp_type=8": "icmp_type",
		"from=" + from + "&to=" + to + "&to=" + to: "to", "from=" + from + "&to=" + to + "&colour=red": "colour",
		"from=" + from + "&to=" + to + "&ethertype=ARP&protocol=icmp": "protocol",
		"from=" + from + "&frame=0200":                                "frame", "from=" + from + "&frame=nonsense": "frame", "from=" + from + "&frame=" + strings.Repeat("00", frameMax+1): "frame",
		"from=" + from + "&to=10.0.0.1&frame=" + hex.EncodeToString(frame): "to", "from=" + from + "&src_ip=10.0.0.1&frame=" + hex.EncodeToString(frame): "src_ip",
	} {
		if _, message := a.want(http.StatusBadRequest, "GET", "/v2.0/explain?"+query, "red", "").message(t); !strings.Contains(message, word) {
			t.Errorf("%s: %s: does not name %s", query, message, word)
		}
	}
}

// Ports of others are not there; those in one's own network are, but not to ask of.
func TestTenantsExplainTheirOwnPorts(t *testing.T) {
	t.Parallel()
	a, o := explaining(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	own := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	other := idOf(a.make("/v2.0/networks", "blue", `{"network": {}}`))
	foreign := idOf(a.make("/v2.0/ports", "blue", `{"port": {"network_id": "`+other+`"}}`))
	guest := idOf(a.make("/v2.0/ports", "admin", `{"port": {"network_id": "`+network+`", "tenant_id": "blue"}}`))
	a.want(http.StatusOK, "GET", "/v2.0/explain?from="+own+"&to="+own, "red-reader", "")
	a.want(http.StatusNotFound, "GET", "/v2.0/explain?from="+foreign+"&to="+own, "red", "")
	a.want(http.StatusNotFound, "GET", "/v2.0/explain?from="+own+"&to="+foreign, "red", "")
	seen := a.do("GET", "/v2.0/ports/"+guest, "red", "").code
	want := map[int]int{http.StatusOK: http.StatusForbidden, http.StatusNotFound: http.StatusNotFound}[seen]
	a.want(want, "GET", "/v2.0/explain?from="+guest+"&to="+own, "red", "")

	o.answer = explain.Answer{Frame: "a frame", Way: explain.Way{
		Verdict: explain.Delivered, Summary: "delivered",
		Hops: []explain.Hop{{Switch: 0xb0, Host: "h1", Entry: "by a port", Steps: []explain.Step{
			{Table: 0, Name: "classify", From: -1, Does: "on to guard", Flow: "table=0", Owner: explain.Owner{Kind: "port", ID: own}},
			{Table: 2, Name: "guard", From: 0, Does: "drops it", Drops: "it is forged"},
		}}},
		Deliveries: []explain.Delivery{{Port: own, Name: "web", Switch: 0xb0, PortNo: 3}},
	}}
	reply := o.answer.Way
	reply.Verdict = explain.Dropped
	o.answer.Reply = &reply
	tenant := a.want(http.StatusOK, "GET", "/v2.0/explain?from="+own+"&to="+own, "red", "").text
	admin := a.want(http.StatusOK, "GET", "/v2.0/explain?from="+own+"&to="+own, "admin", "").text
	for _, secret := range []string{"00000000000000b0", "table=0", "h1"} {
		if strings.Contains(tenant, secret) || !strings.Contains(admin, secret) {
			t.Errorf("%s: a tenant sees it or an administrator does not:\n%s\n%s", secret, tenant, admin)
		}
	}
}

func TestWhatASwitchHoldsIsForAdministrators(t *testing.T) {
	t.Parallel()
	a, o := explaining(t)
	a.make("/v2.0/switches", "admin", `{"switch": {"id": "00000000000000b0"}}`)
	for _, what := range []string{"flows", "diff"} {
		path := "/v2.0/switches/00000000000000b0/" + what
		a.want(http.StatusNotFound, "GET", path, "red", "")
		a.want(http.StatusNotFound, "GET", "/v2.0/switches/00000000000000b1/"+what, "admin", "")
		a.want(http.StatusNotFound, "GET", "/v2.0/switches/nonsense/"+what, "admin", "")
		a.want(http.StatusBadRequest, "GET", path+"?colour=red", "admin", "")
	}
	a.wantBody(map[string]string{}, a.want(http.StatusOK, "GET", "/v2.0/switches/00000000000000b0/flows", "admin", ""), `{"flows": [
		{"object": "meter", "table": null, "table_name": "", "priority": null, "text": "meter=1",
			"owner": {"kind": "table", "id": null, "name": "learn", "detail": "", "security_group_id": null, "security_group_name": ""}},
		{"object": "flow", "table": 2, "table_name": "guard", "priority": 100, "text": "table=2",
			"owner": {"kind": "port", "id": "p", "name": "web", "detail": "02:00:00:00:00:01", "security_group_id": null, "security_group_name": ""}}]}`)
	a.wantBody(map[string]string{}, a.want(http.StatusOK, "GET", "/v2.0/switches/00000000000000b0/diff", "admin", ""), `{"diff": [
		{"change": "delete", "object": "flow", "table": 2, "table_name": "guard", "priority": 0, "text": "table=2", "owner": null}]}`)
	o.diff = explain.ErrNotConnected
	a.want(http.StatusConflict, "GET", "/v2.0/switches/00000000000000b0/diff", "admin", "")
}
