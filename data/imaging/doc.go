// Package imaging reads pictures and prepares them for a vision encoder, with the very pixels that LLaVA gets from
// Pillow and transformers: JPEG, PNG, GIF, WebP and BMP to RGB, Pillow's resampling in its own fixed point, CLIP's and
// SigLIP's preprocessing from preprocessor_config.json, padding to a square, and the tiles of LLaVA-1.6.
//
// Pictures come from outside: files of any content give an [*Error] whose [Kind] says what is wrong, never a panic, and
// memory is bounded by [Limits], which the header is held against before pixels are decoded.
package imaging
