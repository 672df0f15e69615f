package reconcile

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session"
)

// What a switch may be able to do.
const (
	capCT       = "ct"     // conntrack
	capNAT      = "ct_nat" // conntrack with address translation
	capMeters   = "meters"
	capGroups   = "groups"
	capBundle   = "bundle"
	capND       = "nd_set" // rewrite neighbour discovery: type of the option, flags of the advertisement
	capSetQueue = "set_queue"
)

const (
	yes     = "yes"
	no      = "no"
	unknown = "unknown"
)

// maxProbes is how many switches are probed at once, so that a thousand that
// connect together are served first.
const maxProbes = 8

// able reports whether the switch is known to be able to.
func (d *datapath) able(what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.can[what] == yes
}

func (d *datapath) answer(what, how string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.can[what] = how
	d.factsDirty = true
}

// capabilities returns all of them. The caller holds d.mu.
func (d *datapath) capabilities() map[string]string {
	all := map[string]string{
		capCT: unknown, capNAT: unknown, capMeters: unknown, capGroups: unknown, capBundle: unknown, capND: unknown,
		// OpenFlow does not tell, and every switch takes the action: the userspace datapath ignores it.
		capSetQueue: unknown,
	}
	switch d.datapathType {
	case "system":
		all[capSetQueue] = yes
	case "netdev":
		all[capSetQueue] = no
	}
	maps.Copy(all, d.can)
	return all
}

// askMeters asks for meters. Those that do not reach to our ids are none.
func (d *datapath) askMeters(ctx context.Context) error {
	d.answer(capMeters, no)
	return absent(d.conn.Multipart(ctx, &openflow.MeterFeaturesRequest{}, func(b openflow.MultipartBody) error {
		f, ok := b.(*openflow.MeterFeatures)
		if ok && f.MaxMeter >= pipeline.LastMeter && f.MaxBands > 0 && f.BandTypes&(1<<openflow.BandDrop) != 0 &&
			openflow.MeterFlags(f.Capabilities)&openflow.MeterPktps != 0 {
			d.answer(capMeters, yes)
		}
		return nil
	}))
}

// askGroups asks for the types of groups.
func (d *datapath) askGroups(ctx context.Context) error {
	d.answer(capGroups, no)
	return absent(d.conn.Multipart(ctx, &openflow.GroupFeaturesRequest{}, func(b openflow.MultipartBody) error {
		const needed = 1<<openflow.GroupAll | 1<<openflow.GroupFastFailover
		if f, ok := b.(*openflow.GroupFeatures); ok && f.Types&needed == needed {
			d.answer(capGroups, yes)
		}
		return nil
	}))
}

// probe asks what only a trial tells. A flow is added and deleted within one
// bundle, in the last table, where no packet comes: the switch takes it or says why not, and
// holds nothing of it after. All questions are on their way together.
func (d *datapath) probe(ctx context.Context) {
	select {
	case d.r.probes <- struct{}{}:
		defer func() { <-d.r.probes }()
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.r.cfg.Timeout)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { d.answer(capBundle, d.tryBundle(ctx)) })
	for what, f := range probes(max(d.conn.Features().NTables, 1) - 1) {
		wg.Go(func() { d.answer(what, d.tryFlow(ctx, f)) })
	}
	wg.Wait()
	d.tell()
}

// probes returns a flow for each ability that only a trial tells. They carry a
// cookie of ours: one that should stay behind is removed with the next read-back.
func probes(table uint8) map[string]flow.Flow {
	const nobody = 0x5d70726f62650000 // the metadata of no network: networks have 24 bits
	probe := func(n uint64, m []flow.Field, actions ...openflow.Action) flow.Flow {
		return flow.Flow{
			Table: table, Priority: 1, Cookie: uint64(pipeline.NewCookie(pipeline.KindTable, uint32(table))),
			Match:        flow.NewMatch(append(m, flow.Metadata(nobody+n))...),
			Instructions: flow.NewInstructions(flow.Apply(actions...)),
		}
	}
	set := func(id openflow.FieldID, value ...byte) openflow.Action {
		o := openflow.OXM{Field: id, Len: uint8(len(value))}
		copy(o.Value[:], value)
		return openflow.ActionSetField{OXM: o}
	}
	const solicitation = 135
	return map[string]flow.Flow{
		capCT:  probe(1, []flow.Field{flow.IP()}, openflow.ActionCT{Table: openflow.NoTable}),
		capNAT: probe(2, []flow.Field{flow.IP()}, openflow.ActionCT{Table: openflow.NoTable, Exec: []openflow.Action{openflow.ActionNAT{}}}),
		capND: probe(3, []flow.Field{flow.ICMP6Type(solicitation), flow.ICMP6Code(0)},
			set(openflow.NDOptionsType, 2), set(openflow.NDReserved, 0x60, 0, 0, 0)),
	}
}

// tryFlow says whether the switch takes a flow.
func (d *datapath) tryFlow(ctx context.Context, f flow.Flow) string {
	err := d.conn.Commit(ctx, []openflow.Message{f.Add(), f.DeleteStrict()})
	if err == nil {
		return yes
	}
	var se *session.SwitchError
	if errors.As(err, &se) {
		switch se.Err.ErrType {
		case openflow.ErrorBadAction, openflow.ErrorBadInstruction, openflow.ErrorBadMatch:
			return no
		}
	}
	return unknown
}

// tryBundle says whether the switch takes bundles, by opening one and throwing
// it away.
func (d *datapath) tryBundle(ctx context.Context) string {
	const id = 0xffffffff // the session counts from below
	bundle := &openflow.BundleControl{
		BundleID: id, Ctrl: openflow.BundleOpenRequest, Flags: openflow.BundleAtomic | openflow.BundleOrdered,
	}
	_, err := d.conn.Request(ctx, bundle)
	var se *session.SwitchError
	switch {
	case errors.As(err, &se) && se.Err.ErrType == openflow.ErrorBadRequest:
		return no
	case err != nil:
		return unknown
	}
	discard := *bundle
	discard.Ctrl = openflow.BundleDiscardRequest
	_, _ = d.conn.Request(ctx, &discard) // what stays open ends with the connection
	return yes
}
