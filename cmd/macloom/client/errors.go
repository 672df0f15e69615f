package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Error is an answer of the API other than success.
type Error struct {
	Status    int
	Type      string // the API's name of the fault, such as MacSegmentInUse
	Message   string
	RequestID string // by which the server's log has it
}

// Error is "TYPE: message"; a fault of the server also names the request, for
// whoever looks it up in the log.
func (e *Error) Error() string {
	text := e.Type + ": " + e.Message
	if e.Status >= http.StatusInternalServerError && e.RequestID != "" {
		text += " (request id " + e.RequestID + ")"
	}
	return text
}

// refusal reads an answer that is not a success.
func (c *Client) refusal(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, Type: fmt.Sprintf("HTTP%d", resp.StatusCode), RequestID: printable(resp.Header.Get("X-Openstack-Request-Id"))}
	if resp.StatusCode == http.StatusUnauthorized {
		e.Type = "Unauthorized"
		e.Message = fmt.Sprintf("%s does not accept the token %s", c.base, c.o.TokenSource)
		return e
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil && len(text) == 0 {
		return err
	}
	var body struct {
		NeutronError struct{ Type, Message string }
	}
	if json.Unmarshal(text, &body) == nil && body.NeutronError.Type != "" {
		e.Type, e.Message = printable(body.NeutronError.Type), printable(body.NeutronError.Message)
		return e
	}
	// Not of macloom: a proxy, or another server.
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if len(first) > 200 {
		first = first[:200] + "…"
	}
	e.Message = strings.TrimSuffix(http.StatusText(resp.StatusCode)+": "+printable(first), ": ")
	return e
}

// printable replaces what would do something to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == ' ' {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// unanswered explains why there is no answer.
func (c *Client) unanswered(ctx context.Context, method string, err error) error {
	// What was done is not known once the request may have reached the server.
	unknown := ""
	if method != http.MethodGet {
		unknown = "; whether the request was carried out is not known"
	}
	if errors.Is(context.Cause(ctx), errSilent) {
		return fmt.Errorf("%s: %w%s", c.base, errSilent, unknown)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w%s", errInterrupted, unknown)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%s is not trusted: %w; --cacert names a file of authorities to trust", c.base, err)
	}
	if dialing(err) {
		return fmt.Errorf("cannot reach %s: %w; is the controller running there? --url or MACLOOM_URL says where to ask", c.base, err)
	}
	return fmt.Errorf("asking %s: %w%s", c.base, err, unknown)
}

var (
	errSilent      = errors.New("no answer in time (--timeout)")
	errInterrupted = errors.New("interrupted")
	errCutOff      = errors.New("the answer broke off before its end")
)

// watchdog ends a request on which nothing has moved for a while.
type watchdog struct {
	timer  *time.Timer
	after  time.Duration
	cancel context.CancelCauseFunc
}

func watch(ctx context.Context, after time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watchdog{time.AfterFunc(after, func() { cancel(errSilent) }), after, cancel}
}

func (w *watchdog) moved() { w.timer.Reset(w.after) }

func (w *watchdog) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// watchedReader is what is sent.
type watchedReader struct {
	io.Reader
	w *watchdog
}

func (r *watchedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.w.moved()
	return n, err
}

// answer is the body of an answer.
type answer struct {
	io.ReadCloser
	ctx    context.Context // of the request: why its reading failed
	w      *watchdog
	c      *Client
	method string
}

func (a *answer) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	switch {
	case err == nil:
		a.w.moved()
	case errors.Is(err, io.EOF):
	case a.ctx.Err() != nil:
		err = a.c.unanswered(a.ctx, a.method, err)
	default:
		err = fmt.Errorf("%w: %w", errCutOff, err)
	}
	return n, err
}

func (a *answer) Close() error {
	a.w.end()
	return a.ReadCloser.Close()
}

// dialing says whether an error is of making a connection: the request has not
// reached anybody.
func dialing(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}
