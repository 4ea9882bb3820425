"""The list of training stages and their properties; `stages` computes their losses.

To add one: add its row here, its module and its entry in `stages`, and its table in a recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STAGES", "STAGE_KINDS", "StageKind", "stage_kind"]


@dataclass(frozen=True)
class StageKind:
    """A stage.

    Attributes:
        name: the user's name for it.
        learns: the network to train, `estimator` or `restorer`.
        judged_by: the validation figure, in dB, that is reported at the end.
        keeps_best: whether a higher figure is better; then the best weights are kept and a loss is reported.
        goes_on: whether it needs weights of both networks, of its own scale.
        adversarial: whether a discriminator is trained too.
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
"""In training order."""

STAGES = tuple(kind.name for kind in STAGE_KINDS)


def stage_kind(name: str) -> StageKind:
    """Return the row of a stage's name."""
    return next(kind for kind in STAGE_KINDS if kind.name == name)
