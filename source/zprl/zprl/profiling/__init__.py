# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Profiler of the policy step: its error first, then its speed beside other runtimes and the machine's limits."""

from .accuracy import RULES, Errors, double_copy, measure_errors, quantised_copy
from .hoisted import HoistedPolicy
from .profiler import CellResult, ContenderResult, ProfileReport, ProfileSettings, profile_policy_step
from .shapes import make_shape
from .timing import Timing
from .work import Work, count_work

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
