package walk

import (
	"encoding/binary"
	"hash/fnv"
	"math/bits"

	"github.com/macloom/macloom/southbound/openflow"
)

// multipath stores which of the links a hash of the packet falls on. Of a source
// address it is the hash that Open vSwitch takes on little-endian machines, so that the
// same link comes out; of other fields its hash depends on the machine, and this one
// is one of those that could be.
func (r *run) multipath(p *packet, a openflow.ActionMultipath, step int, took Taken) error {
	if a.Algorithm != openflow.MultipathModuloN {
		return unsupported("action " + took.Text)
	}
	var hash uint32
	switch a.Fields {
	case openflow.HashEthSrc:
		hash = jenkins(p.get(openflow.EthSrc)[:6], uint32(a.Basis))
	case openflow.HashNwSrc:
		switch p.num(openflow.EthType) {
		case etherIPv4:
			hash = jenkins(p.get(openflow.IPv4Src)[:4], uint32(a.Basis))
		case etherIPv6:
			hash = jenkins(p.get(openflow.IPv6Src)[:16], uint32(a.Basis))
		default:
			hash = uint32(a.Basis)
		}
	case openflow.HashSymmetricL3L4UDP:
		key, _, _ := tupleOf(p)
		hash = symmetric(key, uint32(a.Basis))
		took.Note = "by a hash of this program: that of the switch may be another"
	default:
		return unsupported("action " + took.Text)
	}
	var v value
	be.PutUint64(v[8:], uint64(hash%(uint32(a.MaxLink)+1)))
	return r.setBits(p, a.Dst, v, step, took)
}

// symmetric is the same for both directions of a connection.
func symmetric(t tuple, basis uint32) uint32 {
	h := fnv.New32a()
	src, dst := t.src.As16(), t.dst.As16()
	for i := range src {
		src[i] ^= dst[i]
	}
	h.Write(src[:])
	h.Write([]byte{t.proto, byte(t.sport ^ t.dport), byte((t.sport ^ t.dport) >> 8)})
	return h.Sum32() ^ basis
}

// jenkins is jhash_bytes of Open vSwitch: lookup3 by Bob Jenkins, but that a whole block at
// the end is mixed like what is left of one.
func jenkins(b []byte, basis uint32) uint32 {
	seed := 0xdeadbeef + uint32(len(b)) + basis
	x, y, z := seed, seed, seed
	for len(b) >= 12 {
		x += binary.LittleEndian.Uint32(b)
		y += binary.LittleEndian.Uint32(b[4:])
		z += binary.LittleEndian.Uint32(b[8:])
		x, y, z = mix(x, y, z)
		b = b[12:]
	}
	if len(b) == 0 {
		return z
	}
	var rest [12]byte
	copy(rest[:], b)
	x += binary.LittleEndian.Uint32(rest[:])
	y += binary.LittleEndian.Uint32(rest[4:])
	z += binary.LittleEndian.Uint32(rest[8:])
	for _, turn := range [][3]int{{14, 11, 25}, {16, 4, 14}} {
		z ^= y
		z -= bits.RotateLeft32(y, turn[0])
		x ^= z
		x -= bits.RotateLeft32(z, turn[1])
		y ^= x
		y -= bits.RotateLeft32(x, turn[2])
	}
	z ^= y
	return z - bits.RotateLeft32(y, 24)
}

func mix(x, y, z uint32) (uint32, uint32, uint32) {
	for _, turn := range [][3]int{{4, 6, 8}, {16, 19, 4}} {
		x -= z
		x ^= bits.RotateLeft32(z, turn[0])
		z += y
		y -= x
		y ^= bits.RotateLeft32(x, turn[1])
		x += z
		z -= y
		z ^= bits.RotateLeft32(y, turn[2])
		y += x
	}
	return x, y, z
}
