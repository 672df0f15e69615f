package lab

import (
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestMetricSumsTheSeriesThatCarryTheLabels(t *testing.T) {
	t.Parallel()
	const text = `# TYPE sent_total counter
sent_total{kind="flow_mod",switch="1"} 3
sent_total{kind="flow_mod",switch="2"} 4
sent_total{kind="echo",switch="1"} 100
# TYPE took_seconds histogram
took_seconds_bucket{le="+Inf"} 5
took_seconds_sum 1.5
took_seconds_count 5
# TYPE up gauge
up 1
`
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"sent_total", nil, 107},
		{"sent_total", []string{"kind=flow_mod"}, 7},
		{"sent_total", []string{"switch=1", "kind=flow_mod"}, 3},
		{"sent_total", []string{"kind=other"}, 0},
		{"took_seconds", nil, 5},
		{"up", nil, 1},
		{"unknown", nil, 0},
	} {
		if got := sum(families[c.name], c.labels); got != c.want {
			t.Errorf("%s%v: want %v, got %v", c.name, c.labels, c.want, got)
		}
	}
}
