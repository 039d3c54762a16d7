package seem_test

import (
	"fmt"
	"log"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/nn"
)

// A click, and a second one that corrects its mask. The model is the released SEEM.
func ExampleOpen() {
	s, err := seem.Open("./seem", nn.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	street, err := imaging.Open("street.jpg", imaging.Options{})
	if err != nil {
		log.Fatal(err)
	}
	p, err := s.Look(street)
	if err != nil {
		log.Fatal(err)
	}
	click := seem.Prompt{Clicks: []seem.Pixel{{Y: 200, X: 120}}}
	a, err := p.Segment(click)
	if err != nil {
		log.Fatal(err)
	}
	click.Not, click.Previous = []seem.Pixel{{Y: 220, X: 130}}, a // the next round, which remembers the first
	if a, err = p.Segment(click); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(a.Mask.Pixels()), "pixels")
}
