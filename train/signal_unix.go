//go:build unix

package train

import (
	"os"
	"syscall"
)

// moreSignals end a run like SIGTERM: clusters send SIGUSR1 some time before they take a job's machines away.
var moreSignals = []os.Signal{syscall.SIGUSR1}
