package northbound

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// qosActions declares GET /v2.0/qos/policies/{id}/statistics.
func (s *server) qosActions() group {
	word, count := schema{"type": "string"}, schema{"type": "integer"}
	return group{"qos/statistics", "What has passed, and what was dropped, under a QoS policy.", []action{{
		method: http.MethodGet, path: "/qos/policies/{id}/statistics", serve: s.serveQoSStatistics,
		doc: "Asks the switches that have ports under the policy what they have counted, by type of rule and direction, and sums it. Counters begin anew when a switch starts, " +
			"and of a port when it comes or its limit changes. `packets` and `bytes` are those that the rules were asked about, dropped ones among them.",
		gives: asJSON(under("statistics", objectOf(map[string]schema{
			"policy_id": uuidSchema, "switches": count, "silent_switches": count,
			"counters": arrayOf(objectOf(map[string]schema{
				"type": word, "direction": word, "packets": count, "bytes": count, "dropped_packets": count, "dropped_bytes": count,
			}), 0),
		}))),
	}}}
}

type (
	qosCounterBody struct {
		Type           string `json:"type"`
		Direction      string `json:"direction"`
		Packets        uint64 `json:"packets"`
		Bytes          uint64 `json:"bytes"`
		DroppedPackets uint64 `json:"dropped_packets"`
		DroppedBytes   uint64 `json:"dropped_bytes"`
	}
	qosStatisticsBody struct {
		PolicyID string           `json:"policy_id"`
		Switches int              `json:"switches"`
		Silent   int              `json:"silent_switches"`
		Counters []qosCounterBody `json:"counters"`
	}
)

func (s *server) serveQoSStatistics(w http.ResponseWriter, r *http.Request) error {
	p, err := s.store.QoSPolicy(r.Context(), principalOf(r.Context()).scope(), chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	if s.explainer == nil {
		return errNoExplainer
	}
	found := s.explainer.QoSStatistics(r.Context(), p.Num)
	body := qosStatisticsBody{PolicyID: p.ID, Switches: found.Switches, Silent: found.Silent, Counters: []qosCounterBody{}}
	for _, c := range found.Counts {
		body.Counters = append(body.Counters, qosCounterBody{string(c.Kind), string(c.Direction), c.Packets, c.Bytes, c.Dropped, c.DroppedBytes})
	}
	return writeValue(w, map[string]any{"statistics": body})
}
