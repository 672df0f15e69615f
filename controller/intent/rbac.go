package intent

// RBACPolicy lets another tenant see an object, or all others.
type RBACPolicy struct {
	Meta
	ObjectType string // in the words of the API
	ObjectID   string
	Action     RBACAction
	Target     string // a tenant, or "*" for all
}

// RBACAction is what a policy allows.
type RBACAction string

// The actions.
const (
	AccessAsShared   RBACAction = "access_as_shared"   // see and use
	AccessAsExternal RBACAction = "access_as_external" // see, as a way out; only of networks
)
