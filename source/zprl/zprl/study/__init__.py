# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Studies: a grid of training runs with equal budgets, and the report that compares them.

``grid`` says which runs there are, ``planning`` how long they learn and when they are evaluated, ``scheduler`` runs
their processes, ``study`` puts these together, and ``report`` writes what came out.
"""
