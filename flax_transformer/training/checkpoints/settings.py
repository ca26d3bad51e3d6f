"""Settings of experiments by name, and those that differ between two experiments."""

from flax_transformer.errors import option
from flax_transformer.experiment import Experiment


def differing_settings(first: Experiment, second: Experiment) -> dict[str, tuple[object, object]]:
    """Returns the two values of every setting that differs; None where a part lacks the setting.

    Example:
        >>> differing_settings(Experiment(), Experiment(seed=3))
        {'seed': (0, 3)}
    """
    before, after = flat_settings(first), flat_settings(second)
    return {
        name: (before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    }


def flat_settings(experiment: Experiment) -> dict[str, object]:
    """Returns all settings of an experiment by name, such as "training.num_steps"."""
    return _flat(experiment.to_json())


def setting_option(setting: str) -> str:
    """Returns the option of a setting; the kind of a part has none.

    Example:
        >>> setting_option("model.num_layers"), setting_option("model.kind")
        ('--model.num-layers', 'model.kind')
    """
    return setting if setting.endswith(".kind") else option(setting)


def _flat(tree: dict, prefix: str = "") -> dict[str, object]:
    """Flattens nested dictionaries to names with dots."""
    leaves = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        leaves |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return leaves
