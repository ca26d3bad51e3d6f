import json

from flax_transformer.data.datasets.datasets import DATASETS
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.models.zoo import ZOO, count_parameters
from flax_transformer.tasks.tasks import TASKS
from flax_transformer.training.optimizer.update_rules import OPTIMIZERS

PAIRS = ("t5-small", "flan-t5-small", "bart-base", "opus-mt-en-de", "pegasus-xsum")


def test_the_list_names_all_there_is(run):
    listed = json.loads(run("list", "--json", "--vocab-size", "307").out)
    assert listed["vocab_size"] == 307
    assert {name: row["parameters"] for name, row in listed["presets"].items()} == {
        name: count_parameters(ZOO[name].config, 307) for name in ("tiny", "small", "base", "big")
    }
    assert {*listed["presets"], *listed["variations"], *listed["models"]} == set(ZOO)
    assert set(PAIRS) < set(listed["models"])
    assert listed["models"]["t5-small"]["layers"] == "6+6"
    assert listed["models"]["ViT-B/16"]["parameters"] == 86_567_656
    assert set(listed["datasets"]) == {*DATASETS, "NAME/CONFIG"}
    assert set(listed["positions"]) == set(SCHEMES)
    assert set(listed["tasks"]) == set(TASKS)
    assert set(listed["optimizers"]) == set(OPTIMIZERS)
    table = run("list").out
    names = (*ZOO, *DATASETS, *SCHEMES, *TASKS, *OPTIMIZERS)
    assert all(name in table for name in names)
    assert f"{count_parameters(ZOO['base'].config, 37_000):,}" in table
