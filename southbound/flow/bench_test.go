package flow

import (
	"testing"

	"github.com/macloom/macloom/southbound/openflow"
)

func learned(i int) Flow {
	mac := [6]byte{2, 0, 5, byte(i >> 16), byte(i >> 8), byte(i)}
	return Flow{
		Table: 8, Priority: 100, IdleTimeout: 300, Cookie: 0x5d << 56,
		Match: NewMatch(InPort(1), EthSrc(mac)), Instructions: NewInstructions(Goto(9)),
	}
}

func BenchmarkNewMatch(b *testing.B) {
	fields := []Field{CTState(CTTrk|CTNew, CTEst), IP(), Reg(8, 3), TPDst(6, 80, 0xffff)}
	b.ReportAllocs()
	for b.Loop() {
		NewMatch(fields...)
	}
}

func BenchmarkNewInstructions(b *testing.B) {
	apply, next := Apply(SetReg(5, 3), SetReg(7, 12)), Goto(31)
	b.ReportAllocs()
	for b.Loop() {
		NewInstructions(apply, next)
	}
}

func BenchmarkAddEncode(b *testing.B) {
	f := learned(1)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = openflow.AppendMessage(buf[:0], 1, f.Add())
	}
}

func BenchmarkFromStats(b *testing.B) {
	f := learned(1)
	s := openflow.FlowStats{TableID: 8, Match: openflow.Match(f.Match), Instructions: openflow.Instructions(f.Instructions)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := FromStats(s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadMatch is the check of a match that has its canonical form already, as Open
// vSwitch reports it.
func BenchmarkReadMatch(b *testing.B) {
	for name, m := range map[string]Match{
		"learned MAC":       learned(1).Match,
		"rule":              NewMatch(CTState(CTTrk|CTNew, CTEst), IP(), Reg(8, 3), TPDst(6, 80, 0xfff0)),
		"neighbour of IPv6": NewMatch(InPort(1), ICMP6Type(136), ICMP6Code(0), NDTarget(linkIP), NDTLL(macA), NoVLAN(), Metadata(5)),
	} {
		b.Run(name, func(b *testing.B) {
			bytes := openflow.Match(m)
			b.ReportAllocs()
			for b.Loop() {
				if !isCanonicalMatch(bytes) {
					b.Fatal("not canonical")
				}
			}
		})
	}
}
