package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// idle is how many processors other programs may use on a machine that counts as idle.
const idle = 0.1

// othersBusy is how many processors are in use for a fifth of a second in which this program and its rivals do nothing;
// 0 where the system does not say.
func othersBusy() float64 {
	before, ok := busyTicks()
	start := time.Now()
	time.Sleep(200 * time.Millisecond)
	after, _ := busyTicks()
	if !ok {
		return 0
	}
	const ticks = 100 // a second, of /proc/stat on Linux
	return float64(after-before) / ticks / time.Since(start).Seconds()
}

// busyTicks is the time that all processors have worked: user, nice, system, irq, softirq and steal of /proc/stat.
func busyTicks() (n int64, ok bool) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var user, nice, system, idle, wait, irq, soft, steal int64
	_, err = fmt.Sscanf(line, "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &wait, &irq, &soft, &steal)
	return user + nice + system + irq + soft + steal, err == nil
}
