package intent

import (
	"fmt"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/mac"
)

// Event is something that happened. What it is about is given as far as it
// applies: zero values are left out.
type Event struct {
	Revision int64     // position in the change feed; given when it is published
	At       time.Time // when it was written; given then
	Kind     EventKind
	TenantID string // who may know of it beside administrators; empty: nobody

	PortID, NetworkID string
	MAC               mac.Addr
	Switch            DPID
	Port              uint32 // of the switch
	Interface         string // name of that port

	// Details are what else its kind has, by the names that are declared there, as
	// values that encoding/json writes.
	Details map[string]any
}

// EventKind says what happened.
type EventKind string

// The kinds of events; EventKinds says what each has.
const (
	EventPortRealized  EventKind = "port_realized"
	EventHostSeen      EventKind = "host_seen"
	EventHostMoved     EventKind = "host_moved"
	EventHostGone      EventKind = "host_gone"
	EventMACMove       EventKind = "mac_move"
	EventMACLimit      EventKind = "mac_limit"
	EventMACConflict   EventKind = "mac_conflict"
	EventBlockAdded    EventKind = "block_added"
	EventBlockLifted   EventKind = "block_lifted"
	EventLinkUp        EventKind = "link_up"
	EventLinkDown      EventKind = "link_down"
	EventBackendHealth EventKind = "backend_health"
	EventSwitchUp      EventKind = "switch_up"
	EventSwitchDown    EventKind = "switch_down"
)

// EventSort declares a kind of events.
type EventSort struct {
	Kind    EventKind
	Doc     string
	Details []EventDetail
}

// EventDetail is something that events of a kind may have in their Details.
type EventDetail struct {
	Name     string
	Doc      string
	Operator bool // tenants do not see it: it tells of switches
}

// Details that several kinds have.
var (
	detailReason = EventDetail{Name: "reason", Doc: "why"}
	// The other end of a link, and the place before.
	peerPlace = []EventDetail{{"peer_switch", "the other end", true}, {"peer_port", "its port", true}}
	fromPlace = []EventDetail{{"from_switch", "where it was", true}, {"from_port", "the port there", true}}
	block     = []EventDetail{{Name: "block_id", Doc: "of `/v2.0/blocks`"}, detailReason}
)

// EventKinds declares all kinds of events. An event of a kind that is not here, or
// with a detail that its kind does not have, is refused.
var EventKinds = []EventSort{
	{EventPortRealized, "a switch carries a port out, refuses it, or does so no more", []EventDetail{
		{Name: "status", Doc: "what it is now"}, {Name: "was", Doc: "its status before"}, detailReason,
	}},
	{EventHostSeen, "a station appeared behind an edge port of a fabric", []EventDetail{{Name: "ip_addresses", Doc: "those that it had told by then"}}},
	{EventHostMoved, "it appeared behind another one", append([]EventDetail{{Name: "moves", Doc: "how often it has"}}, fromPlace...)},
	{EventHostGone, "it is not there any more", nil},
	{EventMACMove, "a MAC address moves more often than it may", append([]EventDetail{{Name: "moves", Doc: "how often it moved"}, {Name: "seconds", Doc: "within how many seconds"}, {Name: "action", Doc: "what was done"}}, fromPlace...)},
	{EventMACLimit, "there are as many MAC addresses behind a port as may be learned", []EventDetail{{Name: "limit", Doc: "how many"}}},
	{EventMACConflict, "an address was met that somebody else has (`/v2.0/mac-conflicts`)", []EventDetail{
		{Name: "conflict_id", Doc: "the conflict"}, {Name: "conflict", Doc: "its kind"}, {Name: "policy", Doc: "what becomes of it"},
		{Name: "source", Doc: "the foreign system that has it, too"}, {Name: "external_id", Doc: "its machine there"},
	}},
	{EventBlockAdded, "a MAC address or port is blocked", append([]EventDetail{{Name: "until", Doc: "when it is to end"}, {Name: "by", Doc: "who did it"}}, block...)},
	{EventBlockLifted, "it is no more", append([]EventDetail{{Name: "by", Doc: "who did it"}}, block...)},
	{EventLinkUp, "a link between switches was found, or is back", peerPlace},
	{EventLinkDown, "it was lost", peerPlace},
	{EventBackendHealth, "probes found a backend of an affinity pool down, or up again", []EventDetail{
		{Name: "pool_id", Doc: "the pool"}, {Name: "backend_id", Doc: "the backend"}, {Name: "health", Doc: "what it is now"}, {Name: "was", Doc: "what it was before"}, detailReason,
	}},
	{EventSwitchUp, "a switch has connected", []EventDetail{{"address", "from where", true}}},
	{EventSwitchDown, "it is not connected any more", []EventDetail{{"address", "from where it was", true}}},
}

// Sort returns the declaration of a kind; nil: there is none.
func (k EventKind) Sort() *EventSort {
	if i := slices.IndexFunc(EventKinds, func(s EventSort) bool { return s.Kind == k }); i >= 0 {
		return &EventKinds[i]
	}
	return nil
}

// Detail returns the declaration of a detail; nil: the kind does not have it.
func (s *EventSort) Detail(name string) *EventDetail {
	if i := slices.IndexFunc(s.Details, func(d EventDetail) bool { return d.Name == name }); i >= 0 {
		return &s.Details[i]
	}
	return nil
}

// Check refuses an event that is not as its kind is declared.
func (e *Event) Check() error {
	s := e.Kind.Sort()
	if s == nil {
		return fmt.Errorf("intent: there is no kind of events %q", e.Kind)
	}
	for name := range e.Details {
		if s.Detail(name) == nil {
			return fmt.Errorf("intent: events %s have no %q", e.Kind, name)
		}
	}
	return nil
}
