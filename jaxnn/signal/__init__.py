"""``jaxnn.signal``: windows for spectra."""

from ..core.process.late import imported as _imported
from . import windows

__all__ = ["windows"]

_imported(__name__)
