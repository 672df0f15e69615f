package controller

import (
	"context"
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
	c.fabric.Load(key, links)
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
	for {
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
		if err := c.cfg.Store.SaveLinks(ctx, links); err != nil && ctx.Err() == nil {
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

// forgetSwitches forgets the links of switches that were deleted.
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

var descLinks = prometheus.NewDesc("macloom_fabric_links", "Links between switches by what they are: tree (of the flood tree), spare, down.", []string{"state"}, nil)

// fabricCollector counts links.
type fabricCollector struct{ fabric *fabric.Map }

// Describe implements prometheus.Collector.
func (c fabricCollector) Describe(ch chan<- *prometheus.Desc) { ch <- descLinks }

// Collect implements prometheus.Collector.
func (c fabricCollector) Collect(ch chan<- prometheus.Metric) {
	n := map[string]int{"tree": 0, "spare": 0, "down": 0}
	for _, l := range c.fabric.Links() {
		n[l.State()]++
	}
	for state, links := range n {
		ch <- prometheus.MustNewConstMetric(descLinks, prometheus.GaugeValue, float64(links), state)
	}
}
