package flow

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// String returns the flow as one line, in the form of
// ovs-ofctl --no-names --no-stats dump-flows, which parse-flows takes, except
// that table and priority are always written. What ovs-ofctl has no words for here
// is written as hex (oxm=, raw:, instruction:), which only Parse takes.
func (f Flow) String() string {
	var b strings.Builder
	if f.Cookie != 0 {
		fmt.Fprintf(&b, "cookie=0x%x, ", f.Cookie)
	}
	fmt.Fprintf(&b, "table=%d, ", f.Table)
	if f.IdleTimeout != 0 {
		fmt.Fprintf(&b, "idle_timeout=%d, ", f.IdleTimeout)
	}
	if f.HardTimeout != 0 {
		fmt.Fprintf(&b, "hard_timeout=%d, ", f.HardTimeout)
	}
	for _, n := range flagNames {
		if f.Flags&n.flag != 0 {
			b.WriteString(n.name + " ")
		}
	}
	fmt.Fprintf(&b, "priority=%d", f.Priority)
	if match := f.Match.String(); match != "" {
		b.WriteString("," + match)
	}
	b.WriteString(" actions=")
	b.WriteString(f.Instructions.String())
	return b.String()
}

// String returns the field as ovs-ofctl writes it in set_field, with its mask.
func (f Field) String() string {
	if f.raw != "" || !known(&f.oxm) {
		return "oxm=" + f.hex()
	}
	n := namingByID[f.oxm.Field]
	if f.Exact() {
		return n.set + "=" + n.kind.text(f.Value())
	}
	return n.set + "=" + n.kind.maskedText(f.Value(), f.Mask())
}

// hex returns the whole TLV in hex.
func (f Field) hex() string {
	if f.raw != "" {
		return hex.EncodeToString([]byte(f.raw))
	}
	return hex.EncodeToString(f.oxm.AppendTo(nil))
}

// text writes a value of the kind.
func (k kind) text(v []byte) string {
	n := uintOf(v)
	switch k {
	case ethernet:
		return ethText(v)
	case ipv4, ipv6:
		a, _ := netip.AddrFromSlice(v)
		return a.String()
	case hexadecimal:
		return bytesHex(v)
	case port:
		if len(v) == 2 {
			n = uint64(port16(uint16(n)))
		}
		return portText(uint32(n))
	case packetType:
		return packetTypeText(n)
	case fragment:
		return k.maskedText(v, []byte{0xff})
	case ctFlags, tcpFlags, tunnelFlags:
		return k.flagList(n)
	}
	return strconv.FormatUint(n, 10)
}

// maskedText writes a value with a mask that is not full.
func (k kind) maskedText(v, mask []byte) string {
	switch k {
	case ethernet:
		return ethText(v) + "/" + ethText(mask)
	case ipv4, ipv6:
		if ones, ok := prefixLen(mask); ok {
			return k.text(v) + "/" + strconv.Itoa(ones)
		}
		return k.text(v) + "/" + k.text(mask)
	case fragment:
		for _, f := range fragments {
			if f.value == v[0] && f.mask == mask[0] {
				return f.word
			}
		}
	case ctFlags, tcpFlags, tunnelFlags:
		return k.flagSigns(uintOf(v), uintOf(mask))
	case decimal:
		return k.text(v) + "/" + bytesHex(mask)
	}
	return bytesHex(v) + "/" + bytesHex(mask)
}

// flagList writes a value of flags that is matched in all its bits.
func (k kind) flagList(v uint64) string {
	var set []string
	for bit, name := range k.words() {
		if v>>bit&1 != 0 {
			set = append(set, name)
		}
	}
	if set == nil {
		return "0"
	}
	return strings.Join(set, "|")
}

// flagSigns writes a value of flags with its mask, which has none but bits that have a name.
func (k kind) flagSigns(v, mask uint64) string {
	names := k.words()
	if mask == 1<<len(names)-1 {
		switch k {
		case ctFlags: // the form of a ct_state that is matched as a whole
			return k.flagList(v)
		case tcpFlags: // which is not quite the form of all bits, though it matches the same
			return hexText(v) + "/" + hexText(mask)
		}
	}
	var text strings.Builder
	for bit, name := range names {
		switch {
		case v>>bit&1 != 0:
			text.WriteString("+" + name)
		case mask>>bit&1 != 0:
			text.WriteString("-" + name)
		}
	}
	return text.String()
}

// packetTypeText writes namespace and type.
func packetTypeText(v uint64) string {
	part := func(n uint64) string {
		if n > 9 {
			return hexText(n)
		}
		return decimalText(n)
	}
	return "(" + part(v>>16) + "," + part(v&0xffff) + ")"
}

func uintOf(v []byte) (n uint64) {
	for _, c := range v {
		n = n<<8 | uint64(c)
	}
	return n
}

// bytesHex writes a number without leading zeros as C's %#x does.
func bytesHex(v []byte) string {
	if s := strings.TrimLeft(hex.EncodeToString(v), "0"); s != "" {
		return "0x" + s
	}
	return "0"
}

func ethText(v []byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", v[0], v[1], v[2], v[3], v[4], v[5])
}

// cHex writes a number as C's %#x does: zero has no 0x.
func cHex(v uint64) string {
	if v == 0 {
		return "0"
	}
	return "0x" + strconv.FormatUint(v, 16)
}

func decimalText(v uint64) string { return strconv.FormatUint(v, 10) }
func hexText(v uint64) string     { return "0x" + strconv.FormatUint(v, 16) }

func portText(n uint32) string {
	if name := portNames[n]; name != "" {
		return name
	}
	return strconv.FormatUint(uint64(n), 10)
}

// prefixLen returns the number of leading ones of mask if only zeros follow.
func prefixLen(mask []byte) (ones int, ok bool) {
	for i, c := range mask {
		if c == 0xff {
			continue
		}
		n := bits.LeadingZeros8(^c)
		return 8*i + n, c<<n == 0 && len(bytes.Trim(mask[i+1:], "\x00")) == 0
	}
	return 8 * len(mask), true
}
