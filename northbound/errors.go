package northbound

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/store"
)

// apiError is an answer other than success: the type and message of a
// NeutronError body and the status code they go with.
type apiError struct {
	code    int
	kind    string // Neutron's exception name; some clients compare it
	message string
}

func (e *apiError) Error() string { return e.message }

func badRequest(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "HTTPBadRequest", fmt.Sprintf(format, args...)}
}

// invalidValue refuses the value of one attribute.
func invalidValue(attr, format string, args ...any) *apiError {
	return badRequest("Invalid input for %s. Reason: %s", attr, fmt.Sprintf(format, args...))
}

// invalid refuses a combination of attributes under the name that Neutron
// gives to the fault.
func invalid(kind, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, kind, fmt.Sprintf(format, args...)}
}

func conflict(kind, format string, args ...any) *apiError {
	return &apiError{http.StatusConflict, kind, fmt.Sprintf(format, args...)}
}

func forbidden(rule string) *apiError {
	return &apiError{http.StatusForbidden, "PolicyNotAuthorized", fmt.Sprintf("rule:%s is disallowed by policy", rule)}
}

var (
	errNobody     = &apiError{http.StatusUnauthorized, "Unauthorized", "The request you have made requires authentication."}
	errTooFast    = &apiError{http.StatusTooManyRequests, "TooManyRequests", "Too many requests with this token."}
	errManyBad    = &apiError{http.StatusTooManyRequests, "TooManyRequests", "Too many invalid tokens from this address."}
	errKeystone   = &apiError{http.StatusServiceUnavailable, "ServiceUnavailable", "The identity service is not available; try again."}
	errNoResource = &apiError{http.StatusNotFound, "HTTPNotFound", "The resource could not be found."}
	errMethod     = &apiError{http.StatusMethodNotAllowed, "HTTPMethodNotAllowed", "The method is not allowed for this resource."}
	errAccept     = &apiError{http.StatusNotAcceptable, "HTTPNotAcceptable", "Only application/json is served."}
	errTooLarge   = &apiError{http.StatusRequestEntityTooLarge, "HTTPRequestEntityTooLarge", "The body is too large."}
	errBroken     = &apiError{http.StatusInternalServerError, "HTTPInternalServerError", "Request Failed: internal server error while processing your request."}
	errAway       = &apiError{http.StatusServiceUnavailable, "ServiceUnavailable", "The database is not available; try again."}
)

// asAPIError translates any error of a handler. What it does not know is
// logged and answered 500 without its text.
func asAPIError(ctx context.Context, log *zap.Logger, err error) *apiError {
	var (
		api      *apiError
		notFound *store.NotFound
		clash    *store.Conflict
		bad      *store.Invalid
		named    *store.Named
		inUse    *store.InUse
		refused  *store.Refused
		denied   *store.Denied
		stale    *store.StaleRevision
	)
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &notFound):
		return missing(notFound.Kind, notFound.ID)
	case errors.As(err, &inUse):
		return used(inUse.Kind, inUse.ID, inUse.By)
	case errors.As(err, &denied):
		if denied.Rule == "" {
			return forbidden("update_" + string(denied.Kind))
		}
		return forbidden(denied.Rule)
	case errors.As(err, &refused):
		return invalid(refused.Type, "%s", refused.Message)
	case errors.As(err, &stale):
		return &apiError{http.StatusPreconditionFailed, "RevisionNumberConstraintFailed",
			fmt.Sprintf("Constrained to %d, but current revision is %d", stale.Expected, stale.Current)}
	case errors.As(err, &clash):
		kind := clash.Type
		if kind == "" {
			kind = "Conflict"
		}
		return conflict(kind, "%s", clash.Message)
	case errors.As(err, &named):
		return invalid(named.Type, "Invalid input for operation: %s", named.Message)
	case errors.As(err, &bad):
		if strings.HasPrefix(bad.Message, "Invalid input for ") {
			return invalid("InvalidInput", "%s", bad.Message)
		}
		return invalid("InvalidInput", "Invalid input for operation: %s", bad.Message)
	case errors.Is(ctx.Err(), context.Canceled):
		return errAway // nobody reads this answer: the client has gone
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		log.Warn("request not served: database away or too slow", zap.String("request_id", requestID(ctx)), zap.Error(err))
		return errAway
	default:
		log.Error("request failed", zap.String("request_id", requestID(ctx)), zap.Error(err))
		return errBroken
	}
}

// missing is the 404 of a kind of object, in Neutron's words.
func missing(kind store.Kind, id string) *apiError {
	e := &apiError{code: http.StatusNotFound, kind: exception(kind) + "NotFound"}
	words := kind.Words()
	words = strings.ToUpper(words[:1]) + words[1:]
	switch kind {
	case store.KindSubnetPool:
		e.kind, e.message = "SubnetPoolNotFound", fmt.Sprintf("Subnet pool %s could not be found.", clip(id))
	case store.KindQoSPolicy, store.KindQoSRule:
		e.message = fmt.Sprintf("%s %s could not be found.", strings.Replace(words, "Qos", "QoS", 1), clip(id))
	case store.KindSecurityGroup, store.KindRule:
		e.message = fmt.Sprintf("%s %s does not exist", words, clip(id))
	default:
		e.message = fmt.Sprintf("%s %s could not be found.", words, clip(id))
	}
	return e
}

// used is the 409 of an object that others hold on to.
func used(kind store.Kind, id, by string) *apiError {
	switch {
	case kind == store.KindNetwork && strings.Contains(by, "port"):
		return conflict("NetworkInUse", "Unable to complete operation on network %s. There are one or more ports still in use on the network.", id)
	case kind == store.KindPort && by == "a trunk, as its parent":
		return conflict("PortInUseAsTrunkParent", "Port %s is currently a parent port of a trunk.", id)
	case kind == store.KindPort && by == "a trunk":
		return conflict("PortInUseAsSubPort", "Port %s is currently a sub-port of a trunk.", id)
	case kind == store.KindSubnet:
		return conflict("SubnetInUse", "Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet.", id)
	case kind == store.KindAddressGroup:
		return conflict("AddressGroupInUse", "Address group %s is in use on one or more security group rules.", id)
	case kind == store.KindAddressScope:
		return conflict("AddressScopeInUse", "Unable to complete operation on address scope %s. There are one or more subnet pools in use on the address scope", id)
	case kind == store.KindSecurityGroup:
		return conflict("SecurityGroupInUse", "Security Group %s in use by %s.", id, by)
	}
	return conflict(exception(kind)+"InUse", "Unable to complete operation on %s %s: it is in use by %s.", kind.Words(), id, by)
}

// exception is the stem of Neutron's exception names: mac_segment is
// MacSegment.
func exception(kind store.Kind) string {
	var name strings.Builder
	for _, word := range strings.Split(string(kind), "_") {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String()
}

// writeError answers with a NeutronError body, or with problem details
// (RFC 9457) if the client asks for these.
func writeError(w http.ResponseWriter, r *http.Request, e *apiError) {
	if e.code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	contentType, b := "application/json", make([]byte, 0, 512)
	switch {
	case wantsProblem(r):
		contentType, b = problemType, appendProblem(b, e, requestID(r.Context()))
	case e.code == http.StatusUnauthorized:
		// That of keystonemiddleware, which clients of OpenStack know.
		b = append(b, `{"error":{"code":401,"title":"Unauthorized","message":`...)
		b = append(appendString(b, e.message), "}}"...)
	default:
		b = appendNeutronError(b, e)
	}
	writeBody(w, e.code, contentType, b)
}

func appendNeutronError(b []byte, e *apiError) []byte {
	b = append(b, `{"NeutronError":{"type":`...)
	b = appendString(b, e.kind)
	b = append(b, `,"message":`...)
	return append(appendString(b, e.message), `,"detail":""}}`...)
}

const problemType = "application/problem+json"

// wantsProblem says whether Accept names problem details; */* does not: most
// clients send that, and what they know is NeutronError.
func wantsProblem(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			name, params, err := mime.ParseMediaType(part)
			if quality, given := params["q"]; err == nil && name == problemType && !(given && strings.Trim(quality, "0.") == "") {
				return true
			}
		}
	}
	return false
}

func appendProblem(b []byte, e *apiError, requestID string) []byte {
	b = append(b, `{"type":`...)
	b = appendString(b, "urn:macloom:error:"+e.kind)
	b = append(b, `,"title":`...)
	b = appendString(b, http.StatusText(e.code))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(e.code), 10)
	b = append(b, `,"detail":`...)
	b = appendString(b, e.message)
	if id, ok := strings.CutPrefix(requestID, "req-"); ok {
		b = append(b, `,"instance":`...)
		b = appendString(b, "urn:uuid:"+id)
	}
	return append(b, '}')
}

func writeJSON(w http.ResponseWriter, code int, body []byte) {
	writeBody(w, code, "application/json", body)
}

func writeBody(w http.ResponseWriter, code int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that has gone away reads no error either
}
