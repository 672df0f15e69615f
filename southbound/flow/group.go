package flow

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// Group is one group entry, in the form that Open vSwitch reads back. Two groups
// are the same entry of a switch if their IDs are equal, and need no change if
// they are == (see Diff).
type Group struct {
	ID      uint32
	Type    openflow.GroupType
	Buckets Buckets
}

// Buckets is the canonical encoding of a list of ofp_bucket: weights only in select
// groups, watches only in these and in fast failover groups, actions as in a flow.
type Buckets string

// bucketLen is the size of ofp_bucket without actions.
const bucketLen = 16

// NewGroup returns a group. What does not count for its type (weights outside
// of select groups, watches outside of these and of fast failover ones) is left out.
func NewGroup(id uint32, t openflow.GroupType, buckets ...openflow.Bucket) Group {
	var b []byte
	for _, k := range buckets {
		b = appendBucket(b, t, k)
	}
	return Group{ID: id, Type: t, Buckets: Buckets(b)}
}

// Bucket is a bucket of an all or indirect group.
func Bucket(actions ...openflow.Action) openflow.Bucket {
	return openflow.Bucket{
		WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(actions...),
	}
}

// Weighted is a bucket of a select group. A bucket of weight 0 is never chosen.
func Weighted(weight uint16, actions ...openflow.Action) openflow.Bucket {
	b := Bucket(actions...)
	b.Weight = weight
	return b
}

// WeightedWatching is a bucket of a select group that is chosen only while a port
// is alive. OpenFlow leaves that to the switch; Open vSwitch heeds it.
func WeightedWatching(weight uint16, port uint32, actions ...openflow.Action) openflow.Bucket {
	b := Weighted(weight, actions...)
	b.WatchPort = port
	return b
}

// Watching is a bucket of a fast failover group that is live while a port is.
func Watching(port uint32, actions ...openflow.Action) openflow.Bucket {
	b := Bucket(actions...)
	b.WatchPort = port
	return b
}

// GroupFromDesc returns the group that a switch reports, in canonical form. It
// is == to the group that was installed.
func GroupFromDesc(d openflow.GroupDesc) Group { return NewGroup(d.GroupID, d.GroupType, d.Buckets...) }

func appendBucket(b []byte, t openflow.GroupType, k openflow.Bucket) []byte {
	if t != openflow.GroupSelect {
		k.Weight = 0
	}
	if t != openflow.GroupFastFailover && t != openflow.GroupSelect {
		k.WatchPort, k.WatchGroup = openflow.PortAny, openflow.GroupAny
	}
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, 0) // the length, below
	b = binary.BigEndian.AppendUint16(b, k.Weight)
	b = binary.BigEndian.AppendUint32(b, k.WatchPort)
	b = binary.BigEndian.AppendUint32(b, k.WatchGroup)
	b = append(b, 0, 0, 0, 0)
	b = openflow.AppendActions(b, canonicalActions(k.Actions.List()))
	binary.BigEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

// List decodes the buckets.
func (b Buckets) List() []openflow.Bucket {
	var list []openflow.Bucket
	for rest := []byte(b); len(rest) >= bucketLen; {
		n := int(binary.BigEndian.Uint16(rest))
		if n < bucketLen || n > len(rest) {
			return list // not made by this package
		}
		list = append(list, openflow.Bucket{
			Weight:    binary.BigEndian.Uint16(rest[2:]),
			WatchPort: binary.BigEndian.Uint32(rest[4:]), WatchGroup: binary.BigEndian.Uint32(rest[8:]),
			Actions: rest[bucketLen:n:n],
		})
		rest = rest[n:]
	}
	return list
}

// Add returns the message that installs g where there is no group with its id.
func (g Group) Add() *openflow.GroupMod { return g.mod(openflow.GroupAdd) }

// Modify returns the message that changes the group with the id of g to g.
func (g Group) Modify() *openflow.GroupMod { return g.mod(openflow.GroupModify) }

// Delete returns the message that removes the group with the id of g, and with it, in
// the switch, every flow that uses it.
func (g Group) Delete() *openflow.GroupMod {
	return &openflow.GroupMod{Command: openflow.GroupDelete, GroupType: g.Type, GroupID: g.ID}
}

func (g Group) mod(c openflow.GroupModCommand) *openflow.GroupMod {
	return &openflow.GroupMod{Command: c, GroupType: g.Type, GroupID: g.ID, Buckets: g.Buckets.List()}
}

// needs visits the groups that g sends packets on to or watches.
func (g Group) needs(group func(id uint32)) {
	for _, k := range g.Buckets.List() {
		if k.WatchGroup != openflow.GroupAny {
			group(k.WatchGroup)
		}
		needsOfActions(k.Actions.List(), group, func(uint32) {})
	}
}

// groupTypes are the words of ovs-ofctl, by type.
var groupTypes = [...]string{"all", "select", "indirect", "ff"}

// String returns the group as ovs-ofctl dump-groups prints it, without leading
// space. A type that ovs-ofctl has no word for is written as its number.
func (g Group) String() string {
	var b strings.Builder
	kind := fmt.Sprint(uint8(g.Type))
	if int(g.Type) < len(groupTypes) {
		kind = groupTypes[g.Type]
	}
	fmt.Fprintf(&b, "group_id=%d,type=%s", g.ID, kind)
	for _, k := range g.Buckets.List() {
		b.WriteString(",bucket=")
		if g.Type == openflow.GroupSelect && k.Weight != 1 {
			fmt.Fprintf(&b, "weight:%d,", k.Weight)
		}
		if k.WatchPort != openflow.PortAny {
			fmt.Fprintf(&b, "watch_port:%s,", portText(k.WatchPort))
		}
		if k.WatchGroup != openflow.GroupAny {
			fmt.Fprintf(&b, "watch_group:%d,", k.WatchGroup)
		}
		b.WriteString("actions=" + NewInstructions(openflow.ApplyActions(k.Actions.List())).String())
	}
	return b.String()
}

// ParseGroup reads a line that Group.String printed.
func ParseGroup(line string) (Group, error) {
	g, err := parseGroup(line)
	if err != nil {
		return Group{}, fmt.Errorf("flow: parse group %.200q: %w", line, err)
	}
	return g, nil
}

func parseGroup(line string) (Group, error) {
	parts := strings.Split(line, ",bucket=")
	head, ok := strings.CutPrefix(parts[0], "group_id=")
	id, kind, ok2 := strings.Cut(head, ",type=")
	if !ok || !ok2 {
		return Group{}, fmt.Errorf("%q is not group_id=…,type=…", parts[0])
	}
	g := Group{}
	if err := parseTo(&g.ID, id); err != nil {
		return Group{}, err
	}
	if err := parseGroupType(&g.Type, kind); err != nil {
		return Group{}, err
	}
	var b []byte
	for _, text := range parts[1:] {
		k, err := parseBucket(text)
		if err != nil {
			return Group{}, fmt.Errorf("bucket %q: %w", text, err)
		}
		start := len(b)
		if b = appendBucket(b, g.Type, k); len(b)-start > 0xffff {
			return Group{}, fmt.Errorf("bucket %.40q is too long", text)
		}
	}
	g.Buckets = Buckets(b)
	return g, nil
}

func parseGroupType(t *openflow.GroupType, s string) error {
	for i, word := range groupTypes {
		if s == word {
			*t = openflow.GroupType(i)
			return nil
		}
	}
	var n uint8
	err := parseTo(&n, s)
	*t = openflow.GroupType(n)
	return err
}

func parseBucket(s string) (openflow.Bucket, error) {
	attributes, actions, ok := strings.Cut(s, "actions=")
	if !ok {
		return openflow.Bucket{}, fmt.Errorf("no actions=")
	}
	k := Weighted(1)
	for word := range strings.SplitSeq(strings.TrimSuffix(attributes, ","), ",") {
		name, value, _ := strings.Cut(word, ":")
		var err error
		switch name {
		case "":
		case "weight":
			err = parseTo(&k.Weight, value)
		case "watch_port":
			k.WatchPort, err = parsePort(value)
		case "watch_group":
			err = parseTo(&k.WatchGroup, value)
		default:
			err = fmt.Errorf("unknown word")
		}
		if err != nil {
			return openflow.Bucket{}, fmt.Errorf("%s: %w", word, err)
		}
	}
	instructions, err := parseInstructions(actions)
	if err != nil {
		return openflow.Bucket{}, err
	}
	list, err := instructions.List()
	if err != nil {
		return openflow.Bucket{}, err
	}
	for _, in := range list {
		apply, ok := in.(openflow.ApplyActions)
		if !ok {
			return openflow.Bucket{}, fmt.Errorf("%s: a bucket holds actions only", actions)
		}
		k.Actions = openflow.NewActions(apply...)
	}
	return k, nil
}
