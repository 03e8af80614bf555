"""Open Bandit Pipeline's generators, in its own environment: `python obp_cases.py CASE ROUNDS` prints JSON.

Rounds come in batches of 100,000 that are dropped, as the world's days are. A slate of ten posts is ten impressions.
"""

import importlib.util
import json
import resource
import sys
import time
import types
from unittest.mock import MagicMock

PER_MB = 2**20 if sys.platform == "darwin" else 2**10
BATCH = 100_000

# Only `obp.dataset` is wanted. The package's front page imports everything, torch first, which no generator calls.
package = types.ModuleType("obp")
package.__path__ = list(importlib.util.find_spec("obp").submodule_search_locations)
sys.modules.update({"obp": package, "torch": MagicMock()})

from obp.dataset import SyntheticBanditDataset, SyntheticSlateBanditDataset, logistic_reward_function  # noqa: E402


def main(case: str, n: int) -> dict:
    """`bandit`: 10 actions, 5 features, logistic rewards, its quickstart. `slate`: 10 of 50 at random, independent."""
    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if case == "bandit":
        data = SyntheticBanditDataset(
            n_actions=10, dim_context=5, reward_function=logistic_reward_function, random_state=13
        )
        posts, options = 1, {}
    else:
        data = SyntheticSlateBanditDataset(
            n_unique_action=50,
            len_list=10,
            dim_context=5,
            reward_type="binary",
            reward_structure="independent",
            random_state=13,
        )
        posts, options = 10, {"return_pscore_item_position": False}
    made, begin = 0, time.perf_counter()
    while made < n:
        rounds = min(BATCH, n - made) // posts
        made += len(data.obtain_batch_bandit_feedback(rounds, **options)["action"])
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"made": made, "seconds": seconds, "mb": peak / PER_MB, "above_imports": (peak - imports) / PER_MB}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
