package health

import "github.com/macloom/macloom/controller/intent"

// tally turns the results of probes into what a backend is: one failure, or one answer,
// is none yet.
type tally struct {
	state intent.Health
	run   int // results in a row that say otherwise
}

// add takes a result, and reports whether the state is another one by it. A backend of
// which nothing is known is taken for well, so its first answer changes nothing for
// clients and counts at once.
func (t *tally) add(good bool, m *intent.Monitor) (changed bool) {
	found := intent.HealthDown
	if good {
		found = intent.HealthUp
	}
	if t.state == found {
		t.run = 0
		return false
	}
	if t.run++; good && t.state == intent.HealthDown && t.run < m.Rise || !good && t.run < m.Fall {
		return false
	}
	*t = tally{state: found}
	return true
}
