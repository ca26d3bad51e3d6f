"""Chat templates give the ids of `apply_chat_template` of transformers."""

import pytest
import tokenizers
from chat_templates import CONVERSATIONS, TEMPLATES, TOKENS
from tokenizers import decoders, models, pre_tokenizers, processors

from flax_transformer.data.tokens.published_folder import (
    read_chat_template,
    read_published_tokenizer,
)
from flax_transformer.data.tokens.published_tokenizer import OfModel
from flax_transformer.errors import UserError

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install '.[parity]'"
)


def tokenizer_of(template: object):
    """A tokenizer of bytes that puts a begin mark before a text, as that of Llama."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(TOKENS))
    marks = [("<s>", made.token_to_id("<s>"))]
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=marks)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>"
    )
    fast.chat_template = template
    return fast


@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_of_a_conversation_are_those_of_transformers(name, tmp_path):
    judge = tokenizer_of(TEMPLATES[name])
    judge.save_pretrained(tmp_path)
    ours, _ = read_published_tokenizer(tmp_path)
    ours = ours.of_model(OfModel(chat_template=read_chat_template(tmp_path)))
    accepted, expected = [], []
    for conversation in CONVERSATIONS.values():
        try:
            ids = judge.apply_chat_template(
                conversation, add_generation_prompt=True, return_dict=False
            )
        except Exception as refused:
            with pytest.raises(UserError, match=str(refused).rstrip(".")):
                ours.encode_chats([conversation])
        else:
            accepted.append(conversation)
            expected.append(ids)
    assert len(accepted) >= 2
    assert ours.encode_chats(accepted) == expected
    assert ours.encode("x", marked=True)[0] == judge.bos_token_id


@pytest.mark.parametrize("is_file", [True, False], ids=["a file", "in the config"])
def test_templates_are_read_where_transformers_writes_them(is_file, tmp_path):
    fast = tokenizer_of({"default": "{{ messages | length }}", "tools": "other"})
    fast.save_pretrained(tmp_path, save_jinja_files=is_file)
    assert (tmp_path / "chat_template.jinja").exists() == is_file
    assert read_chat_template(tmp_path) == "{{ messages | length }}"
