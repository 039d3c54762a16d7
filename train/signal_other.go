//go:build !unix

package train

import "os"

var moreSignals []os.Signal
