package controller

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

const (
	// vlanPause bounds how often it is looked which networks need VLAN tags while
	// much changes, and vlanRetry is when it is tried again to find one for those that lack it.
	vlanPause = 50 * time.Millisecond
	vlanRetry = 30 * time.Second
)

// spreading are the kinds of objects that decide at which switches a network is.
var spreading = []store.Kind{store.KindNetwork, store.KindPort, store.KindSwitch}

// lookAtVLANs says that other networks may need VLAN tags after some changes.
func (c *Controller) lookAtVLANs(changes []store.Change) {
	if slices.ContainsFunc(changes, func(change store.Change) bool { return !change.Fact && slices.Contains(spreading, change.Kind) }) {
		select {
		case c.spread <- struct{}{}:
		default: // it will be looked anyway
		}
	}
}

// settleVLANs gives the networks tags that have ports at several switches of the fabric,
// and takes them back from others. What it writes comes back by the feed.
func (c *Controller) settleVLANs(ctx context.Context) {
	log := c.cfg.Log.Named("fabric")
	lacked := 0
	var settled []string
	first := true
	for {
		var need []string
		c.world.read(func(s *intent.State) { need = s.Spanning() })
		var retry <-chan time.Time
		if first || lacked > 0 || !slices.Equal(need, settled) {
			lacking, err := c.cfg.Store.SettleVLANs(ctx, need)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				log.Warn("VLAN tags not given; will try again", zap.Error(err))
				first, retry = true, time.After(linkRetry)
			default:
				if lacking > lacked {
					log.Warn("no VLAN tag is left for some networks", zap.Int("networks", lacking), zap.Int("tags", intent.MaxVLAN))
				}
				first, lacked, settled = false, lacking, need
			}
		}
		if retry == nil && lacked > 0 {
			retry = time.After(vlanRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.spread:
		case <-retry:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(vlanPause):
		}
	}
}

var descVLANs = prometheus.NewDesc("macloom_fabric_vlans", "Networks with ports at several switches of the fabric, by whether they have a VLAN tag.", []string{"state"}, nil)

// vlanCollector counts networks that need VLAN tags.
type vlanCollector struct{ world *world }

// Describe implements prometheus.Collector.
func (c vlanCollector) Describe(ch chan<- *prometheus.Desc) { ch <- descVLANs }

// Collect implements prometheus.Collector.
func (c vlanCollector) Collect(ch chan<- prometheus.Metric) {
	var given, lacking int
	c.world.read(func(s *intent.State) { given, lacking = s.VLANs() })
	ch <- prometheus.MustNewConstMetric(descVLANs, prometheus.GaugeValue, float64(given), "given")
	ch <- prometheus.MustNewConstMetric(descVLANs, prometheus.GaugeValue, float64(lacking), "lacking")
}
