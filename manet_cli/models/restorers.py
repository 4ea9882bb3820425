"""The list of restorers.

To add one: write its module (see `rrdb_sft`) and add its entry here. Loading, tiling, training and `doctor`
read the entry.
"""

from __future__ import annotations

from collections.abc import Iterable

from manet_cli.models.restorer import Restorer, RestorerConfig, RestorerKind
from manet_cli.models.rrdb_sft import RRDBSFT, RRDBSFTConfig, initialize, published_layers, rrdb_sft_config

__all__ = ["RESTORERS", "build_restorer", "kind_of_config", "kind_of_names", "restorer_kind"]

RESTORERS = [
    RestorerKind(
        id="rrdb-sft",
        config=RRDBSFTConfig,
        build=RRDBSFT,
        signature="trunk.weight",
        config_of=rrdb_sft_config,
        published=published_layers,
        initialize=initialize,
    ),
]
"""One entry per architecture; the first is the published one."""


def restorer_kind(name: str) -> RestorerKind | None:
    """Return the entry with an id; None if there is none."""
    return next((kind for kind in RESTORERS if kind.id == name), None)


def kind_of_config(config: RestorerConfig) -> RestorerKind:
    """Return the entry of a shape."""
    return next(kind for kind in RESTORERS if kind.config is type(config))


def kind_of_names(names: Iterable[str]) -> RestorerKind:
    """Return the entry that matches a network's tensor names; the first entry if none matches."""
    known = set(names)
    return next((kind for kind in RESTORERS if kind.signature in known), RESTORERS[0])


def build_restorer(config: RestorerConfig) -> Restorer:
    """Build a network from its shape."""
    return kind_of_config(config).build(config)
