package openflow

// The messages. Field comments give the name in the specification where it
// differs by more than spelling.
type (
	// Hello offers versions: a bitmap element where the peer knows it
	// (bit n set: version n), else only the header's version counts.
	Hello struct {
		Bitmap uint32 // 0: no OFPHET_VERSIONBITMAP element
	}
	// Error is OFPT_ERROR. Data is at least the head of the offending message.
	Error struct {
		ErrType ErrorType
		Code    uint16
		// Experimenter is set for ErrType 0xffff, where Code is its exp_type.
		Experimenter uint32
		Data         []byte
	}
	EchoRequest     struct{ Data []byte }
	EchoReply       struct{ Data []byte }
	FeaturesRequest struct{}
	// FeaturesReply is ofp_switch_features.
	FeaturesReply struct {
		DatapathID   uint64
		NBuffers     uint32
		NTables      uint8
		AuxiliaryID  uint8
		Capabilities uint32
	}
	GetConfigRequest struct{}
	GetConfigReply   struct{ Flags, MissSendLen uint16 }
	SetConfig        struct{ Flags, MissSendLen uint16 }
	// PacketIn is ofp_packet_in. Data aliases the decoded buffer.
	PacketIn struct {
		BufferID uint32
		TotalLen uint16
		Reason   uint8
		TableID  uint8
		Cookie   uint64
		Match    Match
		Data     []byte
	}
	// PacketOut is ofp_packet_out.
	PacketOut struct {
		BufferID uint32
		InPort   uint32
		Actions  Actions
		Data     []byte
	}
	// FlowMod is ofp_flow_mod.
	FlowMod struct {
		Cookie       uint64
		CookieMask   uint64
		TableID      uint8
		Command      FlowModCommand
		IdleTimeout  uint16 // seconds
		HardTimeout  uint16
		Priority     uint16
		BufferID     uint32
		OutPort      uint32
		OutGroup     uint32
		Flags        FlowModFlags
		Match        Match
		Instructions Instructions
	}
	// FlowRemoved is ofp_flow_removed.
	FlowRemoved struct {
		Cookie       uint64
		Priority     uint16
		Reason       FlowRemovedReason
		TableID      uint8
		DurationSec  uint32
		DurationNsec uint32
		IdleTimeout  uint16
		HardTimeout  uint16
		PacketCount  uint64
		ByteCount    uint64
		Match        Match
	}
	// PortStatus is ofp_port_status.
	PortStatus struct {
		Reason PortReason
		Port   Port
	}
	BarrierRequest struct{}
	BarrierReply   struct{}
	// RoleRequest is ofp_role_request; RoleReply has the same body.
	RoleRequest struct {
		Role         Role
		GenerationID uint64
	}
	RoleReply struct {
		Role         Role
		GenerationID uint64
	}
	// Experimenter is any experimenter message without a type of its own here.
	Experimenter struct {
		Experimenter uint32
		ExpType      uint32
		Data         []byte
	}
	// FlowModTableID is NXT_FLOW_MOD_TABLE_ID: the upper 8 bits of a flow-mod's
	// command are a table, which matters for version 1.0 only.
	FlowModTableID struct{ Enable bool }
	// SetControllerID is NXT_SET_CONTROLLER_ID: the id by which controller
	// actions name this connection. It is 0 at first.
	SetControllerID struct{ ID uint16 }
	// RoleStatus is ONFT_ROLE_STATUS: the switch says that the controller's role
	// is another now.
	RoleStatus struct {
		Role         Role
		Reason       RoleReason
		GenerationID uint64
	}
	// BundleControl is ONF_BCT_*, experimenter type 2300 of ONF.
	BundleControl struct {
		BundleID uint32
		Ctrl     BundleCtrl
		Flags    BundleFlags
	}
	// BundleAdd is experimenter type 2301 of ONF. The inner message carries XID,
	// which an error about it repeats.
	BundleAdd struct {
		BundleID uint32
		Flags    BundleFlags
		XID      uint32
		Message  Message
	}
	// Raw is a message of a type that the codec does not know.
	Raw struct {
		Of   Type
		Body []byte
	}
)

// Port is ofp_port.
type Port struct {
	No         uint32
	HWAddr     [6]byte
	Name       string
	Config     PortConfig
	State      PortState
	Current    uint32
	Advertised uint32
	Supported  uint32
	Peer       uint32
	CurrSpeed  uint32 // kbit/s
	MaxSpeed   uint32
}

type (
	FlowModCommand    uint8
	FlowModFlags      uint16
	FlowRemovedReason uint8
	PortReason        uint8
	PortConfig        uint32
	PortState         uint32
	Role              uint32
	RoleReason        uint8
	ErrorType         uint16
	BundleCtrl        uint16
	BundleFlags       uint16
	MultipartType     uint16
)

const (
	FlowAdd          FlowModCommand = 0
	FlowModify       FlowModCommand = 1
	FlowModifyStrict FlowModCommand = 2
	FlowDelete       FlowModCommand = 3
	FlowDeleteStrict FlowModCommand = 4

	FlagSendFlowRem  FlowModFlags = 1 << 0
	FlagCheckOverlap FlowModFlags = 1 << 1
	FlagResetCounts  FlowModFlags = 1 << 2
	FlagNoPktCounts  FlowModFlags = 1 << 3
	FlagNoByteCounts FlowModFlags = 1 << 4

	RemovedIdleTimeout FlowRemovedReason = 0
	RemovedHardTimeout FlowRemovedReason = 1
	RemovedDelete      FlowRemovedReason = 2
	RemovedGroupDelete FlowRemovedReason = 3

	PortAdd    PortReason = 0
	PortDelete PortReason = 1
	PortModify PortReason = 2

	PortConfigDown    PortConfig = 1 << 0
	PortStateLinkDown PortState  = 1 << 0

	RoleNoChange Role = 0
	RoleEqual    Role = 1
	RoleMaster   Role = 2
	RoleSlave    Role = 3

	RoleByMaster       RoleReason = 0 // OFPCRR_MASTER_REQUEST: another controller became master
	RoleByConfig       RoleReason = 1
	RoleByExperimenter RoleReason = 2

	BundleOpenRequest    BundleCtrl = 0
	BundleOpenReply      BundleCtrl = 1
	BundleCloseRequest   BundleCtrl = 2
	BundleCloseReply     BundleCtrl = 3
	BundleCommitRequest  BundleCtrl = 4
	BundleCommitReply    BundleCtrl = 5
	BundleDiscardRequest BundleCtrl = 6
	BundleDiscardReply   BundleCtrl = 7

	BundleAtomic  BundleFlags = 1 << 0
	BundleOrdered BundleFlags = 1 << 1

	MultipartDesc          MultipartType = 0
	MultipartFlow          MultipartType = 1
	MultipartAggregate     MultipartType = 2
	MultipartTable         MultipartType = 3
	MultipartPortStats     MultipartType = 4
	MultipartQueue         MultipartType = 5
	MultipartGroup         MultipartType = 6
	MultipartGroupDesc     MultipartType = 7
	MultipartGroupFeatures MultipartType = 8
	MultipartMeter         MultipartType = 9
	MultipartMeterConfig   MultipartType = 10
	MultipartMeterFeatures MultipartType = 11
	MultipartTableFeatures MultipartType = 12
	MultipartPortDesc      MultipartType = 13
	MultipartExperimenter  MultipartType = 0xffff
)

type (
	// MultipartRequest is ofp_multipart_request.
	MultipartRequest struct {
		Flags uint16
		Body  MultipartBody
	}
	// MultipartReply is one part of an answer; More says that others follow.
	MultipartReply struct {
		Flags uint16
		Body  MultipartBody
	}
	// MultipartBody is the body of one multipart type.
	MultipartBody interface {
		MultipartType() MultipartType
		AppendMultipart(b []byte) []byte
	}

	DescRequest struct{}
	// Desc is ofp_desc.
	Desc struct{ Manufacturer, Hardware, Software, SerialNumber, Datapath string }
	// FlowStatsRequest is ofp_flow_stats_request.
	FlowStatsRequest struct {
		TableID    uint8
		OutPort    uint32
		OutGroup   uint32
		Cookie     uint64
		CookieMask uint64
		Match      Match
	}
	// FlowStats is ofp_flow_stats.
	FlowStats struct {
		TableID      uint8
		DurationSec  uint32
		DurationNsec uint32
		Priority     uint16
		IdleTimeout  uint16
		HardTimeout  uint16
		Flags        FlowModFlags
		Cookie       uint64
		PacketCount  uint64
		ByteCount    uint64
		Match        Match
		Instructions Instructions
	}
	FlowStatsReply  struct{ Flows []FlowStats }
	PortDescRequest struct{}
	PortDescReply   struct{ Ports []Port }
	// ExperimenterMultipart is OFPMP_EXPERIMENTER of an experimenter or a type that the
	// codec does not know, in a request or a reply.
	ExperimenterMultipart struct {
		Experimenter uint32
		ExpType      uint32
		Data         []byte
	}
	// MultipartRaw is the body of a type that the codec does not know.
	MultipartRaw struct {
		Of   MultipartType
		Data []byte
	}
)

// MultipartMore is OFPMPF_REPLY_MORE.
const MultipartMore uint16 = 1
