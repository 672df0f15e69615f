package store

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/macloom/macloom/controller/intent"
)

// rawArray is a column of an array without dimensions or with one, as it was
// sent. It is taken apart by hand: the driver's own way costs a fifth of a long list.
type rawArray []byte

var errArray = errors.New("store: the database sent an array that cannot be read")

// elements calls f with each element. The first byte tells how the array was
// sent: as a text it begins with a brace, else with the number of dimensions.
func elements(raw rawArray, f func(element []byte, text bool) error) error {
	if len(raw) > 0 && raw[0] == '{' {
		inside := strings.Trim(string(raw), "{}")
		if inside == "" {
			return nil
		}
		for part := range strings.SplitSeq(inside, ",") {
			if err := f([]byte(part), true); err != nil {
				return err
			}
		}
		return nil
	}
	const header, dimension = 12, 8 // dimensions, flags, type; length, first index
	if len(raw) == header && binary.BigEndian.Uint32(raw) == 0 {
		return nil
	}
	if len(raw) < header+dimension || binary.BigEndian.Uint32(raw) != 1 {
		return errArray
	}
	rest := raw[header+dimension:]
	for range binary.BigEndian.Uint32(raw[header:]) {
		if len(rest) < 4 {
			return errArray
		}
		size := int(int32(binary.BigEndian.Uint32(rest)))
		if rest = rest[4:]; size < 0 || size > len(rest) {
			return errArray
		}
		if err := f(rest[:size], false); err != nil {
			return err
		}
		rest = rest[size:]
	}
	return nil
}

// stringUUIDs lets a connection send lists of ids, which are strings here. The
// driver by itself tries to send them as UUIDs, fails, tells at length why, and
// then sends them as texts: a tenth of what making a port costs this process.
func stringUUIDs(_ context.Context, conn *pgx.Conn) error {
	element := &pgtype.Type{Name: "uuid", OID: pgtype.UUIDOID, Codec: stringUUIDCodec{}}
	conn.TypeMap().RegisterType(element)
	conn.TypeMap().RegisterType(&pgtype.Type{Name: "_uuid", OID: pgtype.UUIDArrayOID, Codec: &pgtype.ArrayCodec{ElementType: element}})
	return nil
}

type stringUUIDCodec struct{ pgtype.UUIDCodec }

// PlanEncode implements pgtype.Codec.
func (c stringUUIDCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, is := value.(string); is && format == pgtype.BinaryFormatCode {
		return stringUUIDPlan{}
	}
	return c.UUIDCodec.PlanEncode(m, oid, format, value)
}

type stringUUIDPlan struct{}

// Encode implements pgtype.EncodePlan.
func (stringUUIDPlan) Encode(value any, buf []byte) ([]byte, error) {
	id, err := uuid.Parse(value.(string))
	return append(buf, id[:]...), err
}

// readUUIDs reads a uuid[].
func readUUIDs(raw rawArray) ([]string, error) {
	list := make([]string, 0, 1) // as most have
	err := elements(raw, func(element []byte, text bool) error {
		if text {
			list = append(list, string(element))
			return nil
		}
		id, err := uuid.FromBytes(element)
		list = append(list, id.String())
		return err
	})
	return list, err
}

// readFixedIPs reads a text[] of "subnet/address".
func readFixedIPs(raw rawArray) ([]intent.FixedIP, error) {
	list := make([]intent.FixedIP, 0, 1) // as most have
	err := elements(raw, func(element []byte, _ bool) error {
		subnet, address, _ := strings.Cut(string(element), "/")
		addr, err := netip.ParseAddr(address)
		list = append(list, intent.FixedIP{SubnetID: subnet, Addr: addr})
		return err
	})
	return list, err
}
