package seem

import (
	"math"

	"github.com/gollava/gollava/tensor"
)

// Assign pairs rows with columns so that the sum of the costs is least: min(rows, columns) pairs, in the order of the
// rows. It panics if rows differ in length or a cost is NaN or −Inf; +Inf stands for a pair that is taken only if there
// is no other way. Source: Jonker and Volgenant 1987, shortest augmenting paths; scipy's linear_sum_assignment.
func Assign(cost [][]float64) (rows, columns []int) {
	n := len(cost)
	if n == 0 {
		return nil, nil
	}
	m := len(cost[0])
	flat := make([]float64, 0, n*m)
	for i, row := range cost {
		if len(row) != m {
			tensor.Fail("Assign", "row %d has %d costs, row 0 has %d", i, len(row), m)
		}
		for j, c := range row {
			if math.IsNaN(c) || math.IsInf(c, -1) {
				tensor.Fail("Assign", "the cost of row %d and column %d is %v", i, j, c)
			}
			flat = append(flat, min(c, 1e150))
		}
	}
	if n <= m {
		for i, j := range assign(n, m, func(i, j int) float64 { return flat[i*m+j] }) {
			rows, columns = append(rows, i), append(columns, j)
		}
		return rows, columns
	}
	of := make([]int, n) // the column of each row, counted from 1
	for j, i := range assign(m, n, func(j, i int) float64 { return flat[i*m+j] }) {
		of[i] = j + 1
	}
	for i, j := range of {
		if j > 0 {
			rows, columns = append(rows, i), append(columns, j-1)
		}
	}
	return rows, columns
}

// assign is Assign with n rows ≤ m columns: the column of each row.
func assign(n, m int, cost func(i, j int) float64) []int {
	u, v := make([]float64, n), make([]float64, m) // the dual variables
	rowOf := make([]int, m)                        // counted from 1; 0: the column is free
	columnOf := make([]int, n)
	for row := range n {
		shortest, from, done := make([]float64, m), make([]int, m), make([]bool, m)
		for j := range shortest {
			shortest[j] = math.Inf(1)
		}
		i, at, length := row, -1, 0.0 // row i was reached at the given length through column at
		var path []int                // rows reached behind the first
		var sinks []int               // the columns they were reached through
		for {
			best := -1
			for j := range m {
				if done[j] {
					continue
				}
				if d := length + cost(i, j) - u[i] - v[j]; d < shortest[j] {
					shortest[j], from[j] = d, i
				}
				if best < 0 || shortest[j] < shortest[best] || shortest[j] == shortest[best] && rowOf[j] == 0 &&
					rowOf[best] != 0 {
					best = j
				}
			}
			at, length = best, shortest[best]
			done[at] = true
			if rowOf[at] == 0 {
				break
			}
			i = rowOf[at] - 1
			path, sinks = append(path, i), append(sinks, at)
		}
		u[row] += length
		for k, i := range path {
			u[i] += length - shortest[sinks[k]]
		}
		for j := range m {
			if done[j] {
				v[j] -= length - shortest[j]
			}
		}
		for { // along the path back to the row that it began with
			i := from[at]
			rowOf[at] = i + 1
			at, columnOf[i] = columnOf[i], at
			if i == row {
				break
			}
		}
	}
	return columnOf
}
