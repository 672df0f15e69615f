package openflow

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrTooLong is the fault of a message that does not fit the 16-bit length of
// the header.
var ErrTooLong = errors.New("openflow: message is longer than 65535 bytes")

var be = binary.BigEndian

// AppendMessage appends m as a message of version 1.3.
//
// A message longer than MaxMessageLen cannot be sent: nothing is appended then,
// and the result has the length of b (which no success has). Only a message
// that carries foreign bytes (packet-out, echo, raw) can become that long.
func AppendMessage(b []byte, xid uint32, m Message) []byte {
	return AppendMessageVersion(b, Version13, xid, m)
}

// AppendMessageVersion is AppendMessage with another version in the header.
// Only hello, error and echo have the same form in every version.
func AppendMessageVersion(b []byte, v Version, xid uint32, m Message) []byte {
	start := len(b)
	b = append(b, byte(v), byte(m.MsgType()), 0, 0, byte(xid>>24), byte(xid>>16), byte(xid>>8), byte(xid))
	b = m.AppendBody(b)
	n := len(b) - start
	if n > MaxMessageLen {
		return b[:start]
	}
	putLen(b, start+2, n)
	return b
}

// DecodeHeader decodes the first HeaderLen bytes of b. It fails if there are
// fewer or if the length in them is less than a header's, after which nothing
// in the stream can be trusted. The version is not judged.
func DecodeHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("openflow: decode header: %w", errShort)
	}
	h := Header{Version: Version(b[0]), Type: Type(b[1]), Length: be.Uint16(b[2:]), XID: be.Uint32(b[4:])}
	if h.Length < HeaderLen {
		return h, fmt.Errorf("openflow: decode header: length %d is less than the header's", h.Length)
	}
	return h, nil
}

// Decode decodes one whole frame. The message owns its bytes, except for Data of
// PacketIn, PacketIn2, Resume and PacketOut, which aliases the frame. The header is valid
// even where the body is not.
func Decode(frame []byte) (Header, Message, error) {
	return decode(frame, true)
}

func decode(frame []byte, outer bool) (Header, Message, error) {
	h, err := DecodeHeader(frame)
	if err != nil {
		return h, nil, err
	}
	if int(h.Length) != len(frame) {
		return h, nil, fmt.Errorf("openflow: decode %s: length is %d, frame has %d bytes", h.Type, h.Length, len(frame))
	}
	if h.Version != Version13 {
		switch h.Type {
		case TypeHello, TypeError, TypeEchoRequest, TypeEchoReply:
		default:
			return h, nil, fmt.Errorf("openflow: decode %s: version 0x%02x is not 1.3", h.Type, uint8(h.Version))
		}
	}
	m, err := decodeBody(h.Type, frame[HeaderLen:], outer)
	if err != nil {
		return h, nil, fmt.Errorf("openflow: decode %s: %w", h.Type, err)
	}
	return h, m, nil
}

// decodeBody decodes the body of a message of type t. Bundle messages are
// understood in an outer message only, so they cannot nest.
func decodeBody(t Type, body []byte, outer bool) (Message, error) {
	r := reader{b: body}
	var m Message
	switch t {
	case TypeHello:
		m = decodeHello(&r)
	case TypeError:
		m = decodeError(&r)
	case TypeEchoRequest:
		m = &EchoRequest{Data: r.copyRest()}
	case TypeEchoReply:
		m = &EchoReply{Data: r.copyRest()}
	case TypeExperimenter:
		m = decodeExperimenter(&r, outer)
	case TypeFeaturesRequest:
		m = &FeaturesRequest{}
	case TypeFeaturesReply:
		m = decodeFeaturesReply(&r)
	case TypeGetConfigRequest:
		m = &GetConfigRequest{}
	case TypeGetConfigReply:
		m = &GetConfigReply{Flags: r.u16(), MissSendLen: r.u16()}
	case TypeSetConfig:
		m = &SetConfig{Flags: r.u16(), MissSendLen: r.u16()}
	case TypePacketIn:
		p := new(PacketIn)
		return p, p.decode(&r)
	case TypeFlowRemoved:
		m = decodeFlowRemoved(&r)
	case TypePortStatus:
		m = decodePortStatus(&r)
	case TypePacketOut:
		m = decodePacketOut(&r)
	case TypeFlowMod:
		m = decodeFlowMod(&r)
	case TypeGroupMod:
		m = decodeGroupMod(&r)
	case TypePortMod:
		m = decodePortMod(&r)
	case TypeTableMod:
		m = decodeTableMod(&r)
	case TypeQueueGetConfigRequest:
		q := &QueueGetConfigRequest{Port: r.u32()}
		r.skip(4)
		m = q
	case TypeQueueGetConfigReply:
		m = decodeQueueGetConfigReply(&r)
	case TypeGetAsyncRequest:
		m = &GetAsyncRequest{}
	case TypeGetAsyncReply:
		m = &GetAsyncReply{decodeAsyncConfig(&r)}
	case TypeSetAsync:
		m = &SetAsync{decodeAsyncConfig(&r)}
	case TypeMeterMod:
		m = decodeMeterMod(&r)
	case TypeMultipartRequest:
		m = decodeMultipartRequest(&r)
	case TypeMultipartReply:
		m = decodeMultipartReply(&r)
	case TypeBarrierRequest:
		m = &BarrierRequest{}
	case TypeBarrierReply:
		m = &BarrierReply{}
	case TypeRoleRequest:
		role, generation := decodeRole(&r)
		m = &RoleRequest{Role: role, GenerationID: generation}
	case TypeRoleReply:
		role, generation := decodeRole(&r)
		m = &RoleReply{Role: role, GenerationID: generation}
	default:
		m = &Raw{Of: t, Body: r.copyRest()}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return m, nil
}
