// Package gligen draws pictures from a text, and from phrases with boxes that say where each thing is to be.
// Source: Li et al. 2023, "GLIGEN: Open-Set Grounded Text-to-Image Generation".
package gligen
