package northbound

import (
	"context"
	"net/http"
	"time"
)

// Limits in time of an import, which may take as long as it gets on.
const (
	importIdle = time.Minute     // without a line that comes or an answer that goes
	importWork = 5 * time.Minute // from the last line until the database has all of it
)

// patience bounds a request by how long it stands still, in the place of how
// long it takes. It is not for several goroutines at once.
type patience struct {
	w      *http.ResponseController
	idle   time.Duration
	cancel context.CancelFunc
	timer  *time.Timer
	set    time.Time // when the bounds were moved last
}

// newPatience returns a context that ends when nothing has come for idle.
func newPatience(ctx context.Context, w http.ResponseWriter, idle time.Duration) (context.Context, *patience) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &patience{w: http.NewResponseController(w), idle: idle, cancel: func() { cancel(nil) }}
	p.timer = time.AfterFunc(idle, func() { cancel(context.DeadlineExceeded) })
	p.read()
	return ctx, p
}

// read tells of a line that came.
func (p *patience) read() {
	// Not at every line: there are a million of them.
	if now := time.Now(); now.Sub(p.set) >= p.idle/60 {
		p.set = now
		p.timer.Reset(p.idle)
		// A writer without deadlines, as in tests, has none to be lifted.
		_ = p.w.SetReadDeadline(now.Add(p.idle))
		p.written()
	}
}

// written tells that a part of the answer is to go now.
func (p *patience) written() { _ = p.w.SetWriteDeadline(time.Now().Add(p.idle)) }

// work gives the database so much time for what was read.
func (p *patience) work(limit time.Duration) {
	p.timer.Reset(limit)
	p.set = time.Time{}
}

func (p *patience) end() {
	p.timer.Stop()
	p.cancel()
}
