"""Recipes: the published figures, overrides, and errors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from manet_cli.errors import InputError, UsageError
from manet_cli.training.optimization import learning_rate
from manet_cli.training.recipe import Recipe
from manet_cli.training.recipe_files import RECIPES, load_recipe, parse_recipe
from manet_cli.training.stage_kinds import STAGES
from tests.guard import guarded

PAPER = {
    # stage: iterations, second moment's decay, learning rate at the first step and after one halving
    "manet": (300_000, 0.999, 2e-4, 50_000),
    "sr": (480_000, 0.99, 2e-4, 120_000),
    "finetune": (200_000, 0.999, 5e-5, 50_000),
}


@pytest.mark.parametrize("stage", PAPER)
def test_the_paper_recipe_is_the_supplementary(stage: str) -> None:
    recipe = load_recipe(stage, 4, name="paper", options={})
    iterations, beta2, rate, halving = PAPER[stage]
    assert (recipe.iterations, recipe.batch_size, recipe.patch_size) == (iterations, 16, 192)
    assert (recipe.optimizer.beta1, recipe.optimizer.beta2) == (0.9, beta2)
    for step, expected in ((0, rate), (halving - 1, rate), (halving, rate / 2), (3 * halving, rate / 8)):
        progress = step / iterations
        assert learning_rate(recipe.optimizer, recipe.schedule, step, progress) == pytest.approx(expected)
    assert recipe.blur.elongated_share == recipe.loss.divergence_until == recipe.optimizer.clip == 0
    assert not recipe.initialization.unit_variance


@pytest.mark.parametrize("stage", PAPER)
def test_the_robust_recipe_keeps_data_batch_patch_and_iterations(stage: str) -> None:
    paper, robust = (load_recipe(stage, 4, name=name, options={}) for name in ("paper", "robust"))
    for name in ("iterations", "batch_size", "patch_size", "degradation", "network"):
        assert getattr(paper, name) == getattr(robust, name)
    assert (paper.optimizer.beta1, paper.optimizer.beta2) == (robust.optimizer.beta1, robust.optimizer.beta2)


def test_the_cosine_ends_at_zero_by_steps_or_by_time() -> None:
    recipe = load_recipe("sr", 4, options={})
    late = learning_rate(recipe.optimizer, recipe.schedule, 500, 1.0)
    middle = learning_rate(recipe.optimizer, recipe.schedule, 500, 0.5)
    assert late == pytest.approx(0, abs=1e-12)
    assert middle == pytest.approx(recipe.optimizer.learning_rate / 2)
    first = learning_rate(recipe.optimizer, recipe.schedule, 0, 0.0)
    assert first == pytest.approx(recipe.optimizer.learning_rate / recipe.schedule.warmup)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_what_follows_from_the_scale_is_computed(scale: int) -> None:
    recipe = load_recipe("manet", scale, options={})
    assert recipe.kernel_range.low == pytest.approx(0.175 * scale)
    assert recipe.kernel_range.high == pytest.approx(2.5 * scale)
    assert recipe.lr_patch * scale == recipe.patch_size
    along, across = recipe.elongated_ranges
    assert across.low >= recipe.kernel_range.low
    assert across.high < along.low < along.high <= recipe.kernel_range.high


@pytest.mark.parametrize(
    ("name", "stage"),
    [(name, stage) for name in RECIPES for stage in STAGES if name != "paper" or stage in PAPER],
)
def test_a_written_recipe_is_read_as_the_same(name: str, stage: str, tmp_path: Path) -> None:
    recipe = load_recipe(stage, 3, name=name, options={"seed": 7, "max_minutes": 2.5})
    assert parse_recipe(recipe.to_toml(), "config.toml") == recipe
    config = tmp_path / "config.toml"
    config.write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(stage, 3, name="robust", config=config, options={}) == recipe


def test_a_stage_table_of_a_users_file_holds_for_that_stage_alone(make_recipe: Callable[..., Recipe]) -> None:
    toml = "[optimizer]\nclip = 5.0\n[stage.sr.optimizer]\nlearning_rate = 1\n"
    sr, manet = make_recipe("sr", toml), make_recipe("manet", toml)
    assert (sr.optimizer.learning_rate, sr.optimizer.clip) == (1.0, 5.0)
    assert (manet.optimizer.learning_rate, manet.optimizer.clip) == (1e-3, 5.0)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("learning_rat = 1.0", "there is no key 'learning_rat'"),
        ("[optimizer]\nlearning_rat = 1.0", "there is no key 'learning_rat'"),
        ("[stage.mannet]\nseed = 1", "'mannet' is not a stage"),
        ("batch_size = '16'", "expected a whole number"),
        ("batch_size = 16.0", "expected a whole number"),
        ("compile = 1", "expected true or false"),
        ("blur = 3", "expected a table"),
        ("batch_size = 0", "expected 1 or more"),
        ("patch_size = 190", "multiple of the scale"),
        ("patch_size = 8", "32 or more"),
        ("[loss]\nreblur = -1.0", "reblur = -1.0, expected 0 or more"),
        ("[blur]\nvariance_exponent = 0.0", "variance_exponent = 0.0, expected more than 0"),
        ("[blur]\nelongated_share = 1.5", "from 0 to 1"),
        ("[discriminator]\nbound = 1.5", "bound = 1.5, expected a number from 0 to 1"),
        ("[discriminator]\nbeta1 = 1.0", "beta1 = 1.0, expected a number from 0 to less than 1"),
        ("[discriminator]\nclip = -1.0", "discriminator.clip = -1.0, expected 0 or more"),
        ("[loss]\nadversarial = -0.1", "adversarial = -0.1, expected 0 or more"),
        ("[loss]\nadversarial_warmup = -1", "adversarial_warmup = -1, expected 0 or more"),
        ("[blur]\nelongated_share = nan", "from 0 to 1"),
        ("[degradation.noise]\nhighest = -1", "highest = -1.0, expected a number from 0 to 255"),
        ("[degradation.jpeg]\nlowest = 90\nhighest = 70", "lowest = 90, expected a number from 1 to 70"),
        ("[degradation.jpeg]\nshare = 1.5", "share = 1.5, expected a number from 0 to 1"),
        ("[degradation.fog]\nshare = 0.5", "there is no key 'fog'; expected noise, sharpen, jpeg"),
        ("[degradation]\nnoise = 15", "noise = 15, expected a table"),
        ("degradation = 3", "3, expected a table"),
        ("[optimizer]\nlearning_rate = inf", "expected 0 or more"),
        ("[schedule]\nkind = 'cosin'", "expected cosine, halving, constant"),
        ("[report]\nnumber_format = 'int8'", "expected float16, float32"),
        ("precision = 'half'", "expected auto, fp32, bf16, fp16"),
        ("seed = ", "not valid TOML"),
        ("scale = 2", "is for scale 2"),
        ("stage = 'sr'", "is for stage sr"),
        ("[stage]\nmanet = 3", "stage.manet = 3, expected a table"),
        ("[optimizer]\nbeta2 = 1.0", "beta2 = 1.0, expected a number from 0 to less than 1"),
        ("seed = 9223372036854775808", "seed = 9223372036854775808, expected"),
    ],
)
def test_a_bad_recipe_is_one_sentence(make_recipe: Callable[..., Recipe], toml: str, message: str) -> None:
    options = dict.fromkeys(("batch_size", "patch_size", "precision"))
    with pytest.raises(UsageError, match=message.replace("'", "['\"]")):
        make_recipe("manet", toml, **options)


def test_the_scale_of_the_file_holds_where_none_is_given(tmp_path: Path) -> None:
    assert load_recipe("sr", None, options={}).scale == 4
    (tmp_path / "two.toml").write_text("scale = 2\n", encoding="utf-8")
    assert load_recipe("sr", None, config=tmp_path / "two.toml", options={}).scale == 2


def test_unknown_names_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stage='psnr'"):
        load_recipe("psnr", 4, options={})
    with pytest.raises(UsageError, match="recipe='paper' has no stage crisp"):
        load_recipe("crisp", 4, name="paper", options={"iterations": 10})
    with pytest.raises(UsageError, match="recipe='mine'"):
        load_recipe("sr", 4, name="mine", options={})
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe("sr", 4, config=tmp_path / "none.toml", options={})


def test_a_patch_must_hold_a_kernel_to_be_reblurred(make_recipe: Callable[..., Recipe]) -> None:
    toml = "[loss]\nreblur = 1.0\n"
    assert make_recipe(toml=toml, scale=2, patch_size=24).loss.reblur == 1
    with pytest.raises(UsageError, match="22 is too small for reblur, expected 24"):
        make_recipe(toml=toml, scale=2, patch_size=22)


@pytest.mark.parametrize(
    "content",
    [
        *(b"a = " + b"[" * 20_000, b"a = " + b"1" * 5000, b"\xff\xfe", b"\0"),
        *(b"a" + b".a" * times + b" = 1" for times in (12_000, 50_000)),
    ],
)
def test_a_hostile_file_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with guarded(), pytest.raises((InputError, UsageError)):
        load_recipe("sr", 4, config=path, options={})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_file_without_an_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with guarded(), pytest.raises(InputError, match="it is not a regular file"):
            load_recipe("sr", 4, config=path, options={})
