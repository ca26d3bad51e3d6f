"""Double precision within a block, on every supported version of JAX."""

from typing import Any

import jax
import jax.experimental

_older: Any = jax.experimental
# jax.enable_x64 is newer than jax 0.7.2; the older name is deprecated where the newer one exists.
enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else _older.enable_x64
