package cpu

// A matrix unit multiplies bfloat16, of which a float32 takes three: x = x₀ + x₁ + x₂, each what the ones before it
// leave, rounded to the eight bits of a bfloat16. Of the nine products of x·y those of x₀y₀, x₀y₁, x₁y₀, x₀y₂, x₁y₁ and
// x₂y₀ are added, in float32; what is left out is some 2⁻²⁵ of x·y, as much as a rounding of float32. A bfloat16 is its
// own first part, and the others are 0.
//
// Where an element is infinite or no number, or above the largest bfloat16 (3.39e38), what it contributes to is NaN.

// bf16x3Step is the length along the inner dimension of one step of the matrix unit.
const bf16x3Step = 32

// steps is the number of steps that depth takes; the last may be filled up with zeros.
func steps(depth int) int { return (depth + bf16x3Step - 1) / bf16x3Step }

// split reports whether A and B are packed as parts.
func (t *tiler) split() bool { return t.parts[0] > 0 }

// stepA is the size of a step of a tile of rows of A, in float32s: [parts][16 or 32 rows][32]bfloat16.
func (t *tiler) stepA(rows int) int { return t.parts[0] * ((rows + 15) / 16 * 16) * bf16x3Step / 2 }

// stepB is the size of a step of a panel of B: [parts][16][16 or 32 columns][2]bfloat16.
func (t *tiler) stepB(cols int) int { return t.parts[1] * ((cols + 15) / 16 * 16) * bf16x3Step / 2 }

// splitA splits columns [k, k+depth) of the rows of t, whose tiles it writes.
func (g *gemm) splitA(t *tilesOfA, k, depth int) {
	var block [bf16x3Step*bf16x3Step + spill]float32
	pairs, inPairs := g.a.pairs()
	inPairs = inPairs && g.a.col == 1 && k%2 == 0
	i, at := t.from, 0
	for _, band := range t.bands {
		step := g.stepA(band.rows)
		for range band.tiles {
			for r := 0; r < depth; r += bf16x3Step {
				from, row := block[:], bf16x3Step
				cols := min(bf16x3Step, depth-r)
				if first := i*g.a.row + k + r; inPairs && cols == bf16x3Step {
					packPanel(t.full[at:], &pairs, i, band.rows, (k+r)/2, (k+r+bf16x3Step)/2, bf16x3Step/2)
					at += step
					continue
				} else if g.a.half == nil && g.a.col == 1 && cols == bf16x3Step {
					from, row = g.a.full[first:], g.a.row
				} else {
					packPanel(from, &g.a, i, band.rows, k+r, k+r+cols, bf16x3Step)
					zeroColumns(from, band.rows, cols)
				}
				splitRows(band.rows, t.full[at:], step/g.parts[0], from, row, g.parts[0])
				at += step
			}
			i += band.rows
		}
	}
}

// zeroColumns clears the columns from cols on of a block of rows.
func zeroColumns(block []float32, rows, cols int) {
	if cols == bf16x3Step {
		return
	}
	for i := range rows {
		clear(block[i*bf16x3Step+cols : (i+1)*bf16x3Step])
	}
}

// splitB is [gemm.packB] for parts.
func (g *gemm) splitB(panels []float32, k, depth, j0, j1, from, to int) {
	var block [bf16x3Step*bf16x3Step + spill]float32
	pairs, inPairs := g.b.pairs()
	inPairs = inPairs && g.b.row == 1 && k%2 == 0
	for p := from; p < to; p++ {
		j := j0 + p*g.cols
		cols := min(g.cols, j1-j)
		width := g.forColumns(cols).cols
		at := p * g.panel(depth)
		for r := 0; r < depth; r += bf16x3Step {
			src, row := block[:], width
			rows := min(bf16x3Step, depth-r)
			if first := (k+r)*g.b.row + j; inPairs && rows == bf16x3Step {
				packPanel(panels[at:], &pairs, (k+r)/2, bf16x3Step/2, j, j+cols, width)
				at += g.stepB(width)
				continue
			} else if g.b.half == nil && g.b.col == 1 && rows == bf16x3Step && cols == width {
				src, row = g.b.full[first:], g.b.row
			} else {
				packPanel(src, &g.b, k+r, rows, j, j+cols, width)
				clear(src[rows*width : bf16x3Step*width])
			}
			splitPairs(panels[at:], src, row, width, g.parts[1])
			at += g.stepB(width)
		}
	}
}
