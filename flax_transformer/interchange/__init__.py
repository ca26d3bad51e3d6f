"""Exchange of weights: published folders as our models, and our models as such folders."""

from flax_transformer.interchange.ctranslate2.exported_ctranslate2 import export_ctranslate2
from flax_transformer.interchange.exported_adapters import export_adapter
from flax_transformer.interchange.exported_folders import export_folder
from flax_transformer.interchange.exported_runs import export_run
from flax_transformer.interchange.families import FAMILIES
from flax_transformer.interchange.imported_runs import import_folder
from flax_transformer.interchange.programs.exported_page import export_page
from flax_transformer.interchange.programs.exported_programs import export_programs
from flax_transformer.interchange.published_adapters import merge_adapter
from flax_transformer.interchange.published_folders import open_published, parameters
from flax_transformer.interchange.published_runs import from_pretrained

__all__ = [
    "FAMILIES",
    "export_adapter",
    "export_ctranslate2",
    "export_folder",
    "export_page",
    "export_programs",
    "export_run",
    "from_pretrained",
    "import_folder",
    "merge_adapter",
    "open_published",
    "parameters",
]
