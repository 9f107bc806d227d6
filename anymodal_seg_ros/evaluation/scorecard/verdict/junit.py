"""A verdict as JUnit XML, which every CI shows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Xml

from anymodal_seg_ros.evaluation.scorecard.verdict.verdict import Judgement, Outcome, Verdict, said

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold; a bag may be named with them."""


def junit_xml(verdict: Verdict) -> str:
    """Return one test suite with a test case for every check.

    A required check that fails is a ``failure``, one that could not be judged an ``error``; watched
    ones are ``skipped`` with the reason, so that they are seen and stop nothing.
    """
    cases = [_case(judgement) for judgement in verdict.judgements]
    for reason in verdict.unreadable:
        case = Xml.Element("testcase", classname="bags", name="readable")
        Xml.SubElement(case, "error", message=_clean(reason))
        cases.append(case)
    counts = {
        tag: str(sum(case.find(found) is not None for case in cases))
        for tag, found in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    suites = Xml.Element("testsuites")
    suite = Xml.SubElement(
        suites, "testsuite", {"name": "anymodal-seg evaluate", "tests": str(len(cases)), **counts}
    )
    suite.extend(cases)
    Xml.indent(suites)
    return Xml.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _case(judgement: Judgement) -> Xml.Element:
    limits = judgement.check.limits
    case = Xml.Element("testcase", classname=limits.figure, name=_clean(judgement.check.name))
    properties = Xml.SubElement(case, "properties")
    values = {"value": said(judgement.value.value), "level": limits.level}
    if judgement.baseline is not None:
        values["baseline"] = said(judgement.baseline.value)
    for key, value in values.items():
        Xml.SubElement(properties, "property", name=key, value=value)
    if judgement.outcome is not Outcome.PASSED:
        tag = "failure" if judgement.outcome is Outcome.FAILED else "error"
        Xml.SubElement(
            case, tag if judgement.required else "skipped", message=_clean(judgement.reason)
        )
    return case


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
