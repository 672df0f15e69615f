package openflow

import "testing"

// The flow-mod of the learning switch: in_port and eth_src to goto.
func benchFlowMod() *FlowMod {
	return &FlowMod{
		TableID: 8, Priority: 100, BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny, IdleTimeout: 60,
		Match:        NewMatch(oxm(InPort, "\x00\x00\x00\x01"), oxm(EthSrc, "\x02\x00\x00\x00\x00\x01")),
		Instructions: NewInstructions(GotoTable{Table: 9}),
	}
}

func BenchmarkFlowModEncode(b *testing.B) {
	m := benchFlowMod()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendMessage(buf[:0], 1, m)
	}
}

// BenchmarkFlowModEncodeFields encodes the match and instructions as well.
func BenchmarkFlowModEncodeFields(b *testing.B) {
	m := benchFlowMod()
	inPort, src := oxm(InPort, "\x00\x00\x00\x01"), oxm(EthSrc, "\x02\x00\x00\x00\x00\x01")
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		m.Match = m.Match[:0].Append(inPort).Append(src)
		m.Instructions = GotoTable{Table: 9}.AppendInstruction(m.Instructions[:0])
		buf = AppendMessage(buf[:0], 1, m)
	}
}

func BenchmarkFlowModDecode(b *testing.B) {
	frame := AppendMessage(nil, 1, benchFlowMod())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decode(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPacketInDecode(b *testing.B) {
	body := packetInFrame()[HeaderLen:]
	var p PacketIn
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPacketOutEncode(b *testing.B) {
	m := &PacketOut{BufferID: NoBuffer, InPort: 3, Actions: NewActions(ActionOutput{Port: 2}), Data: make([]byte, 98)}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendMessage(buf[:0], 1, m)
	}
}

func BenchmarkPacketIn2Decode(b *testing.B) {
	body := packetIn2Frame()[HeaderLen:]
	var p PacketIn2
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFlowStatsReplyDecode decodes a part of 64 KiB, which is what a switch
// sends of a large table.
func BenchmarkFlowStatsReplyDecode(b *testing.B) {
	frame := flowStatsFrame(MaxMessageLen)
	_, m, err := Decode(frame)
	if err != nil {
		b.Fatal(err)
	}
	flows := float64(len(m.(*MultipartReply).Body.(*FlowStatsReply).Flows))
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		if _, _, err := Decode(frame); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/flows, "ns/flow")
	b.ReportMetric(flows, "flows")
}

// flowStatsFrame is a reply full of flows that match and do a usual amount.
func flowStatsFrame(n int) []byte {
	f := FlowStats{TableID: 2, Priority: 100, Match: sampleMatch, Instructions: sampleInstructions}
	size := len((&FlowStatsReply{Flows: []FlowStats{f}}).AppendMultipart(nil))
	flows := make([]FlowStats, (n-HeaderLen-8)/size)
	for i := range flows {
		flows[i] = f
	}
	return AppendMessage(nil, 1, &MultipartReply{Flags: MultipartMore, Body: &FlowStatsReply{Flows: flows}})
}
