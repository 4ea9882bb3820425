"""Progress of a batch, and durations in words."""

from __future__ import annotations

import pytest

from manet_cli.jobs.durations import duration
from manet_cli.jobs.progress import BatchProgress


def test_the_pace_of_a_batch() -> None:
    now = 100.0
    shown = []
    batch = BatchProgress(
        [0, 30, 10], lambda batch: shown.append((batch.description, batch.line())), lambda: now
    )
    assert (batch.share, batch.remaining()) == (0, None)
    with batch.picture("large", 30) as large, batch.picture("small", 10) as small:
        now += 10
        large(0.5)
        small(0.5)
        assert (batch.share, batch.remaining()) == (0.5, 10)
    with batch.picture("skipped", 0):
        pass
    assert batch.share == 1
    assert shown[0] == ("1/2 large", "0 of 2 pictures, 0%")
    assert ("1/2 large", "0 of 2 pictures, 38%, about 17 s left") in shown
    assert shown[-1] == ("", "2 of 2 pictures, 100%, about 0.0 s left")


def test_the_bar_names_the_picture_at_work_and_waits_for_the_file() -> None:
    batch = BatchProgress([10, 10], lambda batch: None)
    with batch.picture("first", 10) as first, batch.picture("second", 10) as second:
        second(0.0)
        assert batch.description == "1/2 second", "the networks have begun with it"
        first(1.0)
        assert (batch.description, batch.finishing) == ("2/2 second", False)
        second(1.0)
        assert (batch.description, batch.finishing) == ("1/2 first, finishing", True)
        assert 0.9 < batch.share < 1, "computed is not written"
    assert (batch.share, batch.finishing) == (1, False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_giving_up_is_no_progress(error: type[BaseException]) -> None:
    shares = []
    batch = BatchProgress([10, 10], lambda batch: shares.append(batch.share))

    def give_up() -> None:
        with batch.picture("first", 10) as first:
            first(0.5)
            raise error

    with pytest.raises(error):
        give_up()
    assert max(shares) == 0.25
    assert batch.line().startswith("0 of 2 pictures, 0%")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (3e5, "3 d 11 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
