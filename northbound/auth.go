package northbound

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/macloom/macloom/controller/store"
)

// The roles that a token may carry.
const (
	roleAdmin  = "admin"  // sees and changes everything, of all tenants
	roleMember = "member" // sees and changes what is its tenant's
	roleReader = "reader" // sees what is its tenant's
)

// principal is who sends a request.
type principal struct {
	user     string
	tenantID string
	admin    bool
	writer   bool // admin or member
}

func (p principal) scope() store.Scope { return store.Scope{TenantID: p.tenantID, Admin: p.admin} }

// grant adds a role; false: it is none of ours.
func (p *principal) grant(role string) bool {
	switch role {
	case roleAdmin:
		p.admin, p.writer = true, true
	case roleMember:
		p.writer = true
	case roleReader:
	default:
		return false
	}
	return true
}

type principalKey struct{}

func principalOf(ctx context.Context) principal {
	p, _ := ctx.Value(principalKey{}).(principal)
	return p
}

// callers answers one question, which everything under /v2.0/ asks first: who
// sends this request? Static tokens are known by their hashes, all others by
// Keystone, if there is one.
type callers struct {
	tokens   *Tokens
	keystone *Keystone // nil: only static tokens count
	tenants  tenantGate
	rate     *limiter[digest] // nil: no limit
	refused  *prometheus.CounterVec
}

// tenantGate knows which tenants are disabled.
type tenantGate interface {
	TenantEnabled(ctx context.Context, id string) (bool, error)
}

func newCallers(o Options) *callers {
	c := &callers{
		tokens: o.Tokens, keystone: o.Keystone, tenants: o.Store,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "macloom_auth_refusals_total",
			Help: "Requests refused because of who sent them, by status code.",
		}, []string{"code"}),
	}
	if o.RateLimit > 0 {
		c.rate = newLimiter[digest](o.RateLimit, o.RateLimit)
	}
	o.Metrics.MustRegister(c.refused)
	if o.Keystone != nil {
		o.Metrics.MustRegister(o.Keystone.checks)
	}
	return c
}

// of returns who sends a request; of one that lasts it may be asked again, to
// learn of a token that was revoked in the meantime. An error is of *apiError, or a *waitError
// that says when to come again.
func (c *callers) of(r *http.Request) (principal, error) {
	token := presented(r)
	if token == "" {
		return principal{}, errNobody
	}
	hash := digestOf(token)
	p, static := c.tokens.find(hash)
	payer := hash
	if !static {
		if c.keystone == nil {
			return principal{}, errNobody
		}
		var err error
		if p, err = c.keystone.identify(r.Context(), token, network(r.RemoteAddr)); err != nil {
			return principal{}, err
		}
		// Whoever has a password makes as many tokens as he likes.
		payer = digestOf(p.user + "\x00" + p.tenantID)
	}
	if wait := c.rate.take(payer, time.Now()); wait > 0 {
		return p, &waitError{errTooFast, wait}
	}
	if p.tenantID == "" {
		return p, nil
	}
	enabled, err := c.tenants.TenantEnabled(r.Context(), p.tenantID)
	if err == nil && !enabled {
		err = &apiError{http.StatusForbidden, "TenantDisabled", "Tenant " + clip(p.tenantID) + " is disabled."}
	}
	return p, err
}

// presented is the token that a request carries; empty: none.
func presented(r *http.Request) string {
	token := r.Header.Get("X-Auth-Token")
	if token == "" {
		if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
			token = strings.TrimSpace(rest)
		}
	}
	return token
}

// network is where a request comes from, as far as one sender can choose his
// address: of IPv6 that is a whole /64.
func network(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap()
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.WithZone("").Prefix(bits)
	return p
}

// waitError is a refusal of now only.
type waitError struct {
	*apiError
	wait time.Duration
}

func (e *waitError) Unwrap() error { return e.apiError }

// retryAfter is a time for the header of that name, in whole seconds.
func retryAfter(wait time.Duration) string {
	return strconv.FormatInt(int64((max(wait, 1)+time.Second-1)/time.Second), 10)
}

// uri is where a client gets a token, for WWW-Authenticate.
func (c *callers) uri(r *http.Request) string {
	if c.keystone != nil {
		return c.keystone.base
	}
	return endpoint(r)
}

// authenticate lets requests of known callers through. A refusal for want of a
// token is that of keystonemiddleware, which clients of OpenStack understand.
func (s *server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := s.callers.of(r)
		if rec := recordOf(r.Context()); rec != nil {
			rec.tenant, rec.user = p.tenantID, p.user
		}
		if err != nil {
			refusal := asAPIError(r.Context(), s.log, err)
			if refusal.code == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Keystone uri="`+s.callers.uri(r)+`"`)
			}
			if later, ok := errors.AsType[*waitError](err); ok {
				w.Header().Set("Retry-After", retryAfter(later.wait))
			}
			s.callers.refused.WithLabelValues(codeText(refusal.code)).Inc()
			writeError(w, r, refusal)
			return
		}
		next.ServeHTTP(w, r.WithContext(store.WithActor(context.WithValue(r.Context(), principalKey{}, p), p.user)))
	})
}
