"""Training: recipes, batches made from photos, the stages, and the loop that runs them."""

from manet_cli.training.checkpoints import RunFolder
from manet_cli.training.loop import Outcome, StepReport
from manet_cli.training.recipe import Recipe
from manet_cli.training.recipe_files import RECIPES, load_recipe
from manet_cli.training.run import Photos, Start, train
from manet_cli.training.stage_kinds import STAGES, stage_kind

__all__ = [
    "RECIPES",
    "STAGES",
    "Outcome",
    "Photos",
    "Recipe",
    "RunFolder",
    "Start",
    "StepReport",
    "load_recipe",
    "stage_kind",
    "train",
]
