"""The ground truth: a simulated feed whose every probability is known. This page is the whole model.

Rates and ages are in days; z is a standard normal draw, U a uniform one, new wherever it stands. `name = number` is a
parameter and its default (`parameters.Parameters`): World(users=500) changes it, a scenario changes several.

WHO THERE IS                                                                                        population.py
  user      users = 2000 on day 0, and Poisson(new_users_per_day = 5) more every night, with
            interests θ ~ N(0, I) over topics = 10 · generosity g = z · satisfaction S = 0 at first
            sessions a day λ_u = λ exp(σz - σ²/2), λ: sessions_per_day = 0.8, σ: activity_sd = 1.2 (heavy tail)
            device iOS .40, Android .35, Web .20, not recorded .05 · region Americas, Europe or Asia, equally likely
  creator   creators = 200, who neither come nor go: quality Q = z · clickbait B = -.2 Q + .98 z
            home topic, any · size exp(.8z) · applause A = 0 at first
  post      posts_per_day = 170 new every night, each shown on live_days = 7 days (day 0 starts with 7 days' posts)
            creator drawn ∝ size · exp(applause_strength · A), applause_strength = 0
            quality q = .7 Q + .714 z · clickbait c = .8 B + .6 z · topic = home with probability .5, else any
            length U, 0 to 1 · created at a uniform time of the day before its first
  market    markets = 1; users and creators belong to market id mod markets, every market gets as many new posts

A DAY, IN THIS ORDER                                                                sessions.py, behaviour.py
  1 visit   Poisson(min(2 λ_u / (1 + exp(-2 κ S)), max_sessions_per_day = 20)) sessions, κ: return_strength = 0.9;
            one uniform per user and day, so that another ranker meets the same visitors, but for those it changed
            start: 8(U + U - 1) hours off 1, 19, 12 h UTC (by region), within the day · 5 s between impressions
  2 recall  candidates = 50 of the live posts of the user's market: their list is shuffled once a day and cut into
            50 equal strata, and a session draws one post of each, so none twice
  3 rank    the slots = 10 best by score (rounded to 1e-6; ties: first in the shuffled list), best first;
            a share ε (explore) of sessions gets a uniform shuffle instead, Random all of them:
            propensity of post i at slot k = (1 - ε) · 1[the ranker puts i at k] + ε / candidates
  4 respond slot k is looked at with probability e_k = k^-attention, attention = 0.5, and then
            P(response) = exp(U_response) / (1 + Σ exp(U)), the 1 being a plain view, where U is the sum of

              weight of   base  generosity  affinity  quality  clickbait   fit  freshness
              like       -0.38         0.5       1.0      0.5        0.8   0.7        1.0
              dislike    -1.86         0.0      -0.5     -0.5        0.9   0.0        0.0
              share      -1.77         0.5       0.4      0.8       -0.3   0.0        0.0
              null       -1.47         0.0      -0.3      0.0        0.0   0.0        0.0

            affinity a = θ_u[topic] · freshness = exp(-age / 1.5) - .35, age in whole days since its first
            fit = .8 - ((length - ideal) / .35)², ideal: iOS .25, Android .25, Web .75, not recorded .50
            Not looked at: view .8, null .2. So P(at slot k) = e_k P(response) + (1 - e_k) · (view .8, null .2)
  5 enjoy   hidden: .5 a + .5 q - 1.5 c per post; a session's is the mean over its slots, weighted with e_k
  6 log     a response arrives after Exponential(delay_minutes = 10), and of a late_share = 0.01 of them after
            Exponential(late_hours = 12) more; a duplicate_share = 0.002 arrives once more, delay_minutes later
  7 night   S ← S + (1 - (1 - ρ)^n)(mean enjoyment - S) after n sessions, ρ: satisfaction_rate = 0.03
            A ← .9 A + .1 clip(log((likes + 2) / (expected + 2)), -2, 2), expected: all likes · share of live posts
            new users, new posts, and incidents that start (incidents.py)

Clickbait earns likes (+.8 c) and is regretted (-1.5 c): a like does not show regret. Phones like short posts and Web
long ones: no sum of a user's and a post's terms says that.

SIGNAL      signal = 1. Below it every weight, enjoyment and the exponent of e_k shrink by it, and bases move towards
            dice: like .15, dislike .05, view .60, share .05, null .15 at signal 0, whoever sees whatever wherever.
SCENARIOS   default          as above
            noise            signal=0: nothing can be learned
            legacy_order     attention=1: position bias
            rich_get_richer  candidates=200, live_days=30, posts_per_day=60: the feedback loop
            markets          markets=20, creators=400, posts_per_day=600, applause_strength=1.5: interference
SEEN        `Day.log`: event, user, post and session ids, position, action, device, times of event and arrival, ranker,
            propensity, explored, greedy rank · `catalogue()`: creator, topic, length, created · `people()`: device,
            region, joined. A ranker sees `Requests`: user, device, time, candidates.
NEVER SEEN  θ, g, λ_u, S, Q, B, q, c, home, size, A, market, enjoyment, and whether a slot was looked at. `Day.p_like`,
            `Day.value`, `World.value` (exact expectations, no dice) and `Oracle` know them: they are for judging.
SIMPLER     than life: ages are whole days, nothing changes within a day, interests move only by incident, nobody
            reads a slot because of the one before, posts do not compete for responses, S is one number, creators do
            not learn, and a session is always `slots` long.
SOURCES     logit choice: McFadden, Conditional logit analysis of qualitative choice behavior (1974). Examination by
            position: Craswell et al., An experimental comparison of click position-bias models, WSDM (2008).
            Engagement against satisfaction: Ie et al., RecSim, arXiv:1909.04847 (2019). Feedback loop: Chaney et al.,
            How algorithmic confounding in recommendation systems increases homogeneity, RecSys (2018).
Whether it does what it says: `python start.py world prove`.
"""

from mlsys.world.incidents import KINDS, Incident
from mlsys.world.rankers import (
    Experiment,
    Model,
    Oracle,
    Popularity,
    Random,
    Requests,
    TableRanker,
    ValueFunction,
    recency,
)
from mlsys.world.simulation import Day, World

__all__ = [
    "KINDS",
    "Day",
    "Experiment",
    "Incident",
    "Model",
    "Oracle",
    "Popularity",
    "Random",
    "Requests",
    "TableRanker",
    "ValueFunction",
    "World",
    "recency",
]
