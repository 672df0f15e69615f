package northbound

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/store/storetest"
)

func TestTheLimiterLetsABurstAndThenAnEvenPace(t *testing.T) {
	t.Parallel()
	l := newLimiter[string](10, 3)
	now := time.Unix(1000, 0)
	var got []time.Duration
	for range 4 {
		got = append(got, l.take("a", now))
	}
	got = append(got, l.take("b", now)) // another one has his own
	now = now.Add(100 * time.Millisecond)
	got = append(got, l.take("a", now), l.take("a", now.Add(30*time.Millisecond)), l.full("a", now.Add(30*time.Millisecond)))
	now = now.Add(time.Hour) // a rest saves up a burst and no more
	for range 4 {
		got = append(got, l.take("a", now))
	}
	const ms = time.Millisecond
	want := []time.Duration{0, 0, 0, 100 * ms, 0, 0, 70 * ms, 70 * ms, 0, 0, 0, 100 * ms}
	for i := range got {
		got[i] = max(got[i], 0)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
}

func TestTheLimiterForgetsWhoIsEvenAndNeverGrowsBeyondItsRoom(t *testing.T) {
	t.Parallel()
	l := newLimiter[int](1, 5)
	l.room = 100
	now := time.Unix(1000, 0)
	for who := range 99 {
		l.take(who, now)
	}
	now = now.Add(time.Second)
	for range 5 {
		l.take(1000, now)
	}
	l.take(1001, now)
	if len(l.paid) != 2 || l.take(1000, now) <= 0 {
		t.Errorf("%d are remembered, want the two that matter", len(l.paid))
	}
	for who := range 10_000 {
		l.take(2000+who, now)
	}
	if len(l.paid) > l.room {
		t.Errorf("%d are remembered, want at most %d", len(l.paid), l.room)
	}
}

func TestTheCacheForgetsWhatWasAskedForLongestAgo(t *testing.T) {
	t.Parallel()
	c := newCache[int](3)
	key := func(n int) digest { return digestOf(strconv.Itoa(n)) }
	for n := range 3 {
		c.put(key(n), n)
	}
	c.get(key(0))
	c.put(key(1), 10)
	c.put(key(3), 3) // in the place of 2
	got := map[int]int{}
	for n := range 4 {
		if v, ok := c.get(key(n)); ok {
			got[n] = v
		}
	}
	if diff := cmp.Diff(map[int]int{0: 0, 1: 10, 3: 3}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.remove(key(0))
	c.remove(key(7))
	if _, ok := c.get(key(0)); ok || c.len() != 2 || c.order.Len() != 2 {
		t.Errorf("after a removal %d are left", c.len())
	}
}

func TestRequestsAboveTheLimitOfATokenAreToldWhenToComeAgain(t *testing.T) {
	t.Parallel()
	a := setupOn(t, storetest.New(t), func(o *Options) { o.RateLimit = 1 })
	var last answer
	for last.code != 429 { // a client that asks on and on gets there
		if last = a.do("GET", "/v2.0/extensions", "red", ""); last.code != 200 && last.code != 429 {
			t.Fatalf("%d %s", last.code, last.text)
		}
		if t.Context().Err() != nil {
			return
		}
	}
	kind, _ := last.message(t)
	if kind != "TooManyRequests" || last.header.Get("Retry-After") != "1" {
		t.Errorf("%s, Retry-After %s", last.text, last.header.Get("Retry-After"))
	}
	a.want(200, "GET", "/v2.0/extensions", "red-reader", "") // of the same tenant
	a.want(200, "GET", "/", "red", "")
	a.want(401, "GET", "/v2.0/extensions", "wrong", "")
}
