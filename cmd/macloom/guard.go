package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/macloom/macloom/controller/guard"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// guardFlags are the settings of the guard against MAC addresses that move.
type guardFlags struct {
	Action  string
	Moves   int
	Within  time.Duration
	Block   time.Duration
	Trusted string
	Exempt  string
}

func (g *guardFlags) declare(f *pflag.FlagSet) {
	var virtual []string
	for _, s := range guard.Virtual {
		virtual = append(virtual, s.String())
	}
	f.StringVar(&g.Action, "guard", string(guard.Preset.Action),
		"what is done about MAC addresses that move too often or belong elsewhere: report, block-mac (at the port where they do not belong), block-port (that port) or none (nobody looks); mac-guards of the API set others")
	f.IntVar(&g.Moves, "guard-moves", guard.Preset.Threshold.Moves, "moves of a MAC address that are too many")
	f.DurationVar(&g.Within, "guard-within", guard.Preset.Threshold.Within, "in so much time")
	f.DurationVar(&g.Block, "guard-block", guard.Preset.Recovery, "how long a block lasts; each relapse doubles it")
	f.StringVar(&g.Trusted, "guard-trusted", "", "ports whose stations belong there and are never blocked, such as 00000000000000a1:7, separated by commas")
	f.StringVar(&g.Exempt, "guard-exempt", strings.Join(virtual, ","), "MAC prefixes that may move as they like, separated by commas")
}

// config reads the settings.
func (g *guardFlags) config() (c guard.Settings, err error) {
	if g.Action == "" {
		return c, nil // of a command without a guard
	}
	switch c.Action = intent.GuardAction(g.Action); c.Action {
	case intent.GuardReport, intent.GuardBlockMAC, intent.GuardBlockPort, intent.GuardNone:
	default:
		return c, fmt.Errorf("guard: %q is none of report, block-mac, block-port, none", g.Action)
	}
	if g.Moves < 2 || g.Moves > 100 {
		return c, fmt.Errorf("guard-moves: %d is not between 2 and 100; one would be any migration", g.Moves)
	}
	if g.Within <= 0 || g.Within > 24*time.Hour {
		return c, fmt.Errorf("guard-within: %s is not above 0 and at most a day", g.Within)
	}
	if g.Block < time.Second || g.Block > guard.Longest {
		return c, fmt.Errorf("guard-block: %s is not between 1s and %s", g.Block, guard.Longest)
	}
	c.Threshold = guard.Threshold{Moves: g.Moves, Within: g.Within}
	c.Recovery = g.Block
	words := func(list string) []string {
		return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	}
	for _, w := range words(g.Trusted) {
		p, err := intent.ParsePlace(w)
		if err != nil {
			return c, fmt.Errorf("guard-trusted: %w", err)
		}
		c.Trusted = append(c.Trusted, p)
	}
	for _, w := range words(g.Exempt) {
		s, err := mac.ParseSegment(w)
		if err != nil {
			return c, fmt.Errorf("guard-exempt: %w", err)
		}
		c.Exempt = append(c.Exempt, s)
	}
	return c, nil
}
