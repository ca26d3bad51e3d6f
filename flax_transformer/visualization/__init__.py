"""Pictures: Matplotlib figures without a display or global state, and a viewer of attention."""

from typing import TYPE_CHECKING

from flax_transformer.lazy_names import lazy_names

if TYPE_CHECKING:
    from flax_transformer.visualization.ablation_picture import plot_ablation
    from flax_transformer.visualization.attention_maps import (
        plot_attention,
        plot_attention_steps,
        plot_mask,
    )
    from flax_transformer.visualization.attention_view import (
        AttentionView,
        view_attention,
        view_readings,
    )
    from flax_transformer.visualization.curves import plot_curves, plot_schedules, read_curve
    from flax_transformer.visualization.encodings import plot_encodings, plot_grid_similarity
    from flax_transformer.visualization.formula_pictures import (
        plot_activations,
        plot_label_smoothing,
        plot_saturation,
    )
    from flax_transformer.visualization.grid import Grid
    from flax_transformer.visualization.images import plot_images
    from flax_transformer.visualization.length_pictures import plot_lengths
    from flax_transformer.visualization.lines import plot_lines
    from flax_transformer.visualization.matrices import (
        plot_lookup,
        plot_matrices,
        plot_normalization,
    )
    from flax_transformer.visualization.pictures import save_picture
    from flax_transformer.visualization.position_pictures import (
        plot_by_length,
        plot_positions,
        plot_scheme,
        plot_wishes,
    )
    from flax_transformer.visualization.proof_picture import plot_proofs
    from flax_transformer.visualization.reading import Reading
    from flax_transformer.visualization.search_tree_picture import plot_search_tree

# Name -> the module that defines it, imported on first use.
_HOMES = {
    "AttentionView": ".attention_view",
    "Grid": ".grid",
    "plot_ablation": ".ablation_picture",
    "plot_activations": ".formula_pictures",
    "plot_attention": ".attention_maps",
    "plot_attention_steps": ".attention_maps",
    "plot_by_length": ".position_pictures",
    "plot_curves": ".curves",
    "plot_encodings": ".encodings",
    "plot_grid_similarity": ".encodings",
    "plot_images": ".images",
    "plot_label_smoothing": ".formula_pictures",
    "plot_lengths": ".length_pictures",
    "plot_lines": ".lines",
    "plot_lookup": ".matrices",
    "plot_mask": ".attention_maps",
    "plot_matrices": ".matrices",
    "plot_normalization": ".matrices",
    "plot_positions": ".position_pictures",
    "plot_proofs": ".proof_picture",
    "plot_saturation": ".formula_pictures",
    "plot_schedules": ".curves",
    "plot_scheme": ".position_pictures",
    "plot_search_tree": ".search_tree_picture",
    "plot_wishes": ".position_pictures",
    "read_curve": ".curves",
    "Reading": ".reading",
    "save_picture": ".pictures",
    "view_attention": ".attention_view",
    "view_readings": ".attention_view",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
