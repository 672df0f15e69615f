//go:build !race

package openflow

// packed says that the allocator packs values of some bytes into one block, which
// it does not do under the race detector.
const packed = true
