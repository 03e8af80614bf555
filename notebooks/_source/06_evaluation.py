# %% [markdown]
# # 06 · Evaluation
#
# Step 5 of the seven. There are models now ([notebook 05](05_model_development.ipynb)). Which one is better, by how much, are you
# sure, and does it ship? In life nobody hands you the answer. Here somebody does: the simulated feed knows what every
# ranker truly earns. So this notebook judges the *judges*: each metric, interval, estimator and test against the truth.
#
# **Objectives**
# - Choose a metric by what it misses, and a threshold by what errors cost.
# - Put an interval on any number, by users and not by rows, and know when a slice is news.
# - Say what another ranker would have earned from the log of this one, and when the log cannot answer.
# - Plan, check and read an A/B test: size, assignment, variance, peeking, interference.
# - Decide: ship, hold or roll back, and say which number would turn the decision.
#
# **Time:** 45 minutes to read, twice that with every slider
#
# **Level:** E5 (senior), with the E6 additions (staff) marked. "Meta-style", never official.
#
# The feed is the simulated one of notebook 01. *Share* is what a feed truly earns: expected likes of tomorrow's sessions,
# as a share of what an oracle would earn, without a single die thrown.

# %% tags=["parameters"]
SEED = 13
USERS = 600
SAMPLES = 300
CONTRAST_SEEDS = 20

# %%
import pandas as pd

from mlsys import naive
from mlsys.analysis import judging as draw
from mlsys.analysis import reference
from mlsys.lesson import claim, hood, predict, result, reveal
from mlsys.orchestration import judging, trials
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.framing import one_thread

# %%
from mlsys.evaluation.slates import pooled

bench = Bench(SEED, users=USERS, days=8, new_users_per_day=20)
_, y, held = judging.held(bench)
print(f"{len(bench.rows):,} labelled rows to learn from, {len(held):,} of tomorrow to judge by")

# %% [markdown]
# ## 1. Which number?
#
# **Interviewer:** "How do you know that the new model is better?"
#
# Eight ways to order a feed, eight metrics on tomorrow's rows, whose order was random. Among the eight: the trees; the same
# trees, trained on a quarter of the rows without a like; a model that only knows *who* likes a lot; dice; and the *logged
# order*, which is no model at all: it repeats the slots that chance gave, so its feed is that of dice.
# Take the linear model and the logged order. By how many hundredths of NDCG@10 is the model ahead?

# %%
predict("ndcg_lead", "NDCG@10, linear over logged?", low=-20.0, high=20.0, default=8.0, unit="hundredths")

# %%
table = one_thread(judging.metrics)(bench)
picks = judging.picks(table)
two = table.loc[["linear", "logged order"]]
print(f"by NDCG@10 the naive answer takes: {naive.pick(two['NDCG@10'])}")
lead = two["NDCG@10"]["linear"] - two["NDCG@10"]["logged order"]
reveal("ndcg_lead", round(100 * lead, 1))
reference.table(table.round(3).reset_index(names="score"))

# %%
logged, who, dice = (table.loc[name] for name in ("logged order", "who likes a lot", "dice"))
trees, sampled, newest = (table.loc[name] for name in ("trees", "trees, sampled", "newest"))
result(ndcg_lead=100 * lead, linear_share=two["share"]["linear"], dice_share=dice["share"])
result(ndcg_trees=trees["NDCG@10"], ndcg_linear=two["NDCG@10"]["linear"])
result(ndcg_logged=logged["NDCG@10"], auc_logged=logged["AUC"])
result(auc_newest=newest["AUC"], share_newest=newest["share"], slot_logged=logged["AUC within slot"])
result(auc_who=who["AUC"], own_who=who["per-user AUC"], share_who=who["share"], loss_who=who["log loss"])
result(auc_trees=trees["AUC"], auc_sampled=sampled["AUC"], loss_sampled=sampled["log loss"])
result(share_trees=trees["share"], share_sampled=sampled["share"], f1_trees=trees["F1 at 0.5"])
result(f1_dice=dice["F1 at 0.5"], f1_sampled=sampled["F1 at 0.5"], agree_ndcg=picks["agreement"]["NDCG@10"])
within = picks["agreement"]["AUC within slot"]
result(agree_auc=picks["agreement"]["AUC"], agree_slot=within)

# %%
claim("NDCG@10 does not put a model ahead of a random order", lead < 0.01)
claim("whose feed earns much more", two["share"]["linear"] > dice["share"] + 0.15)
claim("the slot alone has a better AUC than newest first", logged["AUC"] > newest["AUC"])
claim("which is the better feed", newest["share"] > logged["share"] + 0.05)
claim("by AUC within a slot, feeds stand about as their likes do", within > 0.75)
claim("within a slot, the logged order is chance", abs(logged["AUC within slot"] - 0.5) < 1e-9)
claim("who likes a lot has an AUC", who["AUC"] > 0.52)
claim("and orders nobody's feed", abs(who["per-user AUC"] - 0.5) < 0.01)
claim("log loss prefers it to the trees that saw a sample", who["log loss"] < sampled["log loss"])
claim("at one half, dice have a better F1 than the best model", dice["F1 at 0.5"] > trees["F1 at 0.5"])
draw.metric_panels(table)

# %% [markdown]
# {{ndcg_lead:+.1f}}: the logged order is *ahead*, and its feed earns {{dice_share:.0%}} where the model's earns
# {{linear_share:.0%}}. Nothing is broken. People look at the first slot most, so likes *stand*
# on top, and whoever repeats the logged order is praised for it: NDCG@10 {{ndcg_logged:.3f}}, the best trees {{ndcg_trees:.3f}}. So is AUC:
# {{auc_logged:.2f}}, and newest first, a better feed, has {{auc_newest:.2f}}. (*Who likes a lot* gives a session one score; ties
# stay in logged order.) A metric on logged slates measures, for a good part, **how much you agree with the
# ranker that made the log**. Compare rows of the same slot only, and the logged order is at {{slot_logged:.2f}}. Of all eight
# metrics that one orders the feeds most nearly as their likes do (rank correlation {{agree_slot:.2f}}; NDCG {{agree_ndcg:.2f}}).
#
# What each of the others misses:
# - **AUC** compares rows of different people. Knowing who likes a lot is {{auc_who:.2f}}, and per-user AUC {{own_who:.2f}}.
# - **Log loss and ECE** want the right probability, not the right order: the sampled trees, {{share_sampled:.0%}} of the likes,
#   are behind ({{loss_sampled:.2f}}) a model with {{share_who:.0%}} ({{loss_who:.2f}}). Right, if you price or notify; wrong, if you rank.
# - **F1** judges a threshold: at one half the trees have {{f1_trees:.2f}}, the sampled ones {{f1_sampled:.2f}}, dice {{f1_dice:.2f}}.
#
# So is a threshold needed at all? For a feed, no. For a notification, yes, and then it comes from what errors cost. Say a
# needless one costs one, a missed like four:

# %%
costs = one_thread(judging.thresholds)(bench, cost_fp=1, cost_fn=4)
calibrated, other = costs.loc["trees"], costs.loc["trees, sampled"]
said = naive.says_like(bench.model.predict(judging.held(bench)[0])).mean()
paid, wrong = calibrated["cost"], other["cost"]
result(said_half=said, cost_half=paid["default 0.5"], cost_never=paid["never"], best_threshold=0.2)
result(cost_paid=paid["from the costs"], cost_wrong=wrong["from the costs"], cost_other=wrong["cheapest"])
claim("the default threshold hardly says anything", said < 0.05)
claim("a threshold from the costs is cheaper", paid["from the costs"] < paid["default 0.5"])
claim("but only if the score is a probability", wrong["from the costs"] > wrong["cheapest"] + 0.05)
reference.table(costs.round(3).reset_index(names=["score", "threshold by"]))

# %% [markdown]
# One half says "like" to {{said_half:.1%}} of rows and costs {{cost_half:.2f}} a row; never to say anything costs
# {{cost_never:.2f}}. One over one plus four, {{best_threshold}}, needs no rows to be found, and costs {{cost_paid:.2f}}. It needs a
# *calibrated* score: on the sampled trees it costs {{cost_wrong:.2f}}, and a searched threshold mends it ({{cost_other:.2f}}).
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | AUC and NDCG offline, precision and recall at a tuned threshold, log loss and calibration, then an A/B test. |
# | E6 | "Which ranker made the log? On its slates NDCG pays me for agreeing with it. I compare within slots or users, or weigh by propensity, and I name the metric by the decision: order, price or threshold." |

# %% [markdown]
# ## 2. How sure?
#
# **Interviewer:** "Likes went from 15.1 % to 15.6 % of impressions. Is that real?" <!--fact: an invented question-->
#
# Thousands of rows: the textbook interval is narrow. Here the exact rate of the whole world is known. Draw two hundred
# people with all their rows, make a 95 % interval, and do that again and again. <!--fact: the usual level--> How many of them hold the truth?

# %%
predict("held_rows", "95 % intervals by rows that hold the truth?", low=0, high=100, default=95, unit="%")

# %%
found = one_thread(judging.samples)(SEED, repeats=SAMPLES)
cover = judging.coverage(found)
low, high = naive.interval(y)
print(f"the naive interval of tomorrow's like rate: {low:.4f} to {high:.4f}")
reveal("held_rows", round(100 * cover["held"]["rows"]))
reference.table(cover.round(3).reset_index(names="interval by"))

# %%
wider, share, alarms = cover["width"]["users"] / cover["width"]["rows"], cover["held"], cover["false_alarms"]
result(held_rows=share["rows"], held_users=share["users"], held_bootstrap=share["bootstrap"])
result(wider=wider, sample_rows=found["rows"].mean(), worth=found["rows"].mean() / wider**2, n_people=200)
result(alarms_rows=alarms["rows"], alarms_users=alarms["users"])
claim("by rows, far fewer than 95 % hold", share["rows"] < 0.86)
claim("by users, nearly that many", share["users"] > 0.89)
claim("the bootstrap of users agrees with the formula", abs(share["bootstrap"] - share["users"]) < 0.04)
claim("by rows, nothing is often significant", alarms["rows"] > 1.5 * alarms["users"])
draw.interval_ladders(found, cover)

# %% [markdown]
# {{held_rows:.0%}}. Rows of one person are not independent: some people like a lot, and a few come twenty times a day. The
# {{sample_rows:,.0f}} rows of {{n_people}} people say as much as {{worth:,.0f}} independent ones. Count *people*: add up each
# person's rows first (`evaluation.cluster_mean`), or draw people again (`bootstrap`): {{held_users:.0%}} and
# {{held_bootstrap:.0%}} hold, {{wider:.1f}} times as wide. (Not quite the promised share: with so few people, and some so active,
# a little is still missing.)
#
# The price of rows in an experiment: two samples of the *same* feed, tested against each other, are "significant" in
# {{alarms_rows:.0%}} of cases instead of one in twenty, by users {{alarms_users:.0%}}. **Whatever you randomize, that you
# count.** Assign by user, count users. And an A/A test, the same feed in both arms, is how a team finds out.
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | A confidence interval on each metric, bootstrap where there is no formula. |
# | E6 | "Bootstrap of what? The unit of randomization. By rows a quarter of our A/A tests would win." Has run the A/A tests. |

# %% [markdown]
# ## 3. Where is it bad?
#
# **Interviewer:** "For whom does it not work?"
#
# Seven ways to slice tomorrow's rows. First a check of the method: toss a coin for every user, forty times, so that
# there are forty ways to slice that mean *nothing*. In how many of them is one half "worse than the rest"?

# %%
predict("placebo_naive", "Of 40 meaningless slices, how many are found?", low=0, high=40, default=2, unit="")

# %%
nothing = one_thread(judging.placebo)(bench)
slices = one_thread(judging.sliced)(bench)
flagged = naive.bad_slices(slices)
reveal("placebo_naive", round(nothing["naive"].mean(), 1))
differ = int(slices["differs"].sum())
print(f"naive, of {len(slices)} real slices: {len(flagged)} differ; corrected: {differ}")
reference.table(slices[slices["differs"]].drop(columns=["p", "differs", "why"]).round(3).reset_index())

# %%
slot, history = slices.loc["slot"], slices.loc["history"]
first, deep = slot.loc["1"], slot.loc[[str(k) for k in range(4, 11)]]
result(placebo_naive=nothing["naive"].mean(), placebo_true=nothing["corrected"].mean(), n_slices=len(slices))
result(slices_naive=len(flagged), slices_differ=differ, auc_first=first["exact"], gap_first=first["gap"])
result(auc_deep=deep["exact"].mean(), gap_deep=deep["gap"].mean())
result(gap_new=history["gap"]["1-20"], gap_known=history["gap"]["over 100"])

# %%
claim("without correction, nothing is found again and again", nothing["naive"].mean() > 3)
claim("with it, hardly ever", nothing["corrected"].mean() < 1)
claim("slot 1 has the best AUC", first["exact"] > deep["exact"].max())
claim("and leaves more to gain than the deep slots", first["gap"] > deep["gap"].mean())
claim("people with little history are served worse than the well known",
      history["gap"]["1-20"] > history["gap"]["over 100"])  # fmt: skip
draw.slice_gaps(slices)

# %% [markdown]
# {{placebo_naive:.1f}}, not two: an interval that leaves out the others' value forgets that the others have an interval, too. And
# two would already be two stories told to a product manager. `by_slice` compares with the rows *outside* and corrects for how
# many were looked at (false discovery rate): {{placebo_true:.1f}}. Of the {{n_slices}} real slices {{slices_naive}} become
# {{slices_differ}}.
#
# Then ask what a low AUC of a slice means. Only a simulation can draw the ceiling, the AUC of the true P(like) (right ends).
# Slot one has the best AUC ({{auc_first:.3f}}; deep slots {{auc_deep:.3f}}) *and* more to gain ({{gap_first:.3f}} against
# {{gap_deep:.3f}}): further down fewer people look, so labels are mostly chance, for any model. **A low AUC of a
# slice may be the slice.** Without a ceiling, compare two models within a slice, never one model between slices. What
# remains is real: people with little history, {{gap_new:.3f}} below their ceiling, the well known {{gap_known:.3f}}.
#
# And one trap goes the other way. A new feed, by *number* of likes instead of like rate, is offered. Whoever wants it takes it,
# and people who like a lot are curious:

# %%
chose, truth = one_thread(judging.volunteers)(SEED)
thirds, every = chose.drop("all"), chose.loc["all"]
result(volunteers_gain=every["new"] / every["old"] - 1, volunteers_true=truth["new"] / truth["old"] - 1)
result(worst_third=(thirds["new"] / thirds["old"] - 1).max())
claim("in all users together the new feed is ahead", every["new"] > every["old"])
claim("in every third it is behind", (thirds["new"] < thirds["old"]).all())
claim("and it is behind in truth", truth["new"] < truth["old"])
draw.simpson(chose)

# %% [markdown]
# {{volunteers_gain:+.0%}} in all, {{worst_third:+.0%}} or less in every third, {{volunteers_true:+.0%}} if everybody had it: Simpson's
# paradox. Nobody cheated; the arms hold different people. Thirds help only because we happened to know what to slice by.
# Tossing a coin needs no such luck. Beta testers, markets that went first, a ramp that was small on Monday
# and large on Saturday: all of them are volunteers.
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Metrics by device, country, new users; checks fairness; knows Simpson's paradox. |
# | E6 | "How many slices did we look at? A slice's AUC has its own ceiling, so I compare models within slices. And who chose to be in the arm?" |

# %% [markdown]
# ## 4. What would the other have earned?
#
# **Interviewer:** "No traffic for a test this month. You have the log of the old ranker. What would the new one earn?"
#
# Popularity has served for three days, with some sessions shuffled; the trees ranked the same candidates in its shadow, unseen. Two naive
# answers: what the log earned; or only its rows on which *both* rankers agree, item and slot. By the second, how
# far off is the estimate, with a fifth explored?

# %%
predict("agree_off", "Where both agree: how far off?", low=-50, high=100, default=0, unit="%")

# %%
logs = {share: one_thread(judging.shadowed)(bench, share) for share in (0.0, 0.05, 0.2)}
ways = {share: judging.off_policy(log) for share, log in logs.items()}
little, much, truth = ways[0.05], ways[0.2], logs[0.2].truth
print(f"the naive replay says {naive.replay(logs[0.2].log):.2f} likes per session; the truth is {truth:.2f}")
off = much["value"] / truth - 1
reveal("agree_off", round(100 * off["where both agree"]))
shown = pd.concat(ways, names=["explored", "way"])[["value", "low", "high", "ess", "warning"]]
reference.table(shown.astype({"warning": str}).round(2).reset_index())

# %%
result(agree_off=off["where both agree"], logged_off=off["logged mean"], dm_off=off["dm"], dr_off=off["dr"])
rows = much["ess"]
result(snips_off=off["snips"], target_truth=truth, ess_slot=rows["ips by slot"], ess_pooled=rows["ips"])
price_little, price_much = (1 - logs[share].served / logs[share].alone for share in (0.05, 0.2))
result(cost_little=price_little, cost_much=price_much, ess_little=little["ess"]["ips"])
widths = [table["high"]["dr"] - table["low"]["dr"] for table in (little, much)]
result(width_little=widths[0], width_much=widths[1], reach=widths[1] / 2 / truth)

# %%
claim("rows where both agree promise too much", off["where both agree"] > 0.04)
claim("the logged mean and the reward model promise too little", max(off["logged mean"], off["dm"]) < -0.1)
claim("doubly robust comes much nearer", abs(off["dr"]) < min(0.15, -off["logged mean"]))
claim("without exploration the log is refused", "refused" in ways[0.0].index)
claim("pooling over slots makes many more rows count", rows["ips"] > 4 * rows["ips by slot"])
draw.what_if(ways, logs)

# %% tags=["hood"]
hood(pooled)

# %% [markdown]
# {{agree_off:+.0%}}: both agree where a post is *obviously* good. The logged mean is {{logged_off:+.0%}} off, the reward model
# alone {{dm_off:+.0%}}, since it learned from what popularity showed. Weighing each row by how much more often the
# trees would show it: SNIPS {{snips_off:+.0%}}, doubly robust {{dr_off:+.0%}}, with an interval around it.
#
# Three numbers to ask for before believing any of it:
# - **Support.** With nothing explored the log is refused: it never holds most of what the trees would show.
# - **Effective rows.** Item *and* slot leave {{ess_slot:.0f}}; pooled over slots (known chances to be looked at) {{ess_pooled:.0f}}.
# - **The price.** A twentieth explored costs {{cost_little:.1%}} of the likes, a fifth {{cost_much:.1%}}; the
#   interval shrinks from {{width_little:.1f}} to {{width_much:.1f}} likes, which is still {{reach:.0%}} to either side. Two good
#   models are rarely that far apart.
#
# So off-policy values are a gate, not a judge: they throw out what is clearly worse, and they cost nobody a bad feed. And
# they see *today*. What a feed does to people next month, no log of another feed holds.
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Replay, inverse propensity weights, doubly robust; clip large weights. |
# | E6 | "What is the support, and how many effective rows?" Logs propensities on day one, prices the exploration that they need, and says what a log can never answer. |

# %% [markdown]
# ## 5. An A/B test: before, during, after
#
# **Interviewer:** "You want to see a lift of 5 % in likes. How many users, for how long?" <!--fact: the size is an assumption-->
#
# One week, users by halves. The naive plan: an impression is a coin, so many coins are needed, so many impressions has a user
# in a week. By that plan the test has a power of 80 %. <!--fact: the usual target--> Here we can do what nobody else can, run the same week again and
# again with other halves. We take a thousand users per arm, twice the plan. What power does *likes per user* have?

# %%
predict("power_user", "Power of likes per user, at twice the plan?", low=0, high=100, default=90, unit="%")

# %%
people = one_thread(trials.outcomes)(SEED, logged=True)
sizes = trials.plan(people)
likes, sessions = people.likes["popular"][:7].sum(), people.sessions["popular"][:7].sum()
asked = naive.users_needed(likes / sessions / 10, 0.05, 10 * sessions / len(people.before["likes"]))
print(f"the naive plan: {asked:,} users per arm")
reveal("power_user", round(100 * sizes["power"]["likes per user"]))
reference.table(sizes.round(2).reset_index(names="what is read"))

# %%
needed, power_of = sizes["needed"], sizes["power"]
result(plan_naive=asked, power_user=power_of["likes per user"], power_cuped=power_of["likes per user, CUPED"])
result(need_user=needed["likes per user"], need_cuped=needed["likes per user, CUPED"])
result(need_session=needed["likes per session"], power_session=power_of["likes per session"])
known = sizes["explained"]["likes per user, CUPED"]
longer = trials.plan(people, days=28, tests=10)["needed"]
result(need_user_long=longer["likes per user"], need_cuped_long=longer["likes per user, CUPED"])
result(cuped_explains=known, cuped_factor=1 / (1 - known))

# %%
large = one_thread(trials.outcomes)(SEED, users=6_000, days=7, names=())
lossy = trials.broken(large, [0.0, 0.02, 0.05, 0.1])
few, many = lossy.loc[0.02], lossy.loc[0.1]
result(lost_few=few["lift"], lost_few_srm=few["stopped"], lost_few_before=few["before"])
result(lost_many=many["lift"], lost_many_srm=many["stopped"], few_significant=few["significant"])

# %%
claim("likes per user need many times the naive plan", needed["likes per user"] > 10 * asked)
claim("CUPED takes out far more than half of the variance", known > 0.6)
claim("the formula keeps its promise", abs(sizes["power"] - sizes["promised"]).max() < 0.15)
claim("a tenth lost: the sample ratio often stops it", many["stopped"] > 0.3)
claim("a fiftieth lost: it does not", few["stopped"] < 0.1)
claim("and nearly every test finds a loss", few["significant"] > 0.8)
claim("the week before shows it", few["before"] > 0.7)
draw.plan_panels(sizes, lossy)

# %% [markdown]
# {{power_user:.0%}}. The plan asked for {{plan_naive}} users per arm; likes per user need {{need_user:,.0f}}. People differ from one
# another far more than their impressions do. Two ways out:
# - **CUPED**: subtract what the week before foretold. It is said to halve the variance. Here it takes out {{cuped_explains:.0%}},
#   since who was active stays active: {{need_cuped:,.0f}} users, {{cuped_factor:.0f}} times fewer.
# - **Another metric**: likes per *session* needs {{need_session:,.0f}}. Cheap, and blind to how often people come. Section 8 shows
#   what that costs.
#
# "For how long" is the smaller half of the question. Four weeks need {{need_user_long:,.0f}} per arm, with CUPED
# {{need_cuped_long:,.0f}}: four times as long does not replace four times as many. The same people on more days are still the same
# people. Length is for what takes time to show.
#
# Then the split. Right panel: the feed is the *same* in both arms, but the app of the treated times out for the most active, and
# they are missing from the log. A tenth missing reads as {{lost_many:+.0%}}, and the check of the sample ratio stops {{lost_many_srm:.0%}}
# of such tests (six thousand users). A fiftieth missing still reads as {{lost_few:+.0%}}, nearly always "significant"
# ({{few_significant:.0%}}), and the check stops {{lost_few_srm:.0%}}. **A sample ratio that fits proves little when the few are the
# heavy ones.** The same test on the week *before*, when nobody was treated, stops {{lost_few_before:.0%}}, for free.
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Power analysis, two weeks, fifty-fifty, p < 0.05, sample-ratio check, CUPED if there is time. <!--fact: the usual rules--> |
# | E6 | "The unit is the user and the spread is theirs. The week before gives me both the size and the adjustment. And it is an A/A test that I run on the very split, before I read anything." |

# %% [markdown]
# ## 6. Looking before the end
#
# **Interviewer:** "It is significant on day three. Can we stop?"
#
# An A/A test: the same feed, nothing to find. It runs for four weeks with CUPED, somebody looks every morning, and it is over on
# the first day with p below one in twenty. In what share of tests has nothing been found?

# %%
predict("peek", "A/A tests that win by a daily look?", low=0, high=100, default=5, unit="%")

# %%
peeks = trials.peeked(people)
last = peeks.iloc[-1]
over_on = [naive.first_find(trials.daily_p(people, f"nothing {n}")) for n in range(20)]
print("naive: twenty A/A tests, and the day on which each is over (0: never):", *over_on)
reveal("peek", round(100 * last["the same, CUPED", "daily"]))

# %%
real_one = trials.peeked(people, lift=0.1, tests=400)["the same, CUPED"]
over = trials.exaggerated(people)
result(peek=last["the same, CUPED", "daily"], peek_plain=last["the same people", "daily"])
result(peek_others=last["others every day", "daily"], peek_once=last["the same, CUPED", "once"])
result(peek_valid=last["the same, CUPED", "always_valid"], valid_end=real_one["always_valid"].iloc[-1])
result(once_end=real_one["once"].iloc[-1], once_half=real_one["once"][14])
result(valid_half=real_one["always_valid"][14])
result(over_first=over["at the first find"], over_end=over["at the end"])

# %%
claim("one look is right nineteen times of twenty", abs(last["the same, CUPED", "once"] - 0.05) < 0.03)
claim("daily looks find nothing several times as often", last["the same, CUPED", "daily"] > 0.12)
claim("the always-valid interval stands all looks", last["the same, CUPED", "always_valid"] < 0.05)
claim("and is slower", real_one["always_valid"][14] < real_one["once"][14] - 0.1)
claim("who stops at the first find reports far too much", over.iloc[0] > over.iloc[1] + 0.3)
draw.peek_curves(peeks)

# %% [markdown]
# {{peek:.0%}} instead of one in twenty. Peeking is dangerous as far as each look is *new* chance. Likes per user, unadjusted:
# {{peek_plain:.0%}}, because the heavy users who made Monday's difference also make Sunday's. CUPED takes out just that, so what is left
# moves more; with other people every day it would be {{peek_others:.0%}}.
#
# Two honest ways: look once, at the planned end. Or use an interval that stands any number of looks (`sequential.always_valid`):
# {{peek_valid:.1%}} false finds. Its price, for a true lift of a tenth: by day fourteen it has found {{valid_half:.0%}},
# the single look there {{once_half:.0%}}; by the end {{valid_end:.0%}} against {{once_end:.0%}}. It is for stopping *harm* early and
# for tests without an end.
#
# And who stops at the first find is wrong about the size even when right about the sign. For a true lift of a twentieth the
# reported one is {{over_first:.1f}} times as large; even the finds of the full test exaggerate, {{over_end:.1f}} times, because too few users
# make only the lucky ones visible. It is the winner's curse of notebook 05 once more.
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | No peeking: fix the length, decide at the end. |
# | E6 | "Look daily, but at an interval made for it, and with guardrails for harm. A lift that was found early is about half as large." |

# %% [markdown]
# ## 7. Interference: arms that touch
#
# **Interviewer:** "Half of the users get the value feed. What will a full launch bring?"
#
# "What the test says" is the naive answer. Scenario `markets`: creators who are liked post more, and their posts are shown to *both* arms of
# their market. The new feed favours good creators, the old one clickbait; each arm lives off what the other breeds. Enjoyment
# per session, as a survey would ask for it; truth is a world with the feed for all, less a world with it for none.
# By how much is the test by user off?

# %%
predict("user_off", "Test by user, off the true gain by?", low=-60, high=60, default=0, unit="%")

# %%
spill = one_thread(trials.spillover)
worlds = {"creators react": (1.5, 6), "nobody reacts": (0.0, 4)}
tests = {(name, seed): spill(seed, applause=strength) for name, (strength, n) in worlds.items()
         for seed in range(SEED, SEED + n)}  # fmt: skip
touched = pd.DataFrame(tests).T.rename_axis(["world", "seed"])
print("the naive forecast of the first:", round(naive.measured(touched["user"].iloc[0], 0.0), 2))
gap = touched[["user", "market"]].sub(touched["truth"], axis=0)
reacts, calm = gap.loc["creators react"], gap.loc["nobody reacts"]
true_gain = touched.loc["creators react", "truth"].mean()
reveal("user_off", round(100 * reacts["user"].mean() / true_gain))

# %%
result(user_off=reacts["user"].mean() / true_gain, market_off=reacts["market"].mean() / true_gain)
result(user_miss=(reacts["user"] ** 2).mean() ** 0.5, market_miss=(reacts["market"] ** 2).mean() ** 0.5)
result(user_calm=(calm["user"] ** 2).mean() ** 0.5, market_calm=(calm["market"] ** 2).mean() ** 0.5)
result(user_spread=reacts["user"].std(), market_spread=reacts["market"].std(), n_worlds=len(reacts))
claim("by user the gain is underestimated", reacts["user"].mean() < -0.04 * true_gain)
claim("in most worlds", (reacts["user"] < 0).mean() > 0.6)
claim("where nobody reacts, a test by user is nearly right", abs(calm["user"].mean()) < 0.15)
claim("and a test by market misses by more", (calm["market"] ** 2).mean() > (calm["user"] ** 2).mean())
draw.spill_dots(touched)

# %% [markdown]
# {{user_off:+.0%}} of the true gain, and more users would not help: it is a *bias*. The control enjoys the good posts that the treatment
# bred, the treatment still gets the control's clickbait. By market nobody is touched (twenty markets, half of them). But twenty
# units are few: its misses spread by {{market_spread:.2f}} where those by user spread by {{user_spread:.2f}}. Typical miss with
# creators who react: {{user_miss:.2f}} by user, {{market_miss:.2f}} by market, in these {{n_worlds}} worlds.
# In thirty others both were 0.22, the one nearly all bias, the other all noise. <!--fact: spillover() on seeds 50 to 79-->
# Where nobody reacts: {{user_calm:.2f}} and {{market_calm:.2f}}.
#
# So "randomize by cluster" is no advice without numbers. It buys off a bias with noise, at this size for no gain at all. More
# markets would shrink the noise; nothing shrinks the bias. How do you know which you have? Run both: the difference of the two
# readings, with its interval, is the interference. And ask for the channel first: shared supply, a shared budget, people who
# talk, a model trained on both arms' logs.
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Network effects break the A/B test; randomize by cluster, market or time instead. |
# | E6 | Names the channel and the sign of the bias. "With twenty markets I cannot see what I fear. I size both designs, and run a small one by market to bound the bias of the large one by user." |

# %% [markdown]
# ## 8. Four candidates, and the launch
#
# **Interviewer:** "Offline says one thing, the test another. What ships?"
#
# Against popularity, all counted on the same week: *popular + who* multiplies by how much a user likes in general; *newest*; *like* and
# *value*, per post and per user and topic, by likes or by the value function of notebook 03. A library whose posts stay. Six
# judgements each. *Value* is worse offline, worse by off-policy, worse per session in a week's test.
# What does it do to likes per user in four weeks, in truth?

# %%
predict("value_truth", "Value, likes per user in truth?", low=-50, high=150, default=-10, unit="%")

# %%
judged = trials.truths(people)
value, like, newest_, who_ = (judged.loc[name] for name in ("value", "like", "newest", "popular + who"))
print(f"by its off-policy value, naive says about value: {naive.ship(value['off-policy'])}")
reveal("value_truth", round(100 * value["truth"]))
result(value_truth=value["truth"], value_off=value["off-policy"], value_stay=value["stay"])
result(value_session=value["A/B likes per session"], value_user=value["A/B likes per user, CUPED"])
result(like_truth=like["truth"], who_auc=who_["AUC"])
result(who_truth=who_["truth"], newest_week=newest_["A/B likes per user, CUPED"], newest_stay=newest_["stay"])
result(newest_truth=newest_["truth"])
weekly = people.sessions["popular"].sum(axis=1).reshape(4, 7).sum(axis=1)
early = [people.likes[n][:3].sum() / people.sessions[n][:3].sum() for n in ("value", "popular")]
result(popular_lost=weekly[-1] / weekly[0] - 1, value_early=early[0] / early[1] - 1)

# %%
claim("who likes a lot: a better AUC", who_["AUC"] > 0)
claim("and the very same feed", abs(who_["truth"]) < 0.01)
claim("value is worse by AUC, off-policy and per session",
      max(value["AUC"], value["off-policy"], value["A/B likes per session"]) < 0)  # fmt: skip
claim("its off-policy value is right about likes per session",
      abs(value["off-policy"] - early[0] / early[1] + 1) < 0.09)  # fmt: skip
claim("and has the most likes per user in truth", value["truth"] > max(0.2, like["truth"]))
claim("newest loses the week, and people stay", newest_["A/B likes per user, CUPED"] < 0 < newest_["stay"])
claim("where all agree, they are right", min(like["AUC"], like["off-policy"], like["truth"]) > 0)
draw.truth_grid(judged)

# %% [markdown]
# {{value_truth:+.0%}}, and {{value_stay:+.0%}} sessions in the last week, against a control that lost people meanwhile
# ({{popular_lost:+.0%}} sessions from the first week to the last). Each disagreement has a mechanism:
# - *popular + who*: AUC {{who_auc:+.3f}}, truth {{who_truth:+.0%}}. It compares people; no slot changes (section 1).
# - *value*: off-policy {{value_off:+.0%}} is *right*: in the first days likes per session are {{value_early:+.0%}}. It cannot see that people come
#   more often. The test by session sees them come and divides by it ({{value_session:+.0%}}); per user it is
#   {{value_user:+.0%}} within a week.
# - *newest*: {{newest_week:+.0%}} in the week, {{newest_truth:+.0%}} in four, {{newest_stay:+.0%}} sessions at the end. It is the
#   worse feed, but it shows less clickbait than popularity does. No test of a week can hold what takes a month.
# - *like*: better in every column. When all judgements agree there is nothing left to explain, and that is the usual case.
#
# (People in this world react strongly to clickbait. Take the signs with you, not the sizes.) Now the launch after two weeks,
# with guardrails on sessions and dislikes, once by likes per session and once per user:

# %%
launched = trials.launches(people)
by_session, by_user = (launched.xs(name, level=1) for name in ("likes per session", "likes per user, CUPED"))
one = trials.launch(people, "value", days=14, primary="likes per user, CUPED")
print(one.action, *one.reasons, sep="\n  ")
result(turns_at=by_user["turns_at"]["value"], ship_value=by_user["value"]["value"])
result(session_says=by_session["action"]["value"], user_says=by_user["action"]["value"])
result(who_says=by_user["action"]["popular + who"], who_turns=by_user["turns_at"]["popular + who"])
claim("by session, value is rolled back", by_session["action"]["value"] == "roll back")
claim("per user, it ships", by_user["action"]["value"] == "ship")
claim("value would have to lose a lot to be held", by_user["low"]["value"] > 0.03)
reference.table(launched.round(3).reset_index(names=["candidate", "primary"]))

# %% [markdown]
# The same two weeks, the same people: {{session_says}}, or {{user_says}}. **The decision was made when the primary metric was
# chosen.** Say it before the test, with the *reversal threshold*: value ships at {{ship_value:+.0%}}, and at this width of
# interval it would be held below {{turns_at:+.0%}}. And what changes nothing does not ship because "it does no harm":
# {{who_says}}, until {{who_turns:+.0%}} is seen.
#
# **What an interviewer hears**
#
# | Level | Heard |
# |---|---|
# | E5 | Offline is a filter, the A/B test decides; guardrails for latency and retention. |
# | E6 | Names the mechanism of each disagreement before choosing whom to believe. One primary metric per *user*, guardrails that have to be shown unharmed, a threshold that would turn the decision, and a holdback for what takes a month. |

# %% [markdown]
# ## Tradeoff explorer: users, lift, CUPED
#
# Three controls: how many users, the lift you care for, CUPED or not; the metric is likes per user in a week, its spread from this world.
# Find the smallest test that sees the lift you would launch for. Then halve the lift.

# %% tags=["explorer"]
draw.size_explorer(SEED)

# %% [markdown]
# ## E5 against E6: a week per session, or two weeks per user?
#
# One function, two rules, {{contrast_seeds}} worlds. Both test *like* and *value* against popularity and ship the better one, if its
# interval is above zero. E5 reads likes per session after seven days, <!--fact: the two rules, as set in trials.RULES--> E6 likes per user with CUPED after
# fourteen. After that everybody gets what shipped, until four weeks are over. Then the same, three weeks long, where nobody can leave.

# %% tags=["contrast"]
seeds, season = range(SEED, SEED + CONTRAST_SEEDS), one_thread(trials.season)
open_ = pd.concat({seed: season(seed) for seed in seeds}, names=["seed", "rule"])
names, shut = ["seed", "rule"], {"days": 21, "return_strength": 0.0}
captive = pd.concat({seed: season(seed, **shut) for seed in seeds}, names=names)
e5, e6, c5, c6 = (frame.xs(rule, level="rule") for frame in (open_, captive) for rule in ("E5", "E6"))
ahead, end = e6["gain"] - e5["gain"], e6["end"] - e5["end"]
locked = c6["gain"] - c5["gain"]

# %%
result(e5_gain=e5["gain"].mean(), e6_gain=e6["gain"].mean(), e5_end=e5["end"].mean(), e6_end=e6["end"].mean())
result(e6_value=(e6["shipped"] == "value").mean(), e5_like=(e5["shipped"] == "like").mean())
result(end_wins=(end > 0).mean(), gain_wins=(ahead > 0).mean(), contrast_seeds=CONTRAST_SEEDS)
result(c5_gain=c5["gain"].mean(), c6_gain=c6["gain"].mean(), locked_wins=(locked < 0).mean())
result(c5_ships=(c5["shipped"] == "like").mean(), c6_ships=(c6["shipped"] == "like").mean())
claim("E6 ends ahead in nearly every world", (end > 0).mean() >= 0.85)
claim("E5 ships what E6 does not", (e5["shipped"] != e6["shipped"]).mean() >= 0.85)
claim("where nobody can leave, E5 is ahead in most worlds", (locked < 0).mean() >= 0.6 and locked.mean() < 0)
draw.season_dots(open_, captive)

# %% [markdown]
# Where people can leave, E5 ships *like* in {{e5_like:.0%}} of worlds and E6 *value* in {{e6_value:.0%}}. Over the four weeks it is
# {{e5_gain:+.0%}} against {{e6_gain:+.0%}} likes: E5 is not even behind, because a week of waiting costs a week of a better feed. In the *last*
# week it is {{e5_end:+.0%}} against {{e6_end:+.0%}}, E6 ahead in {{end_wins:.0%}} of worlds. A short test finds what
# shows in a short time.
#
# Where nobody can leave, E5 wins in {{locked_wins:.0%}} of worlds, {{c5_gain:+.1%}} against {{c6_gain:+.1%}}: likes per session is then
# the whole truth, it is the sharper metric ({{c5_ships:.0%}} of the winners shipped instead of {{c6_ships:.0%}}), and it is a week faster. **A
# careful test has a price. Pay it where people can leave.**

# %% [markdown]
# ## The tradeoffs, with this run's numbers

# %% [markdown] tags=["tradeoffs"]
# | Decision | Tradeoff | Measured here | E5 says | E6 adds |
# |---|---|---|---|---|
# | Offline metric | cheap against fooled by the log | NDCG {{ndcg_logged:.2f}} for chance, {{ndcg_linear:.2f}} for a model | AUC and NDCG | within slots, or by propensity |
# | Threshold | none, or by costs | {{cost_half:.2f}} a row at one half, {{cost_paid:.2f}} from costs | tune F1 | only for actions, and calibrated |
# | Interval | narrow against true | rows hold {{held_rows:.0%}}, users {{held_users:.0%}} | bootstrap | of the unit that was assigned |
# | Slices | detail against false alarms | {{placebo_naive:.1f}} of 40 found in nothing; corrected {{placebo_true:.1f}} | slice by device | ceilings, and how many were looked at |
# | Off-policy | exploration against answers | {{cost_much:.1%}} of likes for {{ess_pooled:.0f}} effective rows | IPS, doubly robust | support first; a gate, not a judge |
# | Test size | users against lift | {{need_user:,.0f}} per arm, CUPED {{need_cuped:,.0f}} | power analysis | the week before: size, adjustment, check |
# | Stopping | speed against false finds | daily {{peek:.0%}}, always valid {{peek_valid:.1%}} | do not peek | an interval made for it |
# | Unit | bias against noise | by user {{user_off:+.0%}}, by market a spread of {{market_spread:.2f}} | cluster | both, sized |
# | Launch metric | sharp against whole | per session {{value_session:+.0%}}, truth {{value_truth:+.0%}} | the A/B test decides | per user, with a reversal threshold |

# %% [markdown]
# ## Commonly answered wrong
#
# - *"NDCG went up."* On the old ranker's slates it goes up by agreeing with the old ranker: chance {{ndcg_logged:.2f}}, a model {{ndcg_linear:.2f}}.
# - *"F1 is low, the model is bad."* At one half it is {{f1_trees:.2f}}, and {{f1_dice:.2f}} for dice. It is the threshold.
# - *"Thousands of rows, so the interval is tiny."* It holds the truth in {{held_rows:.0%}} of cases.
# - *"The model is worst in the last slot."* Its ceiling is lower there. It leaves more in the first.
# - *"We replayed the rows where both rankers agree."* {{agree_off:+.0%}}.
# - *"CUPED halves the variance."* It took out {{cuped_explains:.0%}}. It depends on how alike two weeks are.
# - *"The sample ratio is fine, so the split is."* {{lost_few:+.0%}} from nothing, and it stopped {{lost_few_srm:.0%}}.
# - *"Significant on day three."* With daily looks, sooner or later so are {{peek:.0%}} of the tests of nothing; a true lift is reported {{over_first:.1f}} times as large.
# - *"Randomize by market, to be safe."* A typical miss of {{market_calm:.2f}} instead of {{user_calm:.2f}} where nothing spills over.
# - *"Off-policy and the test agree, it is worse."* Per session. In truth {{value_truth:+.0%}}.

# %% [markdown]
# ## Before and after

# %% [markdown] tags=["card"]
# | | Naive | Judged | Say |
# |---|---|---|---|
# | Metric | best NDCG | within slots, by what is decided | "Which ranker made the log?" |
# | Threshold | one half, F1 {{f1_trees:.2f}} | from costs, {{cost_paid:.2f}} a row | "What does each error cost?" |
# | Interval | rows, {{held_rows:.0%}} true | users, {{held_users:.0%}} | "What was randomized?" |
# | Slice | {{slices_naive}} findings | {{slices_differ}} | "Of how many?" |
# | Other ranker | rows that agree, {{agree_off:+.0%}} | doubly robust, {{dr_off:+.0%}} | "Support? Effective rows?" |
# | Size | {{plan_naive}} users | {{need_cuped:,.0f}} with CUPED | "The spread is between people." |
# | Stop | first p below one in twenty, {{peek:.0%}} | planned end, or always valid | "Found early is half as large." |
# | Launch | a gain is a gain | per user, guardrails, a threshold | "It turns at {{turns_at:+.0%}}." |

# %% [markdown]
# ## Drills
#
# Close the notebook first.
#
# 1. `python start.py drill start 21` ([ship it or not](../drills/21_ship_it_or_not/prompt.md)): a test, its guardrails and its split on one
#    page. Ship, hold or roll back, and which number would turn you?
# 2. `python start.py drill start 22` ([the estimate was wrong](../drills/22_the_estimate_was_wrong/prompt.md)): a launch brought less than was
#    promised. Which of the judgements lied, and what in the log shows it?
# 3. `python start.py drill start 23` ([how many users](../drills/23_how_many_users/prompt.md)): a spread, a lift, a week before. How many
#    users, with an interval, before you touch a calculator?
# 4. Spoken, two minutes: "Our new model has a better NDCG on last week's log." Answer without the words A/B test.
# 5. In section 1 the log was in random order. Predict NDCG@10 of the logged order on the log of a *good* ranker, then measure it:
#    `bench.rank(Oracle()).log`, and `evaluation.ndcg_at_k`.
# 6. Take the last launch that you were part of. What was the unit, the primary metric, the threshold that would have turned
#    it? Which of them was written down before the test began?
