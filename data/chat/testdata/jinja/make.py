"""Renders chat templates with transformers, for TestFromJinja: python make.py > cases.json

The programs are written in the manner of published ones, in words of our own: they write the same, and use the same parts of
Jinja. Versions: transformers 5.24, jinja2 3.1.6. strftime_now tells 26 July 2024 here, as it does in Go.
"""
import datetime
import json
import sys

import jinja2
from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import render_jinja_template

IMAGE = """{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"""
TEXT = """{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}"""
SPACED = TEXT.replace("part['text']", "part['text'] + ' '")

# name, program, template that it is recognised as, whether messages are lists of parts, and its two special tokens
PROGRAMS = [
    ("chatml", """{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""", "chatml", False, "<s>", "</s>"),
    ("chatml, a system text by default", """{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system
You are small.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + m['role'] + '
' + m['content'] + '<|im_end|>
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}""", "chatml", False, "<s>", "</s>"),
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
""", "chatml", False, "<s>", "</s>"),
    ("chatml, text between tags", """{% for m in messages %}
<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
""", "chatml", False, "<s>", "</s>"),
    ("chatml, empty lines between turns", """{% for m in messages %}
<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>

{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant

{%- endif %}
""", "chat_template", False, "<s>", "</s>"),
    ("chatml without line breaks", """{{ '<|im_start|>system
Look closely.<|im_end|>' }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '
' }}""" + IMAGE + TEXT + """{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}""", "chat_template", True, "<s>", "</s>"),
    ("chatml with a space behind the role", """{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}""" + IMAGE + TEXT + """{{'<|im_end|>'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""", "chat_template", True, "<s>", "</s>"),
    ("chatml with two kinds of ends", """{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] }}{% if loop.last %}{{ '<|im_end|>' }}{% else %}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""", "chat_template", False, "<s>", "</s>"),
    ("vicuna of llava 1.5", """{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}{# images come first #}""" + IMAGE + SPACED + """{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}""", "vicuna_v1", True, "<s>", "</s>"),
    ("llama 3", """{% for m in messages %}{% set content = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}""", "llava_llama_3", False, "<|begin_of_text|>", "<|eot_id|>"),
    ("llama 3 of llava", """{{ bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\nYou see.<|eot_id|>' }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}""" + IMAGE + TEXT + """{{ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}""", "chat_template", True, "<|begin_of_text|>", "<|eot_id|>"),
    ("mistral", """{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate!') }}{% endif %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}""", "chat_template", False, "<s>", "</s>"),
    ("mistral of llava", """{% for message in messages %}{% if message['role'] == 'system' %}{{ '<<SYS>>\\n' + message['content'][0]['text'] + '\\n<</SYS>>\\n\\n' }}{% elif message['role'] == 'user' %}{{ '[INST] ' }}""" + IMAGE + TEXT + """{{ ' [/INST]' }}{% else %}{{ ' ' }}""" + TEXT + """{{ ' </s>' }}{% endif %}{% endfor %}""", "chat_template", True, "<s>", "</s>"),
    ("llama 2", """{% for m in messages %}{% set content = m['content'] %}{% if loop.first and system is defined %}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + content %}{% endif %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""", "chat_template", False, "<s>", "</s>"),
    ("gemma", """{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = m['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}""", "chat_template", False, "<s>", "</s>"),
    ("phi 3", """{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|user|>' + '\\n' + m['content'] + '<|end|>' + '\\n' + '<|assistant|>' + '\\n' }}{% else %}{{ m['content'] + '<|end|>' + '\\n' }}{% endif %}{% endfor %}""", "chat_template", False, "<s>", "</s>"),
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
{% endfor %}""", "chat_template", False, "<s>", "</s>"),
    ("of no known kind", """{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}""", "chat_template", False, "<s>", "</s>"),
]

PROGRAMS += [
    ("llama 3.1", """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set words = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set words = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- words }}
{{- "<|eot_id|>" }}
{%- for m in messages %}
    {%- if not (m.role == 'ipython' or m.role == 'tool' or 'tool_calls' in m) %}
        {{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in m %}
        {%- if not m.tool_calls | length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {{- m.tool_calls[0].function.arguments | tojson }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""", "chat_template", False, "<|begin_of_text|>", "<|eot_id|>"),
    ("llama 3.2 with images", """{{- bos_token }}
{%- set image_ns = namespace(has_images=false) %}
{%- for m in messages %}
    {%- for content in m['content'] %}
        {%- if content['type'] == 'image' %}
            {%- set image_ns.has_images = true %}
        {%- endif %}
    {%- endfor %}
{%- endfor %}
{%- for m in messages %}
    {{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' }}
    {%- if m['content'] is string %}
        {{- m['content'] }}
    {%- else %}
        {%- for content in m['content'] %}
            {%- if content['type'] == 'image' %}
                {{- '<image>' }}
            {%- elif content['type'] == 'text' %}
                {{- content['text'] }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""", "chat_template", True, "<|begin_of_text|>", "<|eot_id|>"),
    ("qwen 3", """{%- if tools %}{{- '<|im_start|>system\\n# Tools' }}{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(searching=true, last=messages|length - 1) %}
{%- for m in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and m.role == "user" and m.content is string and not (m.content.startswith('<tool_response>') and m.content.endswith('</tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- set content = m.content if m.content is string else '' %}
    {%- if (m.role == "user") or (m.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + m.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif m.role == "assistant" %}
        {%- set thoughts = '' %}
        {%- if m.reasoning_content is string %}
            {%- set thoughts = m.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thoughts = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thoughts) %}
            {{- '<|im_start|>' + m.role + '\\n<think>\\n' + thoughts.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + m.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""", "chat_template", False, None, "<|im_end|>"),
    ("qwen 2.5 with images", """{% set images = namespace(n=0) %}{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}<|im_start|>{{ m['role'] }}
{% if m['content'] is string %}{{ m['content'] }}<|im_end|>
{% else %}{% for part in m['content'] %}{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}{% set images.n = images.n + 1 %}{% if add_vision_id %}Picture {{ images.n }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}""", "chatml", False, None, "<|im_end|>"),
    ("mistral 0.3", """{%- if messages[0]["role"] == "system" %}
    {%- set words = messages[0]["content"] %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set rest = messages %}
{%- endif %}
{%- set users = rest | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for m in rest %}
    {%- if not (m.role == "tool" or (m.tool_calls is defined and m.tool_calls is not none)) %}
        {%- if (m["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for m in rest %}
    {%- if m["role"] == "user" %}
        {%- if loop.last and words is defined %}
            {{- "[INST] " + words + "\\n\\n" + m["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + m["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif m["role"] == "assistant" %}
        {{- " " + m["content"] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
""", "chat_template", False, "<s>", "</s>"),
    ("mistral small", """{%- set today = strftime_now("%Y-%m-%d") %}
{%- set otherwise = "You are Small. It is " + today + "." %}
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- if messages[0]['content'] is string %}{%- set words = messages[0]['content'] %}{%- else %}{%- set words = messages[0]['content'][0]['text'] %}{%- endif %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set words = otherwise %}
    {%- set rest = messages %}
{%- endif %}
{{- '[SYSTEM_PROMPT]' + words + '[/SYSTEM_PROMPT]' }}
{%- for m in rest %}
    {%- if m['role'] == 'user' %}
        {%- if m['content'] is string %}
            {{- '[INST]' + m['content'] + '[/INST]' }}
        {%- else %}
            {{- '[INST]' }}
            {%- for block in m['content'] %}
                {%- if block['type'] == 'text' %}{{- block['text'] }}{%- elif block['type'] in ['image', 'image_url'] %}{{- '[IMG]' }}{%- else %}{{- raise_exception('Only text and image blocks are supported') }}{%- endif %}
            {%- endfor %}
            {{- '[/INST]' }}
        {%- endif %}
    {%- elif m['role'] == 'assistant' %}
        {%- if m['content'] is string %}{{- m['content'] + eos_token }}{%- else %}{{- m['content'][0]['text'] + eos_token }}{%- endif %}
    {%- else %}
        {{- raise_exception('roles!') }}
    {%- endif %}
{%- endfor %}""", "chat_template", False, "<s>", "</s>"),
    ("gemma 3", """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set prefix = "" -%}
    {%- set rest = messages -%}
{%- endif -%}
{%- for m in rest -%}
    {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("roles must alternate") }}
    {%- endif -%}
    {%- if (m['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = m['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (prefix if loop.first else "") }}
    {%- if m['content'] is string -%}
        {{ m['content'] | trim }}
    {%- elif m['content'] is iterable -%}
        {%- for part in m['content'] -%}
            {%- if part['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif part['type'] == 'text' -%}
                {{ part['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("no such content") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
""", "chat_template", False, "<bos>", "<eos>"),
    ("gemma 2", """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate!') }}{% endif %}{% if (m['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = m['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}""", "chat_template", False, "<bos>", "<eos>"),
    ("phi 3.5", """{% for m in messages %}{% if m['role'] == 'system' and m['content'] %}{{'<|system|>\\n' + m['content'] + '<|end|>\\n'}}{% elif m['role'] == 'user' %}{{'<|user|>\\n' + m['content'] + '<|end|>\\n'}}{% elif m['role'] == 'assistant' %}{{'<|assistant|>\\n' + m['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}""", "chat_template", False, "<s>", "<|endoftext|>"),
    ("phi 4", """{% for m in messages %}{% if (m['role'] == 'system') %}{{'<|im_start|>system<|im_sep|>' + m['content'] + '<|im_end|>'}}{% elif (m['role'] == 'user') %}{{'<|im_start|>user<|im_sep|>' + m['content'] + '<|im_end|>'}}{% elif (m['role'] == 'assistant') %}{{'<|im_start|>assistant<|im_sep|>' + m['content'] + '<|im_end|>'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}""", "chat_template", False, "<|endoftext|>", "<|im_end|>"),
    ("deepseek 2", """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ 'User: ' + m['content'] + '\\n\\n' }}{% elif m['role'] == 'assistant' %}{{ 'Assistant: ' + m['content'] + eos_token }}{% elif m['role'] == 'system' %}{{ m['content'] + '\\n\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}""", "chat_template", False, "<bos>", "<eos>"),
    ("deepseek r1", """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, words='') %}{%- for m in messages %}{%- if m['role'] == 'system' %}{% set ns.words = m['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.words}}{%- for m in messages %}{%- if m['role'] == 'user' %}{{'<|User|>' + m['content']}}{%- endif %}{%- if m['role'] == 'assistant' and m['content'] is not none %}{% set content = m['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + '<|end|>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt %}{{'<|Assistant|><think>\\n'}}{% endif %}""", "chat_template", False, "<bos>", "<|end|>"),
    ("tinyllama", """{% for m in messages %}\n{% if m['role'] == 'user' %}\n{{ '<|user|>\n' + m['content'] + eos_token }}\n{% elif m['role'] == 'system' %}\n{{ '<|system|>\n' + m['content'] + eos_token }}\n{% elif m['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + m['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}""", "zephyr", False, "<s>", "</s>"),
    ("smolvlm", """<|im_start|>{% for m in messages %}{{m['role'] | capitalize}}{% if m['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in m['content'] %}{% if line['type'] == 'text' %}{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}""", "chat_template", True, "<|im_start|>", "<end_of_utterance>"),
    ("falcon", """{% for m in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}{% if m['role'] == 'system' %}{{ 'System: ' }}{% elif m['role'] == 'user' %}{{ 'User: ' }}{% elif m['role'] == 'assistant' %}{{ 'Falcon: ' }}{% endif %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}{{ '\n' + 'Falcon:' }}{% endif %}""", "chat_template", False, None, "<|endoftext|>"),
    ("command r", """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set words = messages[0]['content'] %}{% elif false == true %}{% set rest = messages %}{% set words = 'You are Command.' %}{% else %}{% set rest = messages %}{% set words = false %}{% endif %}{% if words != false %}{{ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' + words + '<|END_OF_TURN_TOKEN|>' }}{% endif %}{% for m in rest %}{% set content = m['content'] %}{% if m['role'] == 'user' %}{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + content.strip() + '<|END_OF_TURN_TOKEN|>' }}{% elif m['role'] == 'assistant' %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>'  + content.strip() + '<|END_OF_TURN_TOKEN|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}""", "chat_template", False, "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"),
    ("granite", """{%- if messages[0]['role'] == 'system' %}{%- set words = messages[0]['content'] %}{%- set rest = messages[1:] %}{%- else %}{%- set words = "Today's Date: " + strftime_now('%B %d, %Y') + ".\nYou are Granite." %}{%- if tools and documents %}{%- set words = words + " Use both." %}{%- elif tools %}{%- set words = words + " Use tools." %}{%- endif %}{%- set rest = messages %}{%- endif %}{{- '<|start_of_role|>system<|end_of_role|>' + words + '<|end_of_text|>\n' }}{%- if tools %}{{- tools | tojson(indent=4) }}{%- endif %}{%- for m in rest %}{{- '<|start_of_role|>' + m['role'] + '<|end_of_role|>' + m['content'] + '<|end_of_text|>\n' }}{%- if loop.last and add_generation_prompt %}{{- '<|start_of_role|>assistant' }}{%- if controls %}{{- ' ' + controls | tojson() }}{%- endif %}{{- '<|end_of_role|>' }}{%- endif %}{%- endfor %}""", "chat_template", False, "<|end_of_text|>", "<|end_of_text|>"),
    ("olmo", """{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + '\n' }}{% elif m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + '\n' }}{% elif m['role'] == 'assistant' %}{% if not loop.last %}{{ '<|assistant|>\n'  + m['content'] + eos_token + '\n' }}{% else %}{{ '<|assistant|>\n'  + m['content'] + eos_token }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}""", "chat_template", False, "<|endoftext|>", "<|endoftext|>"),
    ("vicuna 1.5 of text", """{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set words = messages[0]['content'] %}{% else %}{% set rest = messages %}{% set words = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions." %}{% endif %}{{ words }}{% for m in rest %}{% if m['role'] == 'user' %}{{ ' USER: ' + m['content'] }}{% elif m['role'] == 'assistant' %}{{ ' ASSISTANT: ' + m['content'] + eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}""", "chat_template", False, "<s>", "</s>"),
    ("llava onevision", """{% for m in messages %}{{'<|im_start|>' + m['role'] + ' '}}{# Render all images first #}{% for part in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}{# Render all text next #}{% if m['role'] != 'assistant' %}{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + part['text'] }}{% endfor %}{% else %}{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}{{ '\n' + part['text'] }}{% endgeneration %}{% endfor %}{% endif %}{{'<|im_end|>'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}""", "chat_template", True, None, "<|im_end|>"),
    ("solar", """{% for m in messages %}{% if m['role'] == 'system' %}{% if m['content'] %}{{'### System:\n' + m['content'] + '\n\n'}}{% endif %}{% elif m['role'] == 'user' %}{{'### User:\n' + m['content'] + '\n\n'}}{% elif m['role'] == 'assistant' %}{{'### Assistant:\n' + m['content']}}{% endif %}{% if loop.last and add_generation_prompt %}{{ '### Assistant:\n' }}{% endif %}{% endfor %}""", "chat_template", False, "<s>", "</s>"),
    ("openchat", """{{ bos_token }}{% for m in messages %}{{ 'GPT4 Correct ' + m['role'].title() + ': ' + m['content'] + '<|end_of_turn|>'}}{% endfor %}{% if add_generation_prompt %}{{ 'GPT4 Correct Assistant:' }}{% endif %}""", "chat_template", False, "<s>", "<|end_of_turn|>"),
    ("internlm 2", """{{ bos_token }}{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}""", "chatml", False, "<s>", "<|im_end|>"),
    ("smollm 2", """{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}""", "chatml", False, "<|im_start|>", "<|im_end|>"),
    ("stablelm 2", """{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '\n<|im_start|>assistant\n' }}{% endif %}""", "chat_template", False, None, "<|endoftext|>"),
    ("parts or text by a macro", """{%- macro show(content) -%}{%- if content is string -%}{{- content -}}{%- else -%}{%- for p in content -%}{%- if p.type == 'image' -%}<image>{%- else -%}{{- p.text -}}{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro -%}{%- for m in messages -%}[{{ m.role[:1] | upper }}]{{ show(m.content) | trim }}[/{{ m.role[:1] | upper }}]{%- endfor -%}{%- if add_generation_prompt -%}[A]{%- endif -%}""", "chat_template", True, "<s>", "</s>"),
]


def message(role, text, parts):
    if not parts:
        return {"role": role, "content": text}
    content = [{"type": "text", "text": text.removeprefix("<image>\n")}]
    if text.startswith("<image>"):
        content.insert(0, {"type": "image"})
    return {"role": role, "content": content}


class Date(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


chat_template_utils.datetime = Date


def render(program, turns, parts, open, tokens):
    """The text, or None if the program refuses."""
    try:
        return render_jinja_template([[message(r, t, parts) for r, t in turns]], chat_template=program, add_generation_prompt=open, **tokens)[0][0]
    except jinja2.exceptions.TemplateError:
        return None


USER, GPT, SYSTEM = "user", "assistant", "system"
cases = []
for name, program, template, parts, bos, eos in PROGRAMS:
    tokens = {k: v for k, v in (("bos_token", bos), ("eos_token", eos)) if v}
    image = "<image>\n" if parts else ""
    conversations = [
        [(USER, image + "Why?")],
        [(USER, "Why?"), (GPT, "So."), (USER, "And\n\n{now} <b>?")],
        [(USER, image + "Why?"), (GPT, "So."), (USER, "And now?"), (GPT, "Wärmer: \"5\".")],
        [(SYSTEM, "Be brief."), (USER, "Why?")],
        [(USER, " Why?\n"), (GPT, "\n\nSo. "), (USER, "Now ")],
        [(USER, "Why?"), (USER, "Really?")],
    ]
    renders = []
    for turns in conversations:
        open = turns[-1][0] != GPT
        r = {"turns": turns, "text": render(program, turns, parts, open, tokens)}
        if not open and r["text"] is not None:
            r["trains"] = []
            for i, (role, _) in enumerate(turns):
                if role == GPT:
                    before, after = render(program, turns[:i], parts, True, tokens), render(program, turns[:i + 1], parts, False, tokens)
                    if before is None or after is None or not after.startswith(before) or not r["text"].startswith(after):
                        r["trains"] = None
                        break
                    r["trains"].append(after[len(before):])
        renders.append(r)
    cases.append({"name": name, "program": program, "template": template, "special": tokens, "renders": renders})
json.dump(cases, sys.stdout, indent=1, ensure_ascii=False)
print()
