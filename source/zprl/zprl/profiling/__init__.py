# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Profiler of the policy step: its error first, then its speed beside other runtimes and the machine's limits."""

from zprl.policies.flow.hoisted import HoistedPolicy
from zprl.profiling.accuracy import RULES, Errors, double_copy, measure_errors, quantised_copy
from zprl.profiling.profiler import CellResult, ContenderResult, ProfileReport, ProfileSettings, profile_policy_step
from zprl.profiling.shapes import make_shape
from zprl.profiling.timing import Timing
from zprl.profiling.work import Work, count_work

__all__ = [
    "RULES",
    "CellResult",
    "ContenderResult",
    "Errors",
    "HoistedPolicy",
    "ProfileReport",
    "ProfileSettings",
    "Timing",
    "Work",
    "count_work",
    "double_copy",
    "make_shape",
    "measure_errors",
    "profile_policy_step",
    "quantised_copy",
]
