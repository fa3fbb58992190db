# SPDX-License-Identifier: GPL-2.0
# Takes a watch off its list that is off it already, and so releases it twice.
# File: watch/list.rs
# Found by: torture STRICT=1: BUG: KASAN|Oops|list_del
s/if unsafe { (\*node).pprev }\.is_null() {/if false {/
