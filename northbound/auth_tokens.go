package northbound

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"
)

// Tokens are the static tokens that the API accepts. Only their hashes are
// kept.
type Tokens struct {
	entries atomic.Pointer[[]tokenEntry]

	// The file that they are of, looked at again every now and then; empty: they
	// never change.
	path    string
	log     *zap.Logger
	mu      sync.Mutex // held by who looks
	looked  time.Time
	seen    os.FileInfo
	trouble string // with the file of now, as it was logged
}

type tokenEntry struct {
	hash  digest
	plain bool // the file has the token itself
	who   principal
}

// digest stands for a token wherever that is kept.
type digest [sha256.Size]byte

func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }

func newTokens(entries ...tokenEntry) *Tokens {
	t := &Tokens{}
	t.entries.Store(&entries)
	return t
}

func (t *Tokens) current() []tokenEntry {
	if entries := t.entries.Load(); entries != nil {
		return *entries
	}
	return nil
}

// find looks a token up in time that does not depend on how much of which
// token it resembles.
func (t *Tokens) find(hash digest) (principal, bool) {
	t.refresh()
	entries := t.current()
	found := -1
	for i := range entries {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(entries[i].hash[:], hash[:]), i, found)
	}
	if found < 0 {
		return principal{}, false
	}
	return entries[found].who, true
}

// LoadTokens reads a tokens file:
//
//	tokens:
//	  - {token_sha256: "9f86…", user: "operator", tenant_id: "admin", roles: [admin]}
//	  - {token: "secret", user: "demo1", tenant_id: "0123…", roles: [member, reader]}
//
// An error names the line and the entry at fault and never a token. The file is
// read again when it changes; while it is no good, the tokens of before stay.
func LoadTokens(path string, log *zap.Logger) (*Tokens, error) {
	t := newTokens()
	t.path, t.log = path, log
	t.looked = time.Now()
	return t, t.load()
}

// tokensLook is how long a token that was removed from the file may go on.
const tokensLook = time.Second

// refresh reads the file again if it has changed. One caller looks, the others
// go on with what is there.
func (t *Tokens) refresh() {
	if t.path == "" || !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	if time.Since(t.looked) < tokensLook {
		return
	}
	t.looked = time.Now()
	if now, err := os.Stat(t.path); err == nil && os.SameFile(now, t.seen) && now.Size() == t.seen.Size() && now.ModTime().Equal(t.seen.ModTime()) {
		return
	}
	if err := t.load(); err != nil {
		if t.trouble != err.Error() {
			t.trouble = err.Error()
			t.log.Error("the tokens file has changed but is no good; the tokens of before stay in use", zap.Error(err))
		}
		return
	}
	t.trouble = ""
	t.log.Info("the tokens file has changed and is in use", zap.Int("tokens", len(t.current())))
}

func (t *Tokens) load() error {
	seen, err := os.Stat(t.path) // before it is read: what is written in between is seen next time
	if err != nil {
		return fmt.Errorf("northbound: read tokens file: %w", err)
	}
	text, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("northbound: read tokens file: %w", err)
	}
	fresh, err := parseTokens(text)
	if err != nil {
		return fmt.Errorf("northbound: tokens file %s: %w", t.path, err)
	}
	entries := fresh.current()
	plain := 0
	for _, e := range entries {
		if e.plain {
			plain++
		}
	}
	if plain > 0 {
		t.log.Warn("the tokens file holds tokens as they are; macloom token makes lines that hold their hashes only",
			zap.String("file", t.path), zap.Int("tokens", plain))
	}
	t.seen = seen
	t.entries.Store(&entries)
	return nil
}

// NewToken makes a token that nobody guesses.
func NewToken() string { return rand.Text() }

// minToken is the least number of characters of a token whose hash is put into
// a line: a hash of a short one can be undone by trying.
const minToken = 16

// TokenLine is the line of a tokens file that admits a token, without telling
// it. At least one role of admin, member and reader is needed.
func TokenLine(token, user, tenantID string, roles []string) (string, error) {
	if len(token) < minToken || strings.ContainsFunc(token, unfitForHeader) {
		return "", fmt.Errorf("a token is at least %d characters of printable ASCII without blanks", minToken)
	}
	entry := yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	text := func(s string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
	}
	word := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, r := range roles {
		list.Content = append(list.Content, word(r))
	}
	hash := digestOf(token)
	entry.Content = []*yaml.Node{
		word("token_sha256"), text(hex.EncodeToString(hash[:])), word("user"), text(user), word("tenant_id"), text(tenantID), word("roles"), list,
	}
	// What would be refused when it is read is refused here, in the same words.
	if _, err := parseToken(&entry); err != nil {
		return "", err
	}
	line, err := yaml.Marshal(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{&entry}})
	if err != nil {
		return "", err
	}
	return "  " + string(line), nil
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
	var entries []tokenEntry
	for i, node := range list.Content {
		e, err := parseToken(node)
		if err != nil {
			return nil, fmt.Errorf("line %d: entry %d: %w", node.Line, i+1, err)
		}
		for j, other := range entries {
			if other.hash == e.hash {
				return nil, fmt.Errorf("line %d: entry %d: the token is the same as that of entry %d", node.Line, i+1, j+1)
			}
		}
		entries = append(entries, e)
	}
	return newTokens(entries...), nil
}

func unfitForHeader(r rune) bool { return r <= ' ' || r > '~' }

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
		if strings.ContainsFunc(token, unfitForHeader) {
			return tokenEntry{}, errors.New("token has a character that a header cannot carry; use printable ASCII without blanks")
		}
		e.hash, e.plain = digestOf(token), true
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
		if !e.who.grant(r.Value) {
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
