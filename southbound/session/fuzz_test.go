package session

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// FuzzSession feeds bytes to a session whose controller has requests of every
// kind under way. Whatever comes, the session ends when the bytes do.
func FuzzSession(f *testing.F) {
	message := func(xid uint32, m openflow.Message) []byte { return openflow.AppendMessage(nil, xid, m) }
	hello := message(0, &openflow.Hello{Bitmap: helloBitmap})
	start := append(hello, message(1, &openflow.FeaturesReply{DatapathID: 1})...) // 1: the request's xid
	add := func(messages ...[]byte) {
		b := start
		for _, m := range messages {
			b = append(b[:len(b):len(b)], m...)
		}
		f.Add(b)
	}
	f.Add(hello)
	f.Add([]byte{1, 0, 0, 8, 0, 0, 0, 0})
	add()
	add(message(0, packetIn(1, []byte("data"))), message(0, &openflow.PortStatus{}), message(0, &openflow.FlowRemoved{}))
	add(message(9, &openflow.EchoRequest{Data: []byte("echo")}), message(0, &openflow.Raw{Of: 200}))
	for xid := range uint32(8) {
		add(message(xid, &openflow.BarrierReply{}), message(xid+1, &openflow.Error{ErrType: openflow.ErrorBadRequest}))
		add(message(xid, &openflow.BundleControl{Ctrl: openflow.BundleOpenReply}), message(xid+1, &openflow.RoleReply{}))
		add(message(xid, &openflow.MultipartReply{Flags: openflow.MultipartMore, Body: &openflow.PortDescReply{Ports: switchtest.Ports(1)}}),
			message(xid, &openflow.MultipartReply{Body: &openflow.PortDescReply{}}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		cfg := Config{PacketIns: []Kind{{Queue: 16}}, NoticeQueue: 16, MultipartBytes: 1 << 16}.withDefaults()
		s := newServer(cfg, func(ctx context.Context, c *Conn) {
			go func() {
				var batch []openflow.PacketIn2
				for err := error(nil); err == nil; {
					batch, err = c.PacketIns(0).Take(ctx, batch)
				}
			}()
			go func() {
				_ = c.Multipart(ctx, &openflow.PortDescRequest{}, func(openflow.MultipartBody) error { return nil })
			}()
			go func() { _ = c.Commit(ctx, addFlows(3)) }()
			_ = c.Barrier(ctx)
			<-ctx.Done()
		})
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		go io.Copy(io.Discard, theirs) // what the controller sends is of no interest
		go func() {
			_, _ = theirs.Write(b)
			theirs.Close()
		}()
		s.admit(ctx, ours)
		s.wg.Wait()
		if ctx.Err() != nil {
			t.Fatal("the session did not end with its connection")
		}
		if n := cfg.Stats.Panics.Load(); n != 0 {
			t.Fatalf("%d panics", n)
		}
	})
}
