"""Training: recipes, batches made from photos, the three stages, and the loop that runs them."""

from manet_cli.training.checkpoints import RunFolder
from manet_cli.training.loop import Outcome, StepReport
from manet_cli.training.recipe import STAGES, Recipe
from manet_cli.training.recipe_files import RECIPES, load_recipe
from manet_cli.training.run import Photos, Start, train
from manet_cli.training.validation import BEST_BY

__all__ = [
    "BEST_BY",
    "RECIPES",
    "STAGES",
    "Outcome",
    "Photos",
    "Recipe",
    "RunFolder",
    "Start",
    "StepReport",
    "load_recipe",
    "train",
]
