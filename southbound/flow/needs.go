package flow

import "github.com/macloom/macloom/southbound/openflow"

// Needs visits the groups and meters without which a switch refuses f, or
// removes it when they go.
func (f Flow) Needs(group, meter func(id uint32)) {
	list, err := f.Instructions.List()
	if err != nil {
		return // not made by this package
	}
	for _, in := range list {
		switch in := in.(type) {
		case openflow.Meter:
			meter(in.ID)
		case openflow.ApplyActions:
			needsOfActions(in, group, meter)
		case openflow.WriteActions:
			needsOfActions(in, group, meter)
		}
	}
}

func needsOfActions(actions []openflow.Action, group, meter func(id uint32)) {
	for _, a := range actions {
		switch a := a.(type) {
		case openflow.ActionGroup:
			group(a.ID)
		case openflow.ActionController2:
			if a.MeterID != 0 {
				meter(a.MeterID)
			}
		case openflow.ActionClone:
			needsOfActions(a, group, meter)
		}
	}
}
