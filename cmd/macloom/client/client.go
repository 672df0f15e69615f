// Package client asks the REST API of macloom: one request at a time, answers
// read as they come, so that a list of any length takes the memory of one entry.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bounds of what a client waits for and takes in.
const (
	dialTimeout = 5 * time.Second
	maxRetries  = 4                // of what was answered 503 or 429
	maxWait     = 10 * time.Second // before one of them, whatever the server asks for
	maxEntry    = 16 << 20         // bytes of one object of an answer
	maxError    = 64 << 10         // bytes read of an answer that is an error
)

// Options say where the API is and who asks.
type Options struct {
	URL         string        // such as http://127.0.0.1:9696, without /v2.0
	Token       string        // sent with every request
	TokenSource string        // where the token is from, for the message of its refusal
	CACert      string        // PEM file of the authorities to trust instead of those of the system
	Timeout     time.Duration // how long to wait without a byte going either way
	UserAgent   string
}

// Client asks one server. It may be used by several goroutines.
type Client struct {
	base  *url.URL
	o     Options
	http  *http.Client
	pause func(context.Context, time.Duration) error
}

// New returns a client. It does not ask anything yet.
func New(o Options) (*Client, error) {
	base, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	trust, err := TLSConfig(o.CACert)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		ForceAttemptHTTP2:   true,
		TLSClientConfig:     trust,
	}
	return &Client{base: base, o: o, pause: pause, http: &http.Client{
		Transport: transport,
		// The API redirects nobody, and whoever does is not to have the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// TLSConfig trusts the authorities of a PEM file, or those of the system if
// none is named.
func TLSConfig(caCert string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caCert == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(caCert)
	if err != nil {
		return nil, fmt.Errorf("CA certificates: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA certificates: %s holds no PEM certificate", caCert)
	}
	return cfg, nil
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("url: %q is not of the form http://HOST:PORT or https://HOST:PORT", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("url: only scheme, host, port and path are allowed")
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v2.0")
	u.RawPath = ""
	return u, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Request is one question to the API.
type Request struct {
	Method string
	Path   []string // below /v2.0, unescaped: "mac-segments", ID
	Query  url.Values
	Body   any       // sent as JSON; nil: none
	Stream io.Reader // sent as it comes, instead of Body
	Type   string    // of Stream
	Accept string    // empty: application/json
}

// Open sends a request and returns the body of an answer that is a success.
// Every other answer is an *Error.
func (c *Client) Open(ctx context.Context, r Request) (io.ReadCloser, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
	}
	for try := 0; ; try++ {
		resp, err := c.send(ctx, r, body)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode/100 == 2 {
			return resp.Body, nil
		}
		wait, again := retryAfter(resp)
		err = c.refusal(resp)
		resp.Body.Close()
		// What was refused for coming too fast was not begun, whatever it was.
		repeatable := r.Method == http.MethodGet || resp.StatusCode == http.StatusTooManyRequests && r.Stream == nil
		if !repeatable || !again || try == maxRetries {
			return nil, err
		}
		if c.pause(ctx, wait) != nil {
			return nil, err
		}
	}
}

func (c *Client) send(ctx context.Context, r Request, body []byte) (*http.Response, error) {
	// No deadline for the whole: a long list that keeps coming is well.
	watched, w := watch(ctx, c.o.Timeout)
	stream := r.Stream
	if body != nil {
		stream = bytes.NewReader(body)
	}
	if stream != nil {
		stream = &watchedReader{stream, w}
	}
	u := *c.base
	u.Path += "/v2.0"
	u = *u.JoinPath(escaped(r.Path)...)
	u.RawQuery = r.Query.Encode()
	req, err := http.NewRequestWithContext(watched, r.Method, u.String(), stream)
	if err != nil {
		w.end()
		return nil, fmt.Errorf("request: %w", err)
	}
	if body != nil {
		req.ContentLength = int64(len(body))
		req.Header.Set("Content-Type", "application/json")
	} else if r.Type != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	req.Header.Set("Accept", "application/json")
	if r.Accept != "" {
		req.Header.Set("Accept", r.Accept)
	}
	req.Header.Set("User-Agent", c.o.UserAgent)
	if c.o.Token != "" {
		req.Header.Set("X-Auth-Token", c.o.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		err = c.unanswered(watched, r.Method, err)
		w.end()
		return nil, err
	}
	resp.Body = &answer{ReadCloser: resp.Body, ctx: watched, w: w, c: c, method: r.Method}
	return resp, nil
}

func escaped(path []string) []string {
	out := make([]string, len(path))
	for i, part := range path {
		out[i] = url.PathEscape(part)
		if out[i] == "." || out[i] == ".." { // JoinPath would walk
			out[i] = strings.ReplaceAll(out[i], ".", "%2E")
		}
	}
	return out
}

// retryAfter reads whether and when a server that is not available, or asked
// too often, wants to be asked again.
func retryAfter(resp *http.Response) (time.Duration, bool) {
	if resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31)
	return min(time.Duration(seconds)*time.Second, maxWait), err == nil
}

// Object asks for one object and returns what the answer has under key.
func (c *Client) Object(ctx context.Context, r Request, key string) (json.RawMessage, error) {
	body, err := c.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	limited := &io.LimitedReader{R: body, N: maxEntry}
	var root map[string]json.RawMessage
	if err := json.NewDecoder(limited).Decode(&root); err != nil {
		return nil, c.garbled(limited, err)
	}
	value, ok := root[key]
	if !ok {
		return nil, c.garbled(limited, fmt.Errorf("there is no %q in it", key))
	}
	return value, nil
}

// Do sends a request whose answer says nothing but that it was done.
func (c *Client) Do(ctx context.Context, r Request) error {
	body, err := c.Open(ctx, r)
	if err != nil {
		return err
	}
	return body.Close()
}
