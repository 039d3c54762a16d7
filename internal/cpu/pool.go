package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// parallel calls f(0) … f(n−1), each once, in any order, on the caller and on the pool's workers, and returns when all
// have returned.
//
// The caller cuts the work into tasks by its size alone, never by the number of processors, and combines what tasks
// produced in order of their index: so results are the same bits whoever ran what. A task should take 10 µs or more;
// forking and joining costs about 1 µs as long as operations follow one another within [spinTime], and a thread's
// wake-up otherwise.
//
// The caller takes tasks from the front, workers from the back: so what one operation leaves in a core's cache, the
// next finds there.
//
// With GOMAXPROCS=1, with one task, inside a task, and while another goroutine's tasks run, the tasks run on the caller
// alone, in order. A task's panic reaches the caller, with its value, after all running tasks have ended; tasks not yet
// begun are dropped.
//
// The workers are GOMAXPROCS−1 goroutines that live as long as the program: a leak checker is to ignore (*pool).worker.
func parallel(n int, f func(i int)) {
	procs := 1
	if n > 1 {
		procs = runtime.GOMAXPROCS(0)
	}
	if procs == 1 || !workers.busy.TryLock() {
		for i := range n {
			f(i)
		}
		return
	}
	defer workers.busy.Unlock()
	workers.run(n, min(n, procs)-1, procs-1, f)
}

// ranges cuts n elements into tasks of grain elements and calls f(from, to) for each; see [parallel].
func ranges(n, grain int, f func(from, to int)) {
	if n <= grain {
		if n > 0 {
			f(0, n)
		}
		return
	}
	parallel((n+grain-1)/grain, func(i int) { f(i*grain, min(n, (i+1)*grain)) })
}

// spinTime is how long a worker looks out for the next job before it sleeps. A sleeping one costs its waker a system
// call, and often wakes on the very processor that its waker runs on, where it is no help.
const spinTime = 100 * time.Microsecond

// job is one call of parallel.
type job struct {
	f        func(i int)
	n        int64
	taken    atomic.Int64 // tasks that somebody has taken, or more if none is left
	back     atomic.Int64 // those that workers have
	done     atomic.Int64 // tasks that have ended
	panicked atomic.Pointer[any]
	asleep   atomic.Bool // the caller waits on pool.finished
}

// pool holds the workers of this process.
type pool struct {
	busy     sync.Mutex          // held while a job runs
	job      atomic.Pointer[job] // the latest
	wake     chan struct{}       // one message wakes one sleeping worker
	sleeping atomic.Int64        // workers that wait on wake
	finished chan struct{}       // the last task of a job whose caller sleeps has ended
	started  int                 // workers; guarded by busy
}

var workers = pool{wake: make(chan struct{}, 1024), finished: make(chan struct{}, 1)}

// run executes a job with the help of up to want workers, of which there shall be total.
func (p *pool) run(n, want, total int, f func(i int)) {
	for ; p.started < min(total, cap(p.wake)); p.started++ {
		go p.worker()
	}
	j := &job{f: f, n: int64(n)}
	p.job.Store(j)
	for s := min(p.sleeping.Load(), int64(want)); s > 0; s-- {
		select {
		case p.wake <- struct{}{}:
		default: // as many messages as workers are on their way
		}
	}
	front := int64(-1)
	j.work(func() int64 { front++; return front })
	p.wait(j)
	p.job.Store(nil)
	if v := j.panicked.Load(); v != nil {
		panic(*v)
	}
}

// wait returns when all tasks of j have ended.
func (p *pool) wait(j *job) {
	var start time.Time
	for i := 1; j.done.Load() < j.n; i++ {
		if i%spinsPerLook != 0 {
			continue
		}
		if start.IsZero() {
			start = time.Now()
		}
		runtime.Gosched()
		if time.Since(start) < spinTime {
			continue
		}
		j.asleep.Store(true)
		if j.done.Load() == j.n && j.asleep.CompareAndSwap(true, false) {
			return
		}
		<-p.finished
		return
	}
}

// spinsPerLook is how often a spinning thread polls before it looks at the clock and lets another goroutine run: about
// 2 µs.
const spinsPerLook = 2000

// worker takes part in one job after another.
func (p *pool) worker() {
	var last *job
	start := time.Now()
	for i := 1; ; i++ {
		if j := p.job.Load(); j != nil && j != last {
			last = j
			if j.taken.Load() < j.n {
				j.work(func() int64 { return j.n - j.back.Add(1) })
				start, i = time.Now(), 0
			}
			continue
		}
		if i%spinsPerLook != 0 {
			continue
		}
		runtime.Gosched()
		if time.Since(start) < spinTime {
			continue
		}
		last = nil // keep nothing alive while asleep
		p.sleeping.Add(1)
		if j := p.job.Load(); j == nil || j.taken.Load() >= j.n {
			<-p.wake
		}
		p.sleeping.Add(-1)
		start, i = time.Now(), 0
	}
}

// work runs tasks until none is left to take. index says which one is the next.
func (j *job) work(index func() int64) {
	for !j.some(index) {
	}
}

// some runs tasks until none is left, which it reports, or one panics.
func (j *job) some(index func() int64) (end bool) {
	defer func() {
		if end {
			return
		}
		v := recover()
		j.panicked.CompareAndSwap(nil, &v)
		j.finish()
	}()
	for {
		if j.taken.Add(1) > j.n {
			return true
		}
		i := index()
		if j.panicked.Load() == nil {
			j.f(int(i))
		}
		j.finish()
	}
}

// finish counts a task, and wakes the caller if it was the last.
func (j *job) finish() {
	if j.done.Add(1) == j.n && j.asleep.CompareAndSwap(true, false) {
		workers.finished <- struct{}{}
	}
}
