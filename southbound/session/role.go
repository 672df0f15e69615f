package session

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/openflow"
)

// StaleRoleError is a role that the switch refuses because it has heard of a
// later generation (OFPRRFC_STALE): another controller has taken over.
type StaleRoleError struct {
	Role         openflow.Role
	GenerationID uint64
	Err          error // *SwitchError
}

func (e *StaleRoleError) Error() string {
	return fmt.Sprintf("session: role of generation %d is stale: %v", e.GenerationID, e.Err)
}

func (e *StaleRoleError) Unwrap() error { return e.Err }

// roleState is the role that this connection is known to have.
type roleState struct {
	mu         sync.Mutex
	role       openflow.Role
	generation uint64
}

func (r *roleState) set(role openflow.Role, generation uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.role, r.generation = role, generation
}

// SetRole asks for a role (RoleMaster, RoleSlave, RoleEqual) and returns when
// the switch has given it. The generation id says whose word counts: the switch
// refuses master and slave with a *StaleRoleError once it has heard of a higher one.
// It is compared as a 64-bit sequence number that may wrap. A new master makes
// the old one a slave, whose changes the switch refuses (OFPBRC_IS_SLAVE).
func (c *Conn) SetRole(ctx context.Context, role openflow.Role, generation uint64) error {
	if role == openflow.RoleNoChange {
		return errors.New("session: no role to set")
	}
	m, err := c.Request(ctx, &openflow.RoleRequest{Role: role, GenerationID: generation})
	var se *SwitchError
	if errors.As(err, &se) && se.Err.ErrType == openflow.ErrorRoleRequestFailed && se.Err.Code == openflow.RoleRequestStale {
		return &StaleRoleError{Role: role, GenerationID: generation, Err: err}
	}
	if err != nil {
		return err
	}
	reply, ok := m.(*openflow.RoleReply)
	if !ok || reply.Role != role {
		return fmt.Errorf("session: the switch did not give role %d but answered %v", role, m)
	}
	c.role.set(role, generation)
	return nil
}

// Role is the role of the connection and the generation it was given with:
// RoleEqual and 0 until SetRole, and what the switch said later where it tells
// (Open vSwitch does) that another controller has become master.
func (c *Conn) Role() (openflow.Role, uint64) {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	return c.role.role, c.role.generation
}

// noteRole takes what the switch says of the role.
func (c *Conn) noteRole(m *openflow.RoleStatus) {
	c.role.set(m.Role, m.GenerationID)
	c.log.Load().Info("switch has changed the role of this connection",
		zap.Uint32("role", uint32(m.Role)), zap.Uint8("reason", uint8(m.Reason)), zap.Uint64("generation", m.GenerationID))
}
