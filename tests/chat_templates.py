"""Chat templates in the manner of four published families."""

CHATML = """
{%- if messages[0]['role'] != 'system' -%}
    {{- '<|im_start|>system\\nYou answer briefly.<|im_end|>\\n' -}}
{%- endif -%}
{% for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}
{% endfor %}
{% if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' -}}
{% endif %}
"""
LLAMA = """
{{- bos_token }}
{%- set system = '' %}
{%- if messages[0].role == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- '<|start|>system<|end|>\\n\\nYear: ' + strftime_now('%Y') + '\\n' + system + '<|eot|>' }}
{%- for message in messages if message.content is defined %}
    {%- if loop.index0 > 7 %}{% break %}{% endif %}
    {{- '<|start|>' ~ message.role ~ '<|end|>\\n\\n' ~ message.content | trim ~ '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}
"""
MISTRAL = """
{%- set user = namespace(number=0) -%}
{{ bos_token }}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must alternate: user, assistant, user, assistant.') }}
    {%- endif %}
    {%- if message.role == 'user' %}
        {%- set user.number = user.number + 1 %}
        {{- ' [INST] ' + message['content'] + ' [/INST]' }}
    {%- else %}
        {%- generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}
    {%- endif %}
{%- endfor -%}
{{ ' ' ~ user.number }}
"""
GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{{ raise_exception('System role not supported') }}{% endif %}
{% for message in messages %}
    {% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{% endfor %}
{{ unknown_name }}{{ messages[0] | tojson(indent=2) }}
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""
TEMPLATES = {"chatml": CHATML, "llama": LLAMA, "mistral": MISTRAL, "gemma": GEMMA}

QUESTION = [{"role": "user", "content": " What is <b>tz & ß</b>? "}]
ANSWERED = [
    *QUESTION,
    {"role": "assistant", "content": "A <|im_end|> letter."},
    {"role": "user", "content": "Why?"},
]
SYSTEM = [{"role": "system", "content": "Answer in verse. "}, *QUESTION]
CONVERSATIONS = {"question": QUESTION, "answered": ANSWERED, "system": SYSTEM}
TOKENS = ("<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>", "<|eot|>", "<s>", "</s>")
