"""What is known about every post: the join that turns a pair of ids into everything features are looked up by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlsys.core import UNKNOWN_ID, MlsysError, microseconds

LARGEST = np.iinfo(np.int64).max


class Catalogue:
    """Post id → creator, topic, length, creation time; one function for logs and for requests.

    posts : frame with post_id (0, 1, 2, …), creator_id, topic (0 to topics - 1), length, created (datetime64).
    """

    def __init__(self, posts: pd.DataFrame, *, topics: int) -> None:
        if not np.array_equal(posts["post_id"].to_numpy(), np.arange(len(posts))):
            raise MlsysError(
                "the catalogue's post_id does not count 0, 1, 2, …",
                why="posts are looked up by position",
                fix="sort by post_id and fill the gaps",
            )
        self.topics = topics
        # One row more than posts: position -1 answers for ids that are not in the catalogue.
        self._creator = np.append(posts["creator_id"].to_numpy(np.int64), UNKNOWN_ID)
        self._topic = np.append(posts["topic"].to_numpy(np.int64), UNKNOWN_ID)
        self._length = np.append(posts["length"].to_numpy(np.float64), np.nan)
        self._created = np.append(microseconds(posts["created"]).astype(np.float64), np.nan)

    def join(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The rows and, all (n,): creator_id, topic, length, created (float64 microseconds), user_topic.

        `rows` needs `user_id` and `post_id`. An unknown post has creator, topic and user_topic -1, the rest NaN.
        """
        post, user = np.asarray(rows["post_id"]), np.asarray(rows["user_id"])
        at = np.where((post >= 0) & (post < len(self._creator) - 1), post, -1)
        topic = self._topic[at]
        # Beyond the last bound the product would wrap round, and be somebody else's key.
        known = (topic >= 0) & (user >= 0) & (user < LARGEST // self.topics)
        key = np.where(known, np.where(known, user, 0) * self.topics + topic, UNKNOWN_ID)
        return {
            **rows,
            "creator_id": self._creator[at],
            "topic": topic,
            "length": self._length[at],
            "created": self._created[at],
            "user_topic": key,
        }

    def join_log(self, events: pd.DataFrame) -> pd.DataFrame:
        """A log with the columns of `join` and device_code: 0, 1, 2 as in the log's categories, -1 unknown."""
        keys = {name: events[name].to_numpy(np.int64) for name in ("user_id", "post_id")}
        return events.assign(**self.join(keys), device_code=events["device"].cat.codes.to_numpy())
