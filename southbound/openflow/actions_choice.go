package openflow

type (
	// ActionMultipath is NXAST_MULTIPATH: hash fields of the packet to a number from
	// 0 to MaxLink and store that in Dst. Arg is for MultipathIterHash.
	ActionMultipath struct {
		Fields    HashFields
		Basis     uint16
		Algorithm MultipathAlgorithm
		MaxLink   uint16
		Arg       uint32
		Dst       Subfield
	}
	// ActionBundle is NXAST_BUNDLE: output to one of the members, which are 16-bit
	// port numbers.
	ActionBundle struct {
		Fields    HashFields
		Basis     uint16
		Algorithm BundleAlgorithm
		Members   []uint16
	}
	// ActionBundleLoad is NXAST_BUNDLE_LOAD: store the chosen member in Dst.
	ActionBundleLoad struct {
		ActionBundle
		Dst Subfield
	}
)

// HashFields is enum nx_hash_fields: what of a packet is hashed.
type HashFields uint16

// What ActionMultipath and ActionBundle can hash.
const (
	HashEthSrc           HashFields = 0
	HashSymmetricL4      HashFields = 1
	HashSymmetricL3L4    HashFields = 2
	HashSymmetricL3L4UDP HashFields = 3
	HashNwSrc            HashFields = 4
	HashNwDst            HashFields = 5
	HashSymmetricL3      HashFields = 6
)

// MultipathAlgorithm is enum nx_mp_algorithm.
type MultipathAlgorithm uint16

// How ActionMultipath makes a link of a hash.
const (
	MultipathModuloN       MultipathAlgorithm = 0
	MultipathHashThreshold MultipathAlgorithm = 1
	MultipathHRW           MultipathAlgorithm = 2 // highest random weight
	MultipathIterHash      MultipathAlgorithm = 3
)

// BundleAlgorithm is enum nx_bd_algorithm.
type BundleAlgorithm uint16

// How ActionBundle chooses among its live members.
const (
	BundleActiveBackup BundleAlgorithm = 0 // the first
	BundleHRW          BundleAlgorithm = 1
)

// nxmInPort is the header of NXM_OF_IN_PORT, the only kind of member that a
// bundle can have.
const nxmInPort = 0x00000002

func (a ActionMultipath) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxMultipath, 32)
	b = be.AppendUint16(b, uint16(a.Fields))
	b = be.AppendUint16(b, a.Basis)
	b = be.AppendUint16(b, 0)
	b = be.AppendUint16(b, uint16(a.Algorithm))
	b = be.AppendUint16(b, a.MaxLink)
	b = be.AppendUint32(b, a.Arg)
	b = be.AppendUint16(b, 0)
	b = be.AppendUint16(b, a.Dst.ofsNbits())
	return be.AppendUint32(b, a.Dst.Field.nxmHeader())
}

func (a ActionBundle) AppendAction(b []byte) []byte { return a.appendTo(b, nxBundle, 0, 0) }

func (a ActionBundleLoad) AppendAction(b []byte) []byte {
	return a.appendTo(b, nxBundleLoad, a.Dst.ofsNbits(), a.Dst.Field.nxmHeader())
}

func (a ActionBundle) appendTo(b []byte, subtype, ofsNbits uint16, dst uint32) []byte {
	start := len(b)
	b = appendNicira(b, subtype, 0)
	b = be.AppendUint16(b, uint16(a.Algorithm))
	b = be.AppendUint16(b, uint16(a.Fields))
	b = be.AppendUint16(b, a.Basis)
	b = be.AppendUint32(b, nxmInPort)
	b = be.AppendUint16(b, uint16(len(a.Members)))
	b = be.AppendUint16(b, ofsNbits)
	b = be.AppendUint32(b, dst)
	b = appendZeros(b, 4)
	return finishAction(appendU16s(b, a.Members), start)
}

// decodeChoice decodes the Nicira actions that choose by hash.
func decodeChoice(subtype uint16, r *reader) Action {
	if subtype == nxMultipath {
		a := ActionMultipath{Fields: HashFields(r.u16()), Basis: r.u16()}
		r.skip(2)
		a.Algorithm, a.MaxLink, a.Arg = MultipathAlgorithm(r.u16()), r.u16(), r.u32()
		r.skip(2)
		a.Dst = r.packedSubfield(r.u16())
		return a
	}
	a := ActionBundle{Algorithm: BundleAlgorithm(r.u16()), Fields: HashFields(r.u16()), Basis: r.u16()}
	r.skip(4)
	n, ofsNbits := int(r.u16()), r.u16()
	if subtype == nxBundle {
		r.skip(8)
		a.Members = r.u16s(n)
		return a
	}
	load := ActionBundleLoad{ActionBundle: a, Dst: r.packedSubfield(ofsNbits)}
	r.skip(4)
	load.Members = r.u16s(n)
	return load
}
