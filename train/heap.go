package train

import (
	"runtime"
	"runtime/metrics"
)

// Batches are garbage after their step, and Go collects garbage only once there is as much of it as there is alive: a
// model of 10 GB would be joined by 10 GB of old batches, which no plan could foresee. So a run collects between steps
// as soon as it is worth it.

// slack is how much garbage a run with so many bytes alive lets lie: little, yet so much that collecting takes no time
// to speak of.
func slack(alive int64) int64 { return max(32<<20, alive/16) }

// heap reads what Go's heap holds.
type heap [2]metrics.Sample

func newHeap() heap {
	return heap{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
}

// tidy collects garbage if there is more than slack.
func (h *heap) tidy() {
	metrics.Read(h[:])
	objects, live := int64(h[0].Value.Uint64()), int64(h[1].Value.Uint64())
	if objects-live > slack(live) {
		runtime.GC()
	}
}

// alive is how many bytes of the heap are in use, garbage apart.
func (h *heap) alive() int64 {
	runtime.GC()
	metrics.Read(h[:])
	return int64(h[1].Value.Uint64())
}
