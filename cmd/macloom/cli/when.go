package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads 90s, 1h30m, 7d, or a bare number of seconds.
func parseDuration(text string) (time.Duration, error) {
	scale, number := time.Second, text
	if days, ok := strings.CutSuffix(text, "d"); ok {
		scale, number = 24*time.Hour, days
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n < 0 || n > int64(100*366*24*time.Hour/scale) {
			return 0, fmt.Errorf("%q is no duration of up to 100 years", text)
		}
		return time.Duration(n) * scale, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 600, 90s, 1h30m or 7d", text)
	}
	return d, nil
}

// parseTime reads a time as people write it, or a distance from now: sign -1
// is back in time. The answer is in the form of the API.
func parseTime(text string, now time.Time, sign time.Duration) (string, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t.UTC().Format(time.RFC3339Nano), nil
		}
	}
	d, err := parseDuration(text)
	if err != nil {
		return "", fmt.Errorf("%q is neither a time such as 2026-05-04T12:00:00Z or 2026-05-04 12:00, nor a duration such as 2h or 7d", text)
	}
	return now.Add(sign * d).UTC().Format(time.RFC3339Nano), nil
}
