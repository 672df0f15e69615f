package mac

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
)

// Strategy says in which order a segment gives its addresses.
type Strategy string

// The strategies.
const (
	Sequential   Strategy = "sequential"    // from the base upwards
	Scrambled    Strategy = "scrambled"     // by a keyed bijection: nobody without the key knows the next one
	InstanceHash Strategy = "instance-hash" // by the segment and the id of the instance, so that the same instance finds the same address
)

// IsValid reports whether s is one of the strategies.
func (s Strategy) IsValid() bool { return s == Sequential || s == Scrambled || s == InstanceHash }

// Order is a numbering of the addresses of a segment: every address has one
// index below the size of the segment, and every such index one address.
type Order struct {
	block Segment
	prf   cipher.Block // nil: the order of the addresses
}

// NewOrder returns the numbering of a strategy. Sequential ones need no key;
// an instance-hash segment gives addresses that belong to no instance in the
// scrambled order.
func NewOrder(strategy Strategy, block Segment, key [16]byte) Order {
	o := Order{block: block}
	if strategy != Sequential {
		o.prf, _ = aes.NewCipher(key[:]) // fails for other lengths of key only
	}
	return o
}

// scrambleRounds of the Feistel network: four make a strong permutation of wide
// halves; the halves here may be a few bits, where more rounds must do.
const scrambleRounds = 10

// At returns the address with an index, which must be below the size of the
// segment.
//
// The scrambled order is a Feistel network over exactly as many bits as the
// segment has, with AES under the key as the function of a round. Each round
// adds to one part something that depends on the other, so it can be undone
// whatever the function is and however unequal the parts are: no index needs a
// second try.
func (o Order) At(index uint64) Addr { return o.at(make([]byte, aes.BlockSize), index) }

// Append adds the addresses with the indexes from first to last to a list.
func (o Order) Append(list []Addr, first, last uint64) []Addr {
	block := make([]byte, aes.BlockSize)
	for index := first; index <= last; index++ {
		list = append(list, o.at(block, index))
	}
	return list
}

func (o Order) at(block []byte, index uint64) Addr {
	if o.prf == nil {
		return o.block.At(index)
	}
	width := MaxPrefixLen - o.block.Bits()
	low := width / 2
	left, right := index>>low, index&(1<<low-1)
	leftMask, rightMask := uint64(1)<<(width-low)-1, uint64(1)<<low-1
	for round := range uint64(scrambleRounds) {
		if round%2 == 0 {
			left ^= o.mix(block, round, right) & leftMask
		} else {
			right ^= o.mix(block, round, left) & rightMask
		}
	}
	return o.block.At(left<<low | right)
}

func (o Order) mix(block []byte, round, v uint64) uint64 {
	binary.BigEndian.PutUint64(block[:8], round)
	binary.BigEndian.PutUint64(block[8:], v)
	o.prf.Encrypt(block, block)
	return binary.BigEndian.Uint64(block[:8])
}

// InstanceAddr returns the address that an instance probes for at its nth try.
// It depends on the segment and the instance alone. The tries visit every
// address of the segment once before they repeat: each is a fixed odd step from
// the one before, and the size is a power of two.
func InstanceAddr(block Segment, instance string, try uint64) Addr {
	b := binary.BigEndian.AppendUint64(nil, uint64(block.Base())<<8|uint64(block.Bits()))
	sum := sha256.Sum256(append(b, instance...))
	start, step := binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])|1
	return block.At((start + try*step) & (block.Size() - 1))
}
