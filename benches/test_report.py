"""Tests of the pure part: python3 -m unittest discover -s benches"""

import unittest

import report
import storm


def results(**columns):
    """Results of the section of small answers, CPU alone."""
    return {"small": {name.replace("_", "-"): [value and {"cpu_us": value} for value in values]
                      for name, values in columns.items()}}


def states(found):
    """The verdicts on the cookie's CPU, by the peer it is held to."""
    bars = [bar for bar in report.BARS if bar[0] == "small"]
    pairs = [(bar[5], column) for bar in bars for column in bar[2]]
    return {against: state for (against, column), (state, _) in zip(pairs, report.verdicts(found))
            if column == "doorward-cookie"}


class Report(unittest.TestCase):
    """Ratios and bars."""

    def test_a_ratio_is_taken_within_each_round(self):
        self.assertEqual(report.ratio([10, 100, 20], [10, 50, 10]), 2)

    def test_a_failed_round_is_left_out_on_both_sides(self):
        self.assertEqual(report.ratio([None, 30, 20], [10, 10, None]), 3)
        self.assertIsNone(report.ratio([None], [10]))

    def test_bars_are_held_against_the_right_peer(self):
        found = results(nginx=[30], nginx_log=[46], caddy=[170], doorward_cookie=[33])
        self.assertEqual(states(found), {"nginx": "fail", "nginx-log": "fail", "caddy": "pass"})
        found = results(nginx=[30], nginx_log=[46], caddy=[140], doorward_cookie=[30])
        self.assertEqual(states(found), {"nginx": "pass", "nginx-log": "pass", "caddy": "fail"})

    def test_what_was_not_measured_never_passes(self):
        self.assertEqual({state for state, _ in report.verdicts({})}, {"not measured"})

    def test_throughput_below_nginx_fails_and_above_passes(self):
        for ours, wanted in ((99, "fail"), (101, "pass")):
            sample = {"down_mbs": 100, "up_mbs": 100}
            found = {"bulk": {"nginx": [sample], "doorward-token": [{"down_mbs": ours, "up_mbs": ours}]}}
            self.assertEqual([state for state, text in report.verdicts(found) if "body" in text], [wanted] * 2)

    def test_a_cell_gives_the_ratio_before_the_figure(self):
        found = results(nginx=[30], caddy=[150])
        self.assertEqual(report.cell(found, "small", "cpu_us", "caddy", "µs", 1), "5.00 × (150.0 µs)")
        self.assertEqual(report.cell(found, "small", "cpu_us", "nginx", "µs", 1), "1 (30.0 µs)")
        self.assertEqual(report.cell(found, "small", "cpu_us", "haproxy", "µs", 1), "–")

    def test_the_table_leaves_out_what_nobody_measured(self):
        rows = report.table(results(nginx=[30], caddy=[]), ["nginx", "caddy"])
        self.assertEqual(rows, [["relative to nginx", "nginx"], ["small answer: CPU per request", "1 (30.0 µs)"]])


class Storm(unittest.TestCase):
    """The storm's arithmetic."""

    def test_a_percentile_is_a_value_that_was_measured(self):
        self.assertEqual(storm.percentile(range(1, 101), 0.99), 99)
        self.assertEqual(storm.percentile([5], 0.99), 5)
        self.assertIsNone(storm.percentile([], 0.99))

    def test_the_bar_is_held_within_each_round(self):
        found = {name: [] for name, _, _ in storm.STORMS}
        for calm, one in ((10, 10.5), (100, 105)):
            found[storm.CALM].append({"proxied_p99_ms": calm, "login_p99_ms": calm})
            found["one address"].append({"proxied_p99_ms": one, "login_p99_ms": calm * 2})
            found["many addresses"].append(None)
        states = [state for state, _ in storm.verdicts(found)]
        self.assertEqual(states, ["pass", "not measured", "fail", "not measured"])


if __name__ == "__main__":
    unittest.main()
