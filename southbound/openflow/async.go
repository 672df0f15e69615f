package openflow

type (
	GetAsyncRequest struct{}
	// GetAsyncReply is OFPT_GET_ASYNC_REPLY.
	GetAsyncReply struct{ AsyncConfig }
	// SetAsync is OFPT_SET_ASYNC.
	SetAsync struct{ AsyncConfig }
	// AsyncConfig is ofp_async_config: which messages the switch sends of its
	// own accord. Bit n stands for the message with reason n. The first of each
	// pair is in force for a controller that is equal or master, the second for
	// a slave.
	AsyncConfig struct {
		PacketIn    [2]uint32
		PortStatus  [2]uint32
		FlowRemoved [2]uint32
	}
)

func (*GetAsyncRequest) MsgType() Type              { return TypeGetAsyncRequest }
func (*GetAsyncRequest) AppendBody(b []byte) []byte { return b }
func (*GetAsyncReply) MsgType() Type                { return TypeGetAsyncReply }
func (m *GetAsyncReply) AppendBody(b []byte) []byte { return m.appendTo(b) }
func (*SetAsync) MsgType() Type                     { return TypeSetAsync }
func (m *SetAsync) AppendBody(b []byte) []byte      { return m.appendTo(b) }

func (c *AsyncConfig) appendTo(b []byte) []byte {
	for _, masks := range [...][2]uint32{c.PacketIn, c.PortStatus, c.FlowRemoved} {
		b = be.AppendUint32(b, masks[0])
		b = be.AppendUint32(b, masks[1])
	}
	return b
}

func decodeAsyncConfig(r *reader) AsyncConfig {
	return AsyncConfig{
		PacketIn: [2]uint32{r.u32(), r.u32()}, PortStatus: [2]uint32{r.u32(), r.u32()}, FlowRemoved: [2]uint32{r.u32(), r.u32()},
	}
}
