"""What the answer says: per step its minutes, an opening, claims. Data only; `mlsys.lesson.answer` fills it.

A number is never typed: `{{name:.2f}}` is a `result(...)` of the notebook that the entry names. A claim also names the
`claim(...)` of that notebook on which it rests, word for word. So an entry whose run changed its mind is an error.
"""

from __future__ import annotations

from typing import NamedTuple


class Claim(NamedTuple):
    """One thing to say, and what it rests on: `proof` is the text of a `claim(...)` in `notebook`."""

    notebook: str
    proof: str
    say: str
    e5: str
    e6: str
    then: str


class Plan(NamedTuple):
    """One step: its minutes of the interview, the sentence to open with, claims in the order they are said.

    Each claim ends with what is asked next, and the next claim answers it.
    """

    minutes: int
    opening: str
    claims: tuple[Claim, ...]


REQUIREMENTS = Plan(
    5,
    "After how many days will you call it a success? That decides the objective.",
    (
        Claim(
            "02",
            "and behind in likes after the month",
            "I rank by a value function, not by likes: {{day_1:+.0%}} likes on day one, {{day_30:+.0%}} on day "
            "thirty, even on day {{turning_day:.1f}}. For an event that is over sooner I would rank by likes.",
            "Goal before metric; dislikes and returns as guardrails.",
            "The day on which the objective flips, and who chose the horizon.",
            "A hundred million users. What breaks first?",
        ),
        Claim(
            "02",
            "one read per request lasts a hundred times longer",
            "Not the model. A read per candidate gives out at {{reads_break:.2f}} million users, one packed read per "
            "request at {{packed_breaks:.0f}}, the log at {{log_breaks:.0f}}, ranking at {{ranking_breaks:.0f}} "
            "million.",
            "Users, peak requests, latency, storage: an order of magnitude.",
            "The order in which boxes break, and the first fix. Latency moves one only if it is batch.",
            "Must features be real time?",
        ),
        Claim(
            "02",
            "a list that is a day old loses more than hourly features could bring",
            "The list must be fresh, features need not: a list a day loses {{batch_loss:.1f}}% of likes, hourly "
            "features bring {{hourly_gain:+.1f}}% for {{hourly_cores:.1f}} more cores. What is new is ranked on "
            "request.",
            "Batch, near real time, real time, and their costs.",
            "Splits freshness into list, features, model. Turns where topics break within the hour.",
            "How does a post that nobody has seen get shown?",
        ),
    ),
)

FRAMING = Plan(
    5,
    "An impression is an example. Three heads, ordered by their priced sum.",
    (
        Claim(
            "03",
            "a pairwise score promises more than twice of it",
            "I train pointwise: prices need probabilities. Read as one, a pairwise score promises {{promise:.1f}} "
            "times the likes, and a price of {{asked_price:.0f}} likes per dislike becomes {{got_price:.1f}}.",
            "Ranking losses need calibration before sums and thresholds.",
            "Who reads the score? Order only: any loss. A sum, a bid, a threshold: calibrated heads.",
            "You want people to come back. Why not predict that?",
        ),
        Claim(
            "03",
            "ranked by it the feed earns about what chance earns",
            "Because that head has the best AUC, {{returns_auc:.2f}}, and its feed earns {{returns_share:.0%}} of the "
            "oracle's likes; random order {{random_share:.0%}}. It knows who returns, not which post did it.",
            "A proxy and its bias: likes pay clickbait. Adds dislikes.",
            "A label ranks only what it tells apart inside a session. Returns judge, and set the prices.",
            "Do you need a model at all?",
        ),
        Claim(
            "03",
            "after two days the model is not ahead by anything that matters",
            "Not at launch: newest first. After {{rows_early:,.0f}} labelled impressions a model leads it by "
            "{{early_lead:+.1f}} ± {{early_error:.1f}} points, after {{rows_late:,.0f}} by {{late_lead:+.1f}}. There "
            "I switch.",
            "A heuristic first, then logistic regression, then trees.",
            "The baseline comes from the product; the switch is a count of labelled impressions.",
            "Why not popularity?",
        ),
    ),
)

DATA = Plan(
    7,
    "Rows in equal rows out plus dead letters. Features use only what had arrived.",
    (
        Claim(
            "01",
            "point in time, AUC is chance, within twice its interval",
            "An AUC of {{naive_auc:.2f}} on actions that are pure noise is a bug report: the features contained the "
            "label. Joined point in time it is {{fixed_auc:.2f}}, chance, as it should be.",
            "“Too good: leakage.” Point-in-time join, split by time.",
            "The leak grows as events per user fall: it is largest at every launch.",
            "You split by time. Are you safe?",
        ),
        Claim(
            "04",
            "joined by event time, a backfill leaks",
            "No. A nightly backfill joined by event time shows an AUC of {{event_offline:.2f}} and holds "
            "{{event_true:.2f}} tomorrow. By arrival time it shows {{arrival_offline:.2f}} and holds "
            "{{arrival_true:.2f}}.",
            "One definition for training and serving.",
            "Two clocks on each event. The leak wins every offline review and loses likes.",
            "The feature job is late tonight. Now what?",
        ),
        Claim(
            "04",
            "a day late and withheld: an outage",
            "I serve the old value: a day late moves likes by {{late_change:+.1%}}, a TTL of a day loses "
            "{{ttl_late:.0%}}. My TTL outlasts my longest outage; the alert on age comes earlier.",
            "A TTL, and a default for what is missing.",
            "A TTL claims that no value beats an old one. I name the age at which that is true.",
            "Which fault do your checks miss?",
        ),
        Claim(
            "04",
            "the quiet fault costs likes, and no row check sees it",
            "The legal one: a client logs views as likes, {{quiet_lost:.1%}} of likes gone. Rates per device against "
            "last week leave {{quiet_kept:.1%}}. Holding the batch costs {{held_lost:.1%}}.",
            "Nulls, ranges, repeats, freshness; a quarantine.",
            "Two prices per check: of the fault and of the action. Rows aside before batches held.",
            "What do you do with labels that are late?",
        ),
    ),
)

MODEL = Plan(
    8,
    "Newest first, then a line, then a few trees, until a point costs too many cores.",
    (
        Claim(
            "05",
            "the largest model is behind a smaller one",
            "I take thirty trees. A linear model is {{linear_behind:+.1f}} points of the oracle's likes; eight times "
            "the trees {{more_trees:+.1f}}, on {{cores_240:.0f}} cores instead of {{cores_30:.0f}}. Slowed down they "
            "reach {{slow_trees:+.1f}}.",
            "Baseline, logistic regression, boosted trees.",
            "A point on the frontier, on so many rows: on {{rows_few:,}} these trees lose to a line.",
            "We have the latency. Why not rank everything?",
        ),
        Claim(
            "05",
            "ranking all is worse than ranking the best 50",
            "It loses: all thousand is {{rank_all:+.1f}} points against the best fifty of a dot product, on "
            "{{cores_all:.0f}} cores instead of {{cores_50:.0f}}. The best of a thousand by one score are its errors.",
            "Retrieval for recall, ranking for precision.",
            "The shortlist is a second opinion, tuned by likes. Strangers get a source of their own.",
            "Position bias in your log?",
        ),
        Claim(
            "05",
            "position as a feature costs likes on a greedy log",
            "As a feature it is {{position_gain:+.1f}} points on the model's own log: the slot copies the old score. "
            "A tenth of sessions shuffled is {{explore_cost:+.1f}} today, {{explore_buys:+.1f}} for the next model.",
            "Position feature, propensity weights, exploration.",
            "Propensity in every row. I begin with a few in a hundred, and ask which slots were not given by merit.",
            "What lift do you forecast for the launch?",
        ),
        Claim(
            "05",
            "and keeps less",
            "None from scores. By its mean score the list of all thousand was {{all_promise:+.0f}}% on the shortlist; "
            "in truth {{all_kept:+.0f}}%. Calibration belongs to the traffic it was fitted on.",
            "Reliability diagram, Platt on held-out rows.",
            "What it ranks first it over-promises: refit on served rows after each launch.",
            "So how do you compare two designs?",
        ),
    ),
)

EVALUATION = Plan(
    8,
    "Offline is a filter, off-policy a gate, the test a judge. The metric comes first.",
    (
        Claim(
            "06",
            "NDCG@10 does not put a model ahead of a random order",
            "I compare within a slot. NDCG on logged slates pays for agreeing with them: chance has "
            "{{ndcg_logged:.2f}}, my line {{ndcg_linear:.2f}}, and {{linear_share:.0%}} of the oracle's likes against "
            "{{dice_share:.0%}}.",
            "AUC, NDCG and log loss offline, then an A/B test.",
            "Which ranker made the log? The metric follows the decision.",
            "How many users does the test need?",
        ),
        Claim(
            "06",
            "likes per user need many times the naive plan",
            "Counting impressions says {{plan_naive:,}} users per arm; likes per user need {{need_user:,.0f}}, with "
            "CUPED {{need_cuped:,.0f}}: the week before explains {{cuped_explains:.0%}} of the variance.",
            "Power, two weeks, halves, a sample-ratio check.",
            "The week before gives size, adjustment and an A/A test of this very split.",
            "Significant on day three. Stop?",
        ),
        Claim(
            "06",
            "daily looks find nothing several times as often",
            "No. Daily looks at nothing find something in {{peek:.0%}} of tests, an always-valid interval in "
            "{{peek_valid:.1%}}. Who stops at the first find reports {{over_first:.1f}} times the true lift.",
            "No peeking: fix the length, decide at the end.",
            "Looks daily at an interval made for it, with guardrails, to stop harm early.",
            "All metrics of the new feed are worse. Do you test it?",
        ),
        Claim(
            "06",
            "per user, it ships",
            "If the mechanism says so. The value feed, per session {{value_session:+.0%}}: {{session_says}}. Per user "
            "{{ship_value:+.0%}}: {{user_says}}. Truth of four weeks: {{value_truth:+.0%}}. Below {{turns_at:+.0%}} I "
            "hold.",
            "The test decides; guardrails on latency and retention.",
            "One primary metric per user, written down first. Where nobody can leave, per session is right.",
            "Do the arms touch each other?",
        ),
    ),
)

SERVING = Plan(
    7,
    "Ids in, one read, one model call; out come a ranking and an honest rung.",
    (
        Claim(
            "07",
            "a list that was not renewed costs several times that",
            "Hybrid: last evening's list, new posts ranked on request. {{hybrid_lost:+.1f}} points, "
            "{{cores_hybrid:.0f}} cores instead of {{cores_online:.0f}}. A list alone is {{list_lost:+.1f}}, and "
            "{{failed_lost:+.1f}} the night its job fails.",
            "Batch is cheap and stale, online fresh and dear.",
            "Staleness is the schedule plus its failures, so I monitor the age of the list.",
            "Add a cache. What is the key?",
        ),
        Claim(
            "07",
            "the key with the best hit rate loses most of what a model is for",
            "All that determines the answer: model version, user, candidates, device. By user alone, "
            "{{hits_user:.1%}} hits keep {{kept_user:.0%}} of the likes, and no dashboard shows it.",
            "Cache features and predictions, with a TTL.",
            "Hit rate is computed from rate and TTL, and it is coldest after a restart.",
            "A hundred times the requests?",
        ),
        Claim(
            "07",
            "twenty behind one queue keep it nearly to the end",
            "{{replicas_queue:.0f}} replicas on one queue, {{replicas_alone:.0f}} with a random balancer: p99 holds "
            "to {{queue_load:.0%}} of the breaking point, not {{one_load:.0%}}. Then the store: {{reads_after:,.0f}} "
            "rows a second.",
            "Scale out, cache, shed, a smaller model.",
            "At which load does p99 break? What do all replicas share? Growth and surge differ.",
            "The feature store is down. Now?",
        ),
        Claim(
            "07",
            "last night's copy keeps nearly all",
            "I fall as little as I can: last night's copy keeps {{kept_copy:.1%}} of likes, training means "
            "{{kept_defaults:.0%}}, popularity {{kept_popular:.0%}}. Without a timeout {{failed_naive:.0%}} fail, "
            "unseen for {{found_naive:.0f}} s.",
            "Timeout, breaker, cached features, then popularity.",
            "Gone, slow, flaky or wrong? Slow, with few threads: {{slow_lost:.0%}} fail, {{slow_saved:.0%}} with a "
            "breaker.",
            "A bad model was pushed. Who notices?",
        ),
        Claim(
            "07",
            "a canary of a hundredth notices nothing",
            "Not the doors, if only the feature order is wrong. Shadow ends it in {{shadow_gone:.0f}} s, a canary of "
            "a fifth in {{canary_gone:.0f}} s for {{canary_lost:.1f}}% of likes; a hundredth saw nothing in "
            "{{pushed_s}} s. To everybody: {{all_lost:.0f}}%.",
            "Shadow, canary, watch, roll back.",
            "A canary is a power calculation: which loss, how soon? Rollback is automatic.",
            "And if the model is fine, and the world moved?",
        ),
    ),
)

# The first two claims stand in for notebook 08 until it is built; tests/test_answer.py says when to put its own here.
MONITORING = Plan(
    5,
    "An alert policy is a classifier. I grade it, and each page has an owner.",
    (
        Claim(
            "01",
            "the test removes most false alarms",
            "A page on any move of a tenth is false on {{e5_false:.0%}} of healthy days; with effect size and test on "
            "{{e6_false:.0%}}, but it catches {{e6_caught:.0%}} of small incidents, not {{e5_caught:.0%}}. If a miss "
            "costs over {{reversal:.1f}} false pages I keep the threshold.",
            "Quality, drift, metric, latency; a threshold each.",
            "Alerts graded like a model. On much data the conflict is gone: both catch {{e6_caught_large:.0%}}.",
            "Which metric is green while you lose people?",
        ),
        Claim(
            "01",
            "and loses the month: fewer people come back, so fewer likes",
            "Likes. The like-optimiser is {{first_day:.0f}}% ahead on day one; in a month the value feed has "
            "{{likes_month:.0f}}% more likes per user and {{stayed:.0f}} points more people. I watch dislikes and "
            "returns.",
            "Business metrics beside model metrics.",
            "The model writes its own training data, so a holdback and some exploration stay on.",
            "Interests turn. How often do you retrain?",
        ),
        Claim(
            "05",
            "a few trees on top nearly keep up",
            "Nightly, with a warm path. Three days late is {{calm_three:+.1f}} points in calm, {{late_three:+.1f}} "
            "after a turn; a few trees on top of the frozen model {{late_warm:+.1f}}, frozen alone "
            "{{late_frozen:+.1f}}.",
            "Retrain daily, roll back on failure.",
            "Weights go stale, features renew. No schedule helps on the day itself: {{drop_daily:+.1f}} even so.",
            "So you need faster training?",
        ),
        Claim(
            "05",
            "the fit is not what takes the time",
            "No. From label to served model is {{nightly_hours:.0f}} hours; the fit is {{fit_share:.0%}} of them, "
            "waiting for runs and canary {{waiting_share:.0%}}. I buy a faster gate, not more machines.",
            "A DAG, a registry with aliases, rollback.",
            "Hours per stage. Roll back in seconds, then ask the record: rows, signature or settings?",
            "What would you build next?",
        ),
    ),
)

PLANS = (REQUIREMENTS, FRAMING, DATA, MODEL, EVALUATION, SERVING, MONITORING)
"""The seven steps in order; their names are in `mlsys.analysis.architecture.STEPS`."""
