# %% [markdown]
# # 02 · Clarifying requirements
#
# "Design the ranking of a social feed: will this user like this post?" Then silence. What you ask now decides what you
# build. Here every question is a pair of runs: one per answer. The difference is what the question was worth, so at
# the end you know which to ask first, and which to leave.
#
# **Objectives**
# - Turn one sentence of prompt into a specification, in about five of the forty-five minutes.
# - Tell what an answer costs from what *not asking* costs: only the second is saved by a question.
# - Say from which day on an objective pays, and which component breaks first at which scale.
# - Name the popular questions that change nothing, so that you do not spend minutes on them.
# - Hand over a configuration that follows from the answers, and show which setting each answer moves.
#
# **Time:** 25 minutes to read, twice that with every slider
#
# **Level:** E5 (senior), with the E6 additions (staff) marked. "Meta-style", never official.
#
# The feed is the simulated one of notebook 01 (`help(mlsys.world)`). Likes are exact expectations on the same sessions,
# so two designs differ by what they do and not by luck. Cores are for a hundred million users, scoring and features
# alone, from `mlsys/unit_costs.json`.

# %% tags=["parameters"]
SEED = 13
USERS = 1_200
DAYS = 10
CONTRAST_SEEDS = 20
CONTRAST_USERS = 400

# %%
from dataclasses import replace

import numpy as np
import pandas as pd

from mlsys import naive
from mlsys.analysis import diagrams, reference
from mlsys.analysis import requirements as draw
from mlsys.capacity import LATENCY_CLASSES_MS, carried
from mlsys.config import SystemConfig
from mlsys.lesson import claim, hood, predict, result, reveal
from mlsys.orchestration import requirements as ask

# %%
from mlsys.orchestration.requirements import Answers, Design, Morning
from mlsys.world import Oracle, Random

diagrams.steps_strip()

# %% [markdown]
# ## 1. What is it for? (likes today, or people who come back)
#
# **Interviewer:** "Will this user like this post? Go ahead."
#
# **Candidate:** "Before I do: in a month, how will you know that it was a success?"
#
# **Interviewer:** "Does it matter?"
#
# Two rankers, both *perfect*: one knows every P(like) and maximizes likes. The other maximizes likes plus shares minus
# three times dislikes. No better model can help either: they differ in the objective alone. Count **likes** for both.

# %%
predict("month_gain", "Likes after a month, value over like?", low=-50, high=100, default=-10, unit="%")

# %% [markdown]
# Whoever does not ask has answered all the same. This is the silent answer, and we will meet each part of it:

# %%
print(naive.ASSUMED)
month = ask.months(SEED, users=USERS)
turning = float(np.interp(0, month["gain"], month.index))
first, active = month.iloc[0], month.iloc[-1]
reveal("month_gain", round(100 * active["gain"]))
result(day_1=first["gain"], day_30=active["gain"], turning_day=turning)
result(active_gain=active["value_active"] / active["like_active"] - 1)

# %%
claim("the like-optimiser is ahead on the first day", first["gain"] < 0)
claim("and behind in likes after the month", active["gain"] > 0.1)
claim("because fewer people come", active["value_active"] > active["like_active"])
draw.horizon_curves(month[["gain"]], turning)

# %% [markdown]
# Day one: {{day_1:.0%}} likes for the value function. Day {{turning_day:.1f}}: even. Day thirty: {{day_30:+.0%}} likes,
# and {{active_gain:+.0%}} people on that day. Clickbait earns a like and costs a visit. So the question is not "likes or
# retention?" (everybody says both) but **"judged after how many days?"** That one has a threshold.
# `python start.py run --set training.objective=value` runs the same month with trained models.
#
# The interviewer says: *people who come back, judged by the month.*
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Asks for the business objective before the metric, names a proxy (likes) and a guardrail (dislikes, returns). |
# | E6 | Asks *when* success is judged, and says what would flip the objective: "for an event that lasts three days I would rank by likes". |

# %% [markdown]
# ## 2. How many, how fast? (scale and latency)
#
# **Interviewer:** "A hundred million users."
#
# **Candidate:** "And in a year? A billion? I would like to know which box breaks first."
#
# Guess the number of users at which the *first* component outgrows one machine. A machine has 64 cores, 256 GB, 10 TB <!--fact: requirements.MACHINE, an assumption-->
# of disk; a store process answers a hundred thousand single reads a second. Guesses like these are said aloud.

# %%
predict("breaks_at", "First component breaks at?", low=0.0, high=1000.0, default=100.0, unit="million users")

# %%
print("the naive answer:", naive.servers(1e8), "servers, and not a word about which box")
loads = ask.load([1e6, 1e8, 1e9])
breaks = loads["breaks_at"]
reveal("breaks_at", breaks.iloc[0] / 1e6)
packed = breaks["store, a read per request"]
result(first_breaks=str(loads.index[0]), reads_break=breaks.iloc[0] / 1e6, packed_breaks=packed / 1e6)
result(log_breaks=breaks["event log"] / 1e6, ranking_breaks=breaks["ranking"] / 1e6)
result(naive_servers=naive.servers(1e8))

# %%
fits = {name: int(ms / carried(1, candidates=1)["rank_ms"]) for name, ms in LATENCY_CLASSES_MS.items()}
live, batch = ask.cores(Design()), ask.cores(ask.BATCH)
result(fits_real_time=fits["real time"], saved_cores=live - batch, live_cores=live, batch_cores=batch)
claim("a read per candidate breaks first, and before a million users", breaks.iloc[0] < 1e6)
claim("one read per request lasts a hundred times longer", packed > 100 * breaks.iloc[0])
claim("the log breaks before the ranking does", breaks["event log"] < breaks["ranking"])
claim("100 ms or 1 s: one core scores all candidates in either", min(fits.values()) > 500)
draw.load_chart(loads)

# %% [markdown]
# Reading features one candidate at a time breaks at {{reads_break:.2f}} million users; one packed read per request lasts
# until {{packed_breaks:.0f}} million. The event log is next, at {{log_breaks:.0f}} million. Ranking itself, the box everybody worries about, at {{ranking_breaks:.0f}} million. So
# "a hundred million or a billion?" moves storage and reads, and **not the model**.
#
# The latency class is asked in every interview. Here it decides less than its fame: under 100 ms <!--fact: key_components.md--> one core could
# score {{fits_real_time:,}} candidates, so a whole second buys nothing that ranking needs. (Network, recall and a remote
# store come on top: notebook 07.) The answer that would change the design is *batch*: {{batch_cores:.1f}} cores instead
# of {{live_cores:.1f}}. Whether {{saved_cores:.0f}} cores are a bargain, the next section says.
#
# The interviewer says: *a hundred million, under 100 ms.* <!--fact: key_components.md-->
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Users, requests per second at peak, the latency class, and one order of magnitude for each. |
# | E6 | The order in which boxes break, with the number of users for each, and the fix of the first one: pack a request's candidates into one read. "Latency only matters to me if the answer is batch." |

# %% [markdown]
# ## 3. How fresh? (features, lists, new posts)
#
# **Interviewer:** "Real time is expensive. Why not rank once a day for everyone?"
#
# **Candidate:** "What has to be fresh: the features, or the list? How soon must a new post be rankable?"
#
# Same morning, same people, same trees. First the famous question: features refreshed by the hour instead of by the
# day. What is it worth, in likes?

# %%
predict("hourly_gain", "Hourly features: likes gained?", low=0.0, high=20.0, default=5.0, unit="%")

# %%
morning = Morning(SEED, users=USERS, days=DAYS)
daily = Design()
designs = {
    "features at request time": Design(every_hours=0),
    "features by the hour": Design(every_hours=1),
    "features by the day": daily,
    "a list a day, on average": Design(list_age_hours=naive.ASSUMED["list_age_hours"]),
    "a list a day, its last hour": Design(list_age_hours=24),
}

# %%
likes = morning.likes(daily)
fresh = {name: morning.likes(design) / likes - 1 for name, design in designs.items()}
reveal("hourly_gain", 100 * fresh["features by the hour"])
request, hourly, _, once_a_day, last_hour = (100 * change for change in fresh.values())
result(hourly_gain=hourly, request_gain=request, batch_loss=-once_a_day, last_hour_loss=-last_hour)
result(hourly_cores=ask.cores(Design(every_hours=1)) - live)
rankers = (Random(), daily, morning.popularity)
chance, model, counting = (morning.exposure(ranker)["new posts"] for ranker in rankers)
result(new_random=chance, new_model=model, new_counting=counting)

# %%
claim("hourly features change next to nothing", abs(hourly) < 2.5)
claim("a list a day loses likes, and more with every hour", last_hour < once_a_day < -1)
claim("a list that is a day old loses more than hourly features could bring", -last_hour > 2 * hourly)
claim("counting likes hardly ever shows a new post", counting < 0.05)
claim("the model shows more of them than chance does", model > chance)
notes = [f"{ask.cores(design):.1f} cores" for design in designs.values()]
title = "What has to be fresh is the list, not the features"
draw.change_bars(fresh, notes, title, "Likes against features refreshed once a day, scored at request time.")

# %% [markdown]
# Hourly features: {{hourly_gain:+.1f}} % likes for {{hourly_cores:.1f}} more cores. Features at the very moment of the
# request: {{request_gain:+.1f}} %. A list a day is between 0 and 24 hours old, so half a day on average: {{batch_loss:.1f}} % <!--fact: hours of a day-->
# fewer likes, and {{last_hour_loss:.1f}} % fewer in its last hour. The posts of the day are not on it, and new posts are
# what people like best. The model ranks a post that nobody has seen from its creator, topic, length and age:
# {{new_model:.0%}} of what it shows is from the first day (random order: {{new_random:.0%}}). Counting likes shows
# {{new_counting:.0%}}: what has no likes gets none.
#
# So "how fresh must features be?" was the wrong question. **"How soon must a new post be rankable?"** moves the design
# (scoring at request time, content features), and the bill for it is {{saved_cores:.0f}} cores. Where it ends: this world
# changes by the day. Where topics break within the hour, hourly features may pay; ask that, too.
#
# The interviewer says: *at once.*
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Batch, near real time, real time, and what each costs. A plan for new posts. |
# | E6 | Splits freshness into three: list, features, model. Prices each, and spends on the one that pays. |

# %% [markdown]
# ## 4. What is in the log? (history, positions, nulls)
#
# **Interviewer:** "We log everything."
#
# **Candidate:** "Impressions too, or only reactions? And who decided the order in which people saw things?"
#
# Suppose the log keeps likes, dislikes and shares, and not what was seen and left alone. How much does that cost?

# %%
predict("views_loss", "Log of reactions only: likes lost?", low=0, high=60, default=40, unit="%")

# %%
dropped = len(morning.past) - len(naive.clean(morning.past))
print(f"the naive log: {dropped:,} of {len(morning.past):,} rows are null; dropped, and nobody asked")
reactions, guessed = Design(views=False), Design(nulls="no like")
short, small = Morning(SEED, users=USERS, days=3), Morning(SEED, users=USERS // 10, days=DAYS)
full, three, tenth = (m.likes(daily) / m.likes(Oracle()) for m in (morning, short, small))
logs = {
    "nulls mean 'not liked'": morning.likes(guessed) / likes - 1,
    "reactions only": morning.likes(reactions) / likes - 1,
    "three days of log": three / full - 1,
    "a tenth of the users": tenth / full - 1,
}

# %%
ordered, shuffled = (ask.position_value(SEED, shuffled=way) for way in (False, True))
reveal("views_loss", round(-100 * logs["reactions only"]))
joy = morning.day(reactions).enjoyment - morning.day(daily).enjoyment
fewer = 1 - morning.day(reactions).dislikes / morning.day(daily).dislikes
nulls, views, three_days, tenth = (100 * change for change in logs.values())
result(nulls_change=round(nulls, 1) + 0.0, views_loss=-views, views_dislikes=fewer)
result(short_loss=-three_days, small_loss=-tenth)
result(null_share=morning.past["action"].isna().mean(), position_ordered=ordered, position_shuffled=shuffled)
linear = Design(estimator="linear")

# %%
claim("what a null means changes nothing", abs(nulls) < 2)
claim("reactions alone cost few likes", -12 < views < 0)
claim("and people enjoy the feed more", joy > 0 < fewer)
claim("less log, fewer likes", max(three_days, tenth) < -2)
claim("yet the same design wins", all(m.likes(daily) > m.likes(linear) for m in (short, small)))
claim("positions are worth more in an ordered log than in a shuffled one", ordered > 3 * shuffled)
notes = ["", f"{fewer:.0%} fewer dislikes", "same design wins", "same design wins"]
title = "What the log lacks changes what you promise, not what you build"
draw.change_bars(logs, notes, title, "Likes against ours; the last two as shares of the oracle's.")

# %% [markdown]
# **Nulls** ({{null_share:.0%}} of rows): lost or "not liked", {{nulls_change:+.1f}} %. Do not spend a minute on it.
#
# **Reactions only**: {{views_loss:.1f}} % fewer likes, and {{views_dislikes:.0%}} fewer dislikes. Without views the model
# learns P(like, *given a reaction*), and a dislike becomes the other class: by accident a value function. The "worse"
# log serves people better. If the goal had been likes, it would have cost you.
#
# **History and size**: three days of log cost {{short_loss:.1f}} %, a tenth of the users {{small_loss:.1f}} %. That is
# what you promise, not what you build: the same trees win.
#
# **Positions**: the popular question is "do you log positions?" Using them is worth {{position_shuffled:.1%}} in a
# shuffled log and {{position_ordered:.0%}} where one fixed order ruled, biggest creators first. (The scenario
# `legacy_order`, made to show position bias; weekly log, like counters.) Ask **"who
# ordered the log?"** That answer does change what you build: labels per look, and some exploration.
#
# The interviewer says: *thirty days of impressions; positions and propensities are logged.*
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Volume, history, labels, label delay, nulls, positions: a complete list. |
# | E6 | Asks for the *process* behind the log, since that is what cannot be repaired later: who ordered it, with which probability, and may we explore? |

# %% [markdown]
# ## 5. What is not allowed? (privacy, fairness, budget, cold start)
#
# **Interviewer:** "Legal says: no user ids in features."
#
# **Candidate:** "Then let me say what remains, before I fight for them."
#
# The lift is what the model earns over random order. Every feature of a user, and of a user with a topic, goes.

# %%
predict("lift_left", "Share of the lift left without user ids?", low=0, high=100, default=30, unit="%")

# %%
print("asked about privacy?", "user ids" in naive.ASSUMED)
without = Design(without=ask.USER_VIEWS)
floor = morning.likes(Random())
lift_left = (morning.likes(without) - floor) / (likes - floor)
reveal("lift_left", round(100 * lift_left))
result(lift_left=lift_left)
table = pd.concat([ask.stakes(morning), ask.others(morning, short, small, month, ordered)])
table = table.sort_values("lost", ascending=False, kind="stable")
limits = table.loc[["user ids", "device", "user totals", "cores", "stack", "small creators", "new users"]]

# %%
price, lost = (100 * limits[column] for column in ("price", "lost"))
result(ids_price=-price["user ids"], ids_lost=lost["user ids"], totals_price=price["user totals"])
result(device_price=-price["device"], device_lost=lost["device"])
result(cores_lost=lost["cores"], stack_lost=lost["stack"])
result(half_cores=ask.cores(Design()) - ask.cores(Design(scored=0.5)))
bonus = Design(small_bonus=0.05)
shares = [morning.exposure(what)["small creators"] for what in (Random(), daily, bonus)]
posted, natural, lifted = shares
result(posted=posted, natural=natural, lifted=lifted, floor_price=-price["small creators"])
new, popular = morning.newcomers(daily), morning.newcomers(morning.popularity)["likes"]
result(new_user_share=new["share"], branch_loss=1 - popular / new["likes"], new_gap=1 - new["likes"] / likes)

# %%
claim("most of the lift survives without user ids", lift_left > 0.6)
claim("no ids cost likes", price["user ids"] < -5)
claim("and finding out late adds less than half of that", abs(lost["user ids"]) < -price["user ids"] / 2)
claim("how active a user is adds nothing", abs(price["user totals"]) < 2)
claim("the device is worth more than that", price["device"] < -3)
claim("half the cores cost many likes", lost["cores"] > 8)
claim("small creators get four fifths of the share they post, or more", natural > 0.8 * posted)
claim("a quarter more exposure for them is cheap", lifted > 1.25 * natural and price["small creators"] > -3)
claim("new users are better off with the model than with popularity", popular < new["likes"])
draw.stakes_chart(limits, "A constraint has two prices, and only the orange one is saved by asking")

# %% [markdown]
# **Privacy.** {{lift_left:.0%}} of the lift remains; in likes that costs {{ids_price:.1f}} %. A model that was trained
# *with* ids and finds them missing when it is served loses about the same (another {{ids_lost:+.1f}} %): trees know what
# to do with a gap. So asking saves hardly a like here. It saves the launch, and the ten minutes that you would have talked about user
# embeddings. How active each user is can be given away at once: {{totals_price:+.1f}} %. Fight for the topic history,
# not for the profile. The device is dearer than it looks, {{device_price:.1f}} %, and another {{device_lost:.1f}} % if
# the model finds out when it is served.
#
# **Budget.** Half the cores, so half the candidates: {{cores_lost:.1f}} % fewer likes, for {{half_cores:.1f}} cores at a
# hundred million users. A stack that runs only dot products: {{stack_lost:.1f}} %. Both are worth an argument.
#
# **Fairness.** Small creators (the half with the fewest posts) get {{posted:.0%}} of impressions in random order and
# {{natural:.0%}} here: a proportional floor would bind nothing. Lifting them to {{lifted:.0%}} costs
# {{floor_price:.1f}} % likes: a line in the re-ranking, no reason to redesign. Offer it with the price. (Creators
# neither come nor go in this world; for new ones, the new posts of section 3 have to stand in.)
#
# **Cold start.** {{new_user_share:.1%}} of sessions are by people nobody has seen. They get {{new_gap:.0%}} fewer likes
# than the rest, and a popularity branch for them would take {{branch_loss:.0%}} of *that*. No branch.
#
# The interviewer says: *ids and device are fine, any model, no floor beyond the natural share.*
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Asks about privacy, fairness, budget, new users, and has a component for each. |
# | E6 | Prices a constraint before accepting or fighting it, and drops components that the price does not justify. |

# %% [markdown]
# ## 6. Which questions first? (value of information)
#
# **Interviewer:** "You have five minutes. What do you ask?"
#
# A question is worth what you lose by *not* asking: the design for the assumed answer, where the other one is true,
# against the design for that other one. What the answer costs anyway is paid either way. Sixteen questions, both prices.

# %%
predict("worth_asking", "How many of the sixteen save more than two per cent?", low=0, high=16, default=10)

# %%
unasked = Design(**naive.ASSUMED)
joint = 1 - morning.likes(unasked) / likes
singly = 1 - np.prod([1 - table["lost"][name] for name in ("cores", "stack", "new posts")])
worth = int((table["lost"] > 0.02).sum())
reveal("worth_asking", worth)
result(worth_asking=worth, questions=len(table), joint_loss=joint, product_loss=singly)
counted, silent = morning.likes(morning.popularity), morning.likes(unasked)
result(unasked_likes=silent, counted_likes=counted, asked_likes=likes)

# %%
nothing = ["latency", "nulls", "feature age"]
left = {name: curve[7] for name, curve in draw.orders(table, 0.5).items()}
comfort, guide, best = left.values()
result(objective_lost=table["lost"]["objective"], order_lost=table["lost"]["log order"])
result(left_comfort=comfort, left_guide=guide, left_best=best)
claim("nobody's question beats the objective", table.index[0] == "objective")
claim("three that everybody asks change nothing", table.loc[nothing, "lost"].abs().max() < 0.025)
claim("losses multiply", abs(joint - singly) < 0.06)
claim("unasked, little of the edge over counting is left", silent - counted < 0.2 * (likes - counted))
claim("seven good questions leave less open than seven comfortable ones", best < 0.6 * comfort)

# %%
draw.stakes_chart(table, f"{len(table) - worth} of {len(table)} questions save less than two per cent")

# %%
shown = table[["ask", "assumed", "other", "component"]].copy()
percent = (100 * table[["price", "lost"]]).round(1) + 0.0
shown["the answer costs or brings"] = percent["price"].map("{:+.1f} %".format).replace("+nan %", "–")
shown["not asking costs"] = percent["lost"].map("{:+.1f} %".format)
shown["cores"] = table["cores"].map("{:+.1f}".format)
reference.table(shown)

# %% [markdown]
# {{worth_asking}} of {{questions}} are worth a minute in likes. The objective leads ({{objective_lost:.0%}} of a month's
# likes), then who made the log ({{order_lost:.0%}}). Goals and the origin of the data come first, because a design for
# the wrong answer still *works*: nothing tells you. A forbidden feature is noticed on the first day.
#
# Now the silent answers of section 1, together: a dot product, a list a day, half the candidates. Each can be
# defended. Together they lose {{joint_loss:.0%}}, as the single losses multiplied say ({{product_loss:.0%}}). That
# leaves {{unasked_likes:.2f}} likes per session. **Counting likes per post**, with no model at all, earns
# {{counted_likes:.2f}}. The design that asked: {{asked_likes:.2f}}.
#
# If every assumption is wrong with even odds, seven questions leave {{left_comfort:.0%}} open in the order of comfort
# (scale, latency, cores, …), {{left_guide:.0%}} in the usual order (goal, scale, latency, data, …), {{left_best:.0%}} in
# the measured one, which is best here by construction. Your odds differ: multiply each row by how unsure you are, and
# skip what the prompt has said. Two rows are upper ends: the objective is measured with perfect rankers, the order of the
# log where position bias is strong.
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | A tidy list, goal to constraints, everything covered in five minutes. |
# | E6 | Each question with its consequence: "if A, I build this; if B, that". Stops asking when no answer would change the drawing, and assumes the rest aloud. |

# %% tags=["hood"]
hood(ask.stakes)

# %% [markdown]
# ## Tradeoff explorer: five minutes of questions
#
# Two controls: how long a question takes you, and how often your assumptions are wrong. Find the pace at which the
# order no longer matters.

# %% tags=["explorer"]
draw.question_explorer(table)

# %% [markdown]
# ## 7. The specification
#
# What the interviewer said, as data; what follows from it, as configuration; and the paragraph you say before you draw.

# %%
answers = Answers(users=1e8, judged_after_days=30, latency_ms=100, history_days=30, any_model=True)
implied = ask.implied(answers, turning)
print(draw.paragraph(answers, implied))

# %% [markdown]
# `notebooks/feed.toml` says the same. Notebooks 03 and 04 load it, so nobody designs for another feed by accident.

# %%
spec = SystemConfig.load(ask.spec_path())
claim("feed.toml is what the answers imply", spec.version == implied.version)
print(spec.version, SystemConfig().diff(spec))

# %% [markdown]
# And the test of a specification: flip one answer, and see which setting moves.

# %%
flips = {
    "judged after a day": replace(answers, judged_after_days=1),
    "a million users": replace(answers, users=1e6),
    "under a second": replace(answers, latency_ms=1000),
    "three days of log": replace(answers, history_days=3),
    "a dot product only": replace(answers, any_model=False),
}
moved = {name: implied.diff(ask.implied(other, turning)) for name, other in flips.items()}
claim("each of these answers moves one setting", all(len(changed) == 1 for changed in moved.values()))
reference.table(pd.DataFrame(list(moved.items()), columns=["if the answer were", "it moves (from, to)"]))

# %% [markdown]
# ## E5 against E6: judged after how many days?
#
# One function, two configurations: the E5 design ranks by likes, the E6 design by the value function. Both perfect,
# {{contrast_seeds}} worlds. Who has more likes by day one, three, seven, thirty?

# %% tags=["contrast"]
seeds = range(SEED, SEED + CONTRAST_SEEDS)
worlds = pd.DataFrame({seed: ask.months(seed, users=CONTRAST_USERS)["gain"] for seed in seeds})
wins = (worlds > 0).mean(axis=1)
even = float(np.interp(0, worlds.mean(axis=1), worlds.index))
mean = worlds.mean(axis=1)
result(contrast_seeds=CONTRAST_SEEDS, e5_wins_3=1 - wins[3], e6_wins_7=wins[7], e6_wins_30=wins[30])
result(contrast_1=mean[1], contrast_30=mean[30], contrast_even=even)
claim("E5 wins the first day, in every world", wins[1] == 0)
claim("E6 wins the month, in every world", wins[30] == 1)
claim("they are even within the first week", 2 < even < 7)
draw.horizon_curves(worlds, even)

# %% [markdown]
# On day one E5 is ahead in every world (E6 {{contrast_1:.0%}}), on day three still in {{e5_wins_3:.0%}} of them. Even on
# day {{contrast_even:.1f}}; after a week E6 leads in {{e6_wins_7:.0%}}, after a month in {{e6_wins_30:.0%}}, by
# {{contrast_30:+.0%}}. So the E5 design is *right* for a launch demo, a match, an election night: anything that is over
# before people could stay away. It is also one head instead of three, which a team of two will notice.

# %% [markdown]
# ## The tradeoffs, with this run's numbers

# %% [markdown] tags=["tradeoffs"]
# | Decision | Tradeoff | Measured here | E5 says | E6 adds |
# |---|---|---|---|---|
# | Objective | likes today against visits tomorrow | {{day_1:.0%}} on day one, {{day_30:+.0%}} on day thirty, even on day {{turning_day:.1f}} | likes, with a guardrail | the day on which it flips |
# | Latency class | cores against new posts | batch saves {{saved_cores:.0f}} cores and loses {{batch_loss:.1f}} % of likes | real time, it is a feed | batch for whom nothing new appears |
# | Feature freshness | pipeline cost against likes | by the hour: {{hourly_gain:+.1f}} % for {{hourly_cores:.1f}} cores (24 passes · events · cost per event) | fresher is better | the list first, then features |
# | Candidates | cores against likes | half of them: {{cores_lost:.1f}} % fewer likes, {{half_cores:.1f}} cores saved | scale out | recall so good that half is enough |
# | Privacy | ids against lift | {{lift_left:.0%}} of the lift without any | anonymize | topic history on the device, profile given away |
# | Fairness | exposure against likes | {{natural:.0%}} to {{lifted:.0%}} for {{floor_price:.1f}} % | a floor | the price of the floor, and whether it binds |

# %% [markdown]
# ## Commonly answered wrong
#
# - *"I'll assume we optimize likes."* The costliest sentence of the interview: {{objective_lost:.0%}} of a month's likes.
# - *"Is it real time or near real time?"* No answer moves a box: one core scores {{fits_real_time:,}} candidates in the shorter of the two. Ask about batch.
# - *"Features must be real time."* {{request_gain:+.1f}} % likes here. Name what is stale first.
# - *"What do the nulls mean?"* {{nulls_change:+.1f}} %. Say what you assume and go on.
# - *"Do you log positions?"* They always do. Ask who chose them.
# - *"New users get popular posts."* That takes {{branch_loss:.0%}} of their likes. Measure before you branch.
# - *"At a billion users the model has to be smaller."* The reads and the log break long before: {{reads_break:.2f}} and {{log_breaks:.0f}} million users, the ranking {{ranking_breaks:.0f}}.

# %% [markdown]
# ## Before and after

# %% [markdown] tags=["card"]
# | | Naive | Asked | Say |
# |---|---|---|---|
# | First sentence | "I would use a two-tower model" | "Judged after how many days?" | "Below {{turning_day:.0f}} days I rank by likes, above by value." |
# | Likes per session | {{unasked_likes:.2f}} (counting likes: {{counted_likes:.2f}}) | {{asked_likes:.2f}} | "Three defensible assumptions cost {{joint_loss:.0%}}, all that the model was for." |
# | Scale | {{naive_servers}} servers | reads break at {{reads_break:.2f}} million users | "One read per request, not per candidate." |
# | Freshness | hourly features: {{hourly_gain:+.1f}} % likes | new posts rankable at once: {{batch_loss:.1f}} % | "The list has to be fresh." |
# | Log | "what do nulls mean?": {{nulls_change:+.1f}} % | "who ordered it?": {{order_lost:.0%}} | "What decided what people saw?" |
# | Result | a drawing | a paragraph and `feed.toml` | "Here is what I heard. Correct me now." |

# %% [markdown]
# ## Drills
#
# Close the notebook first.
#
# 1. Speak the paragraph of section 7 from memory in thirty seconds, for *another* feed: a news site, a billion users,
#    judged by subscriptions.
# 2. Five questions, five minutes, a timer. After each, say what you would build for either answer. Cross out every
#    question for which both sentences were the same.
# 3. `python start.py drill start 10` ([from a dialogue to a plan](../drills/10_dialogue_to_plan/prompt.md)): eight
#    answers, one bill; which answer moves it, and which moves nothing?
# 4. `python start.py drill start 11` ([worth asking](../drills/11_worth_asking/prompt.md)): six open questions, a price
#    per minute. Which do you ask, and at which odds does a design flip?
# 5. `python start.py drill start 12` ([the wrong line](../drills/12_wrong_line/prompt.md)): two markets, one spec, and in
#    one of them a line that does not hold.
# 6. `python start.py drill start 03` ([scale](../drills/03_scale/prompt.md)): which box breaks first, as intervals.
# 7. Set `USERS` to a tenth and run again. Which claims still hold, and which question moves up?
