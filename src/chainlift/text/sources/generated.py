"""Settings that sources of generated problems share."""

from __future__ import annotations

from pydantic import Field

from chainlift.settings import ONLY_MEASURES
from chainlift.text.task import TextTaskSettings


class GeneratedSettings(TextTaskSettings):
    """How many problems there are; a hash decides which of all possible ones are for testing."""

    seed: int = Field(default=0, ge=0)
    """Seed of the problems. It is not the run's seed, so runs of several seeds share their data, as with real data."""
    train_size: int = Field(default=8000, ge=1)
    """Number of training problems."""
    test_size: int = Field(default=1000, ge=1, json_schema_extra=ONLY_MEASURES)
    """Number of test problems."""

    @property
    def num_train(self) -> int:
        """Number of training problems, at most the limit."""
        return min(self.train_size, self.train_limit or self.train_size)

    @property
    def num_test(self) -> int:
        """Number of test problems, at most the limit."""
        return min(self.test_size, self.test_limit or self.test_size)
