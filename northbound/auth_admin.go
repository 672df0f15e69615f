package northbound

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

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
	return path, newTokens(tokenEntry{hash: digestOf(token), who: who}), nil
}

func readAdminToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken {
		return "", fmt.Errorf("%s holds no token of at least %d characters; remove the file to have a new one made", path, minToken)
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
