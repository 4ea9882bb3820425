"""The list of training stages: what else needs to know of each; `stages` holds what they compute.

To add one: add its row here, its module and its entry in `stages`, and its table in a recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STAGES", "STAGE_KINDS", "StageKind", "stage_kind"]


@dataclass(frozen=True)
class StageKind:
    """A stage.

    Attributes:
        name: as the user gives it.
        learns: the network that is trained, `estimator` or `restorer`.
        judged_by: the figure of the validation, in dB, that is said at the end.
        keeps_best: whether a higher figure is better: such weights are kept, and a loss is said.
        goes_on: whether it begins from weights of both networks, and of no other scale.
        adversarial: whether a discriminator is trained beside the network.
    """

    name: str
    learns: str
    judged_by: str
    keeps_best: bool = True
    goes_on: bool = False
    adversarial: bool = False


STAGE_KINDS = (
    StageKind("manet", learns="estimator", judged_by="kernel_psnr"),
    StageKind("sr", learns="restorer", judged_by="nonblind_psnr_y"),
    StageKind("finetune", learns="restorer", judged_by="psnr_y", goes_on=True),
    StageKind(
        "crisp", learns="restorer", judged_by="psnr_y", keeps_best=False, goes_on=True, adversarial=True
    ),
)
"""In the order in which they are trained."""

STAGES = tuple(kind.name for kind in STAGE_KINDS)


def stage_kind(name: str) -> StageKind:
    """Return the row of a stage's name."""
    return next(kind for kind in STAGE_KINDS if kind.name == name)
