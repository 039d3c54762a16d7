"""Writes reference.json: what the tokenizers library learns from corpus.txt. tokenizers 0.23.3: python make_train.py"""
import json

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

texts = open('corpus.txt', encoding='utf-8').read().splitlines()
out = {'made_with': 'tokenizers ' + tokenizers.__version__}
for size in (300, 384, 1000):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=['<pad>', '<s>', '</s>', '<image>'],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    model = json.loads(t.to_str())['model']
    out[str(size)] = {'merges': [m if isinstance(m, str) else ' '.join(m) for m in model['merges']],
                      'ids': [t.encode(x, add_special_tokens=False).ids for x in texts[:12]]}
json.dump(out, open('reference.json', 'w', encoding='utf-8'), ensure_ascii=False, separators=(',', ':'))
