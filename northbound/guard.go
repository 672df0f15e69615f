package northbound

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// placeOfPort is the OpenFlow number of a switch port; null is 0 inside.
var placeOfPort = orNull(number[uint32](1, 1<<32-1))

// switchOrNull is a datapath id or null.
var switchOrNull = orNull(datapathID)

func guardBlocks(st *store.Store) *collection[intent.Block] {
	type block = intent.Block
	meta := func(b *block) *intent.Meta { return &b.Meta }
	found := access{filter: true, sort: true}
	chosen := access{post: optional, filter: true, sort: true}
	return &collection[block]{
		single: "block", plural: "blocks", path: "blocks",
		doc: "A block makes switches drop frames where they come in: those from `mac_address` anywhere, all at a port (`switch` and `port`), or those from the address at the port. " +
			"The guard makes them where an address is used by somebody else ([fabric.md](fabric.md#the-guard)), and ends them by itself; an administrator makes and lifts (DELETE) any. For administrators only.",
		attributes: table[block]{
			derived("id", id, func(b *block) string { return b.ID }, found, "Identifies the block."),
			mapped("mac_address", orNull(station), func(b *block) mac.Addr { return b.MAC }, func(b *block, a mac.Addr) { b.MAC = a }, chosen, "The address whose frames are dropped; null: all are."),
			mapped("switch", switchOrNull, blockedSwitch, func(b *block, v string) { b.At.Switch, _ = intent.ParseDPID(v) }, chosen, "The datapath id of the switch; null: at every switch."),
			stored("port", placeOfPort, func(b *block) *uint32 { return &b.At.Port }, chosen, "The OpenFlow number of the port there; null: at every port."),
			derived("cause", oneOf(intent.BlockByHand, intent.BlockMoves, intent.BlockConflict), func(b *block) intent.BlockCause { return b.Cause }, found,
				"`hand`; by the guard, `moves`: the address moved too often, or `conflict`: it belongs elsewhere."),
			stored("reason", text(255), func(b *block) *string { return &b.Reason }, access{post: optional, def: `""`}, "Why, in words."),
			stored("expires_at", futureOrNull, func(b *block) *time.Time { return &b.ExpiresAt }, access{post: optional, sort: true}, "When it ends by itself; null: when it is lifted."),
			derived("created_at", timestamp, func(b *block) time.Time { return b.CreatedAt }, access{sort: true}, "When it was made."),
		},
		meta: meta, ownerless: true,
		readBy: admins, writeBy: admins,
		check:   checkBlock,
		backend: backend[block]{list: st.Blocks, get: st.Block, create: st.CreateBlocks, remove: st.DeleteBlock},
	}
}

func macGuards(st *store.Store) *collection[intent.MACGuard] {
	type setting = intent.MACGuard
	meta := func(g *setting) *intent.Meta { return &g.Meta }
	chosen := access{post: optional, put: true}
	const inherits = " null: as for all others, and for these as the controller was started."
	return &collection[setting]{
		single: "mac_guard", plural: "mac_guards", path: "mac-guards",
		doc: "What the guard ([fabric.md](fabric.md#the-guard)) does about MAC addresses that move too often or turn up where they do not belong: for those of the ports and MAC segments of a network, " +
			"or, without `network_id`, for all that no other is for, such as those of stations that nobody manages. It takes effect at once, and not for blocks that are in force. For administrators only.",
		attributes: append(table[setting]{
			derived("id", id, func(g *setting) string { return g.ID }, access{filter: true, sort: true}, "Identifies the settings."),
			description(meta),
			stored("network_id", idOrNull, func(g *setting) *string { return &g.NetworkID }, access{post: optional, filter: true, sort: true}, "The network whose addresses they are for; null: all that no other is for. One each."),
			stored("action", orNull(oneOf(intent.GuardReport, intent.GuardBlockMAC, intent.GuardBlockPort, intent.GuardNone)), func(g *setting) *intent.GuardAction { return &g.Action },
				access{post: optional, put: true, filter: true, sort: true},
				"`report`: log, event, metrics; `block-mac`: the address is blocked at the port where it does not belong; `block-port`: that port is; `none`: nobody looks."+inherits),
			stored("moves", orNull(number[int](2, 100)), func(g *setting) *int { return &g.Moves }, chosen, "So many moves are too many. A live migration is one."+inherits),
			mapped("window_seconds", orNull(number[int64](1, 86400)), func(g *setting) int64 { return int64(g.Window / time.Second) },
				func(g *setting, n int64) { g.Window = time.Duration(n) * time.Second }, chosen, "In this time."+inherits),
			mapped("recovery_seconds", orNull(number[int64](1, 86400)), func(g *setting) int64 { return int64(g.Recovery / time.Second) },
				func(g *setting, n int64) { g.Recovery = time.Duration(n) * time.Second }, chosen, "How long a block lasts; each relapse doubles it, up to a day."+inherits),
			stored("exempt_macs", listOrNull(exemptMAC, maxExempt), func(g *setting) *[]mac.Segment { return &g.Exempt }, chosen,
				"Addresses and prefixes that may move as they like, as routers have by turns (VRRP)."+inherits),
			stored("trusted_ports", listOrNull(switchPlace, maxExempt), func(g *setting) *[]intent.Place { return &g.Trusted }, chosen,
				"Ports of switches that are never blocked. Who was seen there belongs there: anywhere else the first frame is one too many."+inherits),
		}, history(meta)...),
		meta: meta, ownerless: true,
		readBy: admins, writeBy: admins,
		backend: backend[setting]{st.MACGuards, st.MACGuard, st.CreateMACGuards, st.UpdateMACGuard, st.DeleteMACGuard},
	}
}

// maxExempt bounds lists that are gone through for each address that is looked at.
const maxExempt = 256

// listOrNull is list, but null is no list, which differs from an empty one.
func listOrNull[V any](of valueType[V], most int) valueType[[]V] {
	t := list(of, most)
	parse, write := t.parse, t.append
	t.name += ", or null"
	t.shows = t.shows.orNull()
	t.parse = func(v any) ([]V, error) {
		values, err := parse(v)
		if v != nil && values == nil && err == nil {
			values = []V{}
		}
		return values, err
	}
	t.append = func(b []byte, values []V) []byte {
		if values == nil {
			return append(b, "null"...)
		}
		return write(b, values)
	}
	t.filter = nil
	return t
}

// exemptMAC is a MAC prefix, or an address.
var exemptMAC = valueType[mac.Segment]{
	name:  "MAC address or MAC prefix BASE/BITS",
	shows: anyOf(macSchema, macPrefixSchema),
	takes: anyOf(station.taken(), macPrefixSchema),
	parse: func(v any) (mac.Segment, error) {
		if s, ok := v.(string); ok && !strings.Contains(s, "/") {
			a, err := station.parse(v)
			return a.Segment(), err
		}
		return macPrefix.parse(v)
	},
	append: func(b []byte, block mac.Segment) []byte {
		if block.Bits() == mac.MaxPrefixLen {
			return appendMAC(b, block.Base())
		}
		return macPrefix.append(b, block)
	},
}

// switchPlace is a port of a switch.
var switchPlace = valueType[intent.Place]{
	name:  `{"switch": datapath id, "port": OpenFlow number}`,
	shows: objectOf(map[string]schema{"switch": datapathID.shows, "port": between(1, 1<<32-1)}),
	takes: objectOf(map[string]schema{"switch": datapathID.taken(), "port": between(1, 1<<32-1)}).closed(),
	parse: func(v any) (p intent.Place, err error) {
		o, ok := v.(object)
		if !ok {
			return p, fmt.Errorf(`%s is not an object such as {"switch": "00000000000000a1", "port": 7}`, show(v))
		}
		for _, m := range o {
			switch m.key {
			case "switch":
				var text string
				if text, err = datapathID.parse(m.value); err == nil {
					p.Switch, err = intent.ParseDPID(text)
				}
			case "port":
				var n int64
				n, err = readInt(m.value, 1, 1<<32-1)
				p.Port = uint32(n)
			default:
				err = fmt.Errorf("unexpected key '%s'; the keys are switch and port", clip(m.key))
			}
			if err != nil {
				return p, err
			}
		}
		if p.Switch == 0 || p.Port == 0 {
			err = errors.New("a port is named by switch and port; give both")
		}
		return p, err
	},
	append: func(b []byte, p intent.Place) []byte {
		b = append(b, `{"switch":`...)
		b = appendString(b, p.Switch.String())
		b = append(b, `,"port":`...)
		return append(strconv.AppendUint(b, uint64(p.Port), 10), '}')
	},
}

func blockedSwitch(b *intent.Block) string {
	if b.At.Switch == 0 {
		return ""
	}
	return b.At.Switch.String()
}

func checkBlock(_, b *intent.Block, _ given) error {
	switch {
	case (b.At.Switch == 0) != (b.At.Port == 0):
		return invalidValue("port", "switch and port go together; give both or neither")
	case b.At == intent.Place{} && b.MAC == 0:
		return invalidValue("mac_address", "there is nothing to block; give mac_address, or switch and port, or all three")
	case !b.ExpiresAt.IsZero() && !b.ExpiresAt.After(time.Now()):
		return invalidValue("expires_at", "%s is in the past; want a time to come", b.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return nil
}

func macMoves(st *store.Store) *collection[intent.MACMove] {
	type move = intent.MACMove
	found := access{filter: true, sort: true}
	switchOf := func(p intent.Place) string {
		if p == (intent.Place{}) {
			return ""
		}
		return p.Switch.String()
	}
	return &collection[move]{
		single: "mac_move", plural: "mac_moves", path: "mac-moves",
		silent: true,
		doc: "MAC addresses that were seen at one port at the edge of the fabric and then at another, as often as it has happened: of a live migration once. " +
			"The latest 100,000 are kept. For administrators only.",
		attributes: table[move]{
			derived("id", id, func(m *move) string { return m.ID }, found, "Identifies the address with both places."),
			derived("mac_address", macAddress, func(m *move) mac.Addr { return m.MAC }, found, "The address."),
			derived("from_switch", switchOrNull, func(m *move) string { return switchOf(m.From) }, found, "The switch where it was before; of a conflict, where it belongs; null: nowhere."),
			derived("from_port", placeOfPort, func(m *move) uint32 { return m.From.Port }, found, "The OpenFlow number of the port there."),
			derived("to_switch", switchOrNull, func(m *move) string { return switchOf(m.To) }, found, "The switch where it was seen then."),
			derived("to_port", placeOfPort, func(m *move) uint32 { return m.To.Port }, found, "The OpenFlow number of the port there."),
			derived("verdict", oneOf(intent.MoveAllowed, intent.MoveTooMany, intent.MoveConflict), func(m *move) intent.MoveVerdict { return m.Verdict }, found,
				"`move`: as a station that migrates; `moves`: one of too many in a short time; `conflict`: a managed or pinned address that belongs elsewhere."),
			derived("times", number[int64](0, 1<<62), func(m *move) int64 { return m.Times }, access{sort: true}, "How often."),
			derived("first_at", timestamp, func(m *move) time.Time { return m.First }, access{sort: true}, "When it was seen first."),
			derived("last_at", timestamp, func(m *move) time.Time { return m.Last }, access{sort: true}, "When it was seen last."),
		},
		readBy:  admins,
		writeBy: admins,
		backend: backend[move]{list: st.MACMoves, get: st.MACMove},
	}
}
