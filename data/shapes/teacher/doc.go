// Package teacher writes visual instructions from what is known about a picture in words, as LLaVA's authors had GPT-4 do (Liu et al.
// 2023, section 3): who writes sees captions and boxes, the [shapes.Scene.Context] of a picture, and never the picture.
//
// A [Teacher] is the [Rule], which knows the shapes world and needs no network, or an [Endpoint], a language model behind an
// OpenAI-compatible service. Both answer in the same form, which [Parse] reads.
package teacher
