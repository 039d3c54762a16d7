"""Renders small programs with transformers' sandbox, for TestRender: python make.py > cases.json

Versions: transformers 5.24, jinja2 3.1.6. An error of Jinja is "error": true; the wording is its own.
"""
import json
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

VARS = {
    "messages": [{"role": "system", "content": " Be <small>. "}, {"role": "user", "content": "Wärum?\n"},
                 {"role": "assistant", "content": "So.</think>\n\nThen", "tool_calls": [{"name": "f", "arguments": {"x": 1, "y": [1.5, None, True]}}]}],
    "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", "tools": None, "n": 7, "x": 2.5,
    "words": ["b", "A", "c", "a"], "table": {"k": 1, "a": "z"},
}

PROGRAMS = r"""
{{ messages[0]['content'].strip() }}|{{ messages[0].content | trim }}|{{ messages[1]['content'] | upper }}
{% for m in messages %}{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.length }} {% endfor %}
{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }}<{{ loop.nextitem.role if loop.nextitem else '-' }} {% endfor %}
{% for m in messages[1:] %}{{ m.role }}{% endfor %}{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %}
{{ messages[-1].role }} {{ messages[-1:][0].role }} {{ 'abcdef'[1:4] }} {{ 'abcdef'[::-2] }} {{ 'äöü'[-2:] }} {{ [1, 2, 3][5:] }}
{% set ns = namespace(found=false, last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.found = true %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{{ ns.found }} {{ ns.last }}
{% set a = 1 %}{% for m in messages %}{% set a = a + 1 %}{% endfor %}{{ a }}
{% set a, b = 1, 'q' %}{{ a }}{{ b }}{% set t %}text {{ a }}{% endset %}{{ t }}{% set u | upper %}low{% endset %}{{ u }}
{{ raise_exception('Roles must alternate') }}
{{ messages | tojson }}
{{ messages[2] | tojson(indent=4) }} {{ [] | tojson(indent=2) }}
{{ 'a"b\\c\n<é>' | tojson }} {{ 1.0 | tojson }} {{ none | tojson }}
{{ messages[2].content.split('</think>')[-1].lstrip('\n') }} {{ messages[2].content.split('</think>')[0].rstrip('.') }}
{{ 'a  b c'.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'x\ny\n'.splitlines() }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', 'in', ['user']) | map(attribute='role') | join(', ') }}
{{ messages | selectattr('tool_calls', 'defined') | map(attribute='role') | list }} {{ messages | selectattr('tool_calls') | list | length }}
{{ words | sort }} {{ words | sort(reverse=true) }} {{ words | unique | list }} {{ words | map('upper') | join }} {{ words | reverse | list }}
{{ table | items | list }} {{ table | dictsort }} {% for k, v in table.items() %}{{ k }}={{ v }};{% endfor %}{{ table.keys() | list }}
{{ table.get('k') }} {{ table.get('no', 'd') }} {{ table.no is defined }} {{ table['a'] }} {{ 'k' in table }} {{ 'no' not in table }}
{{ none }} {{ true }} {{ 1.0 }} {{ 1e20 }} {{ [1, 'a', none] }} {{ {'a': "it's"} }} {{ (1, 2) | list }}
{{ (1 if nothing is defined else 2) }} {{ 5 // 2 }} {{ -5 // 2 }} {{ -5 % 3 }} {{ 2 ** 3 }} {{ 7 / 2 }} {{ 'a' ~ 1 ~ none }} {{ 1 + 2 * 3 }} {{ 'ab' * 2 }}
{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ not true or true and false }} {{ 3 in [1, 2, 3] }} {{ n is number }} {{ x is float }} {{ n is integer }}
{{ nothing }}|{{ nothing is undefined }}|{{ nothing | default('d') }}|{{ '' | default('e', true) }}|{{ none is none }}|{{ tools is none }}
{{ nothing.attribute }}
{{ nothing + 'a' }}
{{ 'a' + 1 }}
{{ n is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 'a' is string }} {{ table is mapping }} {{ words is iterable }} {{ words is sequence }} {{ n is not string }}
{{ 'Hello' | replace('l', 'L') }} {{ 'aXbX'.replace('X', '', 1) }} {{ 'hello world' | capitalize }} {{ 'hello world' | title }} {{ 'hello'.startswith('he') }} {{ 'hello'.endswith(('x', 'lo')) }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\nb' | indent(width=3, first=True) }}
{{ '<a&"' | e }} {{ '12' | int }} {{ 'z' | int(5) }} {{ '1.5' | float }} {{ 3.7 | int }} {{ 2.567 | round(2) }} {{ -3 | abs }} {{ [1, 2] | sum }} {{ [3, 1] | min }} {{ [3, 1] | max }}
{% macro f(x, y='d') %}[{{ x }}{{ y }}]{% endmacro %}{{ f('q') }}{{ f('q', 'r') }}{{ f(x='k') }}{{ f(y=1, x=2) }}
{% macro f(x) %}{{ x }}{% if x > 0 %}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(1, 7, 2) %}{{ i }}{% endfor %}{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}
{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in [] %}x{% else %}none{% endfor %}{% for i in nothing %}x{% endfor %}{% for i in range(6) if i % 2 %}{{ i }}{{ loop.length }}{% endfor %}
{% for m in messages %}{% for c in m.role %}{{ loop.index }}{% endfor %}{{ loop.index }}.{% endfor %}
{% if n > 8 %}a{% elif n > 6 %}b{% else %}c{% endif %}{{ 'x' if false }}|
{% generation %}inside{% endgeneration %}
{% filter upper %}ab{{ n }}{% endfilter %}{% raw %}{{ not }}{% endraw %}{# comment #}|
{{ "a" "b" }} {{ 'it\'s' }} {{ "\x41\u00e9\t|" }} {{ "\d" }}
{{ '%s' }}{{ loop is defined }}{{ loop }}
{{ messages[0].content[0] }}{{ messages[0]['no'] }}{{ messages[9] }}|
{{ messages[9].role }}
{{ words.append('x') }}
{{ ''.__class__ }}|
{{ [].__class__.__mro__ }}
{% include 'x' %}
{{ words | first }}{{ words | last }}{{ [] | first }}{{ 'äb' | first }}{{ 'äb' | length }}
{{ '  a ' | trim | length }}{{ 'xxaxx'.strip('x') }}{{ 'ab'.find('b') }}{{ 'äb'.find('b') }}{{ 'ab'.count('a') }}{{ 'A1'.isdigit() }}{{ ', '.join(words) }}
{{ not 'a' in 'abc' }} {{ 'b' in 'abc' and 'z' not in 'abc' }} {{ {} is mapping }} {{ messages[2].tool_calls[0].arguments | tojson }}
{{ words | select('in', ['a', 'b']) | list }} {{ [0, 1, 2] | reject('equalto', 1) | list }} {{ [0, 1] | select | list }}
{{ words | join(', ') }} {{ messages | join('|', attribute='role') }} {{ [1, 2] + [3] }} {{ (words | list)[0] }} {{ words | length > 3 }}
{{- ' a ' -}}   b {{- ' c' }}
{{ {'a': 1, 'b': {'c': [1]}}.b.c[0] }} {{ 1.5 }} {{ 0.1 + 0.2 }} {{ 10 / 2 }} {{ 1_000 }}
{{ 'a' if n == 7 else 'b' if n == 8 else 'c' }} {{ ('x', 'y')[1] }} {{ dict(a=1).a }} {{ loop.cycle if false else 'k' }}
{% for i in range(4) %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i // 2) }}{% endfor %}
{{ 'x' is in ['x'] }} {{ 5 is gt 3 }} {{ 'a' is eq 'a' }} {{ true is true }} {{ 1 is true }} {{ none is not none }} {{ 'AB' is upper }}
{{ x | string + 'a' }} {{ x | int }} {{ n | float }} {{ 'a' ~ (n + 1) }} {{ -n }} {{ +n }} {{ - n + 1 }}
{{ {'b': 1, 'a': 2} | tojson }} {{ 'ü\u2028' | tojson }} {{ [1, [2, {'x': none}]] | tojson(indent=1) }}
{{ 1 if }}
{% if %}{% endif %}
{% for x in y %}
{% endif %}
{{ a b }}
{{ 'open }}
{{ [1, 2 }}
{{ 1 / 0 }}
{{ range(3) | list }} {{ 'abc' | list }} {{ messages | map(attribute='content') | map('trim') | list }} {{ words | map(attribute='0') | list }}
""".strip("\n").split("\n")

PROGRAMS += [
    "{%- for m in messages %}\n    {%- if loop.first %}\n        {{- 'x' }}\n    {%- endif %}\n{%- endfor %}\nend\n",
    "{% for m in messages %}\n  {% if true %}\nrow {{ m.role }}\n  {% endif %}\n{% endfor %}\n",
    "a\n   {# c #}\n b {# d #} e\n  {%+ if true %} f {%+ endif %}\ng {%- if true +%}\n h\n{% endif -%}\n\n  i",
    "  {% if true %}  x  {% endif %}  \n  {{ n }}  \n\n",
    "\r\na\r\n{% set x = 1 %}\r\nb{{ x }}\r\n",
    "{% set x = {\n 'a': [1,\n 2]} %}\n{{ x.a[1]\n }}{{ '}}' }}{{ '%}' }}",
    "{%- macro call(t, depth=0) -%}\n  {%- if t is mapping -%}\n    {%- for k, v in t | items -%}{{ k }}({{ call(v, depth + 1) }}){%- endfor -%}\n  {%- elif t is string -%}'{{ t }}'\n  {%- else -%}{{ t }}@{{ depth }}\n  {%- endif -%}\n{%- endmacro -%}\n{{ call({'a': {'b': 'c'}, 'd': 4}) }}",
    "{{ messages[2].tool_calls[0]['arguments'].items() | list }}\n\n",
    "{% raw -%}\n  {{ x }} {%- endraw %} y",
    "{% set loop_messages = messages %}\n{% if messages[0]['role'] == 'system' %}\n    {% set loop_messages = messages[1:] %}\n    {% set system = messages[0]['content'] %}\n{% endif %}\n{% for m in loop_messages %}\n    {% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}\n        {{ raise_exception('order') }}\n    {% endif %}\n    {{ m['role'] + ': ' + m['content'] | trim }}\n{% endfor %}",
]

cases = []
for program in PROGRAMS:
    case = {"program": program}
    try:
        case["out"] = _compile_jinja_template(program).render(**VARS)
    except Exception as e:
        case["error"] = True
        if type(e).__name__ == "TemplateError":
            case["raised"] = str(e)
    cases.append(case)
json.dump({"vars": VARS, "cases": cases}, sys.stdout, indent=1, ensure_ascii=False)
print()
