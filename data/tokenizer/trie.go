package tokenizer

import (
	"sort"
)

// trie finds which of a fixed set of strings begin at a place.
type trie struct {
	root  [256]int32 // node after the first byte, 0 if none
	first []int32    // per node: its first edge; edges of node n end at first[n+1]
	value []int32    // per node: the number of the string that ends there, -1 if none
	label []byte     // per edge, ascending within a node
	next  []int32    // per edge
	size  int
}

// newTrie holds keys[i] with the value values[i]; empty keys are left out and later duplicates win.
func newTrie(keys []string, values []int32) *trie {
	order := make([]int, 0, len(keys))
	for i, k := range keys {
		if k != "" {
			order = append(order, i)
		}
	}
	sort.SliceStable(order, func(a, b int) bool { return keys[order[a]] < keys[order[b]] })
	t := &trie{size: len(order)}

	type job struct{ node, lo, hi, depth int }
	t.value = append(t.value, -1)
	queue := []job{{0, 0, len(order), 0}}
	for at := 0; at < len(queue); at++ { // breadth first, so that the edges of node n+1 follow those of node n
		j := queue[at]
		t.first = append(t.first, int32(len(t.label)))
		lo := j.lo
		for lo < j.hi && len(keys[order[lo]]) == j.depth {
			t.value[j.node] = values[order[lo]]
			lo++
		}
		for lo < j.hi {
			b, hi := keys[order[lo]][j.depth], lo+1
			for hi < j.hi && keys[order[hi]][j.depth] == b {
				hi++
			}
			node := len(t.value)
			t.value = append(t.value, -1)
			t.label, t.next = append(t.label, b), append(t.next, int32(node))
			if j.node == 0 {
				t.root[b] = int32(node)
			}
			queue = append(queue, job{node, lo, hi, j.depth + 1})
			lo = hi
		}
	}
	t.first = append(t.first, int32(len(t.label)))
	return t
}

// step follows byte b from node (0 is the root) and returns 0 if nothing goes on that way.
func (t *trie) step(node int32, b byte) int32 {
	if node == 0 {
		return t.root[b]
	}
	lo, hi := t.first[node], t.first[node+1]
	for hi-lo > 6 {
		mid := (lo + hi) / 2
		if t.label[mid] <= b {
			lo = mid
		} else {
			hi = mid
		}
	}
	for ; lo < hi; lo++ {
		if t.label[lo] == b {
			return t.next[lo]
		}
	}
	return 0
}

// longest returns the longest string of the set that s begins with, n = 0 if none.
func (t *trie) longest(s string) (value int32, n int) {
	node := int32(0)
	value = -1
	for i := 0; i < len(s); i++ {
		if node = t.step(node, s[i]); node == 0 {
			break
		}
		if v := t.value[node]; v >= 0 {
			value, n = v, i+1
		}
	}
	return value, n
}

// find returns the leftmost string of the set in s at or after from, the longest of those that begin there.
func (t *trie) find(s string, from int) (start, end int, value int32) {
	for i := from; i < len(s); i++ {
		if t.root[s[i]] == 0 {
			continue
		}
		if v, n := t.longest(s[i:]); n > 0 {
			return i, i + n, v
		}
	}
	return -1, -1, -1
}
