//go:build unix

package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/backend/remote"
	"github.com/gollava/gollava/internal/cpu"
	"github.com/gollava/gollava/tensor"
)

// remoteDevice is a device whose memory cannot be addressed.
func remoteDevice(t *testing.T) tensor.Device {
	d, err := remote.New(cpu.New())
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return tensor.NewDevice(d)
}

// TestRemote runs every operation with its operands on a device whose memory is not addressable, and with one operand
// there and the others on the host: results and gradients are the host's to the bit, and each is on the right device.
func TestRemote(t *testing.T) {
	d := remoteDevice(t)
	for _, c := range gradientCases() {
		t.Run(c.name, func(t *testing.T) {
			run := func(on func(i int) tensor.Device) (y []float32, grads [][]float32) {
				in := make([]*T, len(c.in))
				for i, x := range c.in {
					in[i] = x.Detach().Clone().To(on(i))
					in[i].SetTrainable(x.Trainable())
				}
				tensor.Scope(func(s *tensor.Arena) {
					out := c.f(in)
					y = append(y, out.Detach().Host().Data()...)
					out.Mul(out).Sum().Backward()
				})
				for i, x := range in {
					g := []float32(nil)
					if x.Grad() != nil {
						require.Equal(t, on(i), x.Grad().Device(), "gradient of %d", i)
						g = x.Grad().Host().Data()
					}
					grads = append(grads, g)
				}
				return y, grads
			}
			y, grads := run(func(int) tensor.Device { return tensor.Device{} })
			there, gradsThere := run(func(int) tensor.Device { return d })
			require.Equal(t, y, there)
			require.Equal(t, grads, gradsThere)
			for k := range c.in {
				mixed, gradsMixed := run(func(i int) tensor.Device {
					if i == k {
						return d
					}
					return tensor.Device{}
				})
				require.Equal(t, y, mixed, "operand %d is remote", k)
				require.Equal(t, grads, gradsMixed, "operand %d is remote", k)
			}
		})
	}
}

func TestRemoteMemory(t *testing.T) {
	d := remoteDevice(t)
	x := tensor.From([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	y := x.To(d)
	require.Equal(t, "remote", y.Device().String())
	require.Same(t, y, y.To(d))
	require.Same(t, x, x.Host())
	require.Equal(t, x.Data(), y.Host().Data())
	for _, read := range []func(){
		func() { y.Data() }, func() { y.Bytes() }, func() { tensor.Ints([]int{1}, 1).To(d).IntData() },
	} {
		require.ErrorContains(t, tensor.Catch(read), "on remote, whose memory is not addressable; Host copies it")
	}
	require.ErrorContains(t, tensor.Catch(func() { y.Add(x.To(remoteDevice(t))) }), "operands on remote and on remote")

	z := y.Clone()
	require.Equal(t, d, z.Device())
	z.CopyFrom(x.Scale(2).Cast(tensor.BFloat16))
	require.Equal(t, []float32{2, 4, 6, 8, 10, 12}, z.Host().Data())
	z.Span(1, 3).AddFrom(tensor.From([]float32{10, 20}, 2))
	require.Equal(t, []float32{2, 14, 26, 8, 10, 12}, z.Host().Data())
	z.Fill(3)
	z.Overwrite(0, 1, x.Slice(0, 0, 1))
	require.Equal(t, []float32{3, 3, 3, 1, 2, 3}, z.Host().Data())
	require.Equal(t, float32(21), y.Sum().Item())
	require.Equal(t, tensor.GlobalNorm([]*T{x, x}), tensor.GlobalNorm([]*T{x, y}))
	blocks := tensor.New(2, 32).To(d).Cast(tensor.Q8_0)
	require.Equal(t, blocks.Len(), blocks.Host().Cast(tensor.Float32).Len())
	logits, labels := tensor.From([]float32{1, 2, 0, 3}, 2, 2), tensor.Ints([]int{1, 0}, 2)
	require.Equal(t, tensor.CrossEntropy(logits, labels).Item(), tensor.CrossEntropy(logits.To(d), labels.To(d)).Item())
	require.Equal(t, tensor.LogProbs(logits, labels).Data(), tensor.LogProbs(logits, labels.To(d)).Data())
}
