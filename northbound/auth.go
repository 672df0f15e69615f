package northbound

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

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

// Tokens are the static tokens that the API accepts. Only their hashes are
// kept.
type Tokens struct {
	entries []tokenEntry
}

type tokenEntry struct {
	hash [sha256.Size]byte
	who  principal
}

// find looks a token up in time that does not depend on how much of which
// token it resembles.
func (t *Tokens) find(token string) (principal, bool) {
	hash := sha256.Sum256([]byte(token))
	found := -1
	for i := range t.entries {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(t.entries[i].hash[:], hash[:]), i, found)
	}
	if found < 0 {
		return principal{}, false
	}
	return t.entries[found].who, true
}

// LoadTokens reads a tokens file:
//
//	tokens:
//	  - {token: "secret", user: "demo1", tenant_id: "0123…", roles: [member, reader]}
//	  - {token_sha256: "9f86…", user: "operator", tenant_id: "admin", roles: [admin]}
//
// An error names the line and the entry at fault and never a token.
func LoadTokens(path string) (*Tokens, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("northbound: read tokens file: %w", err)
	}
	t, err := parseTokens(text)
	if err != nil {
		return nil, fmt.Errorf("northbound: tokens file %s: %w", path, err)
	}
	return t, nil
}

func parseTokens(text []byte) (*Tokens, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		// The library's message may quote the text, and the text is secret.
		return nil, errors.New("not valid YAML")
	}
	if len(doc.Content) == 0 {
		return nil, errors.New("it is empty; want a list under the key tokens")
	}
	root, err := fields(doc.Content[0], "tokens")
	if err != nil {
		return nil, err
	}
	list := root["tokens"]
	if list == nil || list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		return nil, errors.New("want a list of at least one entry under the key tokens")
	}
	t := &Tokens{}
	for i, node := range list.Content {
		e, err := parseToken(node)
		if err != nil {
			return nil, fmt.Errorf("line %d: entry %d: %w", node.Line, i+1, err)
		}
		for j, other := range t.entries {
			if other.hash == e.hash {
				return nil, fmt.Errorf("line %d: entry %d: the token is the same as that of entry %d", node.Line, i+1, j+1)
			}
		}
		t.entries = append(t.entries, e)
	}
	return t, nil
}

func parseToken(node *yaml.Node) (tokenEntry, error) {
	f, err := fields(node, "token", "token_sha256", "user", "tenant_id", "roles")
	if err != nil {
		return tokenEntry{}, err
	}
	var e tokenEntry
	switch {
	case f["token"] != nil && f["token_sha256"] != nil:
		return tokenEntry{}, errors.New("give one of token and token_sha256, not both")
	case f["token"] != nil:
		token, err := word(f, "token")
		if err != nil {
			return tokenEntry{}, err
		}
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return tokenEntry{}, errors.New("token has a character that a header cannot carry; use printable ASCII without blanks")
		}
		e.hash = sha256.Sum256([]byte(token))
	default:
		digits, err := word(f, "token_sha256")
		if err != nil {
			return tokenEntry{}, errors.New("token or token_sha256 is missing or empty")
		}
		hash, err := hex.DecodeString(digits)
		if err != nil || len(hash) != sha256.Size {
			return tokenEntry{}, fmt.Errorf("token_sha256 is not %d hex digits", 2*sha256.Size)
		}
		copy(e.hash[:], hash)
	}
	if e.who.user, err = word(f, "user"); err != nil {
		return tokenEntry{}, err
	}
	if e.who.tenantID, err = word(f, "tenant_id"); err != nil {
		return tokenEntry{}, err
	}
	if len(e.who.tenantID) > 255 || !storable(e.who.tenantID) {
		return tokenEntry{}, errors.New("tenant_id has more than 255 characters or one that cannot be stored")
	}
	roles := f["roles"]
	if roles == nil || roles.Kind != yaml.SequenceNode || len(roles.Content) == 0 {
		return tokenEntry{}, errors.New("roles is missing; want a list of admin, member, reader")
	}
	for _, r := range roles.Content {
		switch r.Value {
		case roleAdmin:
			e.who.admin, e.who.writer = true, true
		case roleMember:
			e.who.writer = true
		case roleReader:
		default:
			return tokenEntry{}, fmt.Errorf("role %q is none of admin, member, reader", r.Value)
		}
	}
	return e, nil
}

// fields splits a mapping into its values and refuses keys that are not
// allowed or given twice.
func fields(node *yaml.Node, allowed ...string) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want keys %s", node.Line, strings.Join(allowed, ", "))
	}
	f := map[string]*yaml.Node{}
	for i := 0; i < len(node.Content); i += 2 {
		key := node.Content[i]
		if !slices.Contains(allowed, key.Value) {
			return nil, fmt.Errorf("line %d: unknown key %q; the keys are %s", key.Line, key.Value, strings.Join(allowed, ", "))
		}
		if f[key.Value] != nil {
			return nil, fmt.Errorf("line %d: key %q is given twice", key.Line, key.Value)
		}
		f[key.Value] = node.Content[i+1]
	}
	return f, nil
}

func word(f map[string]*yaml.Node, key string) (string, error) {
	n := f[key]
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
		return "", fmt.Errorf("%s is missing or empty", key)
	}
	return n.Value, nil
}

// adminTenant owns what the administrator of the generated token makes
// without naming a tenant.
const adminTenant = "admin"

// EnsureAdminToken returns the tokens of a controller that was given none: one
// for an administrator, made at the first start in dir/admin-token and read
// from there ever after.
func EnsureAdminToken(dir string) (path string, tokens *Tokens, err error) {
	path = filepath.Join(dir, "admin-token")
	token, err := readAdminToken(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeAdminToken(dir, path); err != nil {
			return path, nil, fmt.Errorf("northbound: make admin token: %w", err)
		}
		token, err = readAdminToken(path)
	}
	if err != nil {
		return path, nil, fmt.Errorf("northbound: read admin token: %w", err)
	}
	who := principal{user: "admin", tenantID: adminTenant, admin: true, writer: true}
	return path, &Tokens{entries: []tokenEntry{{hash: sha256.Sum256([]byte(token)), who: who}}}, nil
}

func readAdminToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 16 {
		return "", fmt.Errorf("%s holds no token of at least 16 characters; remove the file to have a new one made", path)
	}
	return token, nil
}

// makeAdminToken writes the whole file under another name and links it into
// place, so that a crash leaves no half token and of two starts one wins.
func makeAdminToken(dir, path string) error {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".admin-token-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(secret) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

type principalKey struct{}

func principalOf(ctx context.Context) principal {
	p, _ := ctx.Value(principalKey{}).(principal)
	return p
}

// authenticate lets requests with a known token through. The refusal is that
// of keystonemiddleware, which clients of OpenStack understand.
func (s *server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Auth-Token")
		if token == "" {
			if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
				token = strings.TrimSpace(rest)
			}
		}
		p, ok := s.tokens.find(token)
		if token == "" || !ok {
			w.Header().Set("WWW-Authenticate", `Keystone uri="`+endpoint(r)+`"`)
			writeError(w, r, errNobody)
			return
		}
		if rec := recordOf(r.Context()); rec != nil {
			rec.tenant, rec.user = p.tenantID, p.user
		}
		next.ServeHTTP(w, r.WithContext(store.WithActor(context.WithValue(r.Context(), principalKey{}, p), p.user)))
	})
}
