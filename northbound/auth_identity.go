package northbound

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxKeystoneAnswer bounds what is read of an answer; without a catalog it has
// a few kilobytes.
const maxKeystoneAnswer = 1 << 20

// keystoneAnswer is an answer of the Identity API.
type keystoneAnswer struct {
	status int
	token  string // the header of a login
	body   []byte
}

// call sends one request. An error wraps errNoAnswer and never holds a token.
func (k *Keystone) call(ctx context.Context, method, path string, body []byte, header http.Header) (a keystoneAnswer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, k.base+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header = header
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "macloom")
	resp, err := k.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return a, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer resp.Body.Close()
	a = keystoneAnswer{status: resp.StatusCode, token: resp.Header.Get("X-Subject-Token")}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxKeystoneAnswer+1)); err != nil {
		return a, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if len(a.body) > maxKeystoneAnswer {
		return a, fmt.Errorf("an answer of Keystone has more than %d bytes", maxKeystoneAnswer)
	}
	return a, nil
}

// identityToken is what the Identity API says of a token.
type identityToken struct {
	ExpiresAt time.Time `json:"expires_at"`
	User      struct {
		ID string `json:"id"`
	} `json:"user"`
	Project struct {
		ID string `json:"id"`
	} `json:"project"`
	System map[string]bool `json:"system"`
	Roles  []struct {
		Name string `json:"name"`
	} `json:"roles"`
	IsAdminProject *bool `json:"is_admin_project"`
}

var errStrange = errors.New("an answer of Keystone is not as the Identity API v3 has it")

func (a keystoneAnswer) read() (t identityToken, err error) {
	var root struct {
		Token *identityToken `json:"token"`
	}
	if err := json.Unmarshal(a.body, &root); err != nil || root.Token == nil || root.Token.ExpiresAt.IsZero() {
		return t, errStrange
	}
	return *root.Token, nil
}

// verdict reads what was said of a caller's token.
func (a keystoneAnswer) verdict(now time.Time) (verdict, error) {
	t, err := a.read()
	switch {
	case err != nil:
		return verdict{}, err
	case t.User.ID == "" || len(t.User.ID) > 255 || !storable(t.User.ID), len(t.Project.ID) > 255, !storable(t.Project.ID):
		return verdict{}, errStrange
	case !now.Before(t.ExpiresAt):
		return verdict{}, errNobody
	}
	v := verdict{who: principal{user: t.User.ID, tenantID: t.Project.ID}, expires: t.ExpiresAt}
	granted := false
	for _, r := range t.Roles {
		role := r.Name
		// Clouds that have named a project of administrators count the role of
		// admin in no other.
		if role == roleAdmin && t.IsAdminProject != nil && !*t.IsAdminProject {
			role = roleMember
		}
		granted = v.who.grant(role) || granted
	}
	switch {
	case t.Project.ID == "" && !(t.System["all"] && v.who.admin):
		v.refusal = &apiError{http.StatusForbidden, "PolicyNotAuthorized", "The token is scoped to no project."}
	case !granted:
		v.refusal = &apiError{http.StatusForbidden, "PolicyNotAuthorized", "The token has none of the roles admin, member, reader."}
	}
	return v, nil
}

// ownToken is the token by which macloom asks.
type ownToken struct {
	fixed string // given by the operator; empty: login gets one
	login []byte

	// Held by who looks or logs in: one at a time, and whoever has no time left
	// need not wait.
	turn    chan struct{}
	token   string
	renew   time.Time
	failed  time.Time // the last login that was refused
	failure error
}

// loginBody is the request that gets a token for a user by his password.
func loginBody(o KeystoneOptions) []byte {
	type named struct {
		Name   string `json:"name"`
		Domain *named `json:"domain,omitempty"`
	}
	type user struct {
		named
		Password string `json:"password"`
	}
	var body struct {
		Auth struct {
			Identity struct {
				Methods  []string `json:"methods"`
				Password struct {
					User user `json:"user"`
				} `json:"password"`
			} `json:"identity"`
			Scope struct {
				Project named `json:"project"`
			} `json:"scope"`
		} `json:"auth"`
	}
	domain := &named{Name: o.Domain}
	body.Auth.Identity.Methods = []string{"password"}
	body.Auth.Identity.Password.User = user{named{o.User, domain}, o.Password}
	body.Auth.Scope.Project = named{o.Project, domain}
	text, _ := json.Marshal(body) // strings only
	return text
}

// ownToken returns macloom's own token, another one than what Keystone has
// refused.
func (k *Keystone) ownToken(ctx context.Context, refused string) (string, error) {
	own := &k.own
	if own.fixed != "" {
		return own.fixed, nil
	}
	select {
	case own.turn <- struct{}{}:
		defer func() { <-own.turn }()
	case <-ctx.Done():
		return "", errBusy
	}
	now := k.now()
	if own.token != "" && own.token != refused && now.Before(own.renew) {
		return own.token, nil
	}
	if own.failure != nil && now.Sub(own.failed) < keystoneRest {
		return "", own.failure
	}
	token, renew, err := k.logIn(ctx)
	if err != nil {
		own.failed, own.failure = now, err
		return "", err
	}
	own.token, own.renew, own.failure = token, renew, nil
	return token, nil
}

func (k *Keystone) logIn(ctx context.Context) (token string, renew time.Time, err error) {
	now := k.now()
	a, err := k.call(ctx, http.MethodPost, "/auth/tokens?nocatalog", k.own.login, http.Header{"Content-Type": {"application/json"}})
	switch {
	case err != nil:
		return "", renew, err
	case a.status == http.StatusUnauthorized:
		return "", renew, errors.New("Keystone does not accept macloom's user and password")
	case a.status != http.StatusCreated:
		return "", renew, fmt.Errorf("Keystone answers a login by %d", a.status)
	case a.token == "":
		return "", renew, errStrange
	}
	t, err := a.read()
	if err != nil {
		return "", renew, err
	}
	return a.token, now.Add(t.ExpiresAt.Sub(now) * 9 / 10), nil
}
