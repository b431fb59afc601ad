"""Drafts: what they are called, who goes on with them, and when nothing is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo

import pytest

from artrec.errors import ReleaseConflict, StoreFormatError, UsageError
from artrec.releases import (
    Draft,
    Outcome,
    RunRef,
    StageRuns,
    all_heads,
    draft_state,
    naming,
    open_heads,
    publish,
    read_base,
    read_document,
)
from artrec.releases.naming import today as unfrozen_today
from artrec.releases.published import CURRENT
from artrec.storage import Store
from tests.releases.protocol import (
    LATER,
    RUNS,
    TODAY,
    back,
    night,
    outcome,
    ref,
    release,
    stage,
    tree,
)


def open_draft(store: Store, inputs: str = "same", name: str | None = None) -> Draft:
    """A draft that has recorded its listing, and was left there."""
    draft = Draft.begin(store, name)
    draft.hold(inputs)
    draft.record(stage("inventory", inputs=inputs))
    return draft


def held(store: Store, inputs: str = "same", name: str | None = None) -> str:
    draft = Draft.begin(store, name)
    draft.hold(inputs)
    return draft.release_id


# -- names ----------------------------------------------------------------------------------


def test_without_a_name_a_release_is_called_by_the_date(store: Store) -> None:
    draft = Draft.begin(store, None)
    assert draft.release_id == TODAY
    draft.hold("same")
    assert draft.release_id == TODAY


class JustBeforeMidnight(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> JustBeforeMidnight:
        return cls(2026, 3, 1, 23, 59, tzinfo=UTC).astimezone(tz)


def test_the_date_is_that_of_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "datetime", JustBeforeMidnight)
    assert unfrozen_today() == "2026-03-01"


def test_nothing_is_written_before_there_is_something_to_record(store: Store) -> None:
    draft = Draft.begin(store, "named")
    draft.hold("same")
    assert tree(store) == {}


def test_other_inputs_of_the_same_day_get_the_next_number(store: Store) -> None:
    names = [open_draft(store, inputs).release_id for inputs in ("one", "two", "three")]
    assert names == [TODAY, f"{TODAY}.2", f"{TODAY}.3"]


def test_other_inputs_than_a_published_release_s_get_the_next_number(store: Store) -> None:
    nights = [night(store, inputs=i, run=i) for i in ("one", "two", "three")]
    assert nights == [TODAY, f"{TODAY}.2", f"{TODAY}.3"]


def test_the_open_draft_of_the_same_inputs_is_found_whatever_the_day(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_draft(store, "one")
    open_draft(store, "two")
    monkeypatch.setattr(naming, "today", lambda: LATER)
    assert held(store, "two") == f"{TODAY}.2"
    assert held(store, "one") == TODAY
    assert held(store, "three") == LATER


def test_an_open_draft_has_what_its_stages_recorded(store: Store) -> None:
    open_draft(store)
    again = Draft.begin(store, None)
    again.hold("same")
    assert again.stage("inventory") == stage("inventory")
    assert again.stage("embed") is None
    assert not again.unchanged


def test_a_draft_on_what_is_no_longer_current_is_not_gone_on_with(store: Store) -> None:
    open_draft(store, "one")
    night(store, "between", inputs="two", run="run-2")
    assert held(store, "one") == f"{TODAY}.2"


def test_the_name_that_was_asked_for_is_used(store: Store) -> None:
    open_draft(store, "same")
    assert held(store, "same", "my release, v1") == "my release, v1"
    assert night(store, "my release, v1") == "my release, v1"


def test_a_name_that_another_draft_holds_is_refused(store: Store) -> None:
    open_draft(store, "one", "mine")
    before = tree(store)
    with pytest.raises(ReleaseConflict, match=r"the name mine is held by other inputs.*--release"):
        held(store, "two", "mine")
    assert tree(store) == before
    assert ReleaseConflict.exit_code == 8
    assert held(store, "one", "mine") == "mine"


def test_a_name_that_a_release_holds_is_refused(store: Store) -> None:
    night(store, "mine", inputs="one")
    with pytest.raises(ReleaseConflict, match="the name mine is held by other inputs"):
        held(store, "two", "mine")


def test_a_name_that_a_release_holds_is_refused_though_its_draft_is_swept(store: Store) -> None:
    night(store, "old", inputs="one")
    night(store, "new", inputs="two", run="run-2")
    for name in ("old", "new"):
        store.delete(f"drafts/{name}/draft.json")
    with pytest.raises(ReleaseConflict, match="the name old is held by other inputs"):
        held(store, "three", "old")
    with pytest.raises(ReleaseConflict, match="the name old is held"):
        held(store, "one", "old")
    assert held(store, "two", "new") == "new"


def test_a_name_that_an_older_release_of_these_inputs_holds_is_refused(store: Store) -> None:
    night(store, "old", inputs="one", run="run-1")
    night(store, "new", inputs="two", run="run-2")
    with pytest.raises(
        ReleaseConflict, match="draft old was begun on an empty store, but new is current now"
    ):
        held(store, "one", "old")


def test_the_current_release_s_name_is_taken_for_its_own_inputs(store: Store) -> None:
    assert night(store, "mine") == "mine"
    assert night(store, "mine") == "unchanged"


def test_the_current_release_s_name_is_not_taken_for_new_results(store: Store) -> None:
    night(store, "mine")
    draft = Draft.begin(store, "mine")
    draft.hold("same")
    with pytest.raises(ReleaseConflict, match="the name mine is held by other inputs"):
        draft.record(stage("embed", "run-2"))


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/a", "a\nb", "a\0b", "\x1b[2J"])
def test_a_name_that_is_no_path_component_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="a release's name is a single path component"):
        Draft.begin(store, name)


def test_a_held_draft_is_not_held_for_others(store: Store) -> None:
    draft = Draft.begin(store, None)
    draft.hold("one")
    draft.hold("one")
    with pytest.raises(ReleaseConflict, match=f"the name {TODAY} is held by other inputs"):
        draft.hold("two")


# -- an unchanged night ---------------------------------------------------------------------


def test_an_unchanged_night_writes_its_outcome_and_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(store)
    before = tree(store)
    monkeypatch.setattr(naming, "today", lambda: LATER)
    draft = Draft.begin(store, None)
    draft.hold("same")
    for name in RUNS:
        draft.record(stage(name, seconds=9.0, counters={"other": 1}))
    assert draft.unchanged
    assert tree(store) == before
    draft.finish(outcome(draft))
    after = tree(store)
    path = f"drafts/{LATER}/outcome.json"
    assert {name: data for name, data in after.items() if name != path} == before
    assert json.loads(after[path])["current"] == TODAY


def test_where_an_archive_lies_now_begins_no_draft(store: Store) -> None:
    night(store)
    before = tree(store)
    draft = Draft.begin(store, None)
    draft.hold("same")
    draft.record(stage("inventory", notes={"pins": "moved"}))
    assert draft.unchanged
    assert tree(store) == before
    assert draft.need("inventory").notes == {"pins": "moved"}


def test_where_an_archive_lies_now_is_renewed_in_an_open_draft(store: Store) -> None:
    open_draft(store)
    again = Draft.begin(store, None)
    again.hold("same")
    again.record(stage("inventory", notes={"pins": "moved"}))
    third = Draft.begin(store, None)
    third.hold("same")
    assert third.need("inventory").notes == {"pins": "moved"}


def test_a_first_night_is_never_unchanged(store: Store) -> None:
    draft = Draft.begin(store, None)
    draft.hold("same")
    assert not draft.unchanged


@pytest.mark.parametrize("change", [{"run": "run-2"}, {"inputs": "other"}])
def test_one_stage_with_something_new_begins_a_draft(store: Store, change: dict[str, str]) -> None:
    night(store)
    draft = Draft.begin(store, None)
    draft.hold("same")
    draft.record(stage("inventory"))
    assert draft.unchanged
    draft.record(stage("embed", **change))
    assert not draft.unchanged
    assert draft.release_id == f"{TODAY}.2"
    assert sorted(p for p in tree(store) if p.startswith(f"drafts/{TODAY}.2/")) == [
        f"drafts/{TODAY}.2/draft.json", f"drafts/{TODAY}.2/embed.json",
        f"drafts/{TODAY}.2/inventory.json",
    ]  # fmt: skip
    assert draft.stage("inventory") == stage("inventory")


def test_a_stage_that_the_current_release_lacks_is_something_new(store: Store) -> None:
    night(store)
    draft = Draft.begin(store, None)
    draft.hold("same")
    for name in RUNS:
        draft.record(stage(name))
    assert draft.unchanged
    draft.record(StageRuns(stage="evaluate", inputs="same", tables={}))
    assert not draft.unchanged


# -- two at once ----------------------------------------------------------------------------


def test_of_two_that_begin_the_same_draft_the_second_is_sent_to_join_it(store: Store) -> None:
    first, second = Draft.begin(store, None), Draft.begin(store, None)
    first.hold("same")
    second.hold("same")
    first.begin_work()
    with pytest.raises(ReleaseConflict, match="begun by another process at the same time"):
        second.begin_work()
    assert open_draft(store).release_id == first.release_id == TODAY


def test_of_two_that_begin_other_drafts_the_second_takes_the_next_number(store: Store) -> None:
    first, second = Draft.begin(store, None), Draft.begin(store, None)
    first.hold("one")
    second.hold("two")
    first.begin_work()
    second.begin_work()
    assert (first.release_id, second.release_id) == (TODAY, f"{TODAY}.2")


def test_of_two_that_begin_one_name_the_second_is_refused(store: Store) -> None:
    first, second = Draft.begin(store, "mine"), Draft.begin(store, "mine")
    first.hold("one")
    second.hold("two")
    first.begin_work()
    with pytest.raises(ReleaseConflict, match="the name mine is held by other inputs"):
        second.begin_work()


# -- stages one by one ----------------------------------------------------------------------


def test_a_stage_goes_on_with_the_open_draft(store: Store) -> None:
    open_draft(store)
    draft = Draft.reopen(store, None)
    assert draft is not None
    assert draft.release_id == TODAY
    draft.record(stage("embed"))
    last = Draft.reopen(store, TODAY)
    assert last is not None
    assert (last.need("inventory"), last.need("embed")) == (stage("inventory"), stage("embed"))


def test_a_stage_whose_forerunner_has_not_run_says_so(store: Store) -> None:
    open_draft(store)
    draft = Draft.reopen(store, None)
    assert draft is not None
    with pytest.raises(UsageError, match="embed has not run yet; run artrec embed first"):
        draft.need("embed")


def test_a_stage_that_has_not_run_is_not_borrowed_from_the_current_release(store: Store) -> None:
    night(store, "before", inputs="one")
    begun = open_draft(store, "two", "tonight")
    reopened = Draft.reopen(store, "tonight")
    resumed = Draft.begin(store, "tonight")
    resumed.hold("two")
    for draft in (begun, reopened, resumed):
        assert draft is not None
        assert draft.need("inventory") == stage("inventory", inputs="two")
        assert draft.stage("embed") is None
        with pytest.raises(
            UsageError, match="draft tonight: embed has not run yet; run artrec embed first"
        ):
            draft.need("embed")
        assert not draft.unchanged


def test_without_an_open_draft_there_is_nothing_to_go_on_with(store: Store) -> None:
    assert Draft.reopen(store, None) is None
    night(store)
    assert Draft.reopen(store, None) is None
    with pytest.raises(UsageError, match="no draft mine is open; begin it with artrec inventory"):
        Draft.reopen(store, "mine")


def test_of_several_open_drafts_one_has_to_be_chosen(store: Store) -> None:
    open_draft(store, "one")
    open_draft(store, "two")
    with pytest.raises(UsageError, match=rf"\({TODAY}\.2, {TODAY}\): choose by --release"):
        Draft.reopen(store, None)
    chosen = Draft.reopen(store, f"{TODAY}.2")
    assert chosen is not None
    assert chosen.head is not None
    assert chosen.head.inputs == "two"


def test_a_draft_that_was_overtaken_is_not_reopened(store: Store) -> None:
    open_draft(store, "one", "slow")
    night(store, "fast", inputs="two", run="run-2")
    assert Draft.reopen(store, None) is None
    with pytest.raises(ReleaseConflict, match="slow was begun on an empty store, but fast is"):
        Draft.reopen(store, "slow")


def test_a_known_record_is_that_of_the_same_inputs(store: Store) -> None:
    night(store)
    draft = Draft.begin(store, None)
    draft.hold("same")
    assert draft.known("embed", "same") == stage("embed")
    assert draft.known("embed", "other") is None
    draft.record(stage("embed", "run-2", "other"))
    assert draft.known("embed", "other") == stage("embed", "run-2", "other")
    assert draft.known("embed", "same") == stage("embed")
    assert draft.known("nonsense", "same") is None


def test_a_night_that_was_killed_before_its_swap_publishes_the_same_release(store: Store) -> None:
    draft = open_draft(store, name="mine")
    for name in RUNS:
        draft.record(stage(name))
    made = release("mine", draft.base)
    store.write(made.path, made.to_bytes())
    again = Draft.begin(store, "mine")
    again.hold("same")
    assert not again.unchanged
    publish(store, release("mine", again.base), again.base)
    assert read_base(store).release == made


# -- outcomes -------------------------------------------------------------------------------


def test_the_latest_outcome_counts(store: Store) -> None:
    draft = open_draft(store)
    for message in ("failed", "failed again", "done at last"):
        draft.finish(outcome(draft, message))
    found = read_document(store, f"drafts/{TODAY}/outcome.json", Outcome)
    assert (found.message, found.exit_code, found.current) == ("done at last", 0, None)


@pytest.mark.parametrize("published", [True, False], ids=["a release", "a draft"])
def test_an_attempt_refused_its_name_leaves_the_holders_outcome_alone(
    store: Store, published: bool
) -> None:
    if published:
        night(store, "mine", inputs="one")
    else:
        open_draft(store, "one", "mine")
    holder = Draft.begin(store, "mine")
    holder.hold("one")
    holder.finish(outcome(holder, "the holder's"))
    before = tree(store)
    other = Draft.begin(store, "mine")
    with pytest.raises(ReleaseConflict):
        other.hold("two")
    other.finish(outcome(other, "the other's"))
    path = f"drafts/{other.attempt}/outcome.json"
    after = tree(store)
    assert json.loads(after.pop(path))["message"] == "the other's"
    assert after == before


def test_an_unchanged_night_leaves_the_open_draft_of_its_day_open(store: Store) -> None:
    """As when an archive was changed, its night was killed, and the archive is as before."""
    night(store, "base")
    killed = open_draft(store, "other")
    same = Draft.begin(store, None)
    same.hold("same")
    assert (same.release_id, same.unchanged) == (killed.release_id, True)
    same.finish(outcome(same).model_copy(update={"status": "unchanged"}))
    assert [head.release_id for head in open_heads(store, read_base(store))] == [TODAY]
    assert f"drafts/{same.attempt}/outcome.json" in tree(store)


@pytest.mark.parametrize("later", ["unchanged", "failed"])
def test_a_published_draft_stays_so_whatever_a_later_job_of_its_day_says(
    store: Store, later: str
) -> None:
    assert night(store) == TODAY
    second = Draft.begin(store, None)
    second.hold("same")
    second.finish(outcome(second).model_copy(update={"status": later}))

    def states() -> dict[str, str]:
        base = read_base(store)
        return {h.release_id: draft_state(store, h, base) for h in all_heads(store)}

    assert read_document(store, f"drafts/{TODAY}/outcome.json", Outcome).status == later
    assert states() == {TODAY: "published"}
    open_draft(store, "slow", "slow")
    night(store, "next", run="run-2", inputs="two")
    assert states() == {TODAY: "published", "slow": "overtaken", "next": "published"}
    back(store, TODAY)
    assert states() == {TODAY: "published", "slow": "overtaken", "next": "published"}


def test_a_draft_whose_release_never_was_current_is_overtaken(store: Store) -> None:
    slow = open_draft(store, "slow", "slow")
    made = release("slow", slow.base, "run-2", "slow")
    store.write(made.path, made.to_bytes())
    night(store, "fast")
    assert slow.head is not None
    assert draft_state(store, slow.head, read_base(store)) == "overtaken"


def test_a_stages_cut_is_named_in_the_draft_while_it_is_worked_on(store: Store) -> None:
    draft = open_draft(store)
    for run in ("run-1", "run-2"):
        draft.plan("embed", ref("embed", run))
        path = f"drafts/{TODAY}/embed.cut.json"
        assert read_document(store, path, RunRef) == ref("embed", run)
    assert draft.stage("embed") is None


def test_a_draft_of_a_newer_artrec_is_refused(store: Store) -> None:
    open_draft(store)
    path = f"drafts/{TODAY}/draft.json"
    entry = store.stat(path)
    newer = json.loads(store.read(path)) | {"format": 2}
    store.write(path, json.dumps(newer).encode(), if_etag=entry.etag)
    with pytest.raises(StoreFormatError, match="written in format 2, this artrec reads up to 1"):
        held(store)
    with pytest.raises(StoreFormatError, match="written in format 2"):
        Draft.reopen(store, None)
    assert CURRENT not in tree(store)
