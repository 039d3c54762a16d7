package tokenizer

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

const (
	cacheSlots = 1 << 15
	cacheWord  = 48 // longest word that is remembered, in bytes
)

// wordCache remembers the tokens of recent words. It needs no lock: a slot holds the last word that hashed to it.
type wordCache struct {
	slots []atomic.Pointer[cachedWord]
	seed  maphash.Seed
}

type cachedWord struct {
	word   string
	pieces []piece
}

func newWordCache() *wordCache {
	return &wordCache{slots: make([]atomic.Pointer[cachedWord], cacheSlots), seed: maphash.MakeSeed()}
}

func (c *wordCache) slot(word string) *atomic.Pointer[cachedWord] {
	return &c.slots[maphash.String(c.seed, word)&(cacheSlots-1)]
}

func (c *wordCache) put(slot *atomic.Pointer[cachedWord], word string, pieces []piece) {
	slot.Store(&cachedWord{strings.Clone(word), append([]piece(nil), pieces...)})
}
