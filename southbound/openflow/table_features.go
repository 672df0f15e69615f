package openflow

type (
	// TableFeaturesRequest asks for the features of all tables where it has
	// none, and else sets them.
	TableFeaturesRequest struct{ Tables []TableFeatures }
	TableFeaturesReply   struct{ Tables []TableFeatures }
	// TableFeatures is ofp_table_features.
	TableFeatures struct {
		TableID       uint8
		Name          string // at most 31 bytes
		MetadataMatch uint64 // bits that can be matched
		MetadataWrite uint64 // bits that can be written
		Config        uint32
		MaxEntries    uint32
		Properties    TableProperties
	}
	// TableProperties is the list of properties of a table in wire form, each
	// padded to 8 bytes.
	TableProperties []byte

	// TableProperty is one of the property types below. Those with Miss are for
	// the table-miss flow where it is set; a switch leaves that out where it
	// is the same as for other flows.
	TableProperty interface {
		AppendTableProperty(b []byte) []byte
	}
	// InstructionsProperty is OFPTFPT_INSTRUCTIONS: which instructions there are.
	InstructionsProperty struct {
		Miss         bool
		Instructions []FeatureID
	}
	// NextTablesProperty is OFPTFPT_NEXT_TABLES: where goto can lead.
	NextTablesProperty struct {
		Miss   bool
		Tables []uint8
	}
	// ActionsProperty is OFPTFPT_WRITE_ACTIONS, or with Apply OFPTFPT_APPLY_ACTIONS.
	ActionsProperty struct {
		Apply, Miss bool
		Actions     []FeatureID
	}
	// MatchProperty is OFPTFPT_MATCH, or with Wildcards OFPTFPT_WILDCARDS: which
	// fields can be matched, and which of them can be left out.
	MatchProperty struct {
		Wildcards bool
		Fields    []FieldFeature
	}
	// SetFieldProperty is OFPTFPT_WRITE_SETFIELD, or with Apply OFPTFPT_APPLY_SETFIELD.
	SetFieldProperty struct {
		Apply, Miss bool
		Fields      []FieldFeature
	}
	// TablePropertyRaw is any other property, whole and with its padding.
	TablePropertyRaw []byte

	// FeatureID names an action or instruction by its type; Rest is what
	// follows for an experimenter's.
	FeatureID struct {
		Type uint16
		Rest string
	}
	// FieldFeature is the header of an OXM TLV. Len is in bytes, with the mask
	// where there may be one. Experimenter is set where the class of
	// the field is the experimenters'.
	FieldFeature struct {
		Field        FieldID
		HasMask      bool
		Len          uint8
		Experimenter uint32
	}
)

// Types of properties (enum ofp_table_feature_prop_type). That for the
// table-miss flow is one more.
const (
	propertyInstructions  = 0
	propertyNextTables    = 2
	propertyWriteActions  = 4
	propertyApplyActions  = 6
	propertyMatch         = 8
	propertyWildcards     = 10
	propertyWriteSetField = 12
	propertyApplySetField = 14
)

// NewTableProperties encodes properties in the given order.
func NewTableProperties(list ...TableProperty) TableProperties {
	var b []byte
	for _, p := range list {
		b = p.AppendTableProperty(b)
	}
	return b
}

// List decodes the properties.
func (p TableProperties) List() []TableProperty {
	var list []TableProperty
	for b := []byte(p); len(b) >= 4; {
		n := int(be.Uint16(b[2:]))
		padded := n + -n&7
		if n < 4 || padded > len(b) {
			break
		}
		list = append(list, decodeTableProperty(b[:padded:padded]))
		b = b[padded:]
	}
	return list
}

// decodeTableProperty decodes one whole property, which stays raw where it has
// not exactly the form that its type encodes to.
func decodeTableProperty(b []byte) TableProperty {
	kind, n := be.Uint16(b), int(be.Uint16(b[2:]))
	r := reader{b: b[4:n]}
	miss := kind&1 != 0
	var p TableProperty
	switch kind {
	case propertyInstructions, propertyInstructions + 1:
		p = InstructionsProperty{Miss: miss, Instructions: decodeFeatureIDs(&r)}
	case propertyNextTables, propertyNextTables + 1:
		p = NextTablesProperty{Miss: miss, Tables: r.copyRest()}
	case propertyWriteActions, propertyWriteActions + 1:
		p = ActionsProperty{Miss: miss, Actions: decodeFeatureIDs(&r)}
	case propertyApplyActions, propertyApplyActions + 1:
		p = ActionsProperty{Apply: true, Miss: miss, Actions: decodeFeatureIDs(&r)}
	case propertyMatch:
		p = MatchProperty{Fields: decodeFieldFeatures(&r)}
	case propertyWildcards:
		p = MatchProperty{Wildcards: true, Fields: decodeFieldFeatures(&r)}
	case propertyWriteSetField, propertyWriteSetField + 1:
		p = SetFieldProperty{Miss: miss, Fields: decodeFieldFeatures(&r)}
	case propertyApplySetField, propertyApplySetField + 1:
		p = SetFieldProperty{Apply: true, Miss: miss, Fields: decodeFieldFeatures(&r)}
	}
	if p == nil || r.end() != nil || !allZero(b[n:]) {
		return TablePropertyRaw(append([]byte(nil), b...))
	}
	return p
}

func decodeFeatureIDs(r *reader) []FeatureID {
	list := make([]FeatureID, 0, len(r.b)/4)
	for len(r.b) > 0 {
		id := FeatureID{Type: r.u16()}
		id.Rest = string(r.take(int(r.u16()) - 4))
		if r.err != nil {
			return nil
		}
		list = append(list, id)
	}
	return list
}

func decodeFieldFeatures(r *reader) []FieldFeature {
	list := make([]FieldFeature, 0, len(r.b)/4)
	for len(r.b) > 0 {
		class, field, n := r.u16(), r.u8(), r.u8()
		f := FieldFeature{Field: FieldID(class)<<16 | FieldID(field>>1), HasMask: field&1 != 0, Len: n}
		if class == classExperimenter {
			f.Experimenter = r.u32()
		}
		if r.err != nil {
			return nil
		}
		list = append(list, f)
	}
	return list
}

// appendTableProperty appends a property whose body append appends.
func appendTableProperty(b []byte, kind uint16, miss bool, body func(b []byte) []byte) []byte {
	if miss {
		kind++
	}
	start := len(b)
	b = be.AppendUint16(b, kind)
	b = append(b, 0, 0)
	b = body(b)
	putLen(b, start+2, len(b)-start)
	return appendPad(b, start)
}

func appendFeatureIDs(b []byte, list []FeatureID) []byte {
	for _, id := range list {
		b = be.AppendUint16(b, id.Type)
		b = be.AppendUint16(b, uint16(4+len(id.Rest)))
		b = append(b, id.Rest...)
	}
	return b
}

func appendFieldFeatures(b []byte, list []FieldFeature) []byte {
	for _, f := range list {
		b = be.AppendUint16(b, f.Field.Class())
		head := f.Field.Number() << 1
		if f.HasMask {
			head |= 1
		}
		b = append(b, head, f.Len)
		if f.Field.Class() == classExperimenter {
			b = be.AppendUint32(b, f.Experimenter)
		}
	}
	return b
}

func (p InstructionsProperty) AppendTableProperty(b []byte) []byte {
	return appendTableProperty(b, propertyInstructions, p.Miss, func(b []byte) []byte {
		return appendFeatureIDs(b, p.Instructions)
	})
}

func (p NextTablesProperty) AppendTableProperty(b []byte) []byte {
	return appendTableProperty(b, propertyNextTables, p.Miss, func(b []byte) []byte { return append(b, p.Tables...) })
}

func (p ActionsProperty) AppendTableProperty(b []byte) []byte {
	kind := uint16(propertyWriteActions)
	if p.Apply {
		kind = propertyApplyActions
	}
	return appendTableProperty(b, kind, p.Miss, func(b []byte) []byte { return appendFeatureIDs(b, p.Actions) })
}

func (p MatchProperty) AppendTableProperty(b []byte) []byte {
	kind := uint16(propertyMatch)
	if p.Wildcards {
		kind = propertyWildcards
	}
	return appendTableProperty(b, kind, false, func(b []byte) []byte { return appendFieldFeatures(b, p.Fields) })
}

func (p SetFieldProperty) AppendTableProperty(b []byte) []byte {
	kind := uint16(propertyWriteSetField)
	if p.Apply {
		kind = propertyApplySetField
	}
	return appendTableProperty(b, kind, p.Miss, func(b []byte) []byte { return appendFieldFeatures(b, p.Fields) })
}

func (p TablePropertyRaw) AppendTableProperty(b []byte) []byte { return append(b, p...) }

func (*TableFeaturesRequest) MultipartType() MultipartType { return MultipartTableFeatures }
func (*TableFeaturesReply) MultipartType() MultipartType   { return MultipartTableFeatures }

func (m *TableFeaturesRequest) AppendMultipart(b []byte) []byte {
	return appendTableFeatures(b, m.Tables)
}

func (m *TableFeaturesReply) AppendMultipart(b []byte) []byte {
	return appendTableFeatures(b, m.Tables)
}

const (
	tableNameLen     = 32
	tableFeaturesMin = 64 // ofp_table_features without properties
)

func appendTableFeatures(b []byte, tables []TableFeatures) []byte {
	for i := range tables {
		t := &tables[i]
		b = be.AppendUint16(b, uint16(tableFeaturesMin+len(t.Properties)))
		b = append(b, t.TableID, 0, 0, 0, 0, 0)
		b = appendText(b, t.Name, tableNameLen)
		b = be.AppendUint64(b, t.MetadataMatch)
		b = be.AppendUint64(b, t.MetadataWrite)
		b = be.AppendUint32(b, t.Config)
		b = be.AppendUint32(b, t.MaxEntries)
		b = append(b, t.Properties...)
	}
	return b
}

func decodeTableFeatures(r *reader) []TableFeatures {
	r.own()
	return decodeEntries(r, 0, tableFeaturesMin, "table features", (*TableFeatures).decode)
}

func (t *TableFeatures) decode(r *reader) {
	r.skip(2)
	t.TableID = r.u8()
	r.skip(5)
	t.Name = r.text(tableNameLen)
	t.MetadataMatch = r.u64()
	t.MetadataWrite = r.u64()
	t.Config = r.u32()
	t.MaxEntries = r.u32()
	b := r.rest()
	for rest := b; len(rest) > 0; {
		if len(rest) < 4 {
			r.fail("property: %w", errShort)
			return
		}
		n := int(be.Uint16(rest[2:]))
		if n < 4 || n+-n&7 > len(rest) {
			r.fail("property of type %d: length %d of %d bytes", be.Uint16(rest), n, len(rest))
			return
		}
		rest = rest[n+-n&7:]
	}
	t.Properties = b
}
