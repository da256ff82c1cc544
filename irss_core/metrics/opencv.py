"""OpenCV, loaded when first needed: its package is there, but the system libraries it links to may not be."""

from __future__ import annotations

from types import ModuleType

from irss_core.errors import ResourceError


def opencv() -> ModuleType:
    """Return the cv2 module.

    Raises:
        ResourceError: it cannot be imported; says what to install.
    """
    try:
        import cv2
    except ImportError as error:
        raise ResourceError(
            f"OpenCV cannot be loaded ({error}). Run `python -m pip install --force-reinstall --no-deps "
            "opencv-python-headless`, which needs no system library; or, on Debian, `apt-get install libgl1`."
        ) from error
    return cv2
