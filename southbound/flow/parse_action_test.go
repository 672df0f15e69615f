package flow

import (
	"os"
	"strings"
	"testing"

	"github.com/macloom/macloom/southbound/openflow"
)

func TestActionsThatNoSwitchTakesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for actions, want := range map[string]string{
		"instruction:000000080000000000":            "instruction of 1 bytes",
		"instruction:0001000800000000,goto_table:1": "two instructions of type 1",
		"meter:x":              "not a number of 32 bits",
		"write_actions(dance)": "unknown action",
		"clone(clone(clone(clone(clone(clone(clone(clone(clone(exit)))))))))": "nested too deep",
		"clone(dance)":                                "dance: unknown action",
		"drop,output:1":                               "unknown action",
		"group:all":                                   "not a number of 32 bits",
		"output(port=1,size=5)":                       "size=5: unknown argument",
		"output:reg0[3..99]":                          "has no bits 3..99",
		"controller(reason=why)":                      "not a number of 8 bits",
		"controller(userdata=1)":                      "odd length",
		"controller(colour=red)":                      "colour=red: unknown argument",
		"set_field:5":                                 "no ->",
		"load:0x10->NXM_NX_REG0[0..3]":                "0x10 is more than 4 bits",
		"push:colour[]":                               "is not a part of a field",
		"check_pkt_larger(1500)->reg0":                "is more than 1 bits",
		"delete_field:reg0":                           "not a tunnel option",
		"delete_field:tun_metadata64":                 "not a tunnel option",
		"dec_ttl(1,x)":                                "not a number of 16 bits",
		"multipath(eth_src,50,modulo_n)":              "six arguments",
		"multipath(colour,50,modulo_n,1,0,reg0)":      `"colour" is not what can be hashed`,
		"multipath(eth_src,50,dice,1,0,reg0)":         "is not an algorithm of multipath",
		"multipath(eth_src,50,modulo_n,0,0,reg0)":     "not from 1 to 65536",
		"bundle(eth_src,0,hrw,ofport)":                "members:",
		"bundle_load(eth_src,0,hrw,ofport,members:1)": "has 5 arguments",
		"bundle(eth_src,0,dice,ofport,members:1)":     "is not an algorithm of bundle",
		"bundle(eth_src,0,hrw,ofport,members:70000)":  "not a number of 16 bits",
		"resubmit(,)":                                 "not PORT",
		"resubmit(1,2,nat)":                           "not PORT",
		"resubmit(1,256)":                             "not a number of 8 bits",
		"conjunction(1,0/2)":                          "clauses count from 1",
		"learn(table=256)":                            "not a number of 8 bits",
		"learn(colour=5)":                             "is not a part of a field",
		"learn(eth_dst=eth_type)":                     "differ in width",
		"learn(reg0[0..3]=16)":                        "16 is more than 4 bits",
		"learn(load:16->reg0[0..3])":                  "16 is more than 4 bits",
		"learn(load:reg1)":                            "no ->",
		"learn(load:reg1->reg0[0])":                   "differ in width",
		"learn(result_dst=reg0)":                      "more than 1 bits",
		"ct(zone=colour)":                             "is not a part of a field",
		"ct(commit,exec(dance))":                      "dance: unknown action",
		"ct(nat(src,dst))":                            "both src and dst",
		"ct(nat(random))":                             "without src or dst",
		"ct(nat(src=10.0.0.1,hash,random))":           "both hash and random",
		"ct(nat(src=10.0.0.9-10.0.0.1))":              "ends before it begins",
		"ct(nat(src=10.0.0.1-fd01::1))":               "two families",
		"ct(nat(src=10.0.0.1:0))":                     "port 0",
		"ct(nat(src=10.0.0.1:9-8))":                   "ends before it begins",
		"ct(nat(src=10.0.0.1:))":                      "no port after the colon",
		"ct(nat(src=0.0.0.0))":                        "to no address",
		"ct(nat(src=fe80::1%eth0))":                   "no zone",
		"ct(nat(src=10.0.0))":                         "IPv4 address too short",
		"fin_timeout(idle=5)":                         "idle=5: unknown argument",
		"sample(probability=70000)":                   "not a number of 16 bits",
		"note:1":                                      "odd length",
	} {
		if f, err := Parse("actions=" + actions); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, error %v; want an error with %q", actions, f, err, want)
		}
	}
}

func TestActionsThatContradictThemselvesPanic(t *testing.T) {
	t.Parallel()
	for want, build := range map[string]func(){
		"ct forces what it does not commit": func() { CT(CTSpec{Force: true}) },
		"nat of both src and dst":           func() { CT(CTSpec{NAT: &NATSpec{Src: true, Dst: true}}) },
		"nat without src or dst":            func() { CT(CTSpec{NAT: &NATSpec{Addr: ip4A}}) },
		"without its first address":         func() { CT(CTSpec{NAT: &NATSpec{Src: true, Port: 5}}) },
		"ends before it begins":             func() { CT(CTSpec{NAT: &NATSpec{Src: true, Addr: ip4A, Port: 5, PortMax: 4}}) },
		"clause 1 of 65":                    func() { Conjunction(1, 1, 65) },
		"port 65280 does not fit 16 bits":   func() { OutputTrunc(0xff00, 100) },
		"there is no tunnel option 64":      func() { DeleteField(64) },
		"check_pkt_larger to 32 bits":       func() { CheckPktLarger(5, Whole(openflow.Reg0)) },
		"multipath of 5 links to 2 bits":    func() { Multipath(0, 0, 0, 5, 0, RegBits(0, 0, 2)) },
		"multipath of 0 links":              func() { Multipath(0, 0, 0, 0, 0, RegBits(0, 0, 2)) },
		"bundle_load to 8 bits":             func() { BundleLoad(RegBits(0, 0, 8), 0, 0, 0, 1) },
		"result of learn in 32 bits":        func() { Learn(LearnSpec{Result: Whole(openflow.Reg0)}) },
		"learn a match on reg0=0x1/0x5":     func() { LearnField(RegMasked(0, 1, 5)) },
		"learn 32 bits of 16":               func() { LearnLoad(InPort16(), Whole(openflow.Reg0)) },
	} {
		if got := panicOf(build); !strings.Contains(got, want) {
			t.Errorf("panic %q, want one with %q", got, want)
		}
	}
}

// TestActionsOfOneMeaningHaveOneForm has what a switch may report, left, in another
// form than the one that flows have here, right.
func TestActionsOfOneMeaningHaveOneForm(t *testing.T) {
	t.Parallel()
	sample := openflow.ActionSample{Probability: 5}
	for name, test := range map[string]struct {
		reported openflow.Action
		want     string
	}{
		"masked set-field of one run":     {SetField(RegMasked(5, 0x700, 0xff00)), "load:0x7->NXM_NX_REG5[8..15]"},
		"masked set-field of two runs":    {SetField(RegMasked(5, 9, 0x8000000f)), "load:0x9->NXM_NX_REG5[0..3],load:0->NXM_NX_REG5[31]"},
		"masked set-field of over 64":     {SetField(maskedOctets(openflow.CTLabel, []byte{15: 1}, []byte{0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})), "load:0x1->NXM_NX_CT_LABEL[0..63],load:0->NXM_NX_CT_LABEL[64..88]"},
		"set-field of nothing":            {SetField(RegMasked(5, 0, 0)), "drop"},
		"set-field with a full mask":      {openflow.ActionLoad2{OXM: Reg(5, 7).OXM()}, "set_field:0x7->reg5"},
		"load of a whole field":           {Load(Whole(openflow.Reg0), 7), "load:0x7->NXM_NX_REG0[]"},
		"set-tunnel":                      {openflow.ActionSetTunnel{ID: 5}, "set_field:0x5->tun_id"},
		"set-tunnel64":                    {openflow.ActionSetTunnel64{ID: 1 << 40}, "set_field:0x10000000000->tun_id"},
		"delete-field of a mapped option": {openflow.ActionDeleteField{Field: tunnelOption0 + 3, Len: 8}, "delete_field:tun_metadata3"},
		"copy-field":                      {openflow.ActionCopyField{Src: Whole(openflow.EthSrc), Dst: Whole(openflow.EthDst)}, "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]"},
		"controller without a reason":     {openflow.ActionController{MaxLen: 9, Reason: 1}, "CONTROLLER:9"},
		"controller2 with max_len alone":  {ControllerWith(ControllerSpec{MaxLen: 9}), "CONTROLLER:9"},
		"controller2 with an id":          {ControllerWith(ControllerSpec{MaxLen: 9, ID: 2}), "controller(max_len=9,id=2)"},
		"resubmit, old form":              {openflow.ActionResubmitPort{InPort: 9}, "resubmit:9"},
		"output of a register, new form":  {openflow.ActionOutputReg2{Src: RegBits(1, 0, 16), MaxLen: 0xffff}, "output:NXM_NX_REG1[0..15]"},
		"sample without a direction":      {SamplePort(sample, 3, openflow.SampleDefault), "sample(probability=5,collector_set_id=0,obs_domain_id=0,obs_point_id=0,sampling_port=3)"},
		"sample without a port":           {SamplePort(sample, openflow.PortAny, openflow.SampleDefault), "sample(probability=5,collector_set_id=0,obs_domain_id=0,obs_point_id=0)"},
		"learn2 of what learn can":        {openflow.ActionLearn{Extended: true, Priority: 0x8000}, "learn(table=0)"},
		"learn by names of OXM":           {openflow.ActionLearn{Priority: 0x8000, Specs: []openflow.LearnSpec{{Bits: 48, Src: openflow.EthSrc, Dst: openflow.EthDst}}}, "learn(table=0,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"},
		"nat to a range of one": {
			openflow.ActionCT{Table: openflow.NoTable, Exec: []openflow.Action{openflow.ActionNAT{Flags: openflow.NATSrc, AddrMin: ip4A, AddrMax: ip4A, PortMin: 5, PortMax: 5}}},
			"ct(nat(src=10.0.0.1:5))",
		},
		"in a clone": {Clone(openflow.ActionOutput{Port: 3, MaxLen: 5}, openflow.ActionSetTunnel{ID: 5}), "clone(output:3,set_field:0x5->tun_id)"},
	} {
		want := NewInstructions(Apply(test.reported))
		if got := want.String(); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		got, err := FromStats(openflow.FlowStats{Instructions: openflow.NewInstructions(Apply(test.reported))})
		if err != nil || got.Instructions != want {
			t.Errorf("%s: reported as %v (%v), want %v", name, got.Instructions, err, want)
		}
	}
}

func TestTheCanonicalFormLeavesTheGivenActionsAlone(t *testing.T) {
	t.Parallel()
	exec := []openflow.Action{openflow.ActionNAT{Flags: openflow.NATSrc, AddrMin: ip4A, AddrMax: ip4A}}
	specs := []openflow.LearnSpec{{Bits: 48, Src: openflow.EthSrc, Dst: openflow.EthDst}}
	NewInstructions(Apply(openflow.ActionCT{Exec: exec}, openflow.ActionLearn{Specs: specs}, openflow.ActionClone(exec)))
	if exec[0].(openflow.ActionNAT).AddrMax != ip4A || specs[0].Src != openflow.EthSrc {
		t.Errorf("became %v and %v", exec, specs)
	}
}

func TestReadingInstructionsThatAreCanonicalTakesOneAllocation(t *testing.T) {
	walked := 0
	for _, f := range corpus() {
		ins := openflow.Instructions(f.Instructions)
		if !isCanonical(ins) {
			continue
		}
		walked++
		if got := testing.AllocsPerRun(10, func() { _, _ = readInstructions(ins) }); got > 1 {
			t.Errorf("%s: %v allocations", f.Instructions, got)
		}
	}
	if all := len(corpus()); walked < all*3/4 {
		t.Errorf("%d of %d flows are known to be canonical without decoding", walked, all)
	}
}

// TestActionsInTheDocsAreCanonical reads the tables of docs/actions.md.
func TestActionsInTheDocsAreCanonical(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/actions.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	_, tables, _ := strings.Cut(string(doc), "## Instructions")
	for line := range strings.Lines(tables) {
		text, ok := strings.CutPrefix(line, "| `")
		if !ok {
			continue
		}
		rows++
		text, _, _ = strings.Cut(text, "`")
		if f, err := Parse("actions=" + text); err != nil || f.Instructions.String() != text {
			t.Errorf("%s: is %s, %v", text, f.Instructions, err)
		}
	}
	if rows < 45 {
		t.Errorf("%d rows", rows)
	}
}
