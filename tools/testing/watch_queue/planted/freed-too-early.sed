# SPDX-License-Identifier: GPL-2.0
# Frees a watch that a post may still see.
# File: watch/raw.rs
# Found by: torture STRICT=1: BUG: KASAN
s/bindings::call_rcu(rcu, Some(\(free[a-z_]*\)))/\1(rcu)/
