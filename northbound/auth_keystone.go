package northbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"
)

// Bounds of what Keystone is asked and believed. A token that was revoked is
// refused after keystoneTrust at the latest, and one in use is checked anew
// before that, so that nobody waits for it.
const (
	keystoneTimeout = 5 * time.Second  // for one check, a login of our own included
	keystoneTrust   = 50 * time.Second // a check that is older is not believed any more
	keystoneRecheck = 25 * time.Second // a check that is older is repeated beside the request
	keystoneDoubt   = 10 * time.Second // for how long a refused token is refused without asking
	keystoneRest    = time.Second      // after an attempt that had no answer

	keystoneChecks = 16      // at a time
	keystoneKnown  = 1 << 14 // tokens that are remembered, and as many refused ones
	maxTokenLength = 8 << 10

	// Refused tokens from one network, above which unknown ones are not asked
	// for any more.
	badTokensPerSecond = 10
	badTokensAtOnce    = 100
)

// KeystoneOptions say where Keystone is and how macloom may ask it.
type KeystoneOptions struct {
	URL    string // such as http://keystone:5000, with or without /v3
	CACert string // PEM file of the authorities to trust with https; empty: those of the system

	// Either a token, or a user who gets tokens by himself.
	Token                           string
	User, Password, Project, Domain string // Domain: by name, of user and project

	Log *zap.Logger
}

// Keystone knows the callers whose tokens are of the Identity API v3.
type Keystone struct {
	base string // with /v3
	http *http.Client
	log  *zap.Logger
	now  func() time.Time

	checks  *prometheus.CounterVec
	known   *cache[verdict]
	refused *cache[time.Time] // until when
	flights singleflight.Group
	slots   chan struct{}
	timeout time.Duration // keystoneTimeout, but in tests
	bad     *limiter[netip.Prefix]
	own     ownToken

	mu        sync.Mutex
	restUntil time.Time // Keystone is not asked before
	trouble   string    // what is wrong with it, as it was logged
}

// verdict is what Keystone said of a token.
type verdict struct {
	who     principal
	refusal *apiError // of a token that is valid and of no use here; nil: none
	checked time.Time // when it was asked
	expires time.Time
}

func (v verdict) answer() (principal, error) {
	if v.refusal != nil {
		return v.who, v.refusal
	}
	return v.who, nil
}

// NewKeystone checks the options. Keystone itself is asked when the first token
// comes: it may be down until then.
func NewKeystone(o KeystoneOptions) (*Keystone, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("northbound: the URL of Keystone is not of the form http://HOST:PORT or https://HOST:PORT, with or without a path")
	}
	base := strings.TrimRight(u.String(), "/")
	if !strings.HasSuffix(base, "/v3") {
		base += "/v3"
	}
	switch {
	case o.Token == "" && (o.User == "" || o.Password == "" || o.Project == "" || o.Domain == ""):
		return nil, errors.New("northbound: to ask Keystone, a token is needed, or a user with password, project and domain")
	case o.Token != "" && (o.User != "" || o.Password != ""):
		return nil, errors.New("northbound: for Keystone, give either a token or a user with password")
	case strings.ContainsFunc(o.Token, unfitForHeader):
		return nil, errors.New("northbound: the token for Keystone has a character that a header cannot carry")
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: keystoneTimeout / 2}).DialContext,
		TLSHandshakeTimeout:    keystoneTimeout / 2,
		MaxConnsPerHost:        keystoneChecks + 1, // and a login
		MaxIdleConnsPerHost:    keystoneChecks,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxHeader,
	}
	if o.CACert != "" {
		pem, err := os.ReadFile(o.CACert)
		if err != nil {
			return nil, fmt.Errorf("northbound: CA certificates for Keystone: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("northbound: CA certificates for Keystone: %s holds no PEM certificate", o.CACert)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	k := &Keystone{
		base: base, log: o.Log.Named("keystone"), now: time.Now, timeout: keystoneTimeout,
		http: &http.Client{
			Transport: transport,
			// Tokens go to Keystone and to nobody whom it names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "macloom_keystone_checks_total",
			Help: "Tokens that Keystone was asked about: valid, invalid, or unavailable when there was no answer of use.",
		}, []string{"result"}),
		known:   newCache[verdict](keystoneKnown),
		refused: newCache[time.Time](keystoneKnown),
		slots:   make(chan struct{}, keystoneChecks),
		bad:     newLimiter[netip.Prefix](badTokensPerSecond, badTokensAtOnce),
	}
	k.own = ownToken{login: loginBody(o), fixed: o.Token, turn: make(chan struct{}, 1)}
	return k, nil
}

// identify returns whose token it is. from is where the request comes from.
func (k *Keystone) identify(ctx context.Context, token string, from netip.Prefix) (principal, error) {
	if len(token) > maxTokenLength || strings.ContainsFunc(token, unfitForHeader) {
		return principal{}, errNobody
	}
	key, now := digestOf(token), k.now()
	v, known := k.known.get(key)
	switch age := now.Sub(v.checked); {
	case known && !now.Before(v.expires):
		k.known.remove(key)
		return principal{}, errNobody
	case known && age < keystoneRecheck:
		return v.answer()
	case known && age < keystoneTrust:
		k.check(key, token) // nobody waits for it
		return v.answer()
	case known: // an old friend: no stranger's misdeeds keep him out
	default:
		if until, ok := k.refused.get(key); ok && now.Before(until) {
			return principal{}, errNobody
		}
		if wait := k.bad.full(from, now); wait > 0 {
			return principal{}, &waitError{errManyBad, wait}
		}
	}
	select {
	case <-ctx.Done():
		return principal{}, ctx.Err()
	case done := <-k.check(key, token):
		if errors.Is(done.Err, errNobody) {
			k.bad.take(from, now)
		}
		if done.Err != nil {
			return principal{}, done.Err
		}
		return done.Val.(verdict).answer()
	}
}

// check asks Keystone about a token, once for all who wait for it, and
// remembers the answer. It goes on when they have gone.
func (k *Keystone) check(key digest, token string) <-chan singleflight.Result {
	return k.flights.DoChan(string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), k.timeout)
		defer cancel()
		started := k.now()
		v, err := k.ask(ctx, token)
		switch {
		case err == nil:
			// What is revoked while the answer is on its way is revoked after this.
			v.checked = started
			k.refused.remove(key)
			k.known.put(key, v)
			k.settled("valid", nil)
		case errors.Is(err, errNobody):
			k.known.remove(key)
			k.refused.put(key, started.Add(keystoneDoubt))
			k.settled("invalid", nil)
		default:
			k.settled("unavailable", err)
			err = errKeystone
		}
		return v, err
	})
}

// settled counts a check and logs when it is the first that fails in its way,
// or the first that does not.
func (k *Keystone) settled(result string, err error) {
	k.checks.WithLabelValues(result).Inc()
	k.mu.Lock()
	defer k.mu.Unlock()
	if errors.Is(err, errRest) {
		return
	}
	if errors.Is(err, errNoAnswer) {
		k.restUntil = k.now().Add(keystoneRest)
	}
	switch {
	case err == nil && k.trouble != "":
		k.trouble = ""
		k.log.Info("Keystone answers again")
	case err != nil && k.trouble != err.Error():
		k.trouble = err.Error()
		k.log.Error("tokens cannot be checked", zap.Error(err))
	}
}

var (
	errNoAnswer = errors.New("Keystone does not answer")
	errBusy     = errors.New("too many tokens wait for Keystone")
	errRest     = errors.New("Keystone has just not answered")
)

// ask asks Keystone about a token. errNobody: it is not valid; every other
// error: that cannot be said now.
func (k *Keystone) ask(ctx context.Context, token string) (verdict, error) {
	k.mu.Lock()
	resting := k.now().Before(k.restUntil)
	k.mu.Unlock()
	if resting {
		return verdict{}, errRest
	}
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-ctx.Done():
		return verdict{}, errBusy
	}
	refused := ""
	for {
		own, err := k.ownToken(ctx, refused)
		if err != nil {
			return verdict{}, err
		}
		a, err := k.call(ctx, http.MethodGet, "/auth/tokens?nocatalog", nil, http.Header{"X-Auth-Token": {own}, "X-Subject-Token": {token}})
		if err != nil {
			return verdict{}, err
		}
		switch a.status {
		case http.StatusOK:
			return a.verdict(k.now())
		case http.StatusNotFound:
			return verdict{}, errNobody
		case http.StatusUnauthorized:
			if refused == "" && k.own.fixed == "" {
				refused = own
				continue
			}
			return verdict{}, errors.New("Keystone does not accept macloom's own token")
		case http.StatusForbidden:
			return verdict{}, errors.New("Keystone does not let macloom's user check tokens")
		}
		return verdict{}, fmt.Errorf("Keystone answers %d", a.status)
	}
}
