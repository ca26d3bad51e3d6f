"""Pictures: matplotlib's figures, without a display or global state, and a viewer of attention."""

from typing import TYPE_CHECKING

from flax_transformer.lazy_names import lazy_names

if TYPE_CHECKING:
    from flax_transformer.visualization.activations import plot_activations
    from flax_transformer.visualization.attention_maps import plot_attention, plot_mask
    from flax_transformer.visualization.attention_steps import plot_attention_steps
    from flax_transformer.visualization.attention_view import AttentionView, view_attention
    from flax_transformer.visualization.curves import plot_curves, read_curve
    from flax_transformer.visualization.encodings import plot_encodings
    from flax_transformer.visualization.grid_similarity import plot_grid_similarity
    from flax_transformer.visualization.images import plot_images
    from flax_transformer.visualization.label_smoothing import plot_label_smoothing
    from flax_transformer.visualization.lookup import plot_lookup
    from flax_transformer.visualization.matrices import plot_matrices
    from flax_transformer.visualization.normalization_picture import plot_normalization
    from flax_transformer.visualization.pictures import save_picture
    from flax_transformer.visualization.position_pictures import (
        plot_by_length,
        plot_positions,
        plot_scheme,
    )
    from flax_transformer.visualization.saturation import plot_saturation
    from flax_transformer.visualization.schedules import plot_schedules
    from flax_transformer.visualization.search_tree_picture import plot_search_tree
    from flax_transformer.visualization.wishes_picture import plot_wishes

# Name -> the module that defines it, imported when the name is first used.
_HOMES = {
    "AttentionView": ".attention_view",
    "plot_activations": ".activations",
    "plot_attention": ".attention_maps",
    "plot_attention_steps": ".attention_steps",
    "plot_by_length": ".position_pictures",
    "plot_curves": ".curves",
    "plot_encodings": ".encodings",
    "plot_grid_similarity": ".grid_similarity",
    "plot_images": ".images",
    "plot_label_smoothing": ".label_smoothing",
    "plot_lookup": ".lookup",
    "plot_mask": ".attention_maps",
    "plot_matrices": ".matrices",
    "plot_normalization": ".normalization_picture",
    "plot_positions": ".position_pictures",
    "plot_saturation": ".saturation",
    "plot_schedules": ".schedules",
    "plot_scheme": ".position_pictures",
    "plot_search_tree": ".search_tree_picture",
    "plot_wishes": ".wishes_picture",
    "read_curve": ".curves",
    "save_picture": ".pictures",
    "view_attention": ".attention_view",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
