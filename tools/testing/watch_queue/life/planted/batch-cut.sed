# SPDX-License-Identifier: GPL-2.0
# Forgets all but the first of the watches that it has taken together.
# File: watch/raw.rs
# Found by: an_object_among_others_on_a_list_goes: releases
s/next = unsafe { \*next_in_batch(watch) };/next = None;/
