package connector

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// ImageCache keeps what the language model reads of the images and videos that were used last, so that none is encoded
// again when it comes again. One image is encoded at a time: that takes all cores, and its memory is bounded so. It is
// safe for concurrent use.
type ImageCache struct {
	a    *Assistant
	most int           // bytes
	turn chan struct{} // of the one that encodes

	mu     sync.Mutex
	known  map[digest]*tensor.Tensor // [N, C] each
	recent []digest                  // their keys, longest unused first
	bytes  int
}

// digest identifies an image by all of its content.
type digest [sha256.Size]byte

// NewImageCache returns an empty cache for images of a, which holds up to the given number of bytes, and at least the
// image used last; 0: all. The model's parameters may not change while it is in use.
func (a *Assistant) NewImageCache(bytes int) *ImageCache {
	return &ImageCache{a: a, most: bytes, turn: make(chan struct{}, 1), known: map[digest]*tensor.Tensor{}}
}

// Len is the number of images that the cache holds.
func (c *ImageCache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.recent)
}

// Bytes is the memory of what the cache holds.
func (c *ImageCache) Bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// Prompts embeds a prompt of [Assistant.PromptIDs], in which chat.ImageIndex stands for each of shown, for the
// language model to continue: with [llm.Generate] or in an [llm.Engine]. instruction is that of
// [Assistant.InstructionIDs]. Where the connector is [Attended] or [Instructed], images are a prefix, the language
// model has an encoder, or several images are shown otherwise than one alone, the cache takes no part.
func (c *ImageCache) Prompts(ctx context.Context, ids []int32, shown []Visual,
	instruction []int32) (llm.Prompts, error) {
	if c.a.Model.whole(shown) {
		x, err := c.a.sample(ids, shown)
		if err != nil {
			return llm.Prompts{}, err
		}
		x.Instruction = instruction
		b, err := c.a.prompt(x)
		if err != nil {
			return llm.Prompts{}, err
		}
		return c.a.Model.Prompts(b)
	}
	keys, tokens, err := c.spread(ctx, ids, shown, map[digest]int32{})
	if err != nil {
		return llm.Prompts{}, err
	}
	p := llm.Prompts{Seen: [][]int32{slices.DeleteFunc(slices.Clone(keys), func(id int32) bool { return id < 0 })}}
	p.Embeds, err = c.embed(keys, 0, tokens)
	return p, err
}

// spread gives what is shown its places: of the result, ids are tokens, and negative numbers are positions of images,
// the same for all positions of an image and in tokens. numbers are those of images so far; new ones are added.
func (c *ImageCache) spread(ctx context.Context, ids []int32, shown []Visual, numbers map[digest]int32) (
	keys []int32, tokens map[int32]*tensor.Tensor, err error) {
	if c.a.Model.whole(shown) {
		return nil, nil, fmt.Errorf("images of this model are no positions that can be kept from turn to turn, or " +
			"differ with what is asked: use Assistant.Reply")
	}
	if n := count(ids, chat.ImageIndex); n != len(shown) {
		return nil, nil, fmt.Errorf("reply: %d images for %d places in the text", len(shown), n)
	}
	tokens = map[int32]*tensor.Tensor{}
	next := 0
	for _, id := range ids {
		if id != chat.ImageIndex {
			keys = append(keys, id)
			continue
		}
		sum, x, err := c.tokens(ctx, shown[next])
		if next++; err != nil {
			return nil, nil, fmt.Errorf("reply: image %d: %w", next, err)
		}
		number, ok := numbers[sum]
		if !ok {
			number = int32(-2 - len(numbers))
			numbers[sum] = number
		}
		tokens[number] = x
		keys = append(keys, slices.Repeat([]int32{number}, x.Dim(0))...)
	}
	return keys, tokens, c.a.fits(len(keys))
}

// embed embeds keys of spread from position from on: [1, n, C].
func (c *ImageCache) embed(keys []int32, from int, tokens map[int32]*tensor.Tensor) (x *tensor.Tensor, err error) {
	err = tensor.Catch(func() {
		tensor.Scope(func(a *tensor.Arena) { x = c.a.Model.embedKeys(a, keys, from, tokens).Clone() })
	})
	return x, err
}

// tokens returns what the language model reads of an image: [N, C].
func (c *ImageCache) tokens(ctx context.Context, v Visual) (digest, *tensor.Tensor, error) {
	sum := digestOf(v)
	if x := c.get(sum); x != nil {
		return sum, x, nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return sum, nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil { // select may choose either
		return sum, nil, err
	}
	if x := c.get(sum); x != nil { // somebody else encoded it meanwhile
		return sum, x, nil
	}
	image, err := c.a.visual(v)
	if err != nil {
		return sum, nil, err
	}
	b, err := c.a.Model.Splice([]Sample{{Name: "image", IDs: []int32{chat.ImageIndex}, Images: []Image{image}}}, false)
	if err != nil {
		return sum, nil, err
	}
	var x *tensor.Tensor
	if err := tensor.Catch(func() {
		tensor.Scope(func(a *tensor.Arena) { x = c.a.Model.Tokens(b.In(a).frozen()).Detach().Clone() })
	}); err != nil {
		return sum, nil, err
	}
	c.put(sum, x)
	return sum, x, nil
}

func (c *ImageCache) get(sum digest) *tensor.Tensor {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.known[sum]
	if x != nil {
		i := slices.Index(c.recent, sum)
		c.recent = append(slices.Delete(c.recent, i, i+1), sum)
	}
	return x
}

// put keeps an image that is new.
func (c *ImageCache) put(sum digest, x *tensor.Tensor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[sum], c.recent, c.bytes = x, append(c.recent, sum), c.bytes+size(x)
	for c.most > 0 && c.bytes > c.most && len(c.recent) > 1 {
		oldest := c.recent[0]
		c.bytes -= size(c.known[oldest])
		delete(c.known, oldest)
		c.recent = c.recent[1:]
	}
}

func size(x *tensor.Tensor) int { return 4 * x.Len() } // float32

func digestOf(v Visual) (sum digest) {
	h := sha256.New()
	write := func(m *imaging.RGB) {
		h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(m.W)), uint64(m.H)))
		h.Write(m.Pix)
	}
	if v.Image != nil {
		write(v.Image)
	}
	if v.Video != nil {
		h.Write([]byte("video"))
	}
	for _, m := range v.Video {
		write(m)
	}
	h.Sum(sum[:0])
	return sum
}
