"""Exchange of weights: published folders as our models, and our models as such folders."""

from flax_transformer.interchange.exported_folders import export_folder
from flax_transformer.interchange.families import FAMILIES
from flax_transformer.interchange.published_folders import open_published, parameters

__all__ = ["FAMILIES", "export_folder", "open_published", "parameters"]
