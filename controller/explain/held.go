package explain

import (
	"errors"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
)

// ErrNotConnected says that a switch would have to be connected to answer.
var ErrNotConnected = errors.New("explain: the switch is not connected")

// Entry is something that a switch is to hold.
type Entry struct {
	Object   string // "flow", "group" or "meter"
	Table    uint8  // of a flow
	Name     string // of the table
	Priority uint16
	Text     string // in the words of ovs-ofctl
	Owner    Owner

	cookie pipeline.Cookie
}

// Change is what becomes of an entry with the next pass of reconciliation.
type Change struct {
	Entry
	Does string // "add", "replace" or "delete"
}

// Held returns all that a switch is to hold, flows in the order of the tables and
// of falling priority.
func Held(w World, d intent.DPID) ([]Entry, error) {
	facts, err := w.Switch(d)
	if err != nil {
		return nil, err
	}
	want := facts.Desired
	entries := make([]Entry, 0, len(want.Meters)+len(want.Groups)+len(want.Flows))
	for _, m := range want.Meters {
		entries = append(entries, Entry{Object: "meter", Text: m.String(), cookie: want.MeterOwners[m.ID]})
	}
	for _, g := range want.Groups {
		entries = append(entries, Entry{Object: "group", Text: g.String(), cookie: want.GroupOwners[g.ID]})
	}
	// A set is sorted by rising priority within its table.
	for first, last := 0, 0; first < len(want.Flows); first = last {
		for last = first; last < len(want.Flows) && want.Flows[last].Table == want.Flows[first].Table; {
			last++
		}
		for i := last - 1; i >= first; i-- {
			entries = append(entries, ofFlow(want.Flows[i]))
		}
	}
	return own(w, entries, func(e *Entry) *Entry { return e }), nil
}

func ofFlow(f flow.Flow) Entry {
	return Entry{
		Object: "flow", Table: f.Table, Name: tableName(f.Table), Priority: f.Priority, Text: f.String(), cookie: pipeline.Cookie(f.Cookie),
	}
}

// Changes returns what a plan does, in its order. Owners of groups and meters are
// those of the wanted state.
func Changes(w World, p flow.Plan) []Change {
	replaced := map[flow.Key]bool{}
	for _, f := range p.Replaced {
		replaced[f.Key()] = true
	}
	changes := make([]Change, p.Len())
	for i := range changes {
		o, removes := p.Object(i)
		c := &changes[i]
		switch {
		case o.Flow != nil:
			c.Entry = ofFlow(*o.Flow)
		case o.Group != nil:
			c.Entry = Entry{Object: "group", Text: o.Group.String()}
		default:
			c.Entry = Entry{Object: "meter", Text: o.Meter.String()}
		}
		switch c.Does = "add"; {
		case removes:
			c.Does = "delete"
		case o.Flow != nil && replaced[o.Flow.Key()], contains(p.ModifyGroups, o.Group), contains(p.ModifyMeters, o.Meter):
			c.Does = "replace"
		}
	}
	return own(w, changes, func(c *Change) *Entry { return &c.Entry })
}

// contains reports whether an object is one of a list, and not one like it.
func contains[T any](list []T, o *T) bool {
	for i := range list {
		if &list[i] == o {
			return true
		}
	}
	return false
}

// own gives entries their owners.
func own[T any](w World, all []T, entry func(*T) *Entry) []T {
	cookies := map[pipeline.Cookie]bool{}
	for i := range all {
		if c := entry(&all[i]).cookie; c != 0 {
			cookies[c] = true
		}
	}
	var owners map[pipeline.Cookie]Owner
	w.Read(func(s *intent.State) { owners = Owners(s, cookies) })
	for i := range all {
		e := entry(&all[i])
		e.Owner = owners[e.cookie]
	}
	return all
}
