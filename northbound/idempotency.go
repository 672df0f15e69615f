package northbound

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/store"
)

const (
	keyHeader    = "Idempotency-Key"
	replayHeader = "Idempotent-Replayed"
	maxKey       = 255
)

var (
	errKeyBusy   = conflict("IdempotencyKeyInUse", "A request with this Idempotency-Key is being served; try again.")
	errKeyReused = &apiError{code: http.StatusUnprocessableEntity, kind: "IdempotencyKeyReused", message: "This Idempotency-Key was used for another request; give each request a key of its own."}
	errKeyImport = badRequest("Idempotency-Key is not taken with an import: what it took stays taken, so it can be sent again")
)

// idempotent serves a POST with an Idempotency-Key once: whoever sends it again
// gets the first answer. All others pass.
func (s *server) idempotent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := r.Header.Values(keyHeader)
		if r.Method != http.MethodPost || len(keys) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		s.handle(func(w http.ResponseWriter, r *http.Request) error { return s.serveOnce(w, r, keys, next) })(w, r)
	})
}

func (s *server) serveOnce(w http.ResponseWriter, r *http.Request, keys []string, next http.Handler) error {
	key := keys[0]
	if len(keys) > 1 || key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return badRequest("Idempotency-Key must be one text of 1 to %d printable ASCII characters", maxKey)
	}
	if isImport(r) {
		return errKeyImport
	}
	text, err := readText(r)
	if err != nil {
		return err
	}
	p := principalOf(r.Context())
	request := store.OnceRequest{
		Key:     hashOf(p.tenantID, p.user, strconv.FormatBool(p.admin), key),
		Content: hashOf(r.Method, plain(r.URL), r.URL.RawQuery, r.Header.Get("Accept"), string(text)),
	}
	var header http.Header
	route := chi.RouteContext(r.Context())
	start := *route
	answer, replayed, err := s.store.Once(r.Context(), request, func(ctx context.Context) (store.Answer, bool) {
		rec := &recorder{header: http.Header{}}
		*route = start // it may run again
		again := r.WithContext(ctx)
		again.Body = io.NopCloser(bytes.NewReader(text))
		next.ServeHTTP(rec, again)
		header = rec.header
		return store.Answer{Status: rec.status(), ContentType: rec.header.Get("Content-Type"), Body: rec.body.Bytes()}, settled(rec.status())
	})
	switch {
	case errors.Is(err, store.ErrKeyReused):
		return errKeyReused
	case errors.Is(err, store.ErrKeyBusy):
		w.Header().Set("Retry-After", "1")
		return errKeyBusy
	case err != nil:
		return err
	}
	if replayed {
		w.Header().Set(replayHeader, "true")
		w.Header().Set("Content-Type", answer.ContentType)
	}
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body) // a client that has gone away asks again
	return nil
}

// settled says whether an answer stands: not if it is about the caller or the
// moment rather than the request.
func settled(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return status < http.StatusInternalServerError
}

// hashOf hashes texts so that no other list of texts has the same hash.
func hashOf(parts ...string) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range parts {
		_, _ = io.WriteString(h, strconv.Itoa(len(p))+":"+p) // never fails
	}
	h.Sum(sum[:0])
	return sum
}

// recorder keeps an answer that is not to go out yet.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
}

func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK // as net/http has it
	}
	return r.code
}
