package controller

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

const (
	// linkPause bounds how often links are written while many are found, and linkRetry
	// follows a write that failed.
	linkPause = 50 * time.Millisecond
	linkRetry = time.Second
	// recordPatience is how often links and hosts are tried again at once, without a word, that were
	// found sooner than their switches were recorded, as when a fabric connects for the first time.
	recordPatience = 20

	// hostPause and hostBatch bound how often hosts are written, and how many at once:
	// stations can make up any number of them. What became of one meanwhile is written once.
	hostPause = 200 * time.Millisecond
	hostBatch = 1000
	// hostLook is how often it is looked for hosts whose time has come.
	hostLook = time.Second
)

// loadFabric takes over what earlier controllers knew of the fabric.
func (c *Controller) loadFabric(ctx context.Context) error {
	if c.fabric == nil {
		return nil
	}
	key, err := c.cfg.Store.FabricKey(ctx)
	if err != nil {
		return err
	}
	links, err := c.cfg.Store.Links(ctx)
	if err != nil {
		return err
	}
	hosts, err := c.cfg.Store.FabricHosts(ctx)
	if err != nil {
		return err
	}
	slots, err := c.cfg.Store.FabricSlots(ctx)
	if err != nil {
		return err
	}
	c.fabric.Load(key, links, slots)
	c.stations.Load(hosts)
	return nil
}

// recordLinks writes links as they come and go.
func (c *Controller) recordLinks(ctx context.Context) {
	if c.fabric == nil {
		return
	}
	log := c.cfg.Log.Named("fabric")
	before := map[fabric.Link]fabric.Known{}
	if links, err := c.cfg.Store.Links(ctx); err == nil {
		for _, l := range links {
			before[l.Link] = l
		}
	}
	for early := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-c.fabric.News():
		}
		links, changed := c.fabric.TakeChanged()
		if !changed {
			continue
		}
		logLinks(log, before, links)
		pause := linkPause
		slots, err := c.cfg.Store.SaveLinks(ctx, links)
		switch {
		case err == nil:
			early = 0
			c.reconciler.Touch(c.fabric.SetSlots(slots))
		case errors.Is(err, store.ErrUnrecorded) && early < recordPatience:
			early++
			c.fabric.Changed()
		case ctx.Err() == nil:
			log.Warn("links not recorded; will try again", zap.Error(err))
			c.fabric.Changed()
			pause = linkRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// recordHosts writes hosts of the fabric as they come, move and go.
func (c *Controller) recordHosts(ctx context.Context) {
	if c.stations == nil {
		return
	}
	look := time.NewTicker(hostLook)
	defer look.Stop()
	for early := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-c.stations.News():
		case <-look.C:
		}
		pause := hostPause
		if changes := c.stations.TakeChanged(time.Now(), hostBatch); len(changes) > 0 {
			switch err := c.cfg.Store.SaveFabricHosts(ctx, changes); {
			case err == nil:
				early = 0
			case errors.Is(err, store.ErrUnrecorded) && early < recordPatience:
				early++
				c.stations.Changed(changes)
			case ctx.Err() == nil:
				c.cfg.Log.Named("fabric").Warn("hosts not recorded; will try again", zap.Error(err))
				c.stations.Changed(changes)
				pause = linkRetry
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// forgetSwitches forgets the links and hosts of switches that were deleted.
func (c *Controller) forgetSwitches(changes []store.Change) {
	for _, change := range changes {
		if change.Kind != store.KindSwitch || change.Op != store.OpDelete {
			continue
		}
		if d, err := intent.ParseDPID(change.ID); err == nil {
			c.reconciler.ForgetSwitch(d)
		}
	}
}

// logLinks says what has become of links, and brings before up to date.
func logLinks(log *zap.Logger, before map[fabric.Link]fabric.Known, now []fabric.Known) {
	present := map[fabric.Link]bool{}
	for _, l := range now {
		present[l.Link] = true
		was, known := before[l.Link]
		before[l.Link] = l
		if !known && !l.Down || known && was.Down != l.Down {
			log.Info(map[bool]string{false: "link found", true: "link lost"}[l.Down], zap.Stringer("link", l.Link), zap.Bool("tree", l.Tree))
		} else if known && was.Tree != l.Tree {
			log.Info("flood tree changed", zap.Stringer("link", l.Link), zap.Bool("tree", l.Tree))
		}
	}
	for l := range before {
		if !present[l] {
			delete(before, l)
		}
	}
}

var descHosts = prometheus.NewDesc("macloom_fabric_hosts", "Stations that are known behind unmanaged ports which lead to stations.", nil, nil)

var descLinks = prometheus.NewDesc("macloom_fabric_links", "Links between switches by what they are: tree (of the flood tree), spare, down.", []string{"state"}, nil)

// fabricCollector counts links and hosts.
type fabricCollector struct {
	fabric *fabric.Map
	hosts  *fabric.Hosts
}

// Describe implements prometheus.Collector.
func (c fabricCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descLinks
	ch <- descHosts
}

// Collect implements prometheus.Collector.
func (c fabricCollector) Collect(ch chan<- prometheus.Metric) {
	n := map[string]int{"tree": 0, "spare": 0, "down": 0}
	for _, l := range c.fabric.Links() {
		n[l.State()]++
	}
	for state, links := range n {
		ch <- prometheus.MustNewConstMetric(descLinks, prometheus.GaugeValue, float64(links), state)
	}
	ch <- prometheus.MustNewConstMetric(descHosts, prometheus.GaugeValue, float64(c.hosts.Len()))
}
