package openflow

type (
	// ActionOutput is OFPAT_OUTPUT. MaxLen matters for PortController only.
	ActionOutput struct {
		Port   uint32
		MaxLen uint16
	}
	// ActionOutputReg is NXAST_OUTPUT_REG: output to the port that Src holds.
	ActionOutputReg struct {
		Src    Subfield
		MaxLen uint16
	}
	// ActionOutputReg2 is NXAST_OUTPUT_REG2, another form of ActionOutputReg.
	ActionOutputReg2 struct {
		Src    Subfield
		MaxLen uint16
	}
	// ActionOutputTrunc is NXAST_OUTPUT_TRUNC: output at most MaxLen bytes of the
	// packet. Port is a 16-bit port number.
	ActionOutputTrunc struct {
		Port   uint16
		MaxLen uint32
	}
	// ActionGroup is OFPAT_GROUP.
	ActionGroup struct{ ID uint32 }
	// ActionSetQueue is OFPAT_SET_QUEUE.
	ActionSetQueue struct{ ID uint32 }
	// ActionPopQueue is NXAST_POP_QUEUE: back to the queue before ActionSetQueue.
	ActionPopQueue struct{}
	// ActionController is NXAST_CONTROLLER: send MaxLen bytes of the packet to the
	// controllers with this id, and say why.
	ActionController struct {
		MaxLen uint16
		ID     uint16
		Reason uint8 // OFPR_*
	}
	// ActionController2 is NXAST_CONTROLLER2. Userdata comes back in the packet-in.
	// MeterID is the meter that packet-ins of this action pass, 0 for none. With
	// Pause the pipeline waits until the controller resumes it.
	ActionController2 struct {
		MaxLen   uint16
		ID       uint16
		Reason   uint8
		Pause    bool
		MeterID  uint32
		Userdata []byte
	}
	// ActionSample is NXAST_SAMPLE: send Probability of 65535 packets to a set of
	// IPFIX collectors of the database.
	ActionSample struct {
		Probability    uint16
		CollectorSetID uint32
		ObsDomainID    uint32
		ObsPointID     uint32
	}
	// ActionSample2 is NXAST_SAMPLE2, which also says the port whose tunnel is
	// reported, a 16-bit number.
	ActionSample2 struct {
		ActionSample
		Port uint16
	}
	// ActionSample3 is NXAST_SAMPLE3, which also says the direction.
	ActionSample3 struct {
		ActionSample
		Port      uint16
		Direction SampleDirection
	}
)

// SampleDirection is enum nx_action_sample_direction.
type SampleDirection uint8

// Directions of ActionSample3.
const (
	SampleDefault SampleDirection = 0
	SampleIngress SampleDirection = 1
	SampleEgress  SampleDirection = 2
)

// packetInAction is OFPR_ACTION, the reason of a packet-in that an action asked
// for.
const packetInAction = 1

// Properties of NXAST_CONTROLLER2 (NXAC2PT_*).
const (
	controllerMaxLen   = 0
	controllerID       = 1
	controllerReason   = 2
	controllerUserdata = 3
	controllerPause    = 4
	controllerMeter    = 5
)

func (a ActionOutput) AppendAction(b []byte) []byte {
	b = append(b, 0, actionOutput, 0, 16)
	b = be.AppendUint32(b, a.Port)
	b = be.AppendUint16(b, a.MaxLen)
	return appendZeros(b, 6)
}

func (a ActionOutputReg) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxOutputReg, 24)
	b = be.AppendUint16(b, a.Src.ofsNbits())
	b = be.AppendUint32(b, a.Src.Field.nxmHeader())
	b = be.AppendUint16(b, a.MaxLen)
	return appendZeros(b, 6)
}

func (a ActionOutputReg2) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxOutputReg2, 24)
	b = be.AppendUint16(b, a.Src.ofsNbits())
	b = be.AppendUint16(b, a.MaxLen)
	b = be.AppendUint32(b, a.Src.Field.nxmHeader())
	return appendZeros(b, 6)
}

func (a ActionOutputTrunc) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxOutputTrunc, 16)
	b = be.AppendUint16(b, a.Port)
	return be.AppendUint32(b, a.MaxLen)
}

func (a ActionGroup) AppendAction(b []byte) []byte { return appendShort(b, actionGroup, a.ID) }

func (a ActionSetQueue) AppendAction(b []byte) []byte { return appendShort(b, actionSetQueue, a.ID) }

func (ActionPopQueue) AppendAction(b []byte) []byte { return appendNiciraEmpty(b, nxPopQueue) }

func (a ActionController) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxController, 16)
	b = be.AppendUint16(b, a.MaxLen)
	b = be.AppendUint16(b, a.ID)
	return append(b, a.Reason, 0)
}

// AppendAction appends the properties that do not have their default.
func (a ActionController2) AppendAction(b []byte) []byte {
	start := len(b)
	b = appendZeros(appendNicira(b, nxController2, 0), 6)
	if a.MaxLen != 0xffff {
		b = appendProperty(b, controllerMaxLen, []byte{byte(a.MaxLen >> 8), byte(a.MaxLen), 0, 0})
	}
	if a.ID != 0 {
		b = appendProperty(b, controllerID, []byte{byte(a.ID >> 8), byte(a.ID), 0, 0})
	}
	if a.Reason != packetInAction {
		b = appendProperty(b, controllerReason, []byte{a.Reason})
	}
	if len(a.Userdata) != 0 {
		b = appendProperty(b, controllerUserdata, a.Userdata)
	}
	if a.Pause {
		b = appendProperty(b, controllerPause, nil)
	}
	if a.MeterID != 0 {
		b = be.AppendUint32(be.AppendUint32(b, controllerMeter<<16|8), a.MeterID)
	}
	return finishAction(b, start)
}

func decodeController2(r *reader) Action {
	a := ActionController2{MaxLen: 0xffff, Reason: packetInAction}
	r.skip(6)
	for r.err == nil && len(r.b) > 0 {
		kind, value, _ := r.property()
		p := reader{b: value}
		switch kind {
		case controllerMaxLen:
			a.MaxLen = p.u16()
		case controllerID:
			a.ID = p.u16()
		case controllerReason:
			a.Reason = p.u8()
		case controllerUserdata:
			a.Userdata = p.copyRest()
		case controllerPause:
			a.Pause = true
		case controllerMeter:
			a.MeterID = p.u32()
		}
		r.adopt(&p)
	}
	return a
}

func (a ActionSample) appendTo(b []byte, subtype, n uint16) []byte {
	b = appendNicira(b, subtype, n)
	b = be.AppendUint16(b, a.Probability)
	b = be.AppendUint32(b, a.CollectorSetID)
	b = be.AppendUint32(b, a.ObsDomainID)
	return be.AppendUint32(b, a.ObsPointID)
}

func (a ActionSample) AppendAction(b []byte) []byte { return a.appendTo(b, nxSample, 24) }

func (a ActionSample2) AppendAction(b []byte) []byte {
	return appendZeros(be.AppendUint16(a.appendTo(b, nxSample2, 32), a.Port), 6)
}

func (a ActionSample3) AppendAction(b []byte) []byte {
	b = be.AppendUint16(a.appendTo(b, nxSample3, 32), a.Port)
	return appendZeros(append(b, byte(a.Direction)), 5)
}

func decodeSample(r *reader) ActionSample {
	return ActionSample{Probability: r.u16(), CollectorSetID: r.u32(), ObsDomainID: r.u32(), ObsPointID: r.u32()}
}

// decodeOutput decodes the Nicira actions that send a packet somewhere.
func decodeOutput(subtype uint16, r *reader) Action {
	switch subtype {
	case nxOutputReg:
		src := r.packedSubfield(r.u16())
		return ActionOutputReg{Src: src, MaxLen: r.u16()}
	case nxOutputReg2:
		ofsNbits, maxLen := r.u16(), r.u16()
		return ActionOutputReg2{Src: r.packedSubfield(ofsNbits), MaxLen: maxLen}
	case nxOutputTrunc:
		return ActionOutputTrunc{Port: r.u16(), MaxLen: r.u32()}
	case nxController:
		return ActionController{MaxLen: r.u16(), ID: r.u16(), Reason: r.u8()}
	case nxController2:
		return decodeController2(r)
	case nxSample:
		return decodeSample(r)
	case nxSample2:
		return ActionSample2{ActionSample: decodeSample(r), Port: r.u16()}
	}
	return ActionSample3{ActionSample: decodeSample(r), Port: r.u16(), Direction: SampleDirection(r.u8())}
}
