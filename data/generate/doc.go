// Package generate makes visual instruction data from captions and boxes, as LLaVA did (Liu et al. 2023, section 3):
// a language model that sees no picture writes conversations, detailed descriptions and reasoning about it.
//
// Pictures come from COCO's files ([OpenCOCO]) or from a file of records ([OpenRecords]) as [Scene] values. A
// [Teacher] writes: an [Endpoint] that speaks OpenAI's chat completions, or [Rules] over captions and boxes, which
// needs no model. [Run] asks about each picture and kind, many at a time, checks each answer, asks again where that
// may help, and writes LLaVA's json. Every reply is kept in a log, so a run that was stopped goes on where it was,
// and one that is finished asks nothing.
package generate
