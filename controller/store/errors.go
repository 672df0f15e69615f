package store

import (
	"errors"
	"fmt"
)

// ErrUnavailable says that PostgreSQL could not be reached or went away; what
// was under way has been rolled back or, at a commit, is unknown.
var ErrUnavailable = errors.New("store: the database is not available")

// NotFound says that no such object exists in the caller's scope.
type NotFound struct {
	Kind Kind
	ID   string
}

func (e *NotFound) Error() string {
	return fmt.Sprintf("store: %s %s could not be found", e.Kind.Words(), e.ID)
}

// Conflict says that a request is well formed but does not go with what is
// stored.
type Conflict struct {
	Type    string // exception name of the API, such as MacAddressInUse
	Attr    string // attribute that caused it; may be empty
	Message string
}

func (e *Conflict) Error() string { return "store: " + e.Message }

// Invalid says that the value of an attribute can never be right.
type Invalid struct {
	Attr    string
	Message string
}

func (e *Invalid) Error() string { return "store: " + e.Message }

// Named is an Invalid that the API has a name for.
type Named struct {
	Type string // exception name of the API, such as InvalidIpForSubnet
	*Invalid
}

func (e *Named) Unwrap() error { return e.Invalid }

// Denied says that the caller may not do something with an object that it
// sees.
type Denied struct {
	Kind Kind
	Rule string // what it may not, in the words of the API's policy; empty: change or delete the object
}

func (e *Denied) Error() string {
	if e.Rule != "" {
		return "store: " + e.Rule + " is not for the caller"
	}
	return "store: the " + e.Kind.Words() + " is not the caller's to change"
}

// Refused says that a request cannot be met as it stands, under the name that
// the API has for the fault.
type Refused struct {
	Type    string // exception name of the API, such as SubnetPoolDeleteError
	Message string
}

func (e *Refused) Error() string { return "store: " + e.Message }

// InUse says that an object cannot be deleted or changed because another one
// needs it.
type InUse struct {
	Kind Kind
	ID   string
	By   string // what needs it, such as "3 ports"
}

func (e *InUse) Error() string {
	return fmt.Sprintf("store: %s %s is in use by %s", e.Kind.Words(), e.ID, e.By)
}

// StaleRevision says that an object is no longer, or not yet, as the caller
// expects it.
type StaleRevision struct {
	Kind              Kind
	ID                string
	Expected, Current int64
}

func (e *StaleRevision) Error() string {
	return fmt.Sprintf("store: %s %s has revision %d and not %d", e.Kind.Words(), e.ID, e.Current, e.Expected)
}

// Words is the kind as a message names it: "security group rule".
func (k Kind) Words() string {
	b := []byte(k)
	for i, c := range b {
		if c == '_' {
			b[i] = ' '
		}
	}
	return string(b)
}
