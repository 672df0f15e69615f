package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

func TestAnswersGoToTheirRequests(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	p := dialPeer(t, k.addr)
	p.handshake(1)
	c := k.next(t)
	type result struct {
		gen uint64
		err error
	}
	first, second := make(chan result, 1), make(chan result, 1)
	ask := func(gen uint64, to chan result) {
		m, err := c.Request(t.Context(), &openflow.RoleRequest{Role: openflow.RoleMaster, GenerationID: gen})
		r := result{err: err}
		if err == nil {
			r.gen = m.(*openflow.RoleReply).GenerationID
		}
		to <- r
	}
	go ask(1, first)
	xid1, _ := p.expect(openflow.TypeRoleRequest)
	go ask(2, second)
	xid2, _ := p.expect(openflow.TypeRoleRequest)
	p.send(xid2+1000, &openflow.RoleReply{GenerationID: 9}) // nobody's
	p.send(xid2, &openflow.RoleReply{GenerationID: 20})
	if got := <-second; got != (result{gen: 20}) {
		t.Errorf("second request got %v", got)
	}
	p.send(xid1, &openflow.RoleReply{GenerationID: 10})
	if got := <-first; got != (result{gen: 10}) {
		t.Errorf("first request got %v", got)
	}
}

func TestErrorIsTiedToItsRequest(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	switchtest.Dial(t, k.addr, switchtest.Options{Refuse: func(m openflow.Message) *openflow.Error {
		if _, ok := m.(*openflow.RoleRequest); ok {
			return &openflow.Error{ErrType: openflow.ErrorRoleRequestFailed, Code: openflow.RoleRequestStale}
		}
		return nil
	}})
	c := k.next(t)
	request := &openflow.RoleRequest{Role: openflow.RoleMaster, GenerationID: 3}
	_, err := c.Request(t.Context(), request)
	var se *SwitchError
	if !errors.As(err, &se) || se.Request != request || se.Err.ErrType != openflow.ErrorRoleRequestFailed {
		t.Errorf("error %v, want the stale role of the request", err)
	}
	if want := "OFPT_ROLE_REQUEST: OFPET_ROLE_REQUEST_FAILED/OFPRRFC_STALE"; !strings.Contains(err.Error(), want) {
		t.Errorf("text %q, want it to say %q", err, want)
	}
}

func TestErrorOfNoRequestIsANotice(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{Refuse: func(m openflow.Message) *openflow.Error {
		if _, ok := m.(*openflow.FlowMod); ok {
			return &openflow.Error{ErrType: openflow.ErrorFlowModFailed, Code: openflow.FlowModTableFull}
		}
		return nil
	}})
	c := k.next(t)
	if err := c.Send(addFlow(0x1234)); err != nil {
		t.Fatal(err)
	}
	n := <-c.Notices()
	e, ok := n.Message.(*openflow.Error)
	if !ok || e.Code != openflow.FlowModTableFull {
		t.Fatalf("notice %v", n.Message)
	}
	// The head of the message in the error says which flow it was.
	if frame := openflow.AppendMessage(nil, n.XID, addFlow(0x1234)); string(e.Data) != string(frame[:64]) {
		t.Errorf("error about % x, want % x", e.Data, frame[:64])
	}
	if got := sw.FlowMods(); got != 1 {
		t.Errorf("%d flow-mods, want 1", got)
	}
}

func TestRequestEndsWithItsContextTimeoutOrSession(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{RequestTimeout: 20 * time.Millisecond}, nil)
	p := dialPeer(t, k.addr)
	p.handshake(1)
	c := k.next(t)
	wantErr(t, c.Barrier(t.Context()), context.DeadlineExceeded)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, c.Barrier(ctx), context.Canceled)
	if n := len(c.calls.calls); n != 0 {
		t.Errorf("%d requests are remembered after their end", n)
	}

	patientCtl := newController(t, Config{}, nil)
	q := dialPeer(t, patientCtl.addr)
	q.handshake(2)
	d := patientCtl.next(t)
	done := make(chan error, 1)
	go func() { done <- d.Barrier(context.Background()) }()
	q.expect(openflow.TypeBarrierRequest)
	q.Close()
	wantErr(t, <-done, ErrPeerClosed)
}

func TestRequestRefusesWhatHasNoSingleAnswer(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	for _, m := range []openflow.Message{
		addFlow(1), &openflow.SetConfig{}, &openflow.MultipartRequest{Body: &openflow.DescRequest{}},
	} {
		if _, err := c.Request(t.Context(), m); err == nil {
			t.Errorf("%v accepted", m.MsgType())
		}
	}
}

func TestTooLongMessageIsRefusedAlone(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	long := &openflow.PacketOut{Data: make([]byte, 65536)}
	wantErr(t, c.Send(addFlow(1), long), openflow.ErrTooLong)
	wantErr(t, c.Commit(t.Context(), []openflow.Message{addFlow(2), long}), openflow.ErrTooLong)
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(sw.Flows()); got != 0 {
		t.Errorf("%d flows, want none", got)
	}
	if got := k.stats.FlowMods.Load(); got != 0 {
		t.Errorf("%d flow-mods counted, none was sent", got)
	}
}

func TestMultipartJoinsAllParts(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{Ports: switchtest.Ports(500)})
	c := k.next(t)
	var ports []openflow.Port
	parts := 0
	err := c.Multipart(t.Context(), &openflow.PortDescRequest{}, func(b openflow.MultipartBody) error {
		parts++
		ports = append(ports, b.(*openflow.PortDescReply).Ports...)
		return nil
	})
	if err != nil || parts < 2 {
		t.Fatalf("%d parts, error %v", parts, err)
	}
	if diff := cmp.Diff(switchtest.Ports(500), ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}

	if err := c.Commit(t.Context(), addFlows(2000)); err != nil {
		t.Fatal(err)
	}
	var flows []openflow.FlowStats
	all := &openflow.FlowStatsRequest{TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}
	err = c.Multipart(t.Context(), all, func(b openflow.MultipartBody) error {
		flows = append(flows, b.(*openflow.FlowStatsReply).Flows...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sw.Flows(), flows); diff != "" || len(flows) != 2000 {
		t.Errorf("%d flows (-want +got):\n%s", len(flows), diff)
	}
}

func TestMultipartEndsWithTheErrorOfItsCallback(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	switchtest.Dial(t, k.addr, switchtest.Options{Ports: switchtest.Ports(500)})
	c := k.next(t)
	enough := errors.New("enough")
	err := c.Multipart(t.Context(), &openflow.PortDescRequest{}, func(openflow.MultipartBody) error { return enough })
	wantErr(t, err, enough)
	if err := c.Barrier(t.Context()); err != nil { // the other parts go nowhere
		t.Error(err)
	}
}

func TestMultipartRefusesWrongAnswers(t *testing.T) {
	t.Parallel()
	more := openflow.MultipartMore
	for name, test := range map[string]struct {
		answers []openflow.Message
		want    string
	}{
		"of another type": {
			[]openflow.Message{&openflow.MultipartReply{Body: &openflow.Desc{}}}, "was answered with something else",
		},
		"longer than allowed": {
			[]openflow.Message{
				&openflow.MultipartReply{Flags: more, Body: &openflow.PortDescReply{Ports: switchtest.Ports(10)}},
				&openflow.MultipartReply{Flags: more, Body: &openflow.PortDescReply{Ports: switchtest.Ports(10)}},
				&openflow.MultipartReply{Body: &openflow.PortDescReply{}},
			}, "longer than 1300 bytes",
		},
		"broken": {
			[]openflow.Message{&openflow.Raw{Of: openflow.TypeMultipartReply, Body: []byte{0, 13}}}, "OFPT_MULTIPART_REPLY",
		},
		"an error in the midst": {
			[]openflow.Message{
				&openflow.MultipartReply{Flags: more, Body: &openflow.PortDescReply{}},
				&openflow.Error{ErrType: openflow.ErrorBadRequest, Code: 13},
			}, "OFPBRC_MULTIPART_BUFFER_OVERFLOW",
		},
		"something else": {
			[]openflow.Message{&openflow.BarrierReply{}}, "answered OFPT_MULTIPART_REQUEST with OFPT_BARRIER_REPLY",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newController(t, Config{MultipartBytes: 1300}, nil)
			p := dialPeer(t, k.addr)
			p.handshake(1)
			c := k.next(t)
			done := make(chan error, 1)
			go func() {
				done <- c.Multipart(t.Context(), &openflow.PortDescRequest{}, func(openflow.MultipartBody) error { return nil })
			}()
			xid, _ := p.expect(openflow.TypeMultipartRequest)
			for _, m := range test.answers {
				p.send(xid, m)
			}
			if err := <-done; err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			// The session goes on.
			p.send(0, &openflow.PortStatus{})
			<-c.Notices()
		})
	}
}

func TestLimitOfARequestGoesBeforeThatOfAll(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{MultipartBytes: 1000}, nil)
	switchtest.Dial(t, k.addr, switchtest.Options{Ports: switchtest.Ports(100)})
	c := k.next(t)
	var ports int
	count := func(r *openflow.PortDescReply) error {
		ports += len(r.Ports)
		return nil
	}
	if err := Parts(t.Context(), c, &openflow.PortDescRequest{}, count, Limit(10_000)); err != nil || ports != 100 {
		t.Errorf("%d ports, error %v", ports, err)
	}
	err := Parts(t.Context(), c, &openflow.PortDescRequest{}, count)
	if err == nil || !strings.Contains(err.Error(), "longer than 1000 bytes") {
		t.Errorf("error %v", err)
	}
	err = Parts(t.Context(), c, &openflow.PortDescRequest{}, func(*openflow.Desc) error { return nil }, Limit(10_000))
	if err == nil || !strings.Contains(err.Error(), "was answered with *openflow.PortDescReply") {
		t.Errorf("an answer of another type: error %v", err)
	}
}

func TestMonitorThatIsNotTakenEndsAloneAndSaysSo(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	p := dialPeer(t, k.addr)
	p.handshake(1)
	c := k.next(t)
	request := &openflow.FlowMonitorRequest{Monitors: []openflow.FlowMonitor{{ID: 8, Flags: openflow.MonitorAdd, OutPort: openflow.PortAny}}}
	var updates []bool
	entered, proceed := make(chan struct{}, 200), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- c.Monitor(t.Context(), request, func(_ openflow.FlowUpdates, update bool) error {
			updates = append(updates, update)
			entered <- struct{}{}
			<-proceed
			return nil
		}, Limit(1000))
	}()
	xid, _ := p.expect(openflow.TypeMultipartRequest)
	part := &openflow.MultipartReply{Flags: openflow.MultipartMore, Body: &openflow.FlowMonitorReply{}}
	p.send(xid, part)
	<-entered
	part.Flags = 0
	p.send(xid, part)
	for range 100 { // without an end of its own, and more than 1,000 bytes wait
		p.send(0, part)
	}
	if err := barrier(p, c); err != nil {
		t.Fatal(err)
	}
	close(proceed)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "faster than it is taken") {
		t.Errorf("error %v", err)
	}
	if len(updates) == 0 || updates[0] {
		t.Errorf("parts came as updates: %v", updates)
	}
	if _, m := p.expect(openflow.TypeExperimenter); m.(*openflow.FlowMonitorCancel).ID != 8 {
		t.Errorf("the monitor was not cancelled but %v sent", m)
	}
	// Reports that nobody is in Monitor for are notices.
	p.send(0, part)
	if n := <-c.Notices(); n.Message.MsgType() != openflow.TypeMultipartReply {
		t.Errorf("notice %v", n.Message)
	}
}

// barrier has p answer one.
func barrier(p *peer, c *Conn) error {
	done := make(chan error, 1)
	go func() { done <- c.Barrier(context.Background()) }()
	xid, _ := p.expect(openflow.TypeBarrierRequest)
	p.send(xid, &openflow.BarrierReply{})
	return <-done
}

func TestRoleIsWhatTheSwitchGaveOrSaidLast(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{Refuse: func(m openflow.Message) *openflow.Error {
		if r, ok := m.(*openflow.RoleRequest); ok && r.GenerationID < 5 {
			return &openflow.Error{ErrType: openflow.ErrorRoleRequestFailed, Code: openflow.RoleRequestStale}
		}
		return nil
	}})
	c := k.next(t)
	want := func(role openflow.Role, generation uint64) {
		t.Helper()
		if r, g := c.Role(); r != role || g != generation {
			t.Errorf("role %d of generation %d, want %d of %d", r, g, role, generation)
		}
	}
	want(openflow.RoleEqual, 0)
	var stale *StaleRoleError
	if err := c.SetRole(t.Context(), openflow.RoleMaster, 4); !errors.As(err, &stale) || stale.GenerationID != 4 {
		t.Errorf("error %v, want stale", err)
	}
	want(openflow.RoleEqual, 0)
	if err := c.SetRole(t.Context(), openflow.RoleMaster, 5); err != nil {
		t.Fatal(err)
	}
	want(openflow.RoleMaster, 5)
	sw.Send(t, &openflow.RoleStatus{Role: openflow.RoleSlave, GenerationID: 6})
	if n := <-c.Notices(); n.Message.MsgType() != openflow.TypeExperimenter {
		t.Errorf("notice %v", n.Message)
	}
	want(openflow.RoleSlave, 6)
	if err := c.SetRole(t.Context(), openflow.RoleNoChange, 7); err == nil {
		t.Error("no change is no role")
	}
}
