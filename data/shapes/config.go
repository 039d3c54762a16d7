package shapes

import (
	"fmt"
	"slices"
)

// Config describes a world. Lengths are in pixels.
type Config struct {
	Seed        uint64  `json:"seed"`
	Grid        int     `json:"grid"`         // cells per side: 2 or 3
	Cell        int     `json:"cell"`         // side of a cell
	MinObjects  int     `json:"min_objects"`  // per training picture
	MaxObjects  int     `json:"max_objects"`  // per training picture
	SmallRadius float64 `json:"small_radius"` // of small objects
	LargeRadius float64 `json:"large_radius"` // of large objects
	Jitter      int     `json:"jitter"`       // an object's centre is off its cell's by up to this, each way
	Noise       float64 `json:"noise"`        // standard deviation of the grey noise, in levels of 255
	Signs       float64 `json:"signs"`        // share of scenes with a sign
	HeldOut     []Pair  `json:"held_out"`     // pairs that only the split Comp shows

	// TextHeldOut is the share of scenes of the split Text that have a held-out pair. At zero no training text names
	// these pairs, so that they are as new to the language model as to the encoder.
	TextHeldOut float64 `json:"text_held_out"`
}

// Default is the world of the quickstart: pictures of 48×48 pixels, 3×3 cells, one to four objects, a sign in 30 % of
// scenes.
func Default(seed uint64) Config {
	return Config{
		Seed: seed, Grid: 3, Cell: 16, MinObjects: 1, MaxObjects: 4, SmallRadius: 4.3, LargeRadius: 6.6, Jitter: 2,
		Noise: 4, Signs: 0.3,
		HeldOut: []Pair{{Red, Square}, {Green, Triangle}, {Blue, Circle}, {Yellow, Star}, {Purple, Cross}},
	}
}

// Smoke is a world for tests that must train in seconds: pictures of 32×32 pixels, 2×2 cells, one to three objects, no
// signs.
func Smoke(seed uint64) Config {
	c := Default(seed)
	c.Grid, c.MaxObjects, c.Signs = 2, 3, 0
	return c
}

// maxRadius is the largest radius, as a share of a cell, whose star still fits into the cell.
const maxRadius = 0.45

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	room := c.Grid * c.Grid
	if c.Signs > 0 {
		room -= c.Grid // a sign takes a row
	}
	held := 0
	for _, p := range AllPairs() {
		if slices.Contains(c.HeldOut, p) {
			held++
		}
	}
	switch {
	case c.Grid < 2 || c.Grid > 3:
		return fmt.Errorf("shapes: grid is %d, but only 2 and 3 have names for their rows and columns", c.Grid)
	case c.Cell < 8 || c.Cell > 64:
		return fmt.Errorf("shapes: cell is %d pixels, want 8 to 64", c.Cell)
	case c.MinObjects < 1 || c.MaxObjects < c.MinObjects || c.MaxObjects > room:
		return fmt.Errorf("shapes: %d to %d objects do not fit: want 1 to %d", c.MinObjects, c.MaxObjects, room)
	case !(c.SmallRadius > 1) || !(c.LargeRadius > c.SmallRadius) || c.LargeRadius > maxRadius*float64(c.Cell):
		return fmt.Errorf("shapes: radii %g and %g: want 1 < small < large ≤ %g", c.SmallRadius, c.LargeRadius,
			maxRadius*float64(c.Cell))
	case c.Jitter < 0 || c.Jitter > c.Cell/4:
		return fmt.Errorf("shapes: jitter is %d pixels, want 0 to %d", c.Jitter, c.Cell/4)
	case !(c.Noise >= 0 && c.Noise <= 64):
		return fmt.Errorf("shapes: noise is %g, want 0 to 64", c.Noise)
	case !(c.Signs >= 0 && c.Signs <= 1):
		return fmt.Errorf("shapes: signs is %g, want a share from 0 to 1", c.Signs)
	case !(c.TextHeldOut >= 0 && c.TextHeldOut <= 1):
		return fmt.Errorf("shapes: text_held_out is %g, want a share from 0 to 1", c.TextHeldOut)
	case c.Signs > 0 && (c.Grid < 3 || c.Cell < 16):
		return fmt.Errorf("shapes: signs need a grid of 3 and cells of 16 pixels or more, not %d and %d", c.Grid,
			c.Cell)
	case held != len(c.HeldOut) || len(AllPairs())-held < 3*len(shapeNames):
		return fmt.Errorf("shapes: held-out pairs %v: want different ones, at most half of all", c.HeldOut)
	}
	return nil
}
