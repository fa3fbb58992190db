# SPDX-License-Identifier: GPL-2.0
# Frees a watch that a post may still see.
# File: watch/raw.rs
# Found by: object_dies_while_it_is_posted_to_and_its_queue_is_closed: a watch was used after it was freed
s/bindings::call_rcu(rcu, Some(free))/free(rcu)/
