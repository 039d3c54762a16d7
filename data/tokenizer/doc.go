// Package tokenizer turns text into the token ids of language and vision-language models and back, with the same ids as
// the programs that made the vocabularies.
//
// Load reads tokenizer.json files (byte-level BPE, Llama's BPE, Unigram, WordPiece), vocab.json with merges.txt (GPT-2,
// Qwen2, CLIP), vocab.txt (BERT) and SentencePiece models (BPE and unigram), around which it behaves as Hugging Face's
// tokenizers in Python do, legacy rules of LlamaTokenizer and T5Tokenizer included. Special tokens that stand in a text
// are text to Encode and tokens to EncodeSpecial; neither adds a beginning or an end, which is what Wrap does. Train
// learns small vocabularies, and Save writes files that Hugging Face's libraries read.
package tokenizer
