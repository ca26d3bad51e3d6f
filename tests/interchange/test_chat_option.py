"""`generate --chat`: an imported model answers by its chat template, and ends at any end token."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import pytest
import tokenizers
from small_folders import write_folder
from tokenizers import decoders, models, pre_tokenizers, processors

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.commands.generate_command import Generate
from flax_transformer.errors import UserError

pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install '.[chat]'")

pytestmark = pytest.mark.usefixtures("quickly_compiled")

SPECIAL = ["<s>", "</s>", "<|user|>", "<|system|>", "<|answer|>"]
TEMPLATE = """{{ bos_token }}
{%- for message in messages %}{{ '<|' + message.role + '|> ' + message.content + ' ' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|answer|>' }}{% endif %}"""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = write_folder("llama", tmp_path_factory.mktemp("published_with_chat", numbered=False))
    words = [*SPECIAL, *(f"w{number}" for number in range(48))]
    vocab = {word: number for number, word in enumerate(words)}
    made = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="w47"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(SPECIAL)
    made.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    made.save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "w47"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**tokens, "chat_template": TEMPLATE}))
    workdir = folder.parent / "run"
    ft.interchange.import_folder(folder, workdir)
    return workdir


def test_an_answer_continues_the_rendered_conversation(workdir, capsys, unchecked_types):
    generator = ft.load(workdir)
    conversation = [{"role": "system", "content": "w3 w1"}, {"role": "user", "content": "w2 w4"}]
    ids = [0, 3, 8, 6, 2, 7, 9, 4]
    assert generator.tokenizer.encode_chats([conversation, conversation]) == [ids, ids]
    logits = jax.jit(generator.model.apply)(generator.variables, jnp.array([ids]))
    best = f"w{logits[0, -1, len(SPECIAL) :].argmax()}"
    (answer,) = generator.chat(conversation, length=5)
    assert (answer.split() or [best])[0] == best
    system = ("--chat", "--system", "w3 w1", "--length", "5")
    main(["generate", "--workdir", str(workdir), *system, "w2 w4"])
    assert capsys.readouterr().out == f"{answer}\n"


def test_a_conversation_needs_a_template(workdir):
    generator = ft.load(workdir)
    tokenizer = generator.tokenizer
    plain = tokenizer.of_model(dataclasses.replace(tokenizer.model, chat_template=""))
    with pytest.raises(UserError, match="no chat template: continue texts without --chat"):
        dataclasses.replace(generator, tokenizer=plain).chat([{"role": "user", "content": "w1"}])


@pytest.mark.parametrize("wrong", ["hi", [], ["hi"], [{"content": "a"}], [{"role": "user"}]])
def test_a_conversation_has_messages_with_role_and_content(workdir, wrong, unchecked_types):
    with pytest.raises(UserError, match="list of messages with a role and a content: give them as"):
        ft.load(workdir).chat(wrong)


@pytest.mark.parametrize("template", ["{% if %}", "{{ x | nothing }}"])
def test_a_broken_template_is_found_before_it_is_used(workdir, template, tmp_path):
    folder = shutil.copytree(workdir.parent / "published_with_chat", tmp_path / "published")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(UserError, match=r"published has a broken chat template \(.*\): correct it"):
        ft.interchange.import_folder(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_only_a_conversation_has_a_message_of_the_system(workdir):
    with pytest.raises(UserError, match="--system is a message of a conversation: give --chat"):
        Generate(texts=("w1",), workdir=workdir, system="w2").run()
