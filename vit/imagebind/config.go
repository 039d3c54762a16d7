package imagebind

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Modality is one of the six kinds of input, by its name in checkpoints.
type Modality string

// The modalities, with the inputs of the released model.
const (
	Vision  Modality = "vision"  // pixels [B, 3, 224, 224] or clips of two frames [B, S, 3, 2, 224, 224]
	Text    Modality = "text"    // ids [B, 77]
	Audio   Modality = "audio"   // log-mel spectrograms [B, S, 1, 128, 204] of S clips
	Depth   Modality = "depth"   // disparity [B, 1, 224, 224]
	Thermal Modality = "thermal" // [B, 1, 224, 224]
	IMU     Modality = "imu"     // accelerometer and gyroscope [B, 6, 2000]
)

// Modalities are all of them.
var Modalities = []Modality{Vision, Text, Audio, Depth, Thermal, IMU}

// Config describes a model by the arguments of the authors' constructor, and by the sizes that it fixes. The released
// checkpoint has no config.json; files may leave out what equals [Huge].
type Config struct {
	ModelType string `json:"model_type"`    // imagebind
	EmbedDim  int    `json:"out_embed_dim"` // of the shared space

	VisionDim     int `json:"vision_embed_dim"`
	VisionBlocks  int `json:"vision_num_blocks"`
	VisionHeads   int `json:"vision_num_heads"`
	TextDim       int `json:"text_embed_dim"`
	TextBlocks    int `json:"text_num_blocks"`
	TextHeads     int `json:"text_num_heads"`
	AudioDim      int `json:"audio_embed_dim"`
	AudioBlocks   int `json:"audio_num_blocks"`
	AudioHeads    int `json:"audio_num_heads"`
	DepthDim      int `json:"depth_embed_dim"`
	DepthBlocks   int `json:"depth_num_blocks"`
	DepthHeads    int `json:"depth_num_heads"`
	ThermalDim    int `json:"thermal_embed_dim"`
	ThermalBlocks int `json:"thermal_num_blocks"`
	ThermalHeads  int `json:"thermal_num_heads"`
	IMUDim        int `json:"imu_embed_dim"`
	IMUBlocks     int `json:"imu_num_blocks"`
	IMUHeads      int `json:"imu_num_heads"`

	// Stochastic depth grows linearly from 0 in the first block to these rates in the last. Only training heeds them.
	AudioDropPath float64 `json:"audio_drop_path"`
	IMUDropPath   float64 `json:"imu_drop_path"`

	VisionPatch  [2]int `json:"vision_size_patch"`           // side of a square picture, side of its patches
	DepthPatch   [2]int `json:"depth_size_patch"`            // the same
	ThermalPatch [2]int `json:"thermal_size_patch"`          // the same
	AudioShape   [2]int `json:"audio_mels_frames"`           // mel bins, frames of a clip
	AudioKernel  [2]int `json:"audio_kernel_stride"`         // of the square convolution over them
	IMUShape     [3]int `json:"imu_channels_samples_kernel"` // channels, samples, samples of a window

	VocabSize     int `json:"text_vocab_size"`
	ContextLength int `json:"text_context_length"`

	// PositionStd is the standard deviation that position tables of pictures, sounds and depth start with; 0: the
	// authors' 0.02. A departure for small towers.
	PositionStd float64 `json:"gollava_position_std,omitempty"`

	// Modalities are those that the model has, for models that lack some; nil: all, or those of the checkpoint.
	Modalities []Modality `json:"gollava_modalities,omitempty"`
}

// Huge is the released model, imagebind_huge: 1.2 billion parameters, embeddings of 1024 numbers.
func Huge() Config {
	return Config{ModelType: "imagebind", EmbedDim: 1024,
		VisionDim: 1280, VisionBlocks: 32, VisionHeads: 16, TextDim: 1024, TextBlocks: 24, TextHeads: 16,
		AudioDim: 768, AudioBlocks: 12, AudioHeads: 12, DepthDim: 384, DepthBlocks: 12, DepthHeads: 8,
		ThermalDim: 768, ThermalBlocks: 12, ThermalHeads: 12, IMUDim: 512, IMUBlocks: 6, IMUHeads: 8,
		AudioDropPath: 0.1, IMUDropPath: 0.7,
		VisionPatch: [2]int{224, 14}, DepthPatch: [2]int{224, 16}, ThermalPatch: [2]int{224, 16},
		AudioShape: [2]int{128, 204}, AudioKernel: [2]int{16, 10}, IMUShape: [3]int{6, 2000, 8},
		VocabSize: 49408, ContextLength: 77}
}

// UnmarshalJSON reads a config with the values of [Huge] for what is absent, and validates it.
func (c *Config) UnmarshalJSON(raw []byte) error {
	type plain Config
	p := plain(Huge())
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	if p.ModelType != "imagebind" {
		return fmt.Errorf("model_type %q is not imagebind", p.ModelType)
	}
	*c = Config(p)
	return c.Validate()
}

// Has reports whether the model has a modality.
func (c *Config) Has(m Modality) bool {
	return slices.Contains(Modalities, m) && (c.Modalities == nil || slices.Contains(c.Modalities, m))
}

// trunk is what the blocks of a modality are made of.
type trunk struct {
	dim, blocks, heads int
	dropPath           float64
}

func (c *Config) trunk(m Modality) trunk {
	return map[Modality]trunk{
		Vision: {c.VisionDim, c.VisionBlocks, c.VisionHeads, 0}, Text: {c.TextDim, c.TextBlocks, c.TextHeads, 0},
		Audio:   {c.AudioDim, c.AudioBlocks, c.AudioHeads, c.AudioDropPath},
		Depth:   {c.DepthDim, c.DepthBlocks, c.DepthHeads, 0},
		Thermal: {c.ThermalDim, c.ThermalBlocks, c.ThermalHeads, 0},
		IMU:     {c.IMUDim, c.IMUBlocks, c.IMUHeads, c.IMUDropPath}}[m]
}

// What configs may ask for, far above any real model: a hostile file must not exhaust the memory.
const (
	maxWidth      = 1 << 16
	maxBlocks     = 1 << 12
	maxSide       = 1 << 14
	maxVocabulary = 1 << 26
)

// Validate returns an error that names the first field with a value that no model can have.
func (c *Config) Validate() error {
	if c.EmbedDim < 1 || c.EmbedDim > maxWidth {
		return fmt.Errorf("out_embed_dim is %d, and must be at least 1 and at most %d", c.EmbedDim, maxWidth)
	}
	for _, m := range c.Modalities {
		if !slices.Contains(Modalities, m) {
			return fmt.Errorf("gollava_modalities: there is no modality %q (there are %s)", m, list(Modalities))
		}
	}
	for _, m := range Modalities {
		switch t := c.trunk(m); {
		case !c.Has(m):
		case t.dim < 1 || t.blocks < 1 || t.heads < 1 || t.dim%t.heads != 0:
			return fmt.Errorf(
				"%s_embed_dim %d, %[1]s_num_blocks %[3]d, %[1]s_num_heads %[4]d: all must be at least 1, "+
					"and the width a multiple of the heads", m, t.dim, t.blocks, t.heads)
		case t.dim > maxWidth || t.blocks > maxBlocks:
			return fmt.Errorf("%s_embed_dim %d must be at most %d, and %[1]s_num_blocks %[4]d at most %[5]d", m, t.dim,
				maxWidth, t.blocks, maxBlocks)
		case !(t.dropPath >= 0 && t.dropPath < 1):
			return fmt.Errorf("%s_drop_path is %v, and must be in [0, 1)", m, t.dropPath)
		}
	}
	for _, p := range []struct {
		m    Modality
		name string
		size [2]int
	}{{Vision, "vision_size_patch", c.VisionPatch}, {Depth, "depth_size_patch", c.DepthPatch},
		{Thermal, "thermal_size_patch", c.ThermalPatch}} {
		if c.Has(p.m) && (p.size[1] < 1 || p.size[0] < p.size[1]) {
			return fmt.Errorf("%s is %v: needs the side of pictures and the side of patches, which is at most that",
				p.name, p.size)
		}
	}
	if a, k := c.AudioShape, c.AudioKernel; c.Has(Audio) && (k[0] < 1 || k[1] < 1 || a[0] < k[0] || a[1] < k[0]) {
		return fmt.Errorf(
			"audio_kernel_stride %v with audio_mels_frames %v: the kernel must fit into the spectrogram", k, a)
	}
	if s := c.IMUShape; c.Has(IMU) && (s[0] < 1 || s[2] < 1 || s[1] < s[2]) {
		return fmt.Errorf("imu_channels_samples_kernel is %v: a window must fit into the samples", s)
	}
	if c.Has(Text) && (c.VocabSize < 1 || c.ContextLength < 1) {
		return fmt.Errorf("text_vocab_size %d and text_context_length %d must be at least 1", c.VocabSize,
			c.ContextLength)
	}
	for name, sizes := range map[string][]int{"vision_size_patch": c.VisionPatch[:],
		"depth_size_patch": c.DepthPatch[:], "thermal_size_patch": c.ThermalPatch[:],
		"audio_mels_frames": c.AudioShape[:], "audio_kernel_stride": c.AudioKernel[:],
		"imu_channels_samples_kernel": c.IMUShape[:],
		"text_context_length":         {c.ContextLength}} {
		if slices.Max(sizes) > maxSide {
			return fmt.Errorf("%s is %v, and must be at most %d", name, sizes, maxSide)
		}
	}
	if c.VocabSize > maxVocabulary {
		return fmt.Errorf("text_vocab_size is %d, and must be at most %d", c.VocabSize, maxVocabulary)
	}
	if !(c.PositionStd >= 0) {
		return fmt.Errorf("gollava_position_std is %v, and must be at least 0", c.PositionStd)
	}
	return nil
}

// list names modalities in a sentence.
func list(ms []Modality) string {
	names := make([]string, len(ms))
	for i, m := range ms {
		names[i] = string(m)
	}
	return strings.Join(names, ", ")
}
