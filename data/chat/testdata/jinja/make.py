"""Renders chat templates with transformers, for TestFromJinja: python make.py > cases.json

The programs are written in the manner of published ones; versions: transformers 5, jinja2 3.1.
"""
import json
import sys

from transformers.utils.chat_template_utils import render_jinja_template

IMAGE = """{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"""
TEXT = """{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}"""
SPACED = TEXT.replace("part['text']", "part['text'] + ' '")

# name, program, template, whether messages are lists of parts, whether a whole conversation is as ours too
PROGRAMS = [
    ("chatml", """{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""", "chatml", False, True),
    ("chatml, a system text by default", """{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system
You are small.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + m['role'] + '
' + m['content'] + '<|im_end|>
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}""", "chatml", False, True),
    ("chatml, indented, with tools", """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are tall.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\n" }}
    {%- for tool in tools %}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are tall.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user' }}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""", "chatml", False, True),
    ("chatml, text between tags", """{% for m in messages %}
<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
""", "chatml", False, True),
    ("chatml, empty lines between turns", """{% for m in messages %}
<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>

{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant

{%- endif %}
""", "", False, False),
    ("chatml without line breaks", """{{ '<|im_start|>system
Look closely.<|im_end|>' }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '
' }}""" + IMAGE + TEXT + """{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}""", "chatml_direct", True, True),
    ("chatml with a space behind the role", """{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}""" + IMAGE + TEXT + """{{'<|im_end|>'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""", "", True, False),
    ("chatml with two kinds of ends", """{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] }}{% if loop.last %}{{ '<|im_end|>' }}{% else %}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""", "", False, False),
    ("vicuna of llava 1.5", """{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}{# images come first #}""" + IMAGE + SPACED + """{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}""", "vicuna_v1", True, False),
    ("llama 3", """{% for m in messages %}{% set content = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}""", "llava_llama_3", False, True),
    ("llama 3 of llava", """{{ bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\nYou see.<|eot_id|>' }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}""" + IMAGE + TEXT + """{{ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}""", "llava_llama_3", True, True),
    ("mistral", """{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate!') }}{% endif %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}""", "mistral_instruct", False, False),
    ("mistral of llava", """{% for message in messages %}{% if message['role'] == 'system' %}{{ '<<SYS>>\\n' + message['content'][0]['text'] + '\\n<</SYS>>\\n\\n' }}{% elif message['role'] == 'user' %}{{ '[INST] ' }}""" + IMAGE + TEXT + """{{ ' [/INST]' }}{% else %}{{ ' ' }}""" + TEXT + """{{ ' </s>' }}{% endif %}{% endfor %}""", "mistral_instruct", True, True),
    ("llama 2", """{% for m in messages %}{% set content = m['content'] %}{% if loop.first and system is defined %}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + content %}{% endif %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""", "llama_2", False, True),
    ("gemma", """{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = m['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}""", "gemma_instruct", False, True),
    ("phi 3", """{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|user|>' + '\\n' + m['content'] + '<|end|>' + '\\n' + '<|assistant|>' + '\\n' }}{% else %}{{ m['content'] + '<|end|>' + '\\n' }}{% endif %}{% endfor %}""", "phi3", False, True),
    ("zephyr", """{% for m in messages %}
{% if m['role'] == 'user' %}
{{ '<|user|>
' + m['content'] + eos_token }}
{% elif m['role'] == 'assistant' %}
{{ '<|assistant|>
' + m['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""", "zephyr", False, True),
    ("of no known kind", """{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}""", "", False, False),
]


def message(role, text, parts):
    if not parts:
        return {"role": role, "content": text}
    content = [{"type": "text", "text": text.removeprefix("<image>\n")}]
    if text.startswith("<image>"):
        content.insert(0, {"type": "image"})
    return {"role": role, "content": content}


cases = []
for name, program, template, parts, several in PROGRAMS:
    first = "<image>\nWhy?" if parts else "Why?"
    turns = [("user", first), ("assistant", "So."), ("user", "And now?")]
    token = "<|begin_of_text|>" if "llama 3" in name else "<s>" if name == "llama 2" else ""

    def render(turns):
        rendered, _ = render_jinja_template([[message(r, t, parts) for r, t in turns]], chat_template=program, add_generation_prompt=True, bos_token=token, eos_token="</s>")
        return rendered[0]

    cases.append({"name": name, "program": program, "template": template, "first": first, "prompt": render(turns[:1]), "conversation": render(turns) if several else ""})
json.dump(cases, sys.stdout, indent=1)
print()
