package openflow

import (
	"fmt"
	"strings"
)

// Error types (enum ofp_error_type).
const (
	ErrorHelloFailed         ErrorType = 0
	ErrorBadRequest          ErrorType = 1
	ErrorBadAction           ErrorType = 2
	ErrorBadInstruction      ErrorType = 3
	ErrorBadMatch            ErrorType = 4
	ErrorFlowModFailed       ErrorType = 5
	ErrorGroupModFailed      ErrorType = 6
	ErrorPortModFailed       ErrorType = 7
	ErrorTableModFailed      ErrorType = 8
	ErrorQueueOpFailed       ErrorType = 9
	ErrorSwitchConfigFailed  ErrorType = 10
	ErrorRoleRequestFailed   ErrorType = 11
	ErrorMeterModFailed      ErrorType = 12
	ErrorTableFeaturesFailed ErrorType = 13
	ErrorExperimenter        ErrorType = 0xffff
)

// Codes on which a caller decides.
const (
	HelloIncompatible      uint16 = 0 // OFPHFC_INCOMPATIBLE
	BadRequestType         uint16 = 1 // OFPBRC_BAD_TYPE
	BadRequestExperimenter uint16 = 3 // OFPBRC_BAD_EXPERIMENTER
	BadRequestExpType      uint16 = 4 // OFPBRC_BAD_EXP_TYPE
	FlowModTableFull       uint16 = 1 // OFPFMFC_TABLE_FULL
	RoleRequestStale       uint16 = 0 // OFPRRFC_STALE

)

// errorNames holds, by error type, the name of the type, the prefix of its
// codes and the names of these. A code that 1.3 does not define is empty.
var errorNames = [...]struct {
	name, prefix string
	codes        []string
}{
	ErrorHelloFailed: {"OFPET_HELLO_FAILED", "OFPHFC_", []string{"INCOMPATIBLE", "EPERM"}},
	ErrorBadRequest: {"OFPET_BAD_REQUEST", "OFPBRC_", []string{
		"BAD_VERSION", "BAD_TYPE", "BAD_MULTIPART", "BAD_EXPERIMENTER", "BAD_EXP_TYPE", "EPERM", "BAD_LEN", "BUFFER_EMPTY",
		"BUFFER_UNKNOWN", "BAD_TABLE_ID", "IS_SLAVE", "BAD_PORT", "BAD_PACKET", "MULTIPART_BUFFER_OVERFLOW",
	}},
	ErrorBadAction: {"OFPET_BAD_ACTION", "OFPBAC_", []string{
		"BAD_TYPE", "BAD_LEN", "BAD_EXPERIMENTER", "BAD_EXP_TYPE", "BAD_OUT_PORT", "BAD_ARGUMENT", "EPERM", "TOO_MANY",
		"BAD_QUEUE", "BAD_OUT_GROUP", "MATCH_INCONSISTENT", "UNSUPPORTED_ORDER", "BAD_TAG", "BAD_SET_TYPE", "BAD_SET_LEN",
		"BAD_SET_ARGUMENT",
	}},
	ErrorBadInstruction: {"OFPET_BAD_INSTRUCTION", "OFPBIC_", []string{
		"UNKNOWN_INST", "UNSUP_INST", "BAD_TABLE_ID", "UNSUP_METADATA", "UNSUP_METADATA_MASK", "BAD_EXPERIMENTER",
		"BAD_EXP_TYPE", "BAD_LEN", "EPERM",
	}},
	ErrorBadMatch: {"OFPET_BAD_MATCH", "OFPBMC_", []string{
		"BAD_TYPE", "BAD_LEN", "BAD_TAG", "BAD_DL_ADDR_MASK", "BAD_NW_ADDR_MASK", "BAD_WILDCARDS", "BAD_FIELD", "BAD_VALUE",
		"BAD_MASK", "BAD_PREREQ", "DUP_FIELD", "EPERM",
	}},
	ErrorFlowModFailed: {"OFPET_FLOW_MOD_FAILED", "OFPFMFC_", []string{
		"UNKNOWN", "TABLE_FULL", "BAD_TABLE_ID", "OVERLAP", "EPERM", "BAD_TIMEOUT", "BAD_COMMAND", "BAD_FLAGS",
	}},
	ErrorGroupModFailed: {"OFPET_GROUP_MOD_FAILED", "OFPGMFC_", []string{
		"GROUP_EXISTS", "INVALID_GROUP", "WEIGHT_UNSUPPORTED", "OUT_OF_GROUPS", "OUT_OF_BUCKETS", "CHAINING_UNSUPPORTED",
		"WATCH_UNSUPPORTED", "LOOP", "UNKNOWN_GROUP", "CHAINED_GROUP", "BAD_TYPE", "BAD_COMMAND", "BAD_BUCKET", "BAD_WATCH", "EPERM",
	}},
	ErrorPortModFailed: {"OFPET_PORT_MOD_FAILED", "OFPPMFC_", []string{
		"BAD_PORT", "BAD_HW_ADDR", "BAD_CONFIG", "BAD_ADVERTISE", "EPERM",
	}},
	ErrorTableModFailed:     {"OFPET_TABLE_MOD_FAILED", "OFPTMFC_", []string{"BAD_TABLE", "BAD_CONFIG", "EPERM"}},
	ErrorQueueOpFailed:      {"OFPET_QUEUE_OP_FAILED", "OFPQOFC_", []string{"BAD_PORT", "BAD_QUEUE", "EPERM"}},
	ErrorSwitchConfigFailed: {"OFPET_SWITCH_CONFIG_FAILED", "OFPSCFC_", []string{"BAD_FLAGS", "BAD_LEN", "EPERM"}},
	ErrorRoleRequestFailed:  {"OFPET_ROLE_REQUEST_FAILED", "OFPRRFC_", []string{"STALE", "UNSUP", "BAD_ROLE"}},
	ErrorMeterModFailed: {"OFPET_METER_MOD_FAILED", "OFPMMFC_", []string{
		"UNKNOWN", "METER_EXISTS", "INVALID_METER", "UNKNOWN_METER", "BAD_COMMAND", "BAD_FLAGS", "BAD_RATE", "BAD_BURST",
		"BAD_BAND", "BAD_BAND_VALUE", "OUT_OF_METERS", "OUT_OF_BANDS",
	}},
	ErrorTableFeaturesFailed: {"OFPET_TABLE_FEATURES_FAILED", "OFPTFFC_", []string{
		"BAD_TABLE", "BAD_METADATA", "BAD_TYPE", "BAD_LEN", "BAD_ARGUMENT", "EPERM",
	}},
}

// bundleErrorBase is the experimenter code of the first OFPBFC code of the ONF
// bundle extension.
const bundleErrorBase = 2300

var bundleErrorNames = [...]string{
	"UNKNOWN", "EPERM", "BAD_ID", "BUNDLE_EXIST", "BUNDLE_CLOSED", "OUT_OF_BUNDLES", "BAD_TYPE", "BAD_FLAGS", "MSG_BAD_LEN",
	"MSG_BAD_XID", "MSG_UNSUP", "MSG_CONFLICT", "MSG_TOO_MANY", "MSG_FAILED", "TIMEOUT", "BUNDLE_IN_PROGRESS",
}

// onfErrorNames are single codes that ONF gave to 1.3 as extensions.
var onfErrorNames = map[uint16]string{
	2360: "OFPFMFC_BAD_PRIORITY", 2370: "OFPACFC_INVALID", 2371: "OFPACFC_UNSUPPORTED", 2372: "OFPACFC_EPERM", 2600: "OFPBIC_DUP_INST", 2640: "OFPBRC_MULTIPART_REQUEST_TIMEOUT",
	2641: "OFPBRC_MULTIPART_REPLY_TIMEOUT", 4250: "OFPBAC_BAD_SET_MASK",
	4443: "OFPBPC_TOO_MANY", 4444: "OFPBPC_DUP_TYPE", 4445: "OFPBPC_BAD_EXPERIMENTER", 4446: "OFPBPC_BAD_EXP_TYPE",
	4447: "OFPBPC_BAD_EXP_VALUE", 4448: "OFPBPC_EPERM",
}

// niciraErrorNames are the codes that Open vSwitch sends under its own id.
var niciraErrorNames = map[uint16]string{
	2: "NXBRC_NXM_INVALID", 3: "NXBRC_NXM_BAD_TYPE", 4: "NXBRC_MUST_BE_ZERO", 5: "NXBRC_BAD_REASON",
	6: "OFPMOFC_MONITOR_EXISTS", 7: "OFPMOFC_BAD_FLAGS", 8: "OFPMOFC_UNKNOWN_MONITOR", 9: "NXBRC_FM_BAD_EVENT",
	10: "NXBRC_UNENCODABLE_ERROR", 11: "NXBAC_MUST_BE_ZERO", 12: "NXFMFC_HARDWARE", 13: "NXFMFC_BAD_TABLE_ID",
	15: "NXBAC_BAD_CONJUNCTION", 16: "NXTTMFC_BAD_COMMAND", 17: "NXTTMFC_BAD_OPT_LEN", 18: "NXTTMFC_BAD_FIELD_IDX",
	19: "NXTTMFC_TABLE_FULL", 20: "NXTTMFC_ALREADY_MAPPED", 21: "NXTTMFC_DUP_ENTRY",
	34: "NXR_NOT_SUPPORTED", 35: "NXR_STALE", 36: "NXST_NOT_CONFIGURED", 37: "NXFMFC_INVALID_TLV_FIELD", 38: "NXTTMFC_INVALID_TLV_DEL",
	39: "NXBAC_BAD_HEADER_TYPE", 40: "NXBAC_UNKNOWN_ED_PROP", 41: "NXBAC_BAD_ED_PROP", 42: "NXBAC_CT_DATAPATH_SUPPORT",
	43: "NXBMC_CT_DATAPATH_SUPPORT", 44: "NXTFFC_DUP_TABLE",
}

// String returns the specification's name of the type.
func (t ErrorType) String() string {
	switch {
	case int(t) < len(errorNames):
		return errorNames[t].name
	case t == ErrorExperimenter:
		return "OFPET_EXPERIMENTER"
	}
	return fmt.Sprintf("OFPET_%d", uint16(t))
}

// Error names type and code as the specification does, for example
// OFPET_BAD_MATCH/OFPBMC_BAD_PREREQ. An error of a failed hello
// carries a text for people, which is added.
func (m *Error) Error() string {
	s := m.ErrType.String() + "/" + m.codeName()
	if text := m.text(); text != "" {
		s += ": " + text
	}
	return s
}

func (m *Error) codeName() string {
	if int(m.ErrType) < len(errorNames) {
		e := errorNames[m.ErrType]
		if int(m.Code) < len(e.codes) {
			return e.prefix + e.codes[m.Code]
		}
		return fmt.Sprintf("%s%d", e.prefix, m.Code)
	}
	if m.ErrType != ErrorExperimenter {
		return fmt.Sprint(m.Code)
	}
	switch m.Experimenter {
	case experimenterONF:
		if i := int(m.Code) - bundleErrorBase; i >= 0 && i < len(bundleErrorNames) {
			return "OFPBFC_" + bundleErrorNames[i]
		}
		if name := onfErrorNames[m.Code]; name != "" {
			return name
		}
	case experimenterNicira:
		if name := niciraErrorNames[m.Code]; name != "" {
			return name
		}
	}
	return fmt.Sprintf("0x%08x/%d", m.Experimenter, m.Code)
}

// text returns the readable text of a failed hello. What a peer sends is not
// trusted: it is cut, and anything but printable ASCII is replaced.
func (m *Error) text() string {
	if m.ErrType != ErrorHelloFailed {
		return ""
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '.'
		}
		return c
	}, string(m.Data[:min(len(m.Data), 200)]))
}
