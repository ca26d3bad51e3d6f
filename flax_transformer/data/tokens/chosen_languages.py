"""The languages of a translator that knows several."""

import dataclasses
import json

from flax_transformer.data.tokens.published_tokenizer import PublishedTokenizer
from flax_transformer.data.tokens.special_tokens import CONFIG, WHOLE


def choose_languages(
    tokenizer: PublishedTokenizer, source: str | None, target: str | None
) -> PublishedTokenizer:
    """Returns the same tokenizer for texts of other languages, also in its files.

    Args:
        tokenizer: of a translator.
        source: of the texts that are read, as the tokenizer spells its mark; None: as before.
        target: of the translations; None: as before.

    Raises:
        UserError: if the tokenizer has no such marks.
    """
    model, made, names = tokenizer.model, tokenizer, {}
    if source is not None:
        number = tokenizer.language_id("--source-language", source)
        made, names["src_lang"] = tokenizer.marking(number).of_model(model), source
    if target is not None:
        number = tokenizer.language_id("--target-language", target)
        # A decoder begins with the language, or writes it after its begin mark.
        begins = model.begin is None or model.begin not in tokenizer.special.given
        begin, forced = (number, ()) if begins else (model.begin, (number,))
        changed = {"begin": begin, "forced": forced, "target_language": number}
        made, names["tgt_lang"] = made.of_model(dataclasses.replace(model, **changed)), target
    if not names:
        return tokenizer
    made.files = dict(tokenizer.files)
    if WHOLE in made.files:
        made.files[WHOLE] = made.text_of_json().encode()
    if CONFIG in made.files:
        made.files[CONFIG] = json.dumps(json.loads(made.files[CONFIG]) | names).encode()
    return made
