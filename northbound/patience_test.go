package northbound

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatienceLastsAsLongAsLinesComeAndNoLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, p := newPatience(t.Context(), httptest.NewRecorder(), time.Minute)
		defer p.end()
		for range 100 {
			time.Sleep(50 * time.Second)
			p.read()
		}
		p.work(5 * time.Minute)
		time.Sleep(5*time.Minute - time.Second)
		if ctx.Err() != nil {
			t.Fatalf("ended while it got on: %v", context.Cause(ctx))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("five minutes after the last line: %v", context.Cause(ctx))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, p := newPatience(t.Context(), httptest.NewRecorder(), time.Minute)
		defer p.end()
		time.Sleep(59 * time.Second)
		p.read()
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("a minute without a line: %v", context.Cause(ctx))
		}
	})
}
