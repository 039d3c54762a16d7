package audio

// reference is what torchaudio 2.11 computed in float32, of bands that are well above the rounding of the samples.
var reference = []struct {
	frame, bin int
	want       float64
}{
	{3, 14, -2.4165},
	{7, 3, 3.7225},
	{8, 2, 1.9401},
	{12, 5, -3.7869},
	{15, 4, 3.7644},
	{22, 12, 5.1699},
	{27, 3, -0.2319},
	{28, 6, -0.2008},
	{29, 14, -2.4165},
	{34, 6, 2.5980},
	{39, 4, 0.4034},
	{46, 4, -3.6570},
	{46, 6, 4.9026},
	{47, 12, 5.1699},
}
