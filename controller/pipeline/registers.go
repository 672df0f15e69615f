package pipeline

import (
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// The registers of a packet on its way. Metadata holds the network (its VNI);
// 0 is the learning domain of unmanaged ports.
const (
	regSenderZone   = 0  // conntrack zone of the sending port
	regPool         = 1  // pool of a virtual address that the packet is for
	regBackend      = 2  // backend of the pool; between tables 17 and 18, slot of the client
	regOrigin       = 3  // where the packet entered: one of the origins below
	regSegment      = 5  // segment of a host that the destination is of, or MAC prefix of address pairs; 0: neither
	regPart         = 6  // part of a flow with many copies that is due
	regHost         = 7  // peer that has the destination
	regSet          = 8  // group set of the port whose rules are looked up: the sender's until table 31, then the receiver's
	regReceiverZone = 9  // conntrack zone of the receiving port
	regRemote       = 10 // scope of that set; after the tables of remotes, class of the other side's address in it
	regPolicy       = 11 // QoS policy that the packet is under
	regOutput       = 15 // port to output to, as a 16-bit OpenFlow 1.0 number
)

// Origins, in regOrigin.
const (
	originLocal  uint32 = 1 // a bound port
	originTunnel uint32 = 2 // another host
	originFabric uint32 = 3 // an unmanaged port that leads to stations
	originLink   uint32 = 4 // a link of the flood tree
	originPath   uint32 = 5 // a path that ends here
)

// register describes one register for the generated documentation.
type register struct {
	Name, Holds string
}

var registers = []register{
	{"metadata", "network: its VNI, 24 bits; 0 is the learning domain of unmanaged ports"},
	{"reg0", "conntrack zone of the sending port: it stands for the port in the tables of the guard and of answers"},
	{"reg1", "pool of the virtual address that the packet is for: its number"},
	{"reg2", "backend of the pool: its number; from table 17 to 18, the slot of the client"},
	{"reg3", "origin: 1 bound port, 2 tunnel, 3 unmanaged port, 4 link of the flood tree, 5 path that ends here"},
	{"reg5", "number of the MAC segment that the destination is of: a host's, or, from 0x80000000 on, a MAC prefix of address pairs of its network"},
	{"reg6", "part of a flow with many copies that is due"},
	{"reg7", "peer that has the destination: its slot"},
	{"reg8", "group set whose rules are looked up: the sender's in tables 10-12, the receiver's in 40-42"},
	{"reg9", "conntrack zone of the receiving port"},
	{"reg10", "scope of that set: the groups that its rules name as remote; in tables 12 and 42, the class of the other side's address among these"},
	{"reg11", "QoS policy that the packet is under: its number"},
	{"reg15", "output port"},
}

// Meaning says in a few words what a register or the metadata holds; empty: the
// pipeline does not use it.
func Meaning(id openflow.FieldID) string {
	for _, r := range registers {
		if r.Name == flow.FieldName(id) {
			words, _, _ := strings.Cut(r.Holds, ":")
			return words
		}
	}
	return ""
}

func reg(n int) openflow.FieldID { return openflow.Reg0 + openflow.FieldID(n) }

// outputNumber is a port number as regOutput holds it: output actions by
// register take the 16-bit numbers of OpenFlow 1.0, where the reserved ports
// have other values than in 1.3.
func outputNumber(port uint32) uint32 { return port & 0xffff }

// sender matches what a bound port has sent, by its zone: at a port of the switch
// there may be several, whose tags are gone after table 0.
func sender(p *intent.LocalPort) flow.Field { return flow.Reg(regSenderZone, uint32(p.Zone)) }

// groupAddress matches frames to group addresses (the I/G bit).
func groupAddress() flow.Field {
	return flow.EthDstMasked([6]byte{0x01}, [6]byte{0x01})
}
