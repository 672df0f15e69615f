package flow

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// Meter is one meter, in the form that Open vSwitch reads back. Two meters are
// the same entry of a switch if their IDs are equal, and need no change if they
// are == (see Diff).
type Meter struct {
	ID    uint32
	Flags openflow.MeterFlags
	Bands Bands
}

// Bands is the canonical encoding of a list of ofp_meter_band.
type Bands string

// bandLen is the size of the bands that OpenFlow 1.3 defines.
const bandLen = 16

// NewMeter returns a meter. Burst sizes are left out where no flag says that
// they count; a burst size of zero is the rate, as Open vSwitch has it.
func NewMeter(id uint32, flags openflow.MeterFlags, bands ...openflow.MeterBand) Meter {
	var b []byte
	for _, k := range bands {
		switch {
		case flags&openflow.MeterBurst == 0:
			k.BurstSize = 0
		case k.BurstSize == 0:
			k.BurstSize = k.Rate
		}
		start := len(b)
		b = binary.BigEndian.AppendUint16(b, uint16(k.Type))
		b = append(b, 0, 0)
		b = binary.BigEndian.AppendUint32(b, k.Rate)
		b = binary.BigEndian.AppendUint32(b, k.BurstSize)
		if k.Raw != nil {
			b = append(b, k.Raw...)
		} else {
			b = append(b, k.PrecLevel, 0, 0, 0)
		}
		binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	}
	return Meter{ID: id, Flags: flags, Bands: Bands(b)}
}

// PacketMeter drops what exceeds a rate in packets per second, after a burst of
// so many packets.
func PacketMeter(id, rate, burst uint32) Meter {
	return NewMeter(id, openflow.MeterPktps|openflow.MeterBurst|openflow.MeterStats,
		openflow.MeterBand{Type: openflow.BandDrop, Rate: rate, BurstSize: burst})
}

// MeterFromConfig returns the meter that a switch reports, in canonical form. It
// is == to the meter that was installed.
func MeterFromConfig(c openflow.MeterConfig) Meter { return NewMeter(c.MeterID, c.Flags, c.Bands...) }

// List decodes the bands.
func (b Bands) List() []openflow.MeterBand {
	var list []openflow.MeterBand
	for rest := []byte(b); len(rest) >= bandLen; {
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if n < bandLen || n > len(rest) {
			return list // not made by this package
		}
		k := openflow.MeterBand{
			Type: openflow.MeterBandType(binary.BigEndian.Uint16(rest)),
			Rate: binary.BigEndian.Uint32(rest[4:]), BurstSize: binary.BigEndian.Uint32(rest[8:]),
		}
		switch tail := rest[12:n:n]; {
		case n == bandLen && k.Type == openflow.BandDSCPRemark && tail[1]|tail[2]|tail[3] == 0:
			k.PrecLevel = tail[0]
		case n != bandLen || tail[0]|tail[1]|tail[2]|tail[3] != 0:
			k.Raw = tail
		}
		list = append(list, k)
		rest = rest[n:]
	}
	return list
}

// Add returns the message that installs m where there is no meter with its id.
func (m Meter) Add() *openflow.MeterMod { return m.mod(openflow.MeterAdd) }

// Modify returns the message that changes the meter with the id of m to m.
func (m Meter) Modify() *openflow.MeterMod { return m.mod(openflow.MeterModify) }

// Delete returns the message that removes the meter with the id of m, and with
// it, in the switch, every flow with it as instruction.
func (m Meter) Delete() *openflow.MeterMod {
	return &openflow.MeterMod{Command: openflow.MeterDelete, MeterID: m.ID}
}

func (m Meter) mod(c openflow.MeterModCommand) *openflow.MeterMod {
	return &openflow.MeterMod{Command: c, Flags: m.Flags, MeterID: m.ID, Bands: m.Bands.List()}
}

var meterFlagNames = []struct {
	flag openflow.MeterFlags
	name string
}{
	{openflow.MeterKbps, "kbps"}, {openflow.MeterPktps, "pktps"}, {openflow.MeterBurst, "burst"}, {openflow.MeterStats, "stats"},
}

// String returns the meter as ovs-ofctl dump-meters prints it, on one line. Bands
// that ovs-ofctl has no words for are written as hex (raw:).
func (m Meter) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "meter=%d ", m.ID)
	rest := m.Flags
	for _, n := range meterFlagNames {
		if rest&n.flag != 0 {
			b.WriteString(n.name + " ")
			rest &^= n.flag
		}
	}
	if rest != 0 {
		fmt.Fprintf(&b, "flags:%#x ", uint16(rest))
	}
	b.WriteString("bands=")
	for i, k := range m.Bands.List() {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch {
		case k.Raw == nil && k.Type == openflow.BandDrop:
			fmt.Fprintf(&b, "type=drop rate=%d", k.Rate)
		case k.Raw == nil && k.Type == openflow.BandDSCPRemark:
			fmt.Fprintf(&b, "type=dscp_remark rate=%d", k.Rate)
		default:
			one := NewMeter(0, openflow.MeterBurst, k)
			b.WriteString("raw:" + hex.EncodeToString([]byte(one.Bands)))
			continue
		}
		if m.Flags&openflow.MeterBurst != 0 {
			fmt.Fprintf(&b, " burst_size=%d", k.BurstSize)
		}
		if k.Type == openflow.BandDSCPRemark {
			fmt.Fprintf(&b, " prec_level=%d", k.PrecLevel)
		}
	}
	return b.String()
}

// ParseMeter reads a line that Meter.String printed.
func ParseMeter(line string) (Meter, error) {
	m, err := parseMeter(line)
	if err != nil {
		return Meter{}, fmt.Errorf("flow: parse meter %.200q: %w", line, err)
	}
	return m, nil
}

func parseMeter(line string) (Meter, error) {
	head, rest, ok := strings.Cut(line, "bands=")
	if !ok {
		return Meter{}, fmt.Errorf("no bands=")
	}
	var id uint32
	var flags openflow.MeterFlags
	for i, word := range strings.Fields(head) {
		if i == 0 {
			value, ok := strings.CutPrefix(word, "meter=")
			if !ok {
				return Meter{}, fmt.Errorf("%s: no meter=", word)
			}
			if err := parseTo(&id, value); err != nil {
				return Meter{}, err
			}
			continue
		}
		flag, err := parseMeterFlag(word)
		if err != nil {
			return Meter{}, err
		}
		flags |= flag
	}
	var bands []openflow.MeterBand
	for _, word := range strings.Fields(rest) {
		if err := parseBandWord(&bands, word); err != nil {
			return Meter{}, fmt.Errorf("%s: %w", word, err)
		}
	}
	return NewMeter(id, flags, bands...), nil
}

func parseMeterFlag(word string) (openflow.MeterFlags, error) {
	for _, n := range meterFlagNames {
		if word == n.name {
			return n.flag, nil
		}
	}
	value, ok := strings.CutPrefix(word, "flags:")
	if !ok {
		return 0, fmt.Errorf("%s: unknown flag", word)
	}
	var n uint16
	err := parseTo(&n, value)
	return openflow.MeterFlags(n), err
}

// parseBandWord reads one word of a list of bands. A type begins the next band.
func parseBandWord(bands *[]openflow.MeterBand, word string) error {
	if raw, ok := strings.CutPrefix(word, "raw:"); ok {
		b, err := hex.DecodeString(raw)
		if err != nil || len(b) < bandLen || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
			return fmt.Errorf("not one band in hex")
		}
		*bands = append(*bands, Bands(b).List()...)
		return nil
	}
	name, value, _ := strings.Cut(word, "=")
	if name == "type" {
		types := map[string]openflow.MeterBandType{"drop": openflow.BandDrop, "dscp_remark": openflow.BandDSCPRemark}
		t, ok := types[value]
		if !ok {
			return fmt.Errorf("unknown type")
		}
		*bands = append(*bands, openflow.MeterBand{Type: t})
		return nil
	}
	if len(*bands) == 0 {
		return fmt.Errorf("no type= before")
	}
	k := &(*bands)[len(*bands)-1]
	switch name {
	case "rate":
		return parseTo(&k.Rate, value)
	case "burst_size":
		return parseTo(&k.BurstSize, value)
	case "prec_level":
		return parseTo(&k.PrecLevel, value)
	}
	return fmt.Errorf("unknown word")
}
