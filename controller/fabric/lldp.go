package fabric

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

// The frames by which links are found are those of IEEE 802.1AB (LLDP), so that
// other equipment reads them too and bridges do not pass them on. An
// organisationally specific TLV signs them.
const (
	tlvEnd, tlvChassis, tlvPort, tlvTTL, tlvOrganisation = 0, 1, 2, 3, 127

	// subtypeLocal says that an identifier is assigned locally (802.1AB tables 8-2, 8-3).
	subtypeLocal = 7

	lldpTTL = 30 // seconds, for other equipment

	signatureLen = 16
	slotLen      = 8

	// A frame is true for the slot of time that it names and the next ones:
	// whoever repeats one later is not believed. One slot in the future is for
	// clocks that differ, of controllers that share a fabric.
	slotTime  = 2 * time.Second
	slotsPast = 2
	slotsSoon = 1
)

var (
	lldpDst  = [6]byte{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e} // nearest bridge
	lldpType = [2]byte{0x88, 0xcc}
	// passedDst is a group address of nobody, locally administered: bridges pass on what is for it.
	passedDst = [6]byte{0x03, 'm', 'l', 0, 0, 1}
	// lldpOrganisation is a locally administered identifier, and the one type of TLV below it.
	lldpOrganisation = [4]byte{0x02, 'm', 'l', 1}
)

// What a frame that is not believed may be.
var (
	ErrForeign = errors.New("fabric: not a frame of ours")
	ErrForged  = errors.New("fabric: the signature is not ours")
	ErrStale   = errors.New("fabric: a frame of another time")
)

// Key signs the frames by which links are found.
type Key []byte

// What a frame is for, which is signed, too: it is not to be made one of the other kind.
const (
	forLink = "macloom link "
	forLoop = "macloom loop "
)

// sign returns the signature of the statement that a frame left by a port at a time.
func (k Key) sign(what string, from End, slot uint64) []byte {
	var b [20]byte
	binary.BigEndian.PutUint64(b[0:], uint64(from.DPID))
	binary.BigEndian.PutUint32(b[8:], from.Port)
	binary.BigEndian.PutUint64(b[12:], slot)
	h := hmac.New(sha256.New, k)
	h.Write([]byte(what))
	h.Write(b[:])
	return h.Sum(nil)[:signatureLen]
}

func slotOf(now time.Time) uint64 { return uint64(now.Unix()) / uint64(slotTime/time.Second) }

// Frame returns the frame that leaves by a port and is heard at the other end of its cable.
func (k Key) Frame(now time.Time, from End) []byte { return k.frame(now, from, lldpDst, forLink) }

// Passed returns one that bridges pass on.
func (k Key) Passed(now time.Time, from End) []byte { return k.frame(now, from, passedDst, forLoop) }

func (k Key) frame(now time.Time, from End, dst [6]byte, what string) []byte {
	b := make([]byte, 0, 96)
	b = append(b, dst[:]...)
	var source [8]byte
	binary.BigEndian.PutUint64(source[:], uint64(from.DPID))
	source[2] = source[2]&^1 | 2 // a station's, and locally administered
	b = append(b, source[2:]...)
	b = append(b, lldpType[:]...)
	b = appendTLV(b, tlvChassis, append([]byte{subtypeLocal}, from.DPID.String()...))
	b = appendTLV(b, tlvPort, strconv.AppendUint([]byte{subtypeLocal}, uint64(from.Port), 10))
	b = appendTLV(b, tlvTTL, []byte{0, lldpTTL})
	slot := slotOf(now)
	b = appendTLV(b, tlvOrganisation, append(binary.BigEndian.AppendUint64(lldpOrganisation[:], slot), k.sign(what, from, slot)...))
	return appendTLV(b, tlvEnd, nil)
}

func appendTLV(b []byte, kind uint16, value []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, kind<<9|uint16(len(value))), value...)
}

// Read says by which port a frame left, if it is one of Frame or Passed of not long ago, and which.
func (k Key) Read(now time.Time, frame []byte) (from End, passed bool, err error) {
	const header = 14
	if len(frame) < header || [2]byte(frame[12:]) != lldpType {
		return End{}, false, ErrForeign
	}
	switch [6]byte(frame) {
	case lldpDst:
		from, err = k.read(now, frame[header:], forLink)
	case passedDst:
		passed = true
		from, err = k.read(now, frame[header:], forLoop)
	default:
		err = ErrForeign
	}
	return from, passed, err
}

func (k Key) read(now time.Time, frame []byte, what string) (from End, err error) {
	chassis, frame, err := takeTLV(frame, tlvChassis)
	if err != nil {
		return from, err
	}
	port, frame, err := takeTLV(frame, tlvPort)
	if err != nil {
		return from, err
	}
	if _, frame, err = takeTLV(frame, tlvTTL); err != nil {
		return from, err
	}
	// Ours is the first one after the mandatory ones.
	signed, _, err := takeTLV(frame, tlvOrganisation)
	if err != nil {
		return from, err
	}
	signed, ok := bytes.CutPrefix(signed, lldpOrganisation[:])
	if !ok || len(signed) != slotLen+signatureLen || len(chassis) == 0 || chassis[0] != subtypeLocal || len(port) == 0 || port[0] != subtypeLocal {
		return from, ErrForeign
	}
	d, err := intent.ParseDPID(string(chassis[1:]))
	if err != nil {
		return from, ErrForeign
	}
	no, err := strconv.ParseUint(string(port[1:]), 10, 32)
	if err != nil {
		return from, ErrForeign
	}
	from = End{d, uint32(no)}
	slot := binary.BigEndian.Uint64(signed)
	if !hmac.Equal(signed[slotLen:], k.sign(what, from, slot)) {
		return End{}, ErrForged
	}
	if present := slotOf(now); slot+slotsPast < present || slot > present+slotsSoon {
		return End{}, ErrStale
	}
	return from, nil
}

// takeTLV takes the value of the first TLV, which must be of a kind.
func takeTLV(b []byte, kind uint16) (value, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, ErrForeign
	}
	head := binary.BigEndian.Uint16(b)
	b = b[2:]
	if n := int(head & 0x1ff); head>>9 == kind && n <= len(b) {
		return b[:n], b[n:], nil
	}
	return nil, nil, ErrForeign
}
