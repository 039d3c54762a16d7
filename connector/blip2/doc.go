// Package blip2 is BLIP-2: a Q-Former, whose learnt queries read an image, between a vision encoder and a language
// model that both stay frozen.
package blip2
