"""Face detectors behind `sfumato.types.Detector`: one module for each family of networks.

A detector is asked for by a specification such as "centerface@640:0.3" (`parse`), or made
directly: ``from sfumato.detection.detectors.yunet import YuNet``. Importing this package
loads no runtime.
"""

from __future__ import annotations

from sfumato.detection.detectors.registry import names, parse

__all__ = ["names", "parse"]
