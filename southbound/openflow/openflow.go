// Package openflow is the OpenFlow 1.3 wire codec (ONF TS-012), with the Nicira
// extensions of Open vSwitch and the ONF bundle extension (EXT-230). It knows
// bytes, not meaning: canonical forms and diffs are in package flow.
//
// Every message encodes by appending to a caller's buffer and decodes through a
// bounds-checked reader. What the package does not know (experimenters, match
// fields, actions, instructions) is kept raw and encodes back to the same bytes.
package openflow

import "fmt"

// Version is an OpenFlow wire version.
type Version uint8

const (
	Version10 Version = 0x01
	Version13 Version = 0x04
)

// Sizes and limits of the protocol.
const (
	HeaderLen     = 8
	MaxMessageLen = 65535 // ofp_header.length has 16 bits
	NoBuffer      = 0xffffffff
)

// Reserved port numbers (enum ofp_port_no).
const (
	PortMax        uint32 = 0xffffff00
	PortInPort     uint32 = 0xfffffff8
	PortTable      uint32 = 0xfffffff9
	PortNormal     uint32 = 0xfffffffa
	PortFlood      uint32 = 0xfffffffb
	PortAll        uint32 = 0xfffffffc
	PortController uint32 = 0xfffffffd
	PortLocal      uint32 = 0xfffffffe
	PortAny        uint32 = 0xffffffff
)

const (
	GroupAny uint32 = 0xffffffff // OFPG_ANY
	TableAll uint8  = 0xff       // OFPTT_ALL
)

// Header is ofp_header.
type Header struct {
	Version Version
	Type    Type
	Length  uint16
	XID     uint32
}

// Message is one OpenFlow message without its header. Implementations are
// pointers to the structs of this package.
type Message interface {
	// MsgType is the ofp_header.type that the message travels under.
	MsgType() Type
	// AppendBody appends all that follows the header.
	AppendBody(b []byte) []byte
}

// Type is enum ofp_type of version 1.3.
type Type uint8

const (
	TypeHello                 Type = 0
	TypeError                 Type = 1
	TypeEchoRequest           Type = 2
	TypeEchoReply             Type = 3
	TypeExperimenter          Type = 4
	TypeFeaturesRequest       Type = 5
	TypeFeaturesReply         Type = 6
	TypeGetConfigRequest      Type = 7
	TypeGetConfigReply        Type = 8
	TypeSetConfig             Type = 9
	TypePacketIn              Type = 10
	TypeFlowRemoved           Type = 11
	TypePortStatus            Type = 12
	TypePacketOut             Type = 13
	TypeFlowMod               Type = 14
	TypeGroupMod              Type = 15
	TypePortMod               Type = 16
	TypeTableMod              Type = 17
	TypeMultipartRequest      Type = 18
	TypeMultipartReply        Type = 19
	TypeBarrierRequest        Type = 20
	TypeBarrierReply          Type = 21
	TypeQueueGetConfigRequest Type = 22
	TypeQueueGetConfigReply   Type = 23
	TypeRoleRequest           Type = 24
	TypeRoleReply             Type = 25
	TypeGetAsyncRequest       Type = 26
	TypeGetAsyncReply         Type = 27
	TypeSetAsync              Type = 28
	TypeMeterMod              Type = 29
)

func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("OFPT_%d", uint8(t))
}

var typeNames = [...]string{
	TypeHello: "OFPT_HELLO", TypeError: "OFPT_ERROR", TypeEchoRequest: "OFPT_ECHO_REQUEST", TypeEchoReply: "OFPT_ECHO_REPLY",
	TypeExperimenter: "OFPT_EXPERIMENTER", TypeFeaturesRequest: "OFPT_FEATURES_REQUEST", TypeFeaturesReply: "OFPT_FEATURES_REPLY",
	TypeGetConfigRequest: "OFPT_GET_CONFIG_REQUEST", TypeGetConfigReply: "OFPT_GET_CONFIG_REPLY", TypeSetConfig: "OFPT_SET_CONFIG",
	TypePacketIn: "OFPT_PACKET_IN", TypeFlowRemoved: "OFPT_FLOW_REMOVED", TypePortStatus: "OFPT_PORT_STATUS",
	TypePacketOut: "OFPT_PACKET_OUT", TypeFlowMod: "OFPT_FLOW_MOD", TypeGroupMod: "OFPT_GROUP_MOD", TypePortMod: "OFPT_PORT_MOD",
	TypeTableMod: "OFPT_TABLE_MOD", TypeMultipartRequest: "OFPT_MULTIPART_REQUEST", TypeMultipartReply: "OFPT_MULTIPART_REPLY",
	TypeBarrierRequest: "OFPT_BARRIER_REQUEST", TypeBarrierReply: "OFPT_BARRIER_REPLY",
	TypeQueueGetConfigRequest: "OFPT_QUEUE_GET_CONFIG_REQUEST", TypeQueueGetConfigReply: "OFPT_QUEUE_GET_CONFIG_REPLY",
	TypeRoleRequest: "OFPT_ROLE_REQUEST", TypeRoleReply: "OFPT_ROLE_REPLY", TypeGetAsyncRequest: "OFPT_GET_ASYNC_REQUEST",
	TypeGetAsyncReply: "OFPT_GET_ASYNC_REPLY", TypeSetAsync: "OFPT_SET_ASYNC", TypeMeterMod: "OFPT_METER_MOD",
}
