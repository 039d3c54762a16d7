package cpu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChoose(t *testing.T) {
	names := levelNames
	defer func() { levelNames = names }()
	levelNames = namesOf("arm64")
	l, err := choose("neon", neon)
	require.NoError(t, err)
	require.Equal(t, neon, l)
	_, err = choose("neon", generic)
	require.EqualError(t, err, "cpu: GOLLAVA_CPU=neon: this processor or build has no more than generic")
	_, err = choose("avx2", neon)
	require.EqualError(t, err, "cpu: GOLLAVA_CPU=avx2: want generic or neon, or nothing for the best")
	levelNames = namesOf("amd64")
	for _, c := range []struct {
		want string
		have level
		got  level
		err  string
	}{
		{"", avx2, avx2, ""},
		{"generic", avx512, generic, ""},
		{"avx2", avx512, avx2, ""},
		{"avx512", avx512, avx512, ""},
		{"avx512", amx, avx512, ""},
		{"amx", amx, amx, ""},
		{"avx512", avx2, 0, "cpu: GOLLAVA_CPU=avx512: this processor or build has no more than avx2"},
		{"AVX2", avx2, 0, "cpu: GOLLAVA_CPU=AVX2: want generic, avx2, avx512 or amx, or nothing for the best"},
	} {
		got, err := choose(c.want, c.have)
		if c.err != "" {
			require.EqualError(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.got, got)
	}
}

// eachLevel runs f at every level that this processor has.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	for l := generic; l <= supported(); l++ {
		t.Run(l.String(), func(t *testing.T) {
			defer useLevel(l)()
			f(t)
		})
	}
}
