package train

// Comm joins processes that train the same model on different data. Gradients are reduced in buckets of fixed size and order, so that the result does not
// depend on timing.
type Comm interface {
	Rank() int // 0 to Size−1
	Size() int

	// Sum adds up x over all ranks, in rank order, and leaves the result in every rank's x.
	Sum(x []float32) error
}

// Self is a Comm of one.
type Self struct{}

func (Self) Rank() int           { return 0 }
func (Self) Size() int           { return 1 }
func (Self) Sum([]float32) error { return nil }

// bucketSize is how many gradient elements are reduced at a time: 4 MiB.
const bucketSize = 1 << 20

// reduce averages the gradients of all ranks.
func reduce(c Comm, all []*trained) error {
	if c.Size() == 1 {
		return nil
	}
	bucket := make([]float32, 0, bucketSize)
	var parts [][]float32 // slices of gradients that the bucket holds copies of
	flush := func() error {
		if err := c.Sum(bucket); err != nil {
			return err
		}
		rest := bucket
		for _, p := range parts {
			for i := range p {
				p[i] = rest[i] / float32(c.Size())
			}
			rest = rest[len(p):]
		}
		bucket, parts = bucket[:0], parts[:0]
		return nil
	}
	for _, t := range all {
		g := t.p.Grad().Data()
		for len(g) > 0 {
			n := min(len(g), bucketSize-len(bucket))
			bucket, parts = append(bucket, g[:n]...), append(parts, g[:n])
			if g = g[n:]; len(bucket) == bucketSize {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if len(bucket) == 0 {
		return nil
	}
	return flush()
}
