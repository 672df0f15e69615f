package northbound

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTokensFileNamesWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte("hashed-secret"))
	tokens, err := LoadTokens(writeFile(t, `
tokens:
  - {token: "secret", user: "demo1", tenant_id: "0123", roles: [member, reader]}
  - {token_sha256: "`+strings.ToUpper(hex.EncodeToString(hash[:]))+`", user: root, tenant_id: ops, roles: [admin]}
  - token: only-looks
    user: eve
    tenant_id: "0123"
    roles: [reader]
`), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]principal{
		"secret":        {user: "demo1", tenantID: "0123", writer: true},
		"hashed-secret": {user: "root", tenantID: "ops", admin: true, writer: true},
		"only-looks":    {user: "eve", tenantID: "0123"},
	} {
		if got, ok := tokens.find(digestOf(token)); !ok || got != want {
			t.Errorf("find(%q) = %+v, %t; want %+v", token, got, ok, want)
		}
	}
	for _, token := range []string{"", "Secret", "secret ", hex.EncodeToString(hash[:])} {
		if got, ok := tokens.find(digestOf(token)); ok {
			t.Errorf("find(%q) = %+v, want nobody", token, got)
		}
	}
}

func TestTokensFileFaultsAreNamedWithoutTheToken(t *testing.T) {
	t.Parallel()
	good := `{token: s3cr3t-0, user: u, tenant_id: t, roles: [member]}`
	for name, c := range map[string]struct{ text, want string }{
		"empty file":        {"", "it is empty"},
		"no YAML":           {"tokens: [s3cr3t", "not valid YAML"},
		"no list":           {"tokens: {}", "list of at least one entry"},
		"empty list":        {"tokens: []", "list of at least one entry"},
		"other key":         {"token: []", `line 1: unknown key "token"`},
		"not an entry":      {"tokens:\n  - s3cr3t", "line 2: entry 1: line 2: want keys token"},
		"unknown key":       {"tokens:\n  - " + good + "\n  - {token: s3cr3t, user: u, tenant: t, roles: [member]}", `line 3: entry 2: line 3: unknown key "tenant"`},
		"key twice":         {"tokens:\n  - token: s3cr3t\n    user: u\n    user: v\n    tenant_id: t\n    roles: [member]", "line 4"},
		"empty token":       {"tokens:\n  - {token: '', user: u, tenant_id: t, roles: [member]}", "line 2: entry 1: token is missing or empty"},
		"no token":          {"tokens:\n  - {user: u, tenant_id: t, roles: [member]}", "entry 1: token or token_sha256 is missing"},
		"token with blanks": {"tokens:\n  - {token: 's3cr3t s3cr3t', user: u, tenant_id: t, roles: [member]}", "entry 1: token has a character"},
		"bad hex":           {"tokens:\n  - {token_sha256: s3cr3t, user: u, tenant_id: t, roles: [member]}", "entry 1: token_sha256 is not 64 hex digits"},
		"short hex":         {"tokens:\n  - {token_sha256: abcd, user: u, tenant_id: t, roles: [member]}", "entry 1: token_sha256 is not 64 hex digits"},
		"both":              {"tokens:\n  - {token: s3cr3t, token_sha256: abcd, user: u, tenant_id: t, roles: [member]}", "not both"},
		"no user":           {"tokens:\n  - {token: s3cr3t, tenant_id: t, roles: [member]}", "entry 1: user is missing"},
		"no tenant":         {"tokens:\n  - {token: s3cr3t, user: u, tenant_id: , roles: [member]}", "entry 1: tenant_id is missing"},
		"no roles":          {"tokens:\n  - {token: s3cr3t, user: u, tenant_id: t}", "entry 1: roles is missing"},
		"empty roles":       {"tokens:\n  - {token: s3cr3t, user: u, tenant_id: t, roles: []}", "entry 1: roles is missing"},
		"unknown role":      {"tokens:\n  - {token: s3cr3t, user: u, tenant_id: t, roles: [boss]}", `entry 1: role "boss" is none of`},
		"same token twice":  {"tokens:\n  - " + good + "\n  - " + good, "line 3: entry 2: the token is the same as that of entry 1"},
		"same by hash": {"tokens:\n  - " + good + "\n  - {token_sha256: " + fmt.Sprintf("%x", sha256.Sum256([]byte("s3cr3t-0"))) +
			", user: u, tenant_id: t, roles: [member]}", "line 3: entry 2: the token is the same"},
	} {
		_, err := LoadTokens(writeFile(t, c.text), zap.NewNop())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		} else if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: the error tells the token: %v", name, err)
		}
	}
	if _, err := LoadTokens(filepath.Join(t.TempDir(), "none"), zap.NewNop()); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestAdminTokenIsMadeOnceAndForTheOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 { // several starts at once agree
		wg.Go(func() {
			if _, _, err := EnsureAdminToken(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	path, tokens, err := EnsureAdminToken(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if who, ok := tokens.find(digestOf(strings.TrimSpace(string(text)))); !ok || !who.admin || !who.writer {
		t.Errorf("the token in %s is %+v, %t; want an administrator", path, who, ok)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v; want admin-token only", len(entries), err)
	}
}

func TestAdminTokenFileWithoutATokenIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "admin-token"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := EnsureAdminToken(dir); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}

func TestAChangedTokensFileIsReadAgain(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	path := writeFile(t, `tokens: [{token: one-secret, user: a, tenant_id: t, roles: [admin]}]`)
	tokens, err := LoadTokens(path, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	known := func() (found []string) {
		tokens.looked = time.Time{} // the time until the next look has passed
		for _, token := range []string{"one-secret", "two-secret"} {
			if _, ok := tokens.find(digestOf(token)); ok {
				found = append(found, token)
			}
		}
		return found
	}
	for _, step := range []struct {
		text string
		want []string
	}{
		{`tokens: [{token: one-secret, user: a, tenant_id: t, roles: [admin]}, {token: two-secret, user: b, tenant_id: t, roles: [reader]}]`, []string{"one-secret", "two-secret"}},
		{`tokens: [{token: two-secret, user: b, tenant_id: t, roles: [king]}]`, []string{"one-secret", "two-secret"}}, // no good
		{`tokens: [{token: two-secret, user: b, tenant_id: t, roles: [member]}]`, []string{"two-secret"}},
	} {
		fresh := writeFile(t, step.text)
		if err := os.Rename(fresh, path); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, known()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.text, diff)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := known(); len(got) != 1 {
		t.Errorf("without a file: %v are known, want those of before", got)
	}
	known()
	if got := logs.FilterLevelExact(zap.ErrorLevel).Len(); got != 2 { // each trouble once
		t.Errorf("%d errors were logged, want 2: %v", got, logs.All())
	}
	for _, e := range logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "secret") {
			t.Errorf("logged: %s", text)
		}
	}
}

func TestALineOfTheTokensFileAdmitsItsToken(t *testing.T) {
	t.Parallel()
	token := NewToken()
	if other := NewToken(); len(token) < 26 || token == other {
		t.Errorf("tokens %q and %q", token, other)
	}
	for _, c := range []struct {
		user, tenant string
		roles        []string
		want         principal
	}{
		{"demo1", "0123", []string{"member", "reader"}, principal{user: "demo1", tenantID: "0123", writer: true}},
		{`a "b": {c}`, "null", []string{"reader"}, principal{user: `a "b": {c}`, tenantID: "null"}},
		{"ünï", "# t", []string{"admin"}, principal{user: "ünï", tenantID: "# t", admin: true, writer: true}},
	} {
		line, err := TokenLine(token, c.user, c.tenant, c.roles)
		if err != nil {
			t.Errorf("%s: %v", c.user, err)
			continue
		}
		tokens, err := parseTokens([]byte("tokens:\n" + line))
		if err != nil || strings.Contains(line, token) {
			t.Errorf("line %s: %v", line, err)
			continue
		}
		if got, ok := tokens.find(digestOf(token)); !ok || got != c.want {
			t.Errorf("line %s: %+v, %t; want %+v", line, got, ok, c.want)
		}
	}
	for name, c := range map[string]struct {
		token, user, tenant string
		roles               []string
		want                string
	}{
		"short token":  {"too-short", "u", "t", []string{"admin"}, "16 characters"},
		"blank":        {"aaaaaaaa aaaaaaaa", "u", "t", []string{"admin"}, "without blanks"},
		"no user":      {token, "", "t", []string{"admin"}, "user is missing"},
		"long tenant":  {token, "u", strings.Repeat("t", 256), []string{"admin"}, "tenant_id has more"},
		"no role":      {token, "u", "t", nil, "roles is missing"},
		"strange role": {token, "u", "t", []string{"king"}, `role "king"`},
	} {
		if line, err := TokenLine(c.token, c.user, c.tenant, c.roles); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v; want an error with %q", name, line, err, c.want)
		}
	}
}
