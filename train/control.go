package train

import (
	"errors"
	"sync/atomic"
)

// Control asks a run for what it then does between two steps, from any goroutine. The zero value asks for nothing. Of
// several ranks, one asks for all.
type Control struct{ save, stop atomic.Bool }

// Save asks for a checkpoint.
func (c *Control) Save() { c.save.Store(true) }

// Stop asks the run to save and to end with a *[Stopped].
func (c *Control) Stop() { c.stop.Store(true) }

// errAsked is why a run ended that was asked to.
var errAsked = errors.New("it was asked to stop")

// wanted reports, once, whether a checkpoint was asked for.
func (c *Control) wanted() bool { return c != nil && c.save.Swap(false) }

// ended reports whether the run was asked to stop.
func (c *Control) ended() bool { return c != nil && c.stop.Load() }
