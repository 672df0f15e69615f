package northbound

import (
	"context"
	"net/http"
	"regexp"
	"strconv"

	"github.com/macloom/macloom/controller/store"
)

const headerIfMatch = "If-Match"

var ifMatch = regexp.MustCompile(`^\s*revision_number=([0-9]{1,18})\s*$`)

// conditional is the context in which a request changes an object: with the
// revision that it must have if the client says one by If-Match. Any other
// condition is ignored, as Neutron does.
func conditional(r *http.Request, key string) context.Context {
	m := ifMatch.FindStringSubmatch(r.Header.Get(headerIfMatch))
	if m == nil {
		return r.Context()
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return r.Context()
	}
	return store.WithRevision(r.Context(), key, n)
}
