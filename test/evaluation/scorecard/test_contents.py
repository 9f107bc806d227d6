"""A scorecard is of what its last command asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.config import SegConfig
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.evaluation.scorecard import contents
from anymodal_seg_ros.evaluation.scorecard.cases import Case
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job, Subject
from anymodal_seg_ros.evaluation.scorecard.report.tables import CSV, JSON
from anymodal_seg_ros.evaluation.scorecard.runs.records import to_line
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import MASKS, finish, new_run
from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard
from anymodal_seg_ros.evaluation.scorecard.verdict.gate import parse_gate

GATE = parse_gate({"version": 1, "checks": [{"figure": "masks", "min": 1}]})


def job(out: Path, bag: str, model: str = "one", case: str = "healthy") -> Job:
    subject = Subject(out / bag, bag, SegConfig(model=model))
    return Job(subject, Case(case), out / contents.RUNS / bag / case, ())


def do(job: Job, masks: int = 3) -> None:
    records = [mask_record(number / 10) for number in range(masks)]
    run = made_run(records, bag=job.subject.name, case=job.case.name)
    with new_run(job.folder) as partial:
        lines = [to_line(record) + "\n" for record in records]
        (partial / MASKS).write_text("".join(lines))
        finish(partial, job.folder, dataclasses.replace(run, key=job.key))


def test_what_other_commands_left_is_not_counted_and_named(tmp_path: Path) -> None:
    before, now = job(tmp_path, "before"), job(tmp_path, "now")
    do(before, masks=5)
    do(now)
    contents.conclude(tmp_path, [now])
    card = load_scorecard(tmp_path)
    assert [run.bag for run in card.runs] == ["now"]
    assert card.value("masks") == 3
    assert card.others == ("before/healthy",)
    assert card.judge(GATE).exit_code == 0


def test_the_faults_of_another_model_are_not_those_of_this_one(tmp_path: Path) -> None:
    do(job(tmp_path, "drive", "one", "faults"), masks=5)
    now = job(tmp_path, "drive", "other")
    do(now)
    contents.conclude(tmp_path, [now])
    assert load_scorecard(tmp_path).value("masks") == 3


def test_nobody_can_judge_what_was_stopped(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "drive"), job(tmp_path, "drive", case="fault-off-rgb-0")]
    contents.begin(tmp_path, jobs)
    do(jobs[0])
    card = load_scorecard(tmp_path)
    assert "1 of 2 runs: not done, it was stopped" in card.unreadable[0]
    assert card.judge(GATE).exit_code == 2
    failing = parse_gate({"version": 1, "checks": [{"figure": "masks", "max": 0}]})
    assert card.judge(failing).exit_code == 2, "nor that it failed: half of its masks are missing"
    do(jobs[1])
    contents.conclude(tmp_path, jobs)
    assert load_scorecard(tmp_path).judge(GATE).exit_code == 0


def test_the_report_of_an_earlier_command_does_not_stand_for_this_one(tmp_path: Path) -> None:
    for name in (JSON, CSV, "report.html", "notes.txt"):
        (tmp_path / name).write_text("of yesterday")
    contents.begin(tmp_path, [job(tmp_path, "drive")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contents.json", "notes.txt"]


def test_a_run_that_is_gone_is_missed(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "drive"), job(tmp_path, "night")]
    for each in jobs:
        do(each)
    contents.conclude(tmp_path, jobs)
    do(job(tmp_path, "night", "another model"))
    card = load_scorecard(tmp_path)
    assert "1 of 2 runs: removed or changed since" in card.unreadable[0]
    assert card.judge(GATE).exit_code == 2


def test_what_could_not_be_done_is_no_part_of_it(tmp_path: Path) -> None:
    done, failed = job(tmp_path, "drive"), job(tmp_path, "drive", case="fault-off-rgb-0")
    do(done)
    contents.conclude(tmp_path, [done, failed])
    assert load_scorecard(tmp_path).unreadable == ()


def test_where_nobody_wrote_it_down_all_runs_count(tmp_path: Path) -> None:
    for bag in ("a", "b"):
        do(job(tmp_path, bag))
    card = load_scorecard(tmp_path)
    assert [run.bag for run in card.runs] == ["a", "b"]
    assert (card.unreadable, card.others) == ((), ())


@pytest.mark.parametrize("text", ["", "[]", '{"runs": 3, "complete": true}', '{"runs": {}}'])
def test_a_damaged_list_is_told(text: str, tmp_path: Path) -> None:
    do(job(tmp_path, "drive"))
    (tmp_path / contents.CONTENTS).write_text(text)
    with pytest.raises(AnymodalError, match=r"contents\.json is damaged: remove it"):
        load_scorecard(tmp_path)


def test_one_process_at_a_time_evaluates_into_a_folder(tmp_path: Path) -> None:
    with contents.held(tmp_path):
        with (
            pytest.raises(ConfigError, match="another process evaluates into"),
            contents.held(tmp_path),
        ):
            raise AssertionError("it was let in")
        assert list(tmp_path.iterdir()) == [], "nothing is left lying about"
    with contents.held(tmp_path):
        pass


def test_a_folder_with_other_files_is_no_place_for_a_scorecard(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "runs" / "train").mkdir(parents=True)  # as other programs have it
    with pytest.raises(ConfigError, match=r"holds no scorecard but runs, thesis\.tex"):
        contents.claim(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "thesis.tex"]


def test_a_claimed_folder_stays_ones_own_whatever_else_is_put_into_it(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").write_text("")
    contents.claim(tmp_path)
    assert load_and_judge(tmp_path) == 2, "nothing was evaluated yet"
    (tmp_path / "junit.xml").write_text("<testsuites/>")
    contents.claim(tmp_path)
    (tmp_path / contents.CONTENTS).unlink()  # as of an earlier version
    do(job(tmp_path, "drive"))
    contents.claim(tmp_path)


def load_and_judge(folder: Path) -> int:
    try:
        return load_scorecard(folder).judge(GATE).exit_code
    except AnymodalError:
        return 2


def test_finished_runs_of_another_question_are_named(tmp_path: Path) -> None:
    here = [job(tmp_path, bag) for bag in ("drive", "night", "rain")]
    for each in here[:2]:
        do(each)
    assert contents.outdated(here) == []
    other = [job(tmp_path, bag, "other") for bag in ("drive", "night", "rain")]
    assert contents.outdated(other) == ["drive/healthy", "night/healthy"]
    (here[0].folder / "run.json").write_text("{}")  # damaged: nothing that could be taken
    assert contents.outdated(other) == ["night/healthy"]


def test_a_live_run_is_not_taken_for_a_replay(tmp_path: Path) -> None:
    replayed = job(tmp_path, "drive")
    assert dataclasses.replace(replayed, live=True).key != replayed.key
