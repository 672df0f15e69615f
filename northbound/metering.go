package northbound

import (
	"net/netip"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func meteringLabels(st *store.Store) *collection[intent.MeteringLabel] {
	type label = intent.MeteringLabel
	meta := func(l *label) *intent.Meta { return &l.Meta }
	return &collection[label]{
		single: "metering_label", plural: "metering_labels", path: "metering/metering-labels",
		doc: "A metering label names traffic that is to be counted. It is a record only: nothing counts. Deleting it deletes its rules.",
		attributes: standard(meta,
			name(meta),
			stored("shared", boolean, func(l *label) *bool { return &l.Shared }, access{post: optional, def: "false", filter: true, sort: true},
				"Whether the traffic of all tenants counts."),
		),
		meta:    meta,
		readBy:  admins,
		writeBy: admins,
		backend: backend[label]{list: st.MeteringLabels, get: st.MeteringLabel, create: st.CreateMeteringLabels, remove: st.DeleteMeteringLabel},
	}
}

func meteringRules(st *store.Store) *collection[intent.MeteringRule] {
	type rule = intent.MeteringRule
	found := access{post: required, filter: true, sort: true}
	return &collection[rule]{
		single: "metering_label_rule", plural: "metering_label_rules", path: "metering/metering-label-rules",
		doc: "A rule says which traffic counts under a metering label, or does not. Rules of a label that say the same do not overlap.",
		attributes: part(func(r *rule) *intent.Meta { return &r.Meta }, "label",
			stored("metering_label_id", id, func(r *rule) *string { return &r.LabelID }, found, "The label."),
			stored("direction", oneOf(intent.Ingress, intent.Egress), func(r *rule) *intent.Direction { return &r.Direction }, found, "Seen from the instance."),
			stored("excluded", boolean, func(r *rule) *bool { return &r.Excluded }, access{post: optional, def: "false", filter: true, sort: true}, "Whether this traffic does not count."),
			stored("remote_ip_prefix", cidr, func(r *rule) *netip.Prefix { return &r.RemotePrefix }, found, "The addresses of the other side."),
		),
		readBy:  admins,
		writeBy: admins,
		backend: backend[rule]{list: st.MeteringRules, get: st.MeteringRule, create: st.CreateMeteringRules, remove: st.DeleteMeteringRule},
	}
}
