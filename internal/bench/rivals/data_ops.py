"""What Python programs load data with: tokenizers, Pillow, json. One thread."""
import base64
import io
import os


def load(threads):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def tokenize(tokenizer, text):
        from tokenizers import Tokenizer

        t = Tokenizer.from_str(tokenizer)
        lines = text.split("\n")

        def run():
            for line in lines:
                t.encode(line, add_special_tokens=False).ids

        return run

    def jpeg(jpeg):
        from PIL import Image

        data = base64.b64decode(jpeg)

        def run():
            m = Image.open(io.BytesIO(data)).convert("RGB")
            m.resize((448, 336), Image.BICUBIC).crop((56, 0, 392, 336))

        return run

    def index(path):
        import json

        def run():
            with open(path, encoding="utf-8") as f:
                assert len(json.load(f)) == 600_000

        return run

    return {"tokenize": tokenize, "jpeg": jpeg, "index": index}
