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

// queues reports whether the datapath is known to heed set_queue.
func (d *datapath) queues() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.capabilities()[capSetQueue] == yes
}

// answer takes down what a switch can do; who has asked all calls tell.
func (d *datapath) answer(what, how string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.can[what] = how
	d.ledger.dirty = true
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
	const needed = openflow.MeterPktps | openflow.MeterKbps | openflow.MeterBurst
	d.answer(capMeters, no)
	return absent(d.conn.Multipart(ctx, &openflow.MeterFeaturesRequest{}, func(b openflow.MultipartBody) error {
		f, ok := b.(*openflow.MeterFeatures)
		if ok && f.MaxMeter >= pipeline.LastMeter && f.MaxBands > 0 && f.BandTypes&(1<<openflow.BandDrop) != 0 &&
			openflow.MeterFlags(f.Capabilities)&needed == needed {
			d.answer(capMeters, yes)
		}
		return nil
	}))
}

// askGroups asks for the types of groups.
func (d *datapath) askGroups(ctx context.Context) error {
	d.answer(capGroups, no)
	return absent(d.conn.Multipart(ctx, &openflow.GroupFeaturesRequest{}, func(b openflow.MultipartBody) error {
		const needed = 1<<openflow.GroupAll | 1<<openflow.GroupSelect | 1<<openflow.GroupFastFailover
		if f, ok := b.(*openflow.GroupFeatures); ok && f.Types&needed == needed {
			d.answer(capGroups, yes)
		}
		return nil
	}))
}

// probe asks what only a trial tells: it offers the switch flows that it may
// refuse, and withdraws them, so that nothing of them is ever in effect. All questions are on
// their way together. A switch without bundles cannot be asked so: it stays unknown.
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
	for what, f := range probes() {
		wg.Go(func() { d.answer(what, verdict(d.conn.Try(ctx, []openflow.Message{f.Add()}))) })
	}
	wg.Go(func() {
		how, err := unknown, d.conn.Try(ctx, nil)
		var se *session.SwitchError
		switch {
		case err == nil:
			how = yes
		case errors.As(err, &se) && se.Err.ErrType == openflow.ErrorBadRequest:
			how = no
		}
		d.answer(capBundle, how)
	})
	wg.Wait()
	d.tell()
}

// verdict is what the outcome of a trial says.
func verdict(err error) string {
	var refused *session.CommitError
	var se *session.SwitchError
	switch {
	case err == nil:
		return yes
	case errors.As(err, &refused) && errors.As(err, &se):
		switch se.Err.ErrType {
		case openflow.ErrorBadAction, openflow.ErrorBadInstruction, openflow.ErrorBadMatch:
			return no
		case openflow.ErrorExperimenter:
			const action, match = 42, 43 // NXBAC_CT_DATAPATH_SUPPORT, NXBMC_CT_DATAPATH_SUPPORT
			if se.Err.Code == action || se.Err.Code == match {
				return no
			}
		}
	}
	return unknown
}

// probes returns a flow for each ability that only a trial tells.
func probes() map[string]flow.Flow {
	probe := func(m flow.Match, actions ...openflow.Action) flow.Flow {
		return flow.Flow{Match: m, Instructions: flow.NewInstructions(flow.Apply(actions...))}
	}
	set := func(id openflow.FieldID, value ...byte) openflow.Action {
		o := openflow.OXM{Field: id, Len: uint8(len(value))}
		copy(o.Value[:], value)
		return openflow.ActionSetField{OXM: o}
	}
	const solicitation = 135
	ip, ns := flow.NewMatch(flow.IP()), flow.NewMatch(flow.ICMP6Type(solicitation), flow.ICMP6Code(0))
	return map[string]flow.Flow{
		capCT:  probe(ip, openflow.ActionCT{Table: openflow.NoTable}),
		capNAT: probe(ip, openflow.ActionCT{Table: openflow.NoTable, Exec: []openflow.Action{openflow.ActionNAT{}}}),
		capND:  probe(ns, set(openflow.NDOptionsType, 2), set(openflow.NDReserved, 0x60, 0, 0, 0)),
	}
}
