// Package chat turns conversations into text, token ids and training labels.
//
// A [Template] renders turns to [Span]s, and a token trains iff it holds a byte of a supervised span: what a
// finished answer adds to the open one, such as " Two dogs.</s>". No token is counted twice and no length of one text
// is used for another, so labels are right for every tokenizer. Special tokens that somebody writes in a turn stay
// text.
//
// # Where labels differ from LLaVA's
//
// LLaVA's train.py (commit c121f04) tokenizes parts of a prompt anew and counts their ids. Where that comes out even,
// its labels are these. It does not:
//   - mpt with a tokenizer that adds no beginning-of-text token, chatml_direct with legacy=false, and chatml_direct
//     with legacy=true in most samples: it trains nothing ("tokenization mismatch"). Tag v1.1.3 is right for the first.
//   - chatml_direct with legacy=true, two rounds: it begins one token too early in the first round.
//   - an answer that contains the template's own marks ("</s>", " ASSISTANT: ", "[/INST] "), and a conversation that
//     ends with a question: it trains nothing. Phi-3's, where an answer is empty, too.
//   - v0, llava_v0 and v0_mmtag: it also trains the marks before every turn, and the role of every answer.
//   - Qwen and Llama-3 in LLaVA-NeXT: it also trains the header of every answer, and line ends and marks in all turns.
//
// Where the reference trains nothing and goes on, [Template.Train] trains the answers, or returns a
// [*NothingToTrainError] that shows the sample if there are none. It agrees with the reference in everything else,
// which the tests show with the reference's algorithm.
package chat
