package intent

// QoSCount is what rules of a kind and direction have counted, in all switches
// that could be asked.
type QoSCount struct {
	Kind      QoSRuleKind
	Direction Direction
	// Packets and Bytes are those that the rules were asked about, and Dropped of
	// them those above a limit.
	Packets, Bytes        uint64
	Dropped, DroppedBytes uint64
}

// Plus adds what another has counted.
func (c QoSCount) Plus(o QoSCount) QoSCount {
	c.Packets, c.Bytes = c.Packets+o.Packets, c.Bytes+o.Bytes
	c.Dropped, c.DroppedBytes = c.Dropped+o.Dropped, c.DroppedBytes+o.DroppedBytes
	return c
}

// Since is what came after an earlier reading of the same counter, which may have
// begun anew.
func (c QoSCount) Since(o QoSCount) QoSCount {
	if c.Packets < o.Packets || c.Bytes < o.Bytes || c.Dropped < o.Dropped || c.DroppedBytes < o.DroppedBytes {
		return c
	}
	c.Packets, c.Bytes = c.Packets-o.Packets, c.Bytes-o.Bytes
	c.Dropped, c.DroppedBytes = c.Dropped-o.Dropped, c.DroppedBytes-o.DroppedBytes
	return c
}

// QoSStatistics is what is counted of a policy.
type QoSStatistics struct {
	Switches int // that have ports under it and have answered
	Silent   int // and that have not
	Counts   []QoSCount
}
