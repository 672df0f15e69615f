package session_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
	"github.com/macloom/macloom/southbound/session"
)

// The code between the marks is that of docs/southbound.md.

// guide:begin
// cookieSpace marks the flows of this program among those of others.
const cookieSpace = 0x17 << 56

// hold makes each switch that connects hold the wanted flows: it reads back what
// there is, sends the difference as one bundle, and nothing if there is none.
func hold(ctx context.Context, ln net.Listener, log *zap.Logger, wanted []string) error {
	var desired []flow.Flow
	for _, line := range wanted {
		f, err := flow.Parse(line) // as ovs-ofctl writes flows
		if err != nil {
			return err
		}
		f.Cookie = cookieSpace | f.Cookie
		desired = append(desired, f)
	}
	want, err := flow.NewSet(desired)
	if err != nil {
		return err
	}
	return session.Serve(ctx, ln, session.Config{Log: log}, func(ctx context.Context, c *session.Conn) {
		var have []flow.Flow
		request := &openflow.FlowStatsRequest{
			TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
			Cookie: cookieSpace, CookieMask: 0xff << 56,
		}
		err := c.Multipart(ctx, request, func(part openflow.MultipartBody) error {
			for _, stats := range part.(*openflow.FlowStatsReply).Flows {
				f, err := flow.FromStats(stats)
				if err != nil {
					return err
				}
				have = append(have, f)
			}
			return nil
		})
		if err != nil {
			log.Error("read back", zap.Error(err))
			return
		}
		held, err := flow.NewSet(have)
		if err != nil {
			log.Error("read back", zap.Error(err))
			return
		}
		plan := flow.Diff(flow.State{Flows: held}, flow.State{Flows: want})
		if err := c.Commit(ctx, plan.Messages()); err != nil {
			log.Error("commit", zap.Error(err)) // names the message that the switch refused
			return
		}
		log.Info("in step", zap.Int("sent", plan.Len()))
		<-ctx.Done()
	})
}

// guide:end

func TestProgramOfTheGuideBringsASwitchInStep(t *testing.T) {
	t.Parallel()
	ovs := ovstest.Start(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	inStep := make(chan string, 8)
	log := zaptest.NewLogger(t, zaptest.WrapOptions(zap.Hooks(hook(inStep))))
	done := make(chan error, 1)
	go func() {
		done <- hold(ctx, ln, log, []string{
			"table=0,priority=10,in_port=1,dl_src=02:00:05:00:00:00/ff:ff:ff:00:00:00 actions=resubmit(,5)",
			"table=5,priority=10,ip,nw_dst=192.0.2.0/24 actions=ct(commit,zone=7,exec(load:0x2a->NXM_NX_CT_MARK[])),output:2",
		})
	}()
	ovs.AddBridge("br0", "--", "set-controller", "br0", fmt.Sprintf("tcp:%s", ln.Addr()))
	for got := range inStep {
		if got == "in step" {
			break
		}
	}
	dump := ovs.Ofctl("--no-stats", "dump-flows", "br0")
	for _, want := range []string{"dl_src=02:00:05:00:00:00/ff:ff:ff:00:00:00 actions=resubmit(,5)", "ct(commit,zone=7,exec("} {
		if !strings.Contains(dump, want) {
			t.Errorf("no flow with %q in\n%s", want, dump)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestGuideShowsTheProgramThatIsTested(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../../docs/southbound.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(source), "// guide:begin\n")
	program, _, _ = strings.Cut(program, "\n// guide:end\n")
	if !strings.Contains(string(guide), "```go\n"+program+"```\n") {
		t.Error("docs/southbound.md does not show the program of guide_test.go between its marks")
	}
}

// hook hands the texts of log entries on.
func hook(to chan<- string) func(zapcore.Entry) error {
	return func(e zapcore.Entry) error {
		to <- e.Message
		return nil
	}
}
