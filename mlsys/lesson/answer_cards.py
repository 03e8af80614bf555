"""The numbers to quote, a card per step. Data only; `mlsys.lesson.answer` fills in what the notebooks measured."""

from __future__ import annotations

from typing import NamedTuple


class Quote(NamedTuple):
    """A number worth knowing by heart, what it is, and the notebook that emits it."""

    notebook: str
    number: str
    what: str


CARDS = (
    (
        Quote("02", "{{day_1:+.0%}} / {{day_30:+.0%}}", "likes on day one / thirty, value function against likes"),
        Quote("02", "day {{turning_day:.1f}}", "from here on the value function is ahead"),
        Quote("02", "{{reads_break:.2f}} M users", "a read per candidate breaks; packed: {{packed_breaks:.0f}} M"),
        Quote("02", "{{hourly_gain:+.1f}}%", "likes from hourly features; a list a day loses {{batch_loss:.1f}}%"),
        Quote("02", "{{lift_left:.0%}}", "of the lift survives without any user id"),
        Quote("02", "{{worth_asking}} of {{questions}}", "usual questions are worth a minute"),
        Quote("02", "{{joint_loss:.0%}}", "of likes lost by three defaults that nobody asked about"),
    ),
    (
        Quote("03", "{{zero_unseen:.0%}}", "of the zeros were never looked at"),
        Quote("03", "{{like_first:.0%}} / {{like_last:.0%}}", "likes in slot one / the last three, same posts"),
        Quote("03", "{{promise:.1f}} ×", "what a pairwise score promises, read as a probability"),
        Quote("03", "{{returns_auc:.2f}}", "AUC of “came back”; its feed is that of dice"),
        Quote("03", "{{listwise_gain:+.1f}} / {{trees_gain:+.1f}}", "points: listwise loss / trees instead of a line"),
        Quote("03", "{{best_price}} likes", "price of a dislike at which a month has most likes"),
        Quote("03", "{{recency_first:.0%}} / {{popularity_first:.0%}}", "of the oracle: newest first / popular"),
    ),
    (
        Quote("01", "{{naive_auc:.2f}} / {{fixed_auc:.2f}}", "AUC on noise: leaking / point in time"),
        Quote("04", "{{event_offline:.2f}} → {{event_true:.2f}}", "AUC of a backfill by event time, then tomorrow"),
        Quote("04", "{{missing_share:.0%}} / {{long_bias:.0%}}", "of likes not in at midnight: one day / nine days"),
        Quote("04", "{{dropped:.0%}}", "of the rows lost by dropna; {{fresh_left:.0%}} new posts left"),
        Quote("04", "{{ttl_late:.0%}}", "of likes lost by a one-day TTL when the job is late"),
        Quote("04", "{{window_gain:+.0%}} / {{hourly_gain:+.1%}}", "of likes: a week's window / hourly refresh"),
        Quote("04", "{{committed_first:.0%}} / {{committed_last:.0%}}", "counted after a crash: commit first / last"),
    ),
    (
        Quote(
            "05", "{{linear_behind:+.1f}} / {{more_trees:+.1f}}", "points to thirty trees: a line / eight times them"
        ),
        Quote("05", "{{rank_all:+.1f}}", "points for ranking all thousand, not fifty"),
        Quote("05", "{{position_gain:+.1f}}", "points: position as a feature on a greedy log"),
        Quote("05", "{{explore_cost:+.1f}} / {{explore_buys:+.1f}}", "points: a tenth explored, today / next model"),
        Quote("05", "{{gain_kept:.0%}}", "of what {{trials}} tuning trials promised was kept"),
        Quote("05", "{{e5_auc:.2f}} / {{e6_auc:.2f}}", "AUC: like head / value function, which keeps more people"),
        Quote("05", "{{speedup_64:.0f}} ×", "the speed of one, from {{n_workers}} workers"),
    ),
    (
        Quote("06", "{{held_rows:.0%}} / {{held_users:.0%}}", "of intervals hold the truth: by rows / by users"),
        Quote("06", "{{need_user:,.0f}} / {{need_cuped:,.0f}}", "users per arm: plain / CUPED"),
        Quote("06", "{{peek:.0%}} / {{peek_valid:.1%}}", "false finds: daily looks / always valid"),
        Quote("06", "{{agree_off:+.0%}} / {{dr_off:+.0%}}", "error of replay / doubly robust"),
        Quote("06", "{{ess_slot:.0f}} / {{ess_pooled:.0f}}", "effective rows: item and slot / pooled over slots"),
        Quote("06", "{{value_session:+.0%}} / {{value_user:+.0%}}", "one test: per session / per user"),
        Quote("06", "{{user_off:+.0%}}", "bias of a test by user when creators react"),
    ),
    (
        Quote("07", "{{model_part:.0%}} / {{trees_part:.0%}}", "of a request is the model: linear / sixty trees"),
        Quote("07", "{{linear_ms:.1f}} / {{total_ms:.1f}} ms", "a whole request: linear / sixty trees"),
        Quote("07", "{{hits_user:.1%}} / {{kept_user:.0%}}", "cache keyed by user: hits / likes kept"),
        Quote("07", "{{one_load:.0%}} / {{queue_load:.0%}}", "load at which p99 breaks: one / twenty, one queue"),
        Quote("07", "{{kept_copy:.1%}} / {{kept_popular:.0%}}", "of likes kept, store down: copy / popularity"),
        Quote("07", "{{slow_lost:.0%}} / {{dead_lost:.0%}}", "of requests fail, two threads: slow store / dead one"),
        Quote("07", "{{canary_gone:.0f}} s", "until a canary of a fifth is gone; a hundredth: blind"),
    ),
    (
        Quote("01", "{{e5_false:.0%}} / {{e6_false:.0%}}", "of healthy days paged: threshold / effect and test"),
        Quote("01", "{{reversal:.1f}} pages", "false ones per miss: above, the threshold alone wins"),
        Quote("01", "{{first_day:.0f}}% / {{likes_month:.0f}}%", "ahead: likes on day one / value in a month"),
        Quote("05", "{{late_three:+.1f}} / {{late_warm:+.1f}}", "points after a turn: three days late / warm"),
        Quote("05", "{{nightly_hours:.0f}} h", "from a label to a served model; the fit is {{fit_share:.0%}}"),
        Quote(
            "01", "{{naive_cores_100m:,.0f}} / {{cores_100m:.0f}}", "cores for a hundred million users: naive / vector"
        ),
        Quote("01", "{{qps_100m:,.0f}}", "requests a second at peak, a hundred million users"),
    ),
)
"""One card per step, in order."""
