"""Tests of what needs no servers: `python3 -m unittest discover --start-directory bench`, which `make lint` runs."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest
import xml.etree.ElementTree

import bench
import charts
import report
import statements

ROWS = [
    report.Row("default", "default", series=[[9.0, 11.0, 10.0]], ratios=[0.5, 0.6, 0.4], goals=[("≥", 0.5)]),
    report.Row("default_cpu", "cpu", "µs", series=[[6.0], [5.0], [33.0]], goals=[("≤", 6), ("≤", 5), ("≤", 32)]),
    report.Row("bullmq", "BullMQ", missing="npm ended with 1"),
]


class TheGuard(unittest.TestCase):
    def test_lets_pass_what_is_as_fast_as_the_baseline_or_hardly_slower(self):
        self.assertEqual(report.regressions({"default": 0.5, "best": 0.426}, {"default": 0.5, "best": 0.5}), [])

    def test_names_what_has_fallen_below_085_of_the_baseline(self):
        [said] = report.regressions({"default": 0.5, "best": 0.424}, {"default": 0.5, "best": 0.5})
        self.assertTrue(said.startswith("best: 0.424 of the ceiling, less than 0.425"), said)

    def test_names_what_was_not_measured_although_the_baseline_has_it(self):
        [said] = report.regressions({}, {"default": 0.5})
        self.assertIn("default: not measured", said)

    def test_keeps_to_what_the_short_run_measures_too(self):
        pinned = report.Row("pinned_default", "pinned", series=[[1.0]], ratios=[0.7])
        self.assertEqual(report.ratios([*ROWS, pinned]), {"default": 0.5})

    def test_says_nothing_of_what_the_baseline_lacks(self):
        self.assertEqual(report.regressions({"default": 0.1}, {}), [])

    def test_fails_the_run_where_a_doctored_baseline_asks_for_more(self):
        for asked, code in ((0.5, 0), (0.7, 1)):
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()) as said:
                figures, baseline = pathlib.Path(folder) / "figures.json", pathlib.Path(folder) / "baseline.json"
                figures.write_text(json.dumps({"rows": [vars(row) for row in ROWS]}))
                baseline.write_text(json.dumps({"ratios": {"default": asked}}))
                self.assertEqual(bench.compare(figures, baseline), code)
            self.assertEqual("slower: default" in said.getvalue(), code == 1)

    def test_reads_the_committed_baseline_and_it_has_the_default_settings(self):
        ratios = json.loads(bench.BASELINE.read_text())["ratios"]
        self.assertGreater(ratios["default"], 0)


class TheTable(unittest.TestCase):
    def test_has_median_spread_ratio_and_whether_the_goal_is_met(self):
        lines = report.table(ROWS).splitlines()
        self.assertEqual(lines[2], "| default | 10.0 orders/s | 9.00–11.0 | 0.50 (0.40–0.60) | ≥ 0.5 | yes |")
        self.assertIn("6.00 · 5.00 · 33.0 µs", lines[3])
        self.assertTrue(lines[3].endswith("| **no** |"), lines[3])

    def test_says_of_a_peer_that_could_not_be_had_why(self):
        self.assertIn("| BullMQ | not measured: npm ended with 1 |", report.table(ROWS))


class Charts(unittest.TestCase):
    def test_are_the_same_for_the_same_figures_and_well_formed(self):
        rows = {row.key: row for row in ROWS if not row.missing}
        drawn = charts.draw(rows)
        self.assertEqual(drawn, charts.draw(rows))
        self.assertEqual(sorted(drawn), ["processor", "speed"])
        for svg in drawn.values():
            xml.etree.ElementTree.fromstring(svg)


class Statements(unittest.TestCase):
    def test_move_an_order_and_note_it_in_one_commit(self):
        self.assertEqual(statements.BEGIN.count("INSERT INTO fulfillment.events"), 1)
        self.assertIn("status = 'processing'", statements.BEGIN)
        self.assertIn("'fulfilled'", statements.CONCLUDE)

    def test_leave_the_timeline_alone_where_events_are_off(self):
        self.assertNotIn("events", statements.ceiling(events=False))
        self.assertEqual(statements.ceiling().count("INSERT"), 2)


if __name__ == "__main__":
    unittest.main()
