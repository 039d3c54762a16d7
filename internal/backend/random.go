package backend

// Uniform is the i-th random number in [0, 1) of the stream key: a function of its arguments alone, so that any device
// and any partition draws the same. It is SplitMix64's finaliser of key + i·odd constant, whose upper 24 bits make the
// result.
func Uniform(key, i uint64) float32 {
	z := key + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float32((z^z>>31)>>40) * (1.0 / (1 << 24))
}
