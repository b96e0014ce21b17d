# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What happens to a policy outside of its simulator: disturbances by name, their results and figures."""
