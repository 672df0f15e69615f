package cli

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var records = []string{
	twoSwitches, blue, `{}`, ` { "a" : [ ] , "b" : { "c" : [ { "d" : -1.5e3 } , [ "x" , [ ] ] ] } } `,
	`{"a\"}": "\ud83d\ude00\\", "yes": "No", "12:30": "12:34:56:12:34:56"}`,
	`{"": "", "a": "- b", "c": "#d", "e": "f: g", "h": " i ", "j": "k\nl", "m": "<&>\u2028\u0085\u007f\ufeff"}`,
	`{"n": ["1", "0x1", "1_000", ".5", "~", "2026-05-04", "=", "<<", "", null, true, 0]}`,
}

// Whatever JSON comes, the parts of an object are those that encoding/json
// sees, and its YAML means the same.
func FuzzRecords(f *testing.F) {
	for _, text := range records {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			_, _ = parseRecord(text) // must end
			return
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(text, &want) != nil || want == nil {
			return
		}
		r, err := parseRecord(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got := map[string]json.RawMessage{}
		for _, a := range r {
			got[a.name] = a.value
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-encoding/json +ours):\n%s", text, diff)
		}
		var value map[string]any
		if json.Unmarshal(text, &value) == nil && !extreme(value, 0) {
			once, err := json.Marshal(value) // YAML allows no key twice
			if err != nil {
				t.Fatal(err)
			}
			wantYAML(t, value, once)
		}
	})
}

func TestYAMLMeansWhatTheJSONMeant(t *testing.T) {
	t.Parallel()
	for _, text := range records {
		var value map[string]any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		wantYAML(t, value, []byte(text))
	}
}

func wantYAML(t *testing.T, want any, text []byte) {
	t.Helper()
	written, err := appendYAML(nil, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := yaml.Unmarshal(written, &got); err != nil {
		t.Fatalf("%q as YAML %q: %v", text, written, err)
	}
	if diff := gocmp.Diff(want, floats(got)); diff != "" {
		t.Fatalf("%q as YAML %q (-JSON +YAML):\n%s", text, written, diff)
	}
}

// extreme says whether a reader of YAML may read v otherwise by right: numbers
// beyond 2^53, depths beyond its own.
func extreme(v any, depth int) bool {
	switch v := v.(type) {
	case float64:
		return math.Abs(v) > 1<<53 || v != 0 && math.Abs(v) < 1e-300
	case []any:
		return depth > 50 || slices.ContainsFunc(v, func(v any) bool { return extreme(v, depth+1) })
	case map[string]any:
		return depth > 50 || slices.ContainsFunc(slices.Collect(maps.Values(v)), func(v any) bool { return extreme(v, depth+1) })
	}
	return false
}

// floats turns the integers of YAML into the numbers of JSON.
func floats(v any) any {
	switch v := v.(type) {
	case int:
		return float64(v)
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = floats(v[k])
		}
	}
	return v
}
