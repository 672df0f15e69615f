package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// envOnce makes this binary a process that sends requests with keys on the
// database that it names, until it is killed.
const envOnce = "MACLOOM_TEST_ONCE_URL"

const onceKeys = 300

// requestOnce makes a network of the name of its key.
func requestOnce(ctx context.Context, s *store.Store, n int) (store.Answer, bool, error) {
	name := fmt.Sprint("network ", n)
	r := store.OnceRequest{Key: sha256.Sum256([]byte(name)), Content: sha256.Sum256([]byte("make"))}
	return s.Once(ctx, r, func(ctx context.Context) (store.Answer, bool) {
		made, err := s.CreateNetworks(ctx, red, []intent.Network{{Meta: intent.Meta{Name: name}}})
		if err != nil {
			return store.Answer{Status: 503}, false
		}
		// Seen by the same request, and by nobody else yet.
		if _, err := s.Network(ctx, red, made[0].ID); err != nil {
			return store.Answer{Status: 500}, false
		}
		return store.Answer{Status: 201, ContentType: "text/plain", Body: []byte(made[0].ID)}, true
	})
}

func requestForEver(url string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, url, zap.NewNop())
	if err != nil {
		return err
	}
	var work errgroup.Group
	for range 4 {
		work.Go(func() error {
			for {
				if _, _, err := requestOnce(ctx, s, rand.IntN(onceKeys)); err != nil && !errors.Is(err, store.ErrKeyBusy) {
					return err
				}
			}
		})
	}
	return work.Wait()
}

func TestKeysSurviveProcessesThatAreKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 4 {
		before := sql[int](b, `SELECT count(*) FROM idempotency_keys`)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envOnce+"="+b.url)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for sql[int](b, `SELECT count(*) FROM idempotency_keys`) < before+20 {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
	}
	answers := map[string]bool{}
	for n := range onceKeys {
		a, _, err := requestOnce(b.ctx, b.Store, n)
		for errors.Is(err, store.ErrKeyBusy) { // the server has not noticed yet that the process is dead
			a, _, err = requestOnce(b.ctx, b.Store, n)
		}
		if err != nil || a.Status != 201 {
			t.Fatal(a.Status, err)
		}
		answers[string(a.Body)] = true
	}
	made := map[string]bool{}
	list := must(b.Networks(b.ctx, red, store.Query{}))(t)
	for _, n := range list {
		made[n.ID] = true
	}
	if diff := cmp.Diff(answers, made); diff != "" || len(list) != onceKeys {
		t.Errorf("%d networks, want %d: (-answered +made)\n%s", len(list), onceKeys, diff)
	}
}

func TestOnceUndoesAllPartsOfARequestThatIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := store.OnceRequest{Key: sha256.Sum256([]byte("k"))}
	b.unchanged(func() {
		for _, status := range []int{503, 500} {
			a, replayed, err := b.Once(b.ctx, request, func(ctx context.Context) (store.Answer, bool) {
				must(b.CreateNetworks(ctx, red, []intent.Network{{}}))(t)
				return store.Answer{Status: status}, false
			})
			if err != nil || replayed || a.Status != status {
				t.Errorf("%d, %t, %v", a.Status, replayed, err)
			}
		}
	})
	for i := range 2 {
		_, replayed, err := b.Once(b.ctx, request, func(ctx context.Context) (store.Answer, bool) {
			n := one(b.CreateNetworks(ctx, red, []intent.Network{{}}))(t)
			_, err := b.CreatePorts(ctx, red, []store.NewPort{portWithMAC(n, "02:00:00:00:00:01"), portWithMAC(n, "02:00:00:00:00:01")})
			wantConflict(t, err, "MacAddressInUse")
			return store.Answer{Status: 409, Body: []byte("no")}, true
		})
		if err != nil || replayed != (i == 1) {
			t.Errorf("%t, %v", replayed, err)
		}
	}
	if list := must(b.Networks(b.ctx, red, store.Query{}))(t); len(list) != 0 {
		t.Errorf("the first part of a refused request is there: %v", list)
	}
	// What a part left undone must not be told as done.
	other := store.OnceRequest{Key: sha256.Sum256([]byte("o"))}
	_, _, err := b.Once(b.ctx, other, func(ctx context.Context) (store.Answer, bool) {
		n := one(b.CreateNetworks(ctx, red, []intent.Network{{}}))(t)
		_, _ = b.CreatePorts(ctx, red, []store.NewPort{portWithMAC(n, "02:00:00:00:00:01"), portWithMAC(n, "02:00:00:00:00:01")})
		return store.Answer{Status: 201}, true
	})
	wantConflict(t, err, "MacAddressInUse")
}
