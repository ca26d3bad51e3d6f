"""Tasks: from an example to a batch, a loss, a metric and a prediction."""

from typing import TYPE_CHECKING

from flax_transformer.lazy_names import lazy_names

if TYPE_CHECKING:
    from flax_transformer.tasks.ablation import Ablation, Part, by_kind, mean_outputs
    from flax_transformer.tasks.output_probability import output_log_prob
    from flax_transformer.tasks.tracing import Trace, trace

# Name -> the module that defines it, imported on first use.
_HOMES = {
    "Ablation": ".ablation",
    "by_kind": ".ablation",
    "mean_outputs": ".ablation",
    "output_log_prob": ".output_probability",
    "Part": ".ablation",
    "Trace": ".tracing",
    "trace": ".tracing",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
