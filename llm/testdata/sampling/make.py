#!/usr/bin/env python3
"""Write sampling.json: what transformers' logits processors make of random logits.

    pip install torch transformers
    python make.py

Each case lists settings of GenerationConfig, the ids of a prompt and those generated, logits, and the probabilities of the next token. The processors
are those that generate() builds, in its order; min_length counts the prompt, max_length is prompt + max_new_tokens. presence_penalty and
frequency_penalty, which transformers lacks, follow OpenAI's formula: logits[j] -= count[j] * frequency + (count[j] > 0) * presence, after the repetition
penalty, where count is over generated ids.
"""

import json
import random

import torch
import transformers as tr
from transformers.generation.utils import GenerationMixin

VOCABULARY, EOS = 40, [2, 7]


class Model(tr.LlamaForCausalLM):
    pass


def main():
    torch.manual_seed(1)
    r = random.Random(2)
    model = Model(tr.LlamaConfig(vocab_size=VOCABULARY, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1))
    settings = [
        dict(), dict(temperature=0.7), dict(temperature=1.3, top_k=5), dict(top_p=0.8), dict(min_p=0.2), dict(typical_p=0.5), dict(typical_p=0.9, temperature=0.8),
        dict(temperature=0.9, top_k=20, top_p=0.9, min_p=0.05, typical_p=0.95),
        dict(repetition_penalty=1.4), dict(repetition_penalty=0.7, temperature=1.5),
        dict(no_repeat_ngram_size=1), dict(no_repeat_ngram_size=2), dict(no_repeat_ngram_size=3),
        dict(bad_words_ids=[[3], [2], [11, 5], [9, 11, 6]]), dict(suppress_tokens=[1, 4, 39]), dict(begin_suppress_tokens=[0, 8]),
        dict(min_length=9), dict(min_length=4), dict(min_new_tokens=3), dict(forced_eos_token_id=[2, 7], max_new_tokens=4), dict(forced_eos_token_id=5, max_new_tokens=9),
        dict(forced_bos_token_id=6), dict(sequence_bias=[[[4], 3.5], [[12], -2.0], [[3], float(-50)]]),
        dict(sequence_bias=[[[4], 1.5]], repetition_penalty=1.2, no_repeat_ngram_size=2, bad_words_ids=[[10]], min_new_tokens=5, suppress_tokens=[3], temperature=0.8, top_k=10, top_p=0.9),
        dict(presence_penalty=0.8), dict(frequency_penalty=0.6), dict(presence_penalty=-0.5, frequency_penalty=0.4, repetition_penalty=1.3, temperature=0.7, top_p=0.9),
    ]
    cases = []
    for s in settings:
        for prompt, generated in [([9, 11, 5, 9, 11], []), ([3], []), ([9, 11, 6, 3], [9, 11]), ([5], [11, 5, 11, 5, 9, 11, 5])]:
            logits = [round(r.gauss(0, 2), 3) for _ in range(VOCABULARY)]
            own = {k: v for k, v in s.items() if k in ("presence_penalty", "frequency_penalty")}
            known = {k: v for k, v in s.items() if k not in own}
            g = tr.GenerationConfig(do_sample=True, top_k=known.pop("top_k", 0), eos_token_id=EOS, pad_token_id=0, **known)
            if "max_new_tokens" in known:
                g.max_length = len(prompt) + known["max_new_tokens"]
            model._prepare_special_tokens(g, False, device="cpu")
            processors = model._get_logits_processor(
                generation_config=g, input_ids_seq_length=len(prompt), encoder_input_ids=torch.tensor([prompt]), prefix_allowed_tokens_fn=None,
                logits_processor=tr.LogitsProcessorList(), device="cpu")
            if own:  # behind the repetition penalty
                at = 1 + max([i for i, p in enumerate(processors) if isinstance(p, tr.RepetitionPenaltyLogitsProcessor)], default=-1)

                def penalise(ids, z, generated=generated, own=own):
                    z = z.clone()
                    for j in set(generated):
                        z[:, j] -= generated.count(j) * own.get("frequency_penalty", 0) + own.get("presence_penalty", 0)
                    return z

                processors.insert(at, penalise)
            z = torch.tensor([logits])
            ids = torch.tensor([prompt + generated])
            for p in processors:
                z = p(ids, z)
            cases.append(dict(settings=s, prompt=prompt, generated=generated, logits=logits, probabilities=[round(v, 7) for v in z.softmax(-1)[0].tolist()]))
    with open("sampling.json", "w") as f:
        f.write('{"transformers": "%s", "eos": %s, "cases": [\n' % (tr.__version__, EOS))
        f.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
