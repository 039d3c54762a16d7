package imaging_test

import (
	"fmt"

	"github.com/gollava/gollava/data/imaging"
)

func Example() {
	m, err := imaging.Open("testdata/images/jpeg-640x480.jpg", imaging.Options{})
	if err != nil {
		panic(err)
	}
	p := imaging.CLIP(336) // or imaging.ReadProcessor of a model's folder
	p.Aspect = "pad"       // as LLaVA-1.5
	x, err := p.Process(m)
	fmt.Println(m.W, m.H, "→", x.N, 3, x.H, x.W, len(x.Data), err)
	// Output: 640 480 → 1 3 336 336 338688 <nil>
}
