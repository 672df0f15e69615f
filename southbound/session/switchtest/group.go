package switchtest

import (
	"maps"
	"slices"

	"github.com/macloom/macloom/southbound/openflow"
)

// Codes of the errors about groups and meters.
const (
	groupExists  = 0 // OFPGMFC_GROUP_EXISTS
	unknownGroup = 8 // OFPGMFC_UNKNOWN_GROUP
	meterExists  = 1 // OFPMMFC_METER_EXISTS
	unknownMeter = 3 // OFPMMFC_UNKNOWN_METER
)

// applyGroupMod changes the groups. Flows that use a group which is deleted
// stay. The caller holds s.mu.
func (s *Switch) applyGroupMod(m *openflow.GroupMod) *openflow.Error {
	_, exists := s.groups[m.GroupID]
	switch {
	case m.Command == openflow.GroupDelete && m.GroupID == openflow.AllGroups:
		clear(s.groups)
	case m.Command == openflow.GroupDelete:
		delete(s.groups, m.GroupID)
	case m.Command == openflow.GroupAdd && exists:
		return &openflow.Error{ErrType: openflow.ErrorGroupModFailed, Code: groupExists}
	case m.Command == openflow.GroupModify && !exists:
		return &openflow.Error{ErrType: openflow.ErrorGroupModFailed, Code: unknownGroup}
	default:
		s.groups[m.GroupID] = openflow.GroupDesc{GroupType: m.GroupType, GroupID: m.GroupID, Buckets: m.Buckets}
	}
	return nil
}

func (s *Switch) applyMeterMod(m *openflow.MeterMod) *openflow.Error {
	_, exists := s.meters[m.MeterID]
	switch {
	case m.Command == openflow.MeterDelete && m.MeterID == openflow.AllMeters:
		clear(s.meters)
	case m.Command == openflow.MeterDelete:
		delete(s.meters, m.MeterID)
	case m.Command == openflow.MeterAdd && exists:
		return &openflow.Error{ErrType: openflow.ErrorMeterModFailed, Code: meterExists}
	case m.Command == openflow.MeterModify && !exists:
		return &openflow.Error{ErrType: openflow.ErrorMeterModFailed, Code: unknownMeter}
	default:
		s.meters[m.MeterID] = openflow.MeterConfig{Flags: m.Flags, MeterID: m.MeterID, Bands: m.Bands}
	}
	return nil
}

func (s *Switch) groupDesc() *openflow.GroupDescReply {
	m := new(openflow.GroupDescReply)
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		m.Groups = append(m.Groups, s.groups[id])
	}
	return m
}

func (s *Switch) meterConfig(which uint32) *openflow.MeterConfigReply {
	m := new(openflow.MeterConfigReply)
	for _, id := range slices.Sorted(maps.Keys(s.meters)) {
		if which == openflow.AllMeters || which == id {
			m.Meters = append(m.Meters, s.meters[id])
		}
	}
	return m
}

// Groups returns the groups by number.
func (s *Switch) Groups() []openflow.GroupDesc {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groupDesc().Groups
}

// Meters returns the meters by number.
func (s *Switch) Meters() []openflow.MeterConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meterConfig(openflow.AllMeters).Meters
}
