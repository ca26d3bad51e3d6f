"""Pictures: matplotlib's figures, without a display or global state, and a viewer of attention."""

from flax_transformer.visualization.attention_view import AttentionView, view_attention

__all__ = ["AttentionView", "view_attention"]
